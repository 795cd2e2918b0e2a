"""Every setting of a local Infisical, parsed once from the command line or given by a test."""

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
class Options:
    """Times are seconds; None means what the generation does."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free port."""
    generation: Generation = generations.E4
    database: Path | None = None
    """SQLite file that survives a restart; None keeps everything in memory."""
    admin: bool = False
    """Whether the fault switches are served under `/__admin__`."""
    fan_out_delay: float = 4.0
    """From a change to the import mutation of an importer; the first job takes three quarters of it."""
    ping_interval: float = 15.0
    recheck_interval: float = 60.0
    stream_lifetime: float | None = None
    """0 for no end."""
    connection_limit: int | None = None
    project_name: str = "Sandbox"
    project_slug: str = "sandbox"
    environments: tuple[str, ...] = ("dev", "staging", "prod")
    role: str = "admin"
    tokens: TokenSettings = field(default_factory=TokenSettings)
    lockout: LockoutSettings = field(default_factory=LockoutSettings)
    kubernetes: KubernetesSettings | None = None
    client_secret: str | None = field(default=None, repr=False)
    """The ready-made identity's secret; None makes one up."""

    @property
    def lifetime(self) -> float | None:
        """How long a stream lives: the option, else the generation's habit."""
        if self.stream_lifetime is None:
            return self.generation.stream_lifetime
        return self.stream_lifetime or None

    @property
    def limit(self) -> int | None:
        """Streams per project: the option, else the generation's habit."""
        if self.connection_limit is None:
            return self.generation.connection_limit
        return self.connection_limit
