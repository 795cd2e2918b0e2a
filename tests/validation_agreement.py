# ruff: noqa: T201 - a program that prints
"""`make validate-agreement`: whether `validate` accepts what a real API server accepts, and nothing else.

Manifests from seeds are created with `dryRun=All` and strict validation of fields, and checked by
`infisical_events.core.validation`. It starts a control plane of its own.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from infisical_events.api import resources
from infisical_events.core.validation.crd_schema import spec_schema_of
from infisical_events.core.validation.findings import place_text
from infisical_events.core.validation.manifest_metadata import metadata_findings
from infisical_events.core.validation.subscription_checks import api_server_findings, subscription_findings
from infisical_events.kube.kubeconfig import ClusterAccess, load_connection
from local_cluster import Cluster
from support import schemas
from support.kubectl import kubectl_for
from support.object_client import tls_of
from support.random_manifests import deployment_of, subscription_of

SCHEMA = spec_schema_of(schemas.CRD, "v1alpha1")
_PATHS = {
    "InfisicalEventSubscription": f"/apis/{resources.API_VERSION}/namespaces/{{}}/{resources.PLURAL}",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
}
_QUERY = {"dryRun": "All", "fieldValidation": "Strict"}
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What both say about one manifest; an empty text means that it is accepted."""

    manifest: dict[str, Any]
    server: str
    validate: str
    operator: str = ""

    @property
    def is_agreed(self) -> bool:
        """Whether both accept it, or neither does."""
        return bool(self.server) == bool(self.validate)

    def __str__(self) -> str:
        """The manifest and both answers."""
        manifest = ascii(json.dumps(self.manifest))[:600]
        return f"{manifest}\n  API server: {self.server[:400]!r}\n  validate: {self.validate[:400]!r}"


def manifests(count: int, first: int = 0) -> Iterator[dict[str, Any]]:
    """`count` manifests, three quarters of them subscriptions."""
    for seed in range(first, first + count):
        yield deployment_of(seed) if seed % 4 == 3 else subscription_of(seed)


def verdicts(
    client: httpx.Client, namespace: str, given: Iterable[dict[str, Any]], threads: int = 4
) -> list[Verdict]:
    """Ask both about each manifest."""

    def asked(manifest: dict[str, Any]) -> Verdict:
        return _verdict(manifest, refusal(client, namespace, manifest))

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(asked, given))


def refusal(client: httpx.Client, namespace: str, manifest: dict[str, Any]) -> str:
    """The API server's message; empty if it accepts the manifest."""
    path = _PATHS[manifest["kind"]].format(namespace)
    answer = client.post(path, params=_QUERY, json=manifest)
    if answer.status_code == httpx.codes.CREATED:
        return ""
    if answer.status_code not in {httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY}:
        raise RuntimeError(f"{answer.status_code}: {answer.text[:500]}")
    return str(answer.json()["message"])


def _verdict(manifest: dict[str, Any], server: str) -> Verdict:
    if manifest["kind"] == "Deployment":
        return Verdict(manifest, server, _said(metadata_findings(manifest)))
    rejected = api_server_findings(manifest, SCHEMA)
    operator = () if rejected else subscription_findings(manifest, SCHEMA)
    return Verdict(manifest, server, _said(rejected), _said(operator))


def _said(findings: Iterable[Any]) -> str:
    return "; ".join(f"{place_text(each.place)}: {each.message}" for each in findings)


def opened(kubeconfig: Path) -> httpx.Client:
    """A client with the rights of a kubeconfig."""
    found = asyncio.run(load_connection(ClusterAccess(kubeconfig=str(kubeconfig))))
    headers = {"Authorization": f"{found.scheme} {found.token}"} if found.token else {}
    return httpx.Client(
        base_url=found.server, verify=tls_of(found), headers=headers, timeout=30, trust_env=False
    )


def prepare(kubectl: Callable[..., str]) -> None:
    """Apply the CRD and wait until the API server serves it."""
    name = f"crd/{schemas.CRD['metadata']['name']}"
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(schemas.CRD_FILE))
    kubectl("wait", "--for=create", name, "--timeout=30s")
    kubectl("wait", "--for=condition=Established", name, "--timeout=30s")


def main() -> int:
    """Compare, print the figures and the first disagreements; 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder) / "cluster").up()
        try:
            prepare(kubectl_for(cluster))
            with opened(cluster.kubeconfig) as client:
                return _compare(client, options.specs, options.first)
        finally:
            cluster.down()


def _compare(client: httpx.Client, count: int, first: int) -> int:
    started = time.monotonic()
    found = verdicts(client, "default", manifests(count, first))
    accepted = Counter(each.manifest["kind"] for each in found if not each.server)
    disagreed = [each for each in found if not each.is_agreed]
    print(*disagreed[:_SHOWN], sep="\n\n")
    print(
        f"{len(found)} manifests in {time.monotonic() - started:.0f} s; accepted: {dict(accepted)};", end=" "
    )
    print(f"the operator alone rejects or warns of {sum(bool(each.operator) for each in found)};", end=" ")
    print(f"disagreements: {len(disagreed)}")
    return 1 if disagreed else 0


if __name__ == "__main__":
    sys.exit(main())
