"""What a process was busy with when it died is suspected by the next one."""

import asyncio
from pathlib import Path

import pytest

from infisical_events.runtime.limits.quarantine import Quarantine, pause_after, task_name_of
from infisical_events.runtime.tasks import child_task, race


def died(file: Path, *names: str) -> None:
    """A process that ended while it was busy with these subscriptions."""
    quarantine = Quarantine(file)
    for name in names:
        quarantine.accuse(name)


def test_died_again(tmp_path: Path) -> None:
    """Those who were busy are suspected, once more with each death, and nobody else is."""
    file = tmp_path / "quarantine.json"
    died(file, "team/large", "team/other")
    died(file, "team/large")
    quarantine = Quarantine(file)
    assert [quarantine.deaths(name) for name in ("team/large", "team/other", "team/small")] == [2, 1, 0]


async def test_busy(tmp_path: Path) -> None:
    """A subscription is suspected while it is busy, by tasks of its own, and not any more after that."""
    file, found = tmp_path / "quarantine.json", list[int]()
    quarantine = Quarantine(file)

    async def work() -> None:
        with quarantine.busy():
            found.append(Quarantine(file).deaths("team/large"))

    await asyncio.create_task(race(work()), name=task_name_of("team/large"))
    assert [*found, Quarantine(file).deaths("team/large")] == [1, 0]


def test_acquitted(tmp_path: Path) -> None:
    """Who was served for long enough is not suspected any more."""
    file = tmp_path / "quarantine.json"
    died(file, "team/large")
    Quarantine(file).acquit("team/large")
    assert Quarantine(file).deaths("team/large") == 0


def test_blocked(tmp_path: Path) -> None:
    """Whose task blocks the event loop is suspected; work for nobody in particular accuses nobody."""
    file = tmp_path / "quarantine.json"
    quarantine = Quarantine(file)
    quarantine.accuse("")
    quarantine.accuse("team/large")
    assert (Quarantine(file).deaths("team/large"), Quarantine(file).deaths("")) == (1, 0)


async def test_work_of_the_process_itself(tmp_path: Path) -> None:
    """A task that works for no subscription is not recorded."""
    file = tmp_path / "quarantine.json"
    with Quarantine(file).busy():
        assert not file.exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"busy": 1, "deaths": {}}', '{"busy": [], "deaths": {"a": "x"}}', "\0"]
)
def test_file_of_somebody_else(tmp_path: Path, text: str) -> None:
    """A file that is not ours accuses nobody."""
    file = tmp_path / "quarantine.json"
    file.write_text(text)
    assert Quarantine(file).deaths("a") == 0


def test_no_file_can_be_written(tmp_path: Path) -> None:
    """Without a directory to write to, nothing is recorded and nothing fails."""
    Quarantine(tmp_path / "missing" / "quarantine.json").accuse("team/large")


def test_link(tmp_path: Path) -> None:
    """What a link points to is not written to."""
    target, link = tmp_path / "target", tmp_path / "quarantine.json"
    target.write_text("precious")
    link.symlink_to(target)
    Quarantine(link).accuse("team/large")
    assert target.read_text() == "precious"


@pytest.mark.parametrize(
    ("deaths", "seconds"), [(1, 30.0), (2, 60.0), (7, 1920.0), (8, 3600.0), (10_000, 3600.0)]
)
def test_pause(deaths: int, seconds: float) -> None:
    """Each death doubles the pause, up to an hour."""
    assert pause_after(deaths) == seconds


async def test_names_of_tasks() -> None:
    """A task is named as a part of the task that it works for, however deep."""
    found: list[str] = []

    async def inner() -> None:
        task = asyncio.current_task()
        assert task is not None
        found.append(task.get_name())

    async def outer() -> None:
        await child_task(race(inner()))

    await asyncio.create_task(outer(), name=task_name_of("team/app"))
    assert found == ["part of subscription team/app"]
