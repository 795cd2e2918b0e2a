"""Imports only what is used of the Kubernetes client, whose packages import all of their parts.

`import kubernetes.aio.client` also imports the synchronous client with requests, oauthlib and a WebSocket
library, 330 modules that take 12 MiB and half of the time of a start. So the two packages above it are
entered into `sys.modules` without running their `__init__`, and the synchronous client, which kopf imports if
it is installed, counts as not installed.
"""

import sys
from importlib.util import find_spec, module_from_spec

_PACKAGES = ("kubernetes", "kubernetes.aio")
_SYNCHRONOUS = "kubernetes.client"


def prepare() -> None:
    """Make the imports that follow lean; without effect if the client is imported already, or is missing."""
    if _PACKAGES[0] in sys.modules:
        return
    for name in _PACKAGES:
        spec = find_spec(name)
        if spec is None:
            return
        parent, _, child = name.rpartition(".")
        sys.modules[name] = module_from_spec(spec)
        if parent:
            setattr(sys.modules[parent], child, sys.modules[name])
    sys.modules[_SYNCHRONOUS] = None  # type: ignore[assignment] # what makes an import fail, as documented
