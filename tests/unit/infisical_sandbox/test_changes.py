"""Which change causes which event, row by row."""

from __future__ import annotations

import pytest

from infisical_sandbox.server.domain import changes, folders, projects, secret_imports, secrets
from infisical_sandbox.server.domain.api_errors import ApiError
from infisical_sandbox.server.domain.changes import Change, Context, MissingMode, Move
from infisical_sandbox.server.domain.generations import EventType
from infisical_sandbox.server.domain.records import Approval, Draft
from support.sandbox_client import NOW, World, a_world, drafts

ME = "identity"


@pytest.fixture
def world() -> World:
    """An empty project."""
    return a_world()


def as_request(path: str = "/app") -> Context:
    """A request that spells the folder so."""
    return Context(NOW, ME, path)


def heard(change: Change) -> list[tuple[str, str, tuple[str, ...]]]:
    """Type, path and keys of the change's events."""
    return [(event.type.value, event.path, event.keys) for event in change.events]


def test_creating_many_is_one_event(world: World) -> None:
    """A batch of new secrets is one `secret:create` with every key."""
    change = changes.create(world.store, world.place("/app"), drafts("A", "B"), as_request())

    assert heard(change) == [("secret:create", "/app", ("A", "B"))]


def test_an_update_of_a_comment_is_an_event(world: World) -> None:
    """Touching only the comment still is a `secret:update`."""
    place = world.place("/app")
    world.fill(place, A="1")

    change = changes.update(world.store, place, Draft("A", comment="why"), as_request())

    assert heard(change) == [("secret:update", "/app", ("A",))]


def test_a_single_rename_names_the_old_key(world: World) -> None:
    """Who hears of a rename by a single update hears the key that is gone."""
    place = world.place("/app")
    world.fill(place, A="1")

    change = changes.update(world.store, place, Draft("A", new_key="B"), as_request())

    assert heard(change) == [("secret:update", "/app", ("A",))]
    assert world.value(place, "B") == "1"


def test_a_batch_rename_names_the_new_key(world: World) -> None:
    """Who hears of a rename by a batch hears the key that is there now."""
    place = world.place("/app")
    world.fill(place, A="1")
    draft = Draft("A", new_key="B")

    change = changes.update_batch(world.store, place, [draft], MissingMode.FAIL, as_request())

    assert heard(change) == [("secret:update", "/app", ("B",))]


def test_a_batch_over_folders_is_one_event_per_folder_with_all_keys(world: World) -> None:
    """Each folder's event lists the keys of the other folders too."""
    here, there = world.place("/app"), world.place("/db")
    world.fill(here, A="1")
    world.fill(there, B="1")
    switches = [Draft("A", "2"), Draft("B", "2", path="/db")]

    change = changes.update_batch(world.store, here, switches, MissingMode.FAIL, as_request())

    assert heard(change) == [
        ("secret:update", "/app", ("A", "B")),
        ("secret:update", "/db", ("A", "B")),
    ]


def test_an_upsert_creates_without_a_create_event(world: World) -> None:
    """What an upsert creates is heard of as an update only."""
    place = world.place("/app")
    world.fill(place, A="1")

    change = changes.update_batch(world.store, place, drafts("A", "NEW"), MissingMode.UPSERT, as_request())

    assert heard(change) == [("secret:update", "/app", ("A", "NEW"))]
    assert secrets.get(world.store, place.folder.id, "NEW").version == 1


def test_a_batch_update_of_a_missing_key_changes_nothing(world: World) -> None:
    """Without upsert, one unknown key refuses the whole batch."""
    place = world.place("/app")
    world.fill(place, A="1")

    with pytest.raises(ApiError) as api_error:
        changes.update_batch(world.store, place, drafts("A", "B"), MissingMode.FAIL, as_request())

    assert (api_error.value.status, api_error.value.error) == (404, "UpdateSecret")
    assert world.value(place, "A") == "1"


def test_a_batch_update_may_ignore_missing_keys(world: World) -> None:
    """In ignore mode the event lists what was really updated."""
    place = world.place("/app")
    world.fill(place, A="1")

    change = changes.update_batch(world.store, place, drafts("A", "B"), MissingMode.IGNORE, as_request())

    assert heard(change) == [("secret:update", "/app", ("A",))]


def test_deleting_many_is_one_event(world: World) -> None:
    """A batch of deletions is one `secret:delete` with every key."""
    place = world.place("/app")
    world.fill(place, A="1", B="2")

    change = changes.delete(world.store, place, ["A", "B"], as_request())

    assert heard(change) == [("secret:delete", "/app", ("A", "B"))]


@pytest.mark.parametrize("path", ["app", "//app", "/app/"])
def test_single_events_carry_the_path_as_it_was_asked_for(world: World, path: str) -> None:
    """Only a trailing slash is cut: a sloppy path in the request is a sloppy path in the event."""
    change = changes.create(world.store, world.place("/app"), drafts("A"), as_request(path))

    assert path.removesuffix("/") == change.events[0].path


def test_batch_updates_carry_the_canonical_path(world: World) -> None:
    """A batch update tells where the folder really is."""
    place = world.place("/app")
    world.fill(place, A="1")

    change = changes.update_batch(world.store, place, drafts("A"), MissingMode.FAIL, as_request("app"))

    assert change.events[0].path == "/app"


def test_personal_overrides_are_silent(world: World) -> None:
    """Nobody hears of a personal override, its change or its end."""
    place = world.place("/app")
    world.fill(place, A="1")

    made = changes.write_personal(world.store, place, Draft("A", "mine"), as_request())
    changed = changes.write_personal(world.store, place, Draft("A", "mine 2"), as_request())
    gone = changes.delete_personal(world.store, place, "A", as_request())

    assert [heard(change) for change in (made, changed, gone)] == [[], [], []]
    assert (made.syncs, changed.syncs, gone.syncs) == ((), (), ())
    assert world.value(place, "A") == "1"


def test_a_merged_request_is_create_then_update_then_delete(world: World) -> None:
    """A reviewed change causes up to three events in a fixed order."""
    place = world.place("/app")
    world.fill(place, B="1", C="1")
    switches = Approval(
        "id", world.project_id, "prod", "/app", tuple(drafts("A")), tuple(drafts("B")), (Draft("C"),)
    )

    change = changes.merge(world.store, place, switches, as_request("app"))

    assert heard(change) == [
        ("secret:create", "/app", ("A",)),
        ("secret:update", "/app", ("B",)),
        ("secret:delete", "/app", ("C",)),
    ]


def test_a_move_names_only_its_source(world: World) -> None:
    """Two import mutations, both of the source, and no word of the destination."""
    source, goal = world.place("/old"), world.place("/new")
    world.fill(source, A="1")
    rows = secrets.shared(world.store, source.folder.id)

    change = changes.move(world.store, Move(source, goal, rows), as_request())

    assert heard(change) == [("secret:import-mutation", "/old", ())] * 2
    assert (source.key, goal.key) == change.syncs
    assert world.value(goal, "A") == "1"


def test_a_move_does_not_overwrite_unasked(world: World) -> None:
    """A key that the destination has refuses the move, and nothing has moved."""
    source, goal = world.place("/old"), world.place("/new")
    world.fill(source, A="1")
    world.fill(goal, A="2")
    rows = secrets.shared(world.store, source.folder.id)

    with pytest.raises(ApiError):
        changes.move(world.store, Move(source, goal, rows), as_request())
    changes.move(world.store, Move(source, goal, rows, overwrite=True), as_request())

    assert world.value(goal, "A") == "1"


def test_a_new_import_is_heard_at_the_importing_folder(world: World) -> None:
    """Gaining and losing an import entry is an import mutation there."""
    place, source = world.place("/app"), world.place("/shared")

    row, added = changes.add_import(
        world.store, place, (source.environment, "/shared"), as_request(), replication=False
    )
    removed = changes.remove_import(world.store, place, row)

    assert [("secret:import-mutation", "/app", ())] == heard(added) == heard(removed)


def test_a_replication_import_is_silent(world: World) -> None:
    """Replications cause no event at the destination."""
    place, source = world.place("/app"), world.place("/shared")

    row, added = changes.add_import(
        world.store, place, (source.environment, "/shared"), as_request(), replication=True
    )

    assert [] == heard(added) == heard(changes.remove_import(world.store, place, row))


def test_re_ordering_imports_is_no_change_to_speak_of(world: World) -> None:
    """The order changes and there is nothing that could be published."""
    place = world.place("/app")
    first, second = (_imported(world, path) for path in ("/one", "/two"))

    secret_imports.change(world.store, secret_imports.get(world.store, second), NOW, position=1)

    rows = secret_imports.of(world.store, place.folder.id)
    assert [(second, 1), (first, 2)] == [(row.id, row.position) for row in rows]


def test_a_rotation_is_silent_at_its_folder_and_heard_by_importers(world: World) -> None:
    """New values, no event, but the folder's importers are told."""
    place = world.place("/app")
    world.fill(place, A="1")

    change = changes.rotate(world.store, place, [Draft("A", "2")], as_request())

    assert heard(change) == []
    assert (place.key,) == change.syncs
    assert world.value(place, "A") == "2"


def test_rewritten_references_are_silent_at_their_folder(world: World) -> None:
    """A rename rewrites who refers to it: a new version without an event, its importers are told."""
    place, other = world.place("/app"), world.place("/web")
    world.fill(place, A="1")
    world.fill(other, URL="http://${prod.app.A}@host")

    change = changes.update(world.store, place, Draft("A", new_key="B"), as_request())

    assert heard(change) == [("secret:update", "/app", ("A",))]
    assert (place.key, other.key) == change.syncs
    assert world.value(other, "URL") == "http://${prod.app.B}@host"
    assert secrets.get(world.store, other.folder.id, "URL").version == 2


def test_every_write_of_shared_secrets_is_told_to_importers(world: World) -> None:
    """Create, update and delete all start the jobs for the folder."""
    place = world.place("/app")

    made = changes.create(world.store, place, drafts("A"), as_request())
    changed = changes.update(world.store, place, Draft("A", "2"), as_request())
    gone = changes.delete(world.store, place, ["A"], as_request())

    assert [(place.key,)] * 3 == [change.syncs for change in (made, changed, gone)]


def test_an_edit_keeps_the_id_and_raises_the_version(world: World) -> None:
    """Id for life, version by one, every old version readable."""
    place = world.place("/app")
    world.fill(place, A="1")
    before = secrets.get(world.store, place.folder.id, "A")

    changes.update(world.store, place, Draft("A", "2", new_key="B"), as_request())
    after = secrets.get(world.store, place.folder.id, "B")

    assert (before.id, 2) == (after.id, after.version)
    assert secrets.at_version(world.store, after, 1).value == "1"


def test_a_recreated_secret_is_another_one(world: World) -> None:
    """Delete and create: a new id at version 1."""
    place = world.place("/app")
    world.fill(place, A="1")
    before = secrets.get(world.store, place.folder.id, "A")
    changes.delete(world.store, place, ["A"], as_request())
    changes.create(world.store, place, drafts("A"), as_request())
    after = secrets.get(world.store, place.folder.id, "A")

    assert before.id != after.id
    assert after.version == 1


@pytest.mark.parametrize(
    ("given", "stored"), [("  a b \n", "a b\n"), ("a\n\n\n", "a\n"), (" a ", "a"), ("\n", "\n")]
)
def test_values_are_trimmed_but_for_one_newline(given: str, stored: str) -> None:
    """Blanks around a value go, one trailing newline stays."""
    assert stored == secrets.trimmed(given)


@pytest.mark.parametrize("keys", [["A"], ["B", "B"]])
def test_a_clash_refuses_the_whole_batch(world: World, keys: list[str]) -> None:
    """A key that exists or comes twice is refused, and nothing is created."""
    place = world.place("/app")
    world.fill(place, A="1")

    with pytest.raises(ApiError):
        changes.create(world.store, place, drafts("X", *keys), as_request())

    assert [row.key for row in secrets.shared(world.store, place.folder.id)] == ["A"]


def test_a_folder_takes_everything_below_with_it(world: World) -> None:
    """A forced deletion leaves nothing of the sub-tree; an unforced one refuses."""
    deep = world.place("/app/deep")
    world.fill(deep, A="1")

    with pytest.raises(ApiError):
        folders.delete(world.store, world.place("/app"), force=False)
    folders.delete(world.store, world.place("/app"), force=True)

    assert folders.find(world.store, world.project_id, "prod", "/app") is None
    assert world.store.secrets.of(deep.folder.id) == ()


def test_event_types_are_the_four_of_the_contract() -> None:
    """Nothing else can be registered for."""
    assert {"secret:create", "secret:update", "secret:delete", "secret:import-mutation"} == set(EventType)


def _imported(world: World, path: str) -> str:
    place, source = world.place("/app"), world.place(path)
    environment = projects.find_environment(world.store, world.project_id, "prod")
    assert environment is not None
    row = secret_imports.add(world.store, place, (environment, source.path), NOW, replication=False)
    return row.id
