"""The manifests of the demo: the CRD and the samples, for the local Infisical."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from infisical_demo.errors import DemoError
from infisical_demo.infisical_client import LocalInfisical

_ROOT = Path(__file__).parents[2]
CRDS = _ROOT / "crds"
SAMPLES = _ROOT / "deploy" / "samples"
NAME = "payments"
"""The name of the sample Deployment and of the sample subscription."""

Manifest = dict[str, Any]


def write_manifests(infisical: LocalInfisical, folder: Path) -> tuple[Path, ...]:
    """Write the manifests for this Infisical into a folder with mode 0700; return the files to apply.

    Raises:
        DemoError: the samples are missing, because the package is not installed from a checkout.
    """
    subscription = _subscription(_sample("subscription.yaml"), infisical)
    credentials = _credentials(_sample("credentials.yaml"), infisical.facts)
    folder.mkdir(mode=0o700, exist_ok=True)
    files = {"credentials.yaml": credentials, "subscription.yaml": subscription}
    for name, manifest in files.items():
        (folder / name).write_text(yaml.safe_dump(manifest, sort_keys=False))
    return (folder / "credentials.yaml", SAMPLES / "deployment.yaml", folder / "subscription.yaml")


def _sample(name: str) -> Manifest:
    try:
        manifest: Manifest = yaml.safe_load((SAMPLES / name).read_text())
    except FileNotFoundError as error:
        raise DemoError(
            f"{error.filename} is missing. Run the demo from a checkout of the project."
        ) from error
    return manifest


def _credentials(sample: Manifest, facts: Mapping[str, Any]) -> Manifest:
    return {**sample, "stringData": {key: facts[key] for key in ("clientId", "clientSecret")}}


def _subscription(sample: Manifest, infisical: LocalInfisical) -> Manifest:
    """The sample for this server. It selects some keys only, so that step 3 has a key to skip."""
    (entry,) = sample["spec"]["events"]
    conditions = {
        **entry["conditions"],
        "environmentSlug": infisical.environment_slug,
        "secretKeys": ["DB_*"],
    }
    spec = {
        **sample["spec"],
        "address": infisical.url,
        "projectSlug": infisical.facts["projectSlug"],
        "events": [{**entry, "conditions": conditions}],
        "cooldownSeconds": 0,  # the demo shows many restarts in a short time
    }
    return {**sample, "spec": spec}
