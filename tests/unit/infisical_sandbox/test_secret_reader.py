"""What a list contains for whom."""

from __future__ import annotations

import pytest

from infisical_sandbox.server.domain import changes, permissions
from infisical_sandbox.server.domain.api_errors import ApiError
from infisical_sandbox.server.domain.changes import Context
from infisical_sandbox.server.domain.generations import E4
from infisical_sandbox.server.domain.permissions import Ability
from infisical_sandbox.server.domain.records import Rule
from infisical_sandbox.server.domain.secret_reader import Reader, ReadSwitches
from support.sandbox_client import NOW, World, a_world

EVERYTHING = Ability(permissions.role("admin", E4))
DESCRIBE_ONLY = Ability((Rule(permissions.SECRETS, ("describeSecret",)),))


@pytest.fixture
def world() -> World:
    """A folder with something below it and an import."""
    world = a_world()
    world.fill(world.place("/app"), A="1")
    world.fill(world.place("/app/deep"), B="2")
    world.fill(world.place("/shared"), S="3")
    _import(world, "/app", "/shared")
    return world


def _import(world: World, importer: str, source: str) -> None:
    origin = world.place(source)
    changes.add_import(
        world.store, world.place(importer), (origin.environment, source), Context(NOW), replication=False
    )


def names(reader: Reader, world: World, path: str = "/app") -> tuple[list[str], list[list[str]]]:
    """The keys of a list: own, and by import."""
    own, brought = reader.listing(world.place(path))
    return (
        [shown.secret.key for shown in own],
        [[shown.secret.key for shown in entry.secrets] for entry in brought],
    )


def test_a_plain_list_is_one_folder(world: World) -> None:
    """Neither what is below nor what is imported, unless asked for."""
    assert names(Reader(world.store, EVERYTHING, ReadSwitches()), world) == (["A"], [])
    assert names(Reader(world.store, EVERYTHING, ReadSwitches(recursive=True, imports=True)), world) == (
        ["A", "B"],
        [["S"]],
    )


def test_describing_is_enough_without_values(world: World) -> None:
    """Hidden values need no right to read them."""
    switches = ReadSwitches(values=False, recursive=True, imports=True)

    own, brought = Reader(world.store, DESCRIBE_ONLY, switches).listing(world.place("/app"))

    assert [shown.value for shown in own] == [None, None]
    assert [shown.value for shown in brought[0].secrets] == [None]


def test_an_unreadable_secret_of_the_folder_refuses_the_call(world: World) -> None:
    """With values, one describable but unreadable secret here is a 403 for everything."""
    with pytest.raises(ApiError) as api_error:
        Reader(world.store, DESCRIBE_ONLY, ReadSwitches()).listing(world.place("/app"))

    assert api_error.value.message == "You are not allowed to readValue on secrets"


def test_unreadable_secrets_elsewhere_are_left_out(world: World) -> None:
    """Below and in imports they are silently missing."""
    here = {"secretPath": "/app"}
    ability = Ability(
        (
            Rule(permissions.SECRETS, ("describeSecret",)),
            Rule(permissions.SECRETS, ("readValue",), here),
        )
    )

    assert names(Reader(world.store, ability, ReadSwitches(recursive=True, imports=True)), world) == (
        ["A"],
        [[]],
    )


def test_indescribable_secrets_are_left_out_silently(world: World) -> None:
    """Describing is tested secret by secret, and the whole call only if it is allowed nowhere."""
    some = Ability((Rule(permissions.SECRETS, ("read",), {"secretName": {"$glob": "B*"}}),))

    assert names(Reader(world.store, some, ReadSwitches()), world) == ([], [])
    with pytest.raises(ApiError):
        Reader(world.store, Ability(()), ReadSwitches()).listing(world.place("/app"))


def test_the_legacy_read_action_reads_values(world: World) -> None:
    """`read` is both describing and reading."""
    ability = Ability((Rule(permissions.SECRETS, ("read",)),))

    own, _ = Reader(world.store, ability, ReadSwitches()).listing(world.place("/app"))

    assert [shown.value for shown in own] == ["1"]


def test_references_are_expanded_on_demand(world: World) -> None:
    """Across folders and through other references, and a circle ends."""
    place = world.place("/web")
    world.fill(place, URL="${prod.app.A}/${LOCAL}", LOCAL="x${prod.shared.S}", LOOP="${LOOP}")

    own, _ = Reader(world.store, EVERYTHING, ReadSwitches(expand=True)).listing(place)

    assert {shown.secret.key: shown.value for shown in own} == {"URL": "1/x3", "LOCAL": "x3", "LOOP": ""}


def test_an_unreadable_reference_refuses_the_call(world: World) -> None:
    """The 403 lists which references could not be expanded."""
    place = world.place("/web")
    world.fill(place, URL="${prod.app.A}")
    ability = Ability((Rule(permissions.SECRETS, ("read",), {"secretPath": "/web"}),))

    with pytest.raises(ApiError) as api_error:
        Reader(world.store, ability, ReadSwitches(expand=True)).listing(place)

    assert api_error.value.message == "Failed to expand one or more secret references"
    assert len(api_error.value.details or ()) == 1


def test_an_imported_folder_brings_its_own_imports(world: World) -> None:
    """Imports go on through imports, and end in a circle."""
    world.fill(world.place("/base"), S="0", T="9")
    _import(world, "/shared", "/base")
    _import(world, "/base", "/app")

    _, brought = Reader(world.store, EVERYTHING, ReadSwitches(imports=True)).listing(world.place("/app"))

    assert [{shown.secret.key: shown.value for shown in entry.secrets} for entry in brought] == [
        {"S": "3", "T": "9"}
    ]


def test_one_secret_is_found_through_imports(world: World) -> None:
    """Asked by name, later imports come first, and only if imports are wanted."""
    world.fill(world.place("/later"), S="4")
    _import(world, "/app", "/later")

    shown = Reader(world.store, EVERYTHING, ReadSwitches(imports=True)).one(world.place("/app"), "S")

    assert shown.value == "4"
    with pytest.raises(ApiError, match="404"):
        Reader(world.store, EVERYTHING, ReadSwitches()).one(world.place("/app"), "S")
