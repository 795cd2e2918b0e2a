"""The operator's settings, read once by the command line and passed as a value."""

from dataclasses import dataclass

from infisical_events.core.addresses import DEFAULT_ALLOWED
from infisical_events.kube.connections import ClusterAccess

_PORTS = 65_536


@dataclass(frozen=True, slots=True)
class Settings:
    """What `infisical-events run` was told.

    No namespaces means all of them; `http_address` is `host:port` of health, readiness and metrics.
    """

    access: ClusterAccess
    namespaces: tuple[str, ...] = ()
    default_address: str = DEFAULT_ALLOWED[0]
    allowed_addresses: tuple[str, ...] = DEFAULT_ALLOWED
    http_address: str = "127.0.0.1:8080"

    @property
    def http_endpoint(self) -> tuple[str, int]:
        """Host and port; raises ValueError for anything but `host:port`."""
        host, _, port = self.http_address.rpartition(":")
        if int(port) not in range(_PORTS):
            raise ValueError("no such port")
        return host.strip("[]"), int(port)
