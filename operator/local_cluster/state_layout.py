"""Where the local control plane keeps things: one state folder, removed by `down`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STAGES = Path(__file__).with_name("stages.yaml")
AUDIT_POLICY = Path(__file__).with_name("audit-policy.yaml")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths inside one state folder (absolute; only its owner may read it)."""

    state: Path

    @property
    def record(self) -> Path:
        """The `records.Record` of what runs; it exists from `up` to `down`."""
        return self.state / "cluster.json"

    @property
    def lock(self) -> Path:
        """Held while something is started or stopped; the only file that survives `down`."""
        return self.state / "lock"

    @property
    def certificates(self) -> Path:
        """Certificates and keys, see `certificates`."""
        return self.state / "certificates"

    @property
    def kubeconfigs(self) -> Path:
        """One kubeconfig per component."""
        return self.state / "kubeconfigs"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, unless another path was asked for."""
        return self.state / "kubeconfig"

    @property
    def data(self) -> Path:
        """The data folder of etcd."""
        return self.state / "etcd"

    @property
    def audit(self) -> Path:
        """The audit log, one JSON event per line, if asked for."""
        return self.state / "audit.log"

    @property
    def logs(self) -> Path:
        """The output of the components."""
        return self.state / "logs"

    @property
    def disposable(self) -> tuple[Path, ...]:
        """What `down` removes; the folder may be the user's and hold other things."""
        return (
            self.certificates,
            self.kubeconfigs,
            self.kubeconfig,
            self.data,
            self.audit,
            self.logs,
        )

    def log(self, component: str) -> Path:
        """Return the output file of a component."""
        return self.logs / f"{component}.log"


def default_state(environ: Mapping[str, str]) -> Path:
    """Return the state folder that the environment names, or the user's usual one."""
    if named := environ.get("INFISICAL_SANDBOX_STATE"):
        return Path(named)
    home = Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "infisical-sandbox" / "cluster"
