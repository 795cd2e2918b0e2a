"""The paths of the local control plane's files, all in one state folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STAGES = Path(__file__).with_name("stages.yaml")
AUDIT_POLICY = Path(__file__).with_name("audit-policy.yaml")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths inside one state folder (absolute, mode 0700)."""

    state: Path

    @property
    def record(self) -> Path:
        """The `cluster_record.Record` of the running processes; it exists from `up` to `down`."""
        return self.state / "cluster.json"

    @property
    def lock(self) -> Path:
        """The lock for starts and stops; the only file that remains after `down`."""
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
        """The default path of the administrator's kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def data(self) -> Path:
        """The data folder of etcd."""
        return self.state / "etcd"

    @property
    def audit(self) -> Path:
        """The audit log, one JSON event per line."""
        return self.state / "audit.log"

    @property
    def logs(self) -> Path:
        """The output of the components."""
        return self.state / "logs"

    @property
    def disposable(self) -> tuple[Path, ...]:
        """The paths that `down` removes; other files in the folder stay."""
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
    """Return the state folder from INFISICAL_SANDBOX_STATE, or the default one in the user's home."""
    if named := environ.get("INFISICAL_SANDBOX_STATE"):
        return Path(named)
    home = Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "infisical-sandbox" / "cluster"
