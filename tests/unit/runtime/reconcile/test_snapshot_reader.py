"""What is looked at: everything, or where events point; and by which means."""

import asyncio
from dataclasses import replace

import pytest

from infisical_events.api.specs import Grade, Spec
from infisical_events.core.ledger.acceptance import AcceptedState
from infisical_events.core.ledger.ledger import Ledger, UnmatchedImportEvent
from infisical_events.core.snapshots.snapshots import Partition
from infisical_events.core.status.reasons import Reason
from infisical_events.core.subscriptions import SubscriptionKey
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.runtime.reconcile.snapshot_reader import SnapshotReader
from support.builders import (
    HEADER,
    IMPORT,
    a_folder,
    a_ledger,
    a_partition,
    a_partition_state,
    a_scope,
    a_spec,
    an_entry,
    an_event,
    received,
)
from support.fake_cluster import FakeCluster, a_context
from support.fake_infisical import FakeInfisical
from support.virtual_time import EPOCH, in_virtual_time

ADDRESS = HEADER.address
DENIED = InfisicalError(Reason.PERMISSION_DENIED, "You are not allowed to describe secrets.")
WIDE = a_scope("/a/**")
BELIEF = {a_partition(path): AcceptedState(a_partition_state(KEY=1), EPOCH) for path in ("/a", "/a/b")}


def a_project(refusal: InfisicalError | None = None, key_id: str = "") -> FakeInfisical:
    """Two folders, each with one key, which may not be readable."""
    state = {partition: a_partition_state(KEY=1) for partition in BELIEF}
    infisical = FakeInfisical(state, project_id=HEADER.project_id, key_id=key_id)
    if refusal:
        infisical.fail("read_snapshot", refusal)
    return infisical


def snapshot_reader(project: FakeInfisical, **fields: object) -> SnapshotReader:
    """For everything below `/a`."""
    spec: Spec = a_spec(an_entry(path="/a/**"), **fields)
    context = a_context(FakeCluster(), SubscriptionKey("team", "app", "uid"))
    return SnapshotReader(context=context, spec=spec, address=ADDRESS, infisical=project)


def a_wide_ledger(grade: Grade = Grade.VERSIONS) -> Ledger:
    """What was seen of it before."""
    accepted = {} if grade is Grade.EVENTS else BELIEF
    return a_ledger(accepted, scopes=[WIDE], header=replace(HEADER, grade=grade))


# -- by which means -----------------------------------------------------------------------------------


@in_virtual_time
async def test_without_a_word_in_the_spec_versions_are_compared() -> None:
    """Who may describe secrets gets the grade that needs no more than that."""
    read_result = await snapshot_reader(a_project()).read_all(None, ())
    assert (read_result.header, len(read_result.snapshots)) == (HEADER, 1)


@pytest.mark.parametrize("ledger", [None, a_wide_ledger(Grade.EVENTS)])
@in_virtual_time
async def test_who_may_not_look_goes_by_events_alone(ledger: Ledger | None) -> None:
    """A refusal from the beginning, or again, is no trouble but a grade."""
    read_result = await snapshot_reader(a_project(DENIED)).read_all(ledger, ())
    assert (read_result.header.grade, read_result.snapshots, read_result.scopes) == (
        Grade.EVENTS,
        (),
        (WIDE,),
    )


@in_virtual_time
async def test_who_may_look_at_last_does() -> None:
    """A right that is granted later is used with the next look."""
    read_result = await snapshot_reader(a_project()).read_all(a_wide_ledger(Grade.EVENTS), ())
    assert (read_result.header.grade, len(read_result.snapshots)) == (Grade.VERSIONS, 1)


@in_virtual_time
async def test_a_right_that_is_lost_is_a_trouble() -> None:
    """What was seen before and is refused now is told, and not quietly done without."""
    with pytest.raises(InfisicalError):
        await snapshot_reader(a_project(DENIED)).read_all(a_wide_ledger(), ())


@pytest.mark.parametrize("grade", ["Versions", "Values"])
@in_virtual_time
async def test_what_the_spec_asks_for_is_not_done_without(grade: str) -> None:
    """Whoever names a grade is told that it cannot be had."""
    with pytest.raises(InfisicalError):
        await snapshot_reader(a_project(DENIED), observe=grade).read_all(None, ())


@in_virtual_time
async def test_events_alone_are_gone_by_without_a_look() -> None:
    """With `observe: Events` nothing is ever listed."""
    project = a_project()
    read_result = await snapshot_reader(project, observe="Events").read_all(None, ())
    assert (read_result.is_events_only, project.reads) == (True, [])


@in_virtual_time
async def test_the_key_of_the_digests_is_told() -> None:
    """The ledger has to know under which key it was observed."""
    read_result = await snapshot_reader(a_project(key_id="k7"), observe="Values").read_all(None, ())
    assert (read_result.header.grade, read_result.header.key_id) == (Grade.VALUES, "k7")


@in_virtual_time
async def test_before_looking_ends_it_is_looked_once_more() -> None:
    """An edit to `Events` does not lose what changed just before it."""
    read_result = await snapshot_reader(a_project(), observe="Events").read_all(a_wide_ledger(), ())
    assert (read_result.is_events_only, len(read_result.snapshots)) == (True, 1)


# -- where --------------------------------------------------------------------------------------------


@in_virtual_time
async def test_only_where_events_point() -> None:
    """The folder that an event named is looked at, and nothing is told of the others."""
    project = a_project()
    read_result = await snapshot_reader(project).read_folders(
        a_wide_ledger(), (received(an_event("secret:update", "/a/b", "KEY")),)
    )
    assert project.reads == [(a_scope("/a/b"),)]
    assert read_result is not None
    assert read_result.snapshots[0].scopes == (WIDE,)
    assert read_result.snapshots[0].unverified == {a_partition("/a")}


MUTATION = received(an_event(IMPORT, "/a/b"))
UPDATE = received(an_event("secret:update", "/a/b", "KEY"))
MANY = tuple(received(an_event("secret:update", f"/a/{number}", "KEY")) for number in range(6))
OPEN_CLAIM = replace(a_wide_ledger(), unmatched_events=(UnmatchedImportEvent(a_folder("/a"), EPOCH),))
OTHER_SCOPE = replace(a_wide_ledger(), scopes=(a_scope("/b"),))


@pytest.mark.parametrize(
    ("ledger", "told"),
    [
        (None, (UPDATE,)),
        (a_wide_ledger(), ()),
        (a_wide_ledger(), (UPDATE, MUTATION)),
        (a_wide_ledger(), MANY),
        (OPEN_CLAIM, (UPDATE,)),
        (OTHER_SCOPE, (UPDATE,)),
        (a_wide_ledger(Grade.EVENTS), (UPDATE,)),
        (a_wide_ledger(Grade.VALUES), (UPDATE,)),
    ],
    ids=["no ledger", "nothing named", "an import", "many folders", "a claim", "an edit", "blind", "grade"],
)
@in_virtual_time
async def test_when_everything_has_to_be_looked_at(ledger: Ledger | None, told: tuple) -> None:  # type: ignore[type-arg] # of Heard
    """Where single folders would not tell enough they are not looked at."""
    project = a_project()
    assert await snapshot_reader(project).read_folders(ledger, told) is None
    assert project.reads == []


@in_virtual_time
async def test_another_key_of_the_digests_asks_for_everything() -> None:
    """Digests under a new key are compared nowhere, so all are taken anew."""
    ledger = replace(a_wide_ledger(), header=replace(HEADER, grade=Grade.VALUES, key_id="old"))
    assert (
        await snapshot_reader(a_project(key_id="new"), observe="Values").read_folders(ledger, (UPDATE,))
        is None
    )


@in_virtual_time
async def test_a_hidden_folder_is_not_taken_for_gone() -> None:
    """What a list leaves out without a word is asked for by its name, wherever it was looked."""
    project = a_project()
    project.hidden.add(a_folder("/a/b"))
    aged = a_ledger(BELIEF, scopes=[WIDE])
    await asyncio.sleep(90.0)  # what is believed for so long is given up for what is seen

    whole = await snapshot_reader(project).read_all(aged, ())
    partition = await snapshot_reader(project).read_folders(aged, (UPDATE,))

    hidden: Partition = a_partition("/a/b")
    assert hidden in whole.snapshots[0].unverified
    assert partition is not None
    assert hidden in partition.snapshots[0].unverified
