"""kubeconfig files with embedded certificates, so that a file works after a copy to another place."""

import base64
from pathlib import Path

import yaml

from local_cluster import errors

NAME = "infisical-sandbox"


def render(server: str, certificates: Path, identity: str) -> str:
    """Return the kubeconfig of `identity` for `server` (a url), as YAML."""
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
    """Write a kubeconfig with mode 0600.

    Raises:
        ClusterError: `path` is another file, such as the user's own kubeconfig.
    """
    if path.exists() and not _is_ours(path):
        raise errors.ClusterError(
            f"{path} is not a kubeconfig of infisical-sandbox and was not overwritten. Choose another file."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)


def remove(path: Path) -> None:
    """Remove a kubeconfig if it exists and was written by `write`."""
    if path.exists() and _is_ours(path):
        path.unlink()


def _is_ours(path: Path) -> bool:
    return f"current-context: {NAME}\n" in path.read_text(errors="replace")


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
