"""The operator's process has only those parts of its libraries that it uses."""

import subprocess
import sys

_PROGRAM = """
import sys
import infisical_events.runtime.app.bootstrap
from kubernetes.aio import client, config
print(*({"requests", "oauthlib", "websocket", "kubernetes.aio.stream"} & sys.modules.keys()))
"""


def test_modules_of_the_process() -> None:
    """Neither the synchronous Kubernetes client nor what it needs is imported; the asynchronous one works."""
    found = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    assert found.stdout.split() == []


def test_imports_that_are_tried_again_and_again() -> None:
    """What httpcore tries to import for each lock is there, or is known to be missing."""
    assert "sniffio" in sys.modules
