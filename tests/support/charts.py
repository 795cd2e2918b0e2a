"""The chart rendered by the real helm, and the command that its pod would run.

`rendered` gives the objects; `operator_command` and `operator_environment` give exactly what the
container would be started with, and `kubeconfig_with_token` what it would log in to Kubernetes with,
so that a test can run the operator as an installation does.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local_cluster import program_provider

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "infisical-events"
RELEASE = "infisical-events"
NAMESPACE = "infisical-events"
POD = "infisical-events-0"

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """The identity of an object; `namespace` is empty for cluster-wide kinds."""

    kind: str
    name: str
    namespace: str = ""


Objects = dict[Key, Manifest]


class HelmError(Exception):
    """helm failed; the message is its standard error."""


def find_helm() -> Path | None:
    """Return a helm that exists already: HELM, the cache, PATH; None without one."""
    cached = sorted(program_provider.sources(os.environ).cache.glob("kubernetes-*/helm"), reverse=True)
    candidates = (os.environ.get("HELM"), *cached, shutil.which("helm"))
    return next((Path(c) for c in candidates if c and os.access(c, os.X_OK)), None)


def helm(binary: Path, *arguments: str, kubeconfig: Path | None = None) -> str:
    """Run helm; return its output.

    Raises:
        HelmError: it failed.
    """
    environ = os.environ | ({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})
    done = subprocess.run(  # noqa: S603 - our own helm
        (binary, *arguments), capture_output=True, text=True, env=environ, timeout=60, check=False
    )
    if done.returncode:
        raise HelmError(done.stderr.strip())
    return done.stdout


def with_values(values: dict[str, Any], folder: Path) -> tuple[str, str]:
    """Return the arguments that pass these values to helm."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    return ("--values", str(file))


def objects(text: str) -> Objects:
    """Return the objects of a manifest of several documents.

    Raises:
        ValueError: two of them are the same object.
    """
    found: Objects = {}
    for manifest in filter(None, yaml.safe_load_all(text)):
        metadata = manifest["metadata"]
        key = Key(manifest["kind"], metadata["name"], metadata.get("namespace", ""))
        if key in found:
            raise ValueError(f"{key} is there twice")
        found[key] = manifest
    return found


def rendered(binary: Path, *arguments: str) -> Objects:
    """Return the objects of the chart as `helm template` renders it for the usual release."""
    command = ("template", RELEASE, str(CHART), "--namespace", NAMESPACE)
    return objects(helm(binary, *command, *arguments))


def container(found: Objects) -> Manifest:
    """Return the operator's container in a rendered chart."""
    (deployment,) = (manifest for key, manifest in found.items() if key.kind == "Deployment")
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    operator: Manifest = only
    return operator


def operator_command(found: Objects) -> list[str]:
    """Return the command line of the operator in a rendered chart."""
    return [*container(found)["command"], *container(found)["args"]]


def operator_environment(found: Objects) -> dict[str, str]:
    """Return the environment variables of the operator in a rendered chart, in a pod of the name `POD`."""
    fields = {"metadata.name": POD}
    return {
        entry["name"]: entry["value"]
        if "value" in entry
        else fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for entry in container(found).get("env", ())
    }


def kubeconfig_with_token(kubeconfig: str, token: str) -> str:
    """Return a kubeconfig for the same cluster with a token as its only credentials."""
    config: Manifest = yaml.safe_load(kubeconfig)
    names = [entry["name"] for entry in config["users"]]
    config["users"] = [{"name": name, "user": {"token": token}} for name in names]
    return yaml.safe_dump(config)
