"""Imports only what is used of libraries, and lets imports fail fast that libraries try again and again.

`import kubernetes.aio.client` also imports the synchronous client with requests, oauthlib and a WebSocket
library, 330 modules that take 12 MiB and half of the time of a start. So the two packages above it are
entered into `sys.modules` without running their `__init__`, and the synchronous client, which kopf imports if
it is installed, counts as not installed.

httpcore tries to import sniffio for each lock that it makes, several for each request. anyio does not bring
it any more, and each try searches all of `sys.path`: a third of the time of 300 starts.
"""

import sys
from importlib.util import find_spec, module_from_spec

_PACKAGES = ("kubernetes", "kubernetes.aio")
_SYNCHRONOUS = "kubernetes.client"
_SNIFFIO = "sniffio"


def prepare() -> None:
    """Make the imports that follow lean; without effect on what is imported already."""
    if _SNIFFIO not in sys.modules and find_spec(_SNIFFIO) is None:
        sys.modules[_SNIFFIO] = None  # type: ignore[assignment] # as below
    if _PACKAGES[0] not in sys.modules:
        _prepare_kubernetes()


def _prepare_kubernetes() -> None:
    for name in _PACKAGES:
        spec = find_spec(name)
        if spec is None:
            return
        parent, _, child = name.rpartition(".")
        sys.modules[name] = module_from_spec(spec)
        if parent:
            setattr(sys.modules[parent], child, sys.modules[name])
    sys.modules[_SYNCHRONOUS] = None  # type: ignore[assignment] # what makes an import fail, as documented
