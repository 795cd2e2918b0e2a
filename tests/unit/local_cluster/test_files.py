"""What the local control plane writes: certificates, kubeconfigs, records, and where."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from local_cluster import (
    certificates,
    cluster_record,
    components,
    errors,
    kubeconfigs,
    processes,
    state_layout,
)
from local_cluster.cluster_record import Record
from local_cluster.state_layout import Layout

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates."""
    made = tmp_path_factory.mktemp("certificates")
    certificates.write(made, NOW)
    return made


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_server_certificate_is_valid_where_it_is_used(folder: Path) -> None:
    """A strict verifier accepts it for the loopback address and the names pods would use."""
    store = Store([_certificate(folder / "ca.crt")])
    leaf = _certificate(folder / "server.crt")

    for name in ("localhost", "kubernetes.default.svc"):
        verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName(name))
        assert len(verifier.verify(leaf, [])) == 2


def test_identities_are_what_rbac_reads(folder: Path) -> None:
    """The subject holds the user as common name and the group as organization."""
    subjects = {
        name: _certificate(folder / f"{name}.crt").subject.rfc4514_string()
        for name in ("admin", "kube-scheduler")
    }

    assert subjects["admin"] == "CN=infisical-sandbox-admin,O=system:masters"
    assert subjects["kube-scheduler"] == "CN=system:kube-scheduler"


def test_keys_are_the_owners_alone(folder: Path) -> None:
    """No file is readable by another user."""
    assert {0o600} == {path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_certificates_are_written_once(folder: Path) -> None:
    """A second `up` must not change the authority that running components trust."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    certificates.write(folder, NOW)

    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_interrupted_write_is_done_again(tmp_path: Path) -> None:
    """Without the authority's certificate nothing counts as written."""
    certificates.write(tmp_path, NOW)
    (tmp_path / "ca.crt").unlink()

    certificates.write(tmp_path, NOW)

    assert (tmp_path / "ca.crt").exists()


def test_a_kubeconfig_is_self_contained(folder: Path, tmp_path: Path) -> None:
    """It names the server and holds its certificates, so it can be copied away."""
    text = kubeconfigs.render("https://127.0.0.1:1", folder, "admin")
    kubeconfigs.write(tmp_path / "deep" / "kubeconfig", text)

    read = yaml.safe_load((tmp_path / "deep" / "kubeconfig").read_text())
    assert read["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"
    assert str(folder) not in text
    assert (tmp_path / "deep" / "kubeconfig").stat().st_mode & 0o777 == 0o600


def test_a_users_kubeconfig_is_never_touched(tmp_path: Path) -> None:
    """Neither `up --kubeconfig` nor `down` harms a file that is not ours."""
    users = tmp_path / "config"
    users.write_text("current-context: production\n")

    with pytest.raises(errors.ClusterError, match="not overwritten"):
        kubeconfigs.write(users, f"current-context: {kubeconfigs.NAME}\n")
    kubeconfigs.remove(users)

    assert users.read_text() == "current-context: production\n"


@pytest.fixture
def listener() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_ports_are_free_and_differ(listener: int) -> None:
    """Every component gets a port of its own, outside the range of outgoing connections."""
    ports = cluster_record.free_ports()
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert set(components.PORT_NAMES) == set(ports)
    assert len(ports) == len(set(ports.values()))
    assert all(port < low for port in ports.values())
    assert cluster_record.are_free(ports)
    assert not cluster_record.are_free({"taken": listener})


def test_a_record_survives_writing_and_reading(tmp_path: Path) -> None:
    """Whoever reads the record later finds the same processes."""
    here = processes.identify(1)
    record = Record(binaries=Path("/b"), kubeconfig=Path("/k"), ports={"etcd": 1}).with_process("etcd", here)
    cluster_record.save(tmp_path / "cluster.json", record)

    assert record == cluster_record.load(tmp_path / "cluster.json")
    assert cluster_record.load(tmp_path / "none") is None


def test_a_damaged_record_is_an_error(tmp_path: Path) -> None:
    """Guessing at processes to kill is not an option."""
    (tmp_path / "cluster.json").write_text("{")

    with pytest.raises(errors.ClusterError, match="is damaged"):
        cluster_record.load(tmp_path / "cluster.json")


def test_the_state_folder_follows_the_environment() -> None:
    """An own variable wins over the XDG one, which wins over the home folder."""
    both = {"INFISICAL_SANDBOX_STATE": "/own", "XDG_STATE_HOME": "/xdg"}

    assert Path("/own") == state_layout.default_state(both)
    assert Path("/xdg/infisical-sandbox/cluster") == state_layout.default_state({"XDG_STATE_HOME": "/xdg"})
    assert Path.home() / ".local/state/infisical-sandbox/cluster" == state_layout.default_state({})


def test_nothing_listens_beyond_loopback() -> None:
    """Every address on every command line is the loopback one."""
    ports = dict.fromkeys(components.PORT_NAMES, 1)
    for component in components.components(Layout(Path("/state")), ports, audit_log=True):
        addresses = [a for a in component.arguments if "address" in a or "url" in a]
        assert all(components.LOOPBACK in address for address in addresses)
        assert all("=0.0.0.0" not in argument for argument in component.arguments)


def test_the_audit_log_is_a_choice() -> None:
    """Without being asked the API server writes no audit log."""
    ports = dict.fromkeys(components.PORT_NAMES, 1)
    lines = {
        chosen: " ".join(components.components(Layout(Path("/s")), ports, audit_log=chosen)[1].arguments)
        for chosen in (True, False)
    }

    assert "--audit-log-path=/s/audit.log" in lines[True]
    assert "audit" not in lines[False]
