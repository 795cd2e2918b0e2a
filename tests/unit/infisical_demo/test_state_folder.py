"""Any later process can find and clean up what a demo started."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_demo import manifests
from infisical_demo.errors import DemoError
from infisical_demo.infisical_client import LocalInfisical
from infisical_demo.state_folder import Namespace, Record, StateFolder
from local_cluster import processes

SLEEP = Path("/bin/sleep")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    """The folder of a demo that has just begun."""
    folder = StateFolder(tmp_path / "demo")
    folder.path.mkdir()
    yield folder
    folder.clean()


def test_another_reader_ends_what_was_started_and_removes_the_folder(folder: StateFolder) -> None:
    """The record alone suffices: the process that wrote it may be gone."""
    process = folder.spawn("sleeper", SLEEP, ("600",), {})
    other = StateFolder(folder.path)

    assert other.clean()
    assert processes.state(process) == "gone"
    assert not folder.path.exists()
    assert not other.clean()


def test_a_process_that_was_replaced_is_not_remembered(folder: StateFolder) -> None:
    """The record names the newest process of a name, beside those of other names."""
    folder.spawn("other", SLEEP, ("600",), {})
    first = folder.spawn("operator", SLEEP, ("600",), {})
    processes.kill(first)
    second = folder.spawn("operator", SLEEP, ("600",), {})

    assert folder.record is not None
    assert folder.record.processes["operator"] == second
    assert set(folder.record.processes) == {"operator", "other"}


def test_an_unreachable_cluster_does_not_block_the_next_demo(folder: StateFolder, tmp_path: Path) -> None:
    """The namespace that cannot be deleted is reported once; then the folder is free for another demo."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho connection refused >&2\nexit 1\n")
    kubectl.chmod(0o700)
    made = Namespace(kubectl=kubectl, kubeconfig=tmp_path / "kubeconfig", name="demo-0000")
    folder.save(Record(namespace=made))

    with pytest.raises(DemoError, match="demo-0000 was not deleted, delete it by hand: connection refused"):
        folder.clean()
    assert not folder.clean()


def test_a_locked_folder_is_an_error(folder: StateFolder) -> None:
    """Two demos in one folder would clean up each other's processes."""
    with (
        folder.locked(),
        pytest.raises(DemoError, match="another demo is running"),
        StateFolder(folder.path).locked(),
    ):
        pytest.fail("held twice")


def test_the_samples_are_applied_with_nothing_changed_but_places_and_credentials(tmp_path: Path) -> None:
    """A reader of the samples gets what the demo shows; only the owner can read the credentials."""
    facts = {
        "url": "http://127.0.0.1:1",
        "projectSlug": "sandbox",
        "environments": ["dev", "prod"],
        "clientId": "id",
        "clientSecret": "canary",
    }
    files = manifests.write_manifests(LocalInfisical(facts), tmp_path / "manifests")

    credentials, deployment, subscription = (file.read_text() for file in files)
    assert "REPLACE" not in credentials
    assert "canary" in credentials
    assert deployment == (manifests.SAMPLES / "deployment.yaml").read_text()
    assert "http://127.0.0.1:1" in subscription
    assert "DB_*" in subscription
    assert (tmp_path / "manifests").stat().st_mode & 0o777 == 0o700
