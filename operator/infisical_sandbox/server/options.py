"""The settings of a local Infisical, from the command line or from a test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infisical_sandbox.server.domain import generations
from infisical_sandbox.server.domain.records import LockoutSettings, TokenSettings

if TYPE_CHECKING:
    from pathlib import Path

    from infisical_sandbox.server.domain.generations import Generation
    from infisical_sandbox.server.domain.records import KubernetesSettings


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate of the server and its private key, as files in PEM format."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Options:
    """Times are in seconds; None means the default of the generation."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free port."""
    tls: Certificate | None = None
    """Serve https with this certificate; None for plain http."""
    generation: Generation = generations.E4
    database: Path | None = None
    """SQLite file for the state; None for memory only."""
    admin: bool = False
    """Serve the fault switches under `/__admin__`."""
    fan_out_delay: float = 4.0
    """Time from a change to the import mutation of an importing folder; the first job takes 3/4 of it."""
    ping_interval: float = 15.0
    recheck_interval: float = 60.0
    stream_lifetime: float | None = None
    """0 for no limit."""
    connection_limit: int | None = None
    project_name: str = "Sandbox"
    project_slug: str = "sandbox"
    environments: tuple[str, ...] = ("dev", "staging", "prod")
    role: str = "admin"
    tokens: TokenSettings = field(default_factory=TokenSettings)
    lockout: LockoutSettings = field(default_factory=LockoutSettings)
    kubernetes: KubernetesSettings | None = None
    client_secret: str | None = field(default=None, repr=False)
    """The client secret of the machine identity; None for a random one."""

    @property
    def lifetime(self) -> float | None:
        """The lifetime of a stream in seconds: the option, or the generation's default."""
        if self.stream_lifetime is None:
            return self.generation.stream_lifetime
        return self.stream_lifetime or None

    @property
    def limit(self) -> int | None:
        """The maximum number of streams per project: the option, or the generation's default."""
        if self.connection_limit is None:
            return self.generation.connection_limit
        return self.connection_limit
