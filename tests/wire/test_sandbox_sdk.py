"""The official Python SDK, unchanged, against the local Infisical.

The SDK needs a virtualenv of its own (see `requirements-sdk.txt`), made once per content of that file.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from infisical_sandbox.server import Controls, Sandbox

REQUIREMENTS = Path(__file__).parents[1] / "requirements-sdk.txt"
INSTALL_SECONDS = 300
SCRIPT = """
import json, os
from infisical_sdk import InfisicalSDKClient

client = InfisicalSDKClient(host=os.environ["URL"], cache_ttl=None)
client.auth.universal_auth.login(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
project = os.environ["PROJECT_ID"]
where = {"project_id": project, "environment_slug": "prod", "secret_path": "/sdk"}

folder = client.folders.create_folder("sdk", "prod", project)
made = client.secrets.create_secret_by_name("KEY", secret_value="1", **where)
changed = client.secrets.update_secret_by_name("KEY", secret_value="2", new_secret_name="NEW", **where)
read = client.secrets.get_secret_by_name("NEW", **where)
listed = client.secrets.list_secrets(**where)
by_slug = client.secrets.list_secrets("prod", "/sdk", project_slug=os.environ["PROJECT_SLUG"])
imported = client.secrets.list_secrets("prod", "/", project_id=project)
gone = client.secrets.delete_secret_by_name("NEW", **where)
below = client.folders.list_folders(project, "prod", "/").folders
one = client.folders.get_folder_by_id(folder.id)
renamed = client.folders.update_folder(folder.id, "other", "prod", project)
removed = client.folders.delete_folder(folder.id, "prod", project)
try:
    client.secrets.get_secret_by_name("NEW", **where)
    missing = None
except Exception as error:
    missing = getattr(error, "status_code", None)

print(json.dumps({
    "ids": len({made.id, changed.id, read.id, gone.id}),
    "versions": [made.version, changed.version],
    "value": read.secretValue,
    "listed": [secret.secretKey for secret in listed.secrets],
    "by_slug": [secret.secretKey for secret in by_slug.secrets],
    "imports": [[entry.secretPath, len(entry.secrets)] for entry in imported.imports],
    "folders": [row.name for row in below],
    "environment": one.environment.envSlug,
    "renamed": [renamed.path, removed.name],
    "missing": missing,
}))
"""


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """The interpreter of a virtualenv that holds the SDK."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "infisical-sandbox"
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    home = cache / f"sdk-{digest}-{platform.python_version()}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{home}.lock", timeout=INSTALL_SECONDS):
        if not (home / "complete").exists():
            _install(home)
    return home / "bin" / "python"


def _install(home: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)  # noqa: S603 - our own interpreter
    command = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [*command, "--requirement", str(REQUIREMENTS)],
        check=False,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    if done.returncode:
        pytest.skip(f"the SDK cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
    (home / "complete").touch()


@pytest.mark.timeout(INSTALL_SECONDS + 60)
def test_the_official_sdk_works_unchanged(sdk_python: Path) -> None:
    """It logs in, writes, reads, lists and removes secrets and folders as it does with a real server."""
    with Sandbox.in_thread() as sandbox:
        sandbox.do_blocking(Controls.set_secrets, "prod", "/shared", {"S": "1"})
        sandbox.do_blocking(Controls.add_import, "prod", "/", ("prod", "/shared"))
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sdk_python, "-c", SCRIPT],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={
                "URL": sandbox.url,
                "CLIENT_ID": sandbox.client_id,
                "CLIENT_SECRET": sandbox.client_secret,
                "PROJECT_ID": sandbox.project_id,
                "PROJECT_SLUG": sandbox.project_slug,
                "NO_PROXY": "*",
            },
        )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "ids": 1,
        "versions": [1, 2],
        "value": "2",
        "listed": ["NEW"],
        "by_slug": ["NEW"],
        "imports": [["/shared", 1]],
        "folders": ["sdk", "shared"],
        "environment": "prod",
        "renamed": ["/other", "other"],
        "missing": 404,
    }
