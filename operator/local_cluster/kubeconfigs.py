"""kubeconfig files, self-contained: certificates are embedded, so a file can be copied away."""

import base64
from pathlib import Path

import yaml

from local_cluster import errors

NAME = "infisical-sandbox"


def render(server: str, certificates: Path, identity: str) -> str:
    """Return the kubeconfig with which `identity` talks to `server` (a url), as YAML."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": NAME,
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": identity}}],
        "clusters": [
            {
                "name": NAME,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": _encoded(certificates / "ca.crt"),
                },
            }
        ],
        "users": [
            {
                "name": identity,
                "user": {
                    "client-certificate-data": _encoded(certificates / f"{identity}.crt"),
                    "client-key-data": _encoded(certificates / f"{identity}.key"),
                },
            }
        ],
    }
    return yaml.safe_dump(document, sort_keys=False)


def write(path: Path, text: str) -> None:
    """Write a kubeconfig for its owner alone.

    Raises:
        ClusterError: `path` holds something that is not ours, such as the user's own kubeconfig.
    """
    if path.exists() and not _is_ours(path):
        raise errors.ClusterError(f"{path} is not a kubeconfig of the sandbox: not overwritten")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)


def remove(path: Path) -> None:
    """Remove a kubeconfig if it is there and ours."""
    if path.exists() and _is_ours(path):
        path.unlink()


def _is_ours(path: Path) -> bool:
    return f"current-context: {NAME}\n" in path.read_text(errors="replace")


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
