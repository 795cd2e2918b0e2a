"""Who hears of a change elsewhere, and when."""

from __future__ import annotations

import asyncio

import pytest

from infisical_sandbox.server.domain import changes, events, fan_out, secret_imports
from infisical_sandbox.server.domain.changes import Context
from infisical_sandbox.server.domain.events import Event
from infisical_sandbox.server.domain.generations import E3, E4, EventType
from infisical_sandbox.server.domain.subscriptions import Entry, wants
from infisical_sandbox.server.fan_out_queue import FanOutQueue
from support.sandbox_client import NOW, World, a_world, until


@pytest.fixture
def world() -> World:
    """An empty project."""
    return a_world()


def let_import(world: World, importer: str, source: str, *, replication: bool = False) -> None:
    """Let one folder import another."""
    place, origin = world.place(importer), world.place(source)
    changes.add_import(
        world.store, place, (origin.environment, source), Context(NOW), replication=replication
    )


def test_importers_and_referrers_hear_of_it(world: World) -> None:
    """A folder that imports the changed one or refers to its secrets is told, and no other."""
    let_import(world, "/importer", "/shared")
    world.fill(world.place("/referrer"), URL="${prod.shared.A}")
    world.fill(world.place("/stranger"), URL="${prod.other.A} ${A}")

    told = fan_out.listeners(world.store, world.place("/shared").key)

    assert [path for _, _, path in told] == ["/importer", "/referrer"]


def test_replications_do_not_listen(world: World) -> None:
    """A replication import is no reason for an import mutation."""
    let_import(world, "/importer", "/shared", replication=True)

    assert fan_out.listeners(world.store, world.place("/shared").key) == ()


def test_only_exactly_the_imported_folder_counts(world: World) -> None:
    """A change below the imported folder, or in its namesake of another environment, is none of it."""
    let_import(world, "/importer", "/shared")

    assert fan_out.listeners(world.store, world.place("/shared/deep").key) == ()
    assert fan_out.listeners(world.store, world.place("/shared", "dev").key) == ()


async def test_a_cycle_of_imports_ends(world: World) -> None:
    """Two folders importing each other tell each other once."""
    let_import(world, "/a", "/b")
    let_import(world, "/b", "/a")
    heard: list[Event] = []
    fan_out = FanOutQueue(world.store, 0.0, heard.append, lambda _: None)

    fan_out.queue(world.place("/b").key)
    await until(lambda: fan_out.waiting == 0, "the jobs end")

    assert [event.path for event in heard] == ["/a", "/b"]


async def test_a_chain_is_told_level_by_level(world: World) -> None:
    """The importer of an importer hears after it."""
    let_import(world, "/mid", "/low")
    let_import(world, "/top", "/mid")
    heard: list[Event] = []
    fan_out = FanOutQueue(world.store, 0.0, heard.append, lambda _: None)

    fan_out.queue(world.place("/low").key)
    await until(lambda: fan_out.waiting == 0, "the jobs end")

    assert [(event.path, event.type) for event in heard] == [
        ("/mid", EventType.IMPORT_MUTATION),
        ("/top", EventType.IMPORT_MUTATION),
    ]


async def test_a_diamond_may_be_told_twice(world: World) -> None:
    """Both ways to the top end in an event there."""
    for importer, source in (("/l", "/low"), ("/r", "/low"), ("/top", "/l"), ("/top", "/r")):
        let_import(world, importer, source)
    heard: list[Event] = []
    fan_out = FanOutQueue(world.store, 0.0, heard.append, lambda _: None)

    fan_out.queue(world.place("/low").key)
    await until(lambda: fan_out.waiting == 0, "the jobs end")

    assert [event.path for event in heard].count("/top") == 2


async def test_a_burst_is_merged(world: World) -> None:
    """Changes of one folder within a window are one job, hence one event at the importer."""
    let_import(world, "/importer", "/shared")
    heard: list[Event] = []
    fan_out = FanOutQueue(world.store, 1_000_000.0, heard.append, lambda _: None)

    for _ in range(5):
        fan_out.queue(world.place("/shared").key)

    assert fan_out.waiting == 1
    fan_out.stop()
    await asyncio.sleep(0)
    assert heard == []


async def test_a_folder_that_vanished_tells_nobody(world: World) -> None:
    """A job whose folder is gone does nothing."""
    heard: list[Event] = []
    fan_out = FanOutQueue(world.store, 0.0, heard.append, lambda _: None)

    fan_out.queue((world.project_id, "prod", "/never-there"))
    await until(lambda: fan_out.waiting == 0, "the jobs end")

    assert heard == []


@pytest.mark.parametrize(
    ("generation", "project_field", "key_field"),
    [(E4, "projectType", "secretKey"), (E3, "type", "secretKeys")],
    ids=["e4", "e3"],
)
def test_the_payload_has_the_shape_of_its_generation(
    generation: object, project_field: str, key_field: str
) -> None:
    """A list of items for changes of secrets, one object for an import mutation."""
    changed = Event(EventType.UPDATE, "p", "prod", "/a", ("A", "B"))
    where = {"environment": "prod", "secretPath": "/a"}

    assert {
        project_field: "secret-manager",
        "data": {
            "eventType": "secret:update",
            "payload": [{**where, key_field: "A"}, {**where, key_field: "B"}],
        },
    } == events.payload(changed, generation)  # type: ignore[arg-type]  # parametrized
    mutated = events.payload(events.import_mutation("p", "prod", "/a"), generation)  # type: ignore[arg-type]  # parametrized
    assert {"eventType": "secret:import-mutation", "payload": where} == mutated["data"]


@pytest.mark.parametrize(
    ("registered", "path", "old", "new"),
    [
        ("/a", "/a", True, True),
        ("/a", "/ab", True, False),
        ("/", "/a/b", True, False),
        ("/a/**", "/a/b", False, True),
        ("", "/a/b", True, True),
    ],
)
def test_paths_match_by_prefix_or_by_glob(registered: str, path: str, *, old: bool, new: bool) -> None:
    """The older generation compares beginnings, the newer one globs; an empty text means anywhere."""
    entry = (Entry(EventType.CREATE, "prod", registered),)
    event = Event(EventType.CREATE, "p", "prod", path, ("A",))

    assert (old, new) == (wants(entry, event, E3), wants(entry, event, E4))


def test_without_conditions_everything_is_wanted() -> None:
    """No conditions: all environments and paths, but still only that type of event."""
    entry = (Entry(EventType.CREATE),)

    assert wants(entry, Event(EventType.CREATE, "p", "dev", "/x", ("A",)), E4)
    assert not wants(entry, Event(EventType.DELETE, "p", "dev", "/x", ("A",)), E4)


def test_an_import_of_itself_is_refused(world: World) -> None:
    """A folder cannot import itself, nor the same source twice."""
    let_import(world, "/importer", "/shared")

    for importer, source in (("/shared", "/shared"), ("/importer", "/shared")):
        with pytest.raises(Exception, match="400"):
            let_import(world, importer, source)
    assert len(secret_imports.of(world.store, world.place("/importer").folder.id)) == 1
