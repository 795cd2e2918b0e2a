"""What a workload is owed, what is done for it, and when it is settled."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.api.resources import WorkloadKind
from infisical_events.api.specs import Action
from infisical_events.core.interruptible import run_to_end
from infisical_events.core.ledger.ledger import Ledger, Unconfirmed, UnmatchedImportEvent
from infisical_events.core.restarts.planner import (
    Deferred,
    MatchedChanges,
    PlannedAction,
    Resolved,
    RestartNow,
    RestartPolicy,
    add_pending,
    add_requested,
    add_reverted,
    affected_workloads,
    begun_rollout,
    plan,
    remove_done,
    requeue_unconfirmed,
)
from infisical_events.core.restarts.restart_records import RestartCause, restart_patch
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.status.reasons import Reason
from infisical_events.core.workloads.workloads import Workload, WorkloadList, matching_changes
from support.builders import (
    CRON_JOB,
    DEPLOYMENT,
    IMPORT,
    JOB,
    ROLLOUT,
    UPDATE,
    a_change,
    a_folder,
    a_ledger,
    a_pending_restart,
    a_record,
    a_workload,
    at,
    patched,
)

CHANGED = MatchedChanges((a_change("A"),))
RULES = RestartPolicy()
CLAIMED = MatchedChanges((), (UnmatchedImportEvent(a_folder("/a"), at(10)),))


_KEYS = ("DB_URL", "DB_PASSWORD", "API_KEY", ANY_KEY)
_CHANGES = st.builds(
    lambda key, path, kind: a_change(key, kind, path=path),
    st.sampled_from(_KEYS),
    st.sampled_from(("/a", "/b")),
    st.sampled_from((UPDATE, IMPORT)),
)
_CLAIMS = st.builds(
    lambda seconds, path: UnmatchedImportEvent(a_folder(path), at(seconds)),
    st.integers(-20, 20),
    st.sampled_from(("/a", "/b")),
)
_WORDS = st.fixed_dictionaries(
    {},
    optional={
        "auto_reload": st.sampled_from(("true", "false")),
        "subscription": st.sampled_from(("app", "other")),
        "secret_keys": st.sampled_from(("DB_*", "!DB_*", "API_?EY, DB_URL", "no [key")),
        "secret_path": st.sampled_from(("/a", "/**", "no path")),
        "events": st.sampled_from((UPDATE, IMPORT, "no event")),
        "last_restart": st.integers(-20, 20).map(lambda seconds: a_record(at(seconds))),
    },
)
_WORKLOADS = st.lists(_WORDS, max_size=4).map(
    lambda given: tuple(a_workload(f"web-{number}", **words) for number, words in enumerate(given))
)


def owed(
    ledger: Ledger, *workloads: Workload, selected: MatchedChanges = CHANGED, seconds: float = 60
) -> Ledger:
    """The ledger after a change was found at second 60."""
    all_affected = run_to_end(affected_workloads("payments", selected, workloads))
    return add_pending(ledger, "payments", all_affected, at(seconds))


def restarted(
    workload: Workload,
    ledger: Ledger,
    seconds: float = 70,
    subscription: str = "payments",
    unconfirmed: Unconfirmed | None = None,
) -> Workload:
    """The workload after it was restarted for what the ledger owes it."""
    (pending,) = (pending for pending in ledger.pending if pending.uid == workload.uid)
    cause = RestartCause(pending, subscription, ledger.epoch, unconfirmed=unconfirmed)
    return patched(workload, restart_patch(workload, cause, at(seconds)))


def planned(ledger: Ledger, *workloads: Workload) -> PlannedAction:
    """The only step."""
    (step,) = steps_of(ledger, *workloads)
    return step


def steps_of(ledger: Ledger, *workloads: Workload, rules: RestartPolicy = RULES) -> tuple[PlannedAction, ...]:
    """All steps at second 600, without the workload where nothing is to be done to it."""
    steps = plan(ledger, "payments", WorkloadList(tuple(workloads)), rules, at(600))
    return tuple(step if isinstance(step, RestartNow) else replace(step, workload=None) for step in steps)


# -- owing ----------------------------------------------------------------------------------------


def test_whom_a_change_concerns_is_owed_a_restart() -> None:
    """One debt for each workload, under the next sequence number."""
    ledger = owed(
        a_ledger(seq=4), a_workload("web"), a_workload("job"), a_workload("off", auto_reload="false")
    )

    assert ledger == a_ledger(
        None,
        a_pending_restart("web", 5, a_change("A"), seconds=60),
        a_pending_restart("job", 5, a_change("A"), seconds=60),
    )


@pytest.mark.parametrize(
    "workloads",
    [
        (),
        (a_workload(auto_reload="false"),),
        (a_workload(secret_keys="B"),),
        (a_workload(subscription="mail"),),
    ],
    ids=["nobody", "not opted in", "not concerned", "another subscription"],
)
def test_what_concerns_nobody_owes_nothing(workloads: tuple[Workload, ...]) -> None:
    """The ledger stays the one it was, debts included."""
    ledger = a_ledger(None, a_pending_restart("held"))

    assert owed(ledger, *workloads) is ledger


def test_a_second_change_is_owed_with_the_first() -> None:
    """A debt that is still open takes up the new change, and counts as the newest."""
    ledger = owed(a_ledger(None, a_pending_restart("web", 3, a_change("B"), seconds=5)), a_workload())

    assert ledger.pending == (a_pending_restart("web", 4, a_change("A"), a_change("B"), seconds=60),)


def test_what_is_paid_is_owed_no_more() -> None:
    """Of a debt that was paid and not cleared yet nothing is taken up."""
    before = a_ledger(None, a_pending_restart("web", 3, a_change("B"), seconds=5))

    assert owed(before, restarted(a_workload(), before)).pending == (
        replace(a_pending_restart("web", 4, a_change("A"), seconds=60), not_covered_until=at(70)),
    )


def test_a_debt_is_owed_to_one_object() -> None:
    """A workload of the same name with another uid is another one."""
    ledger = owed(a_ledger(None, a_pending_restart("web", 3)), replace(a_workload(), uid="another"))

    assert [(pending.uid, pending.seq) for pending in ledger.pending] == [("uid-of-web", 3), ("another", 4)]


@pytest.mark.parametrize(("last", "covered_after"), [(59, 60), (61, 61), (900, 900)])
def test_only_a_later_restart_can_cover_a_debt(last: float, covered_after: float) -> None:
    """A restart that was listed with the workload came before the debt, whatever the clocks say."""
    workload = a_workload(last_restart=a_record(at(last)))
    ledger = owed(a_ledger(), workload)

    assert ledger.pending[0].since == at(60)
    assert ledger.pending[0].covered_after == at(covered_after)
    assert isinstance(planned(ledger, workload), RestartNow)


def test_a_held_workload_is_owed_little() -> None:
    """However much changes while it is held, the debt stays small and still concerns it."""
    workload, ledger = a_workload(paused="true", secret_keys="KEY_*"), a_ledger()
    for number in range(200):
        change = a_change(f"KEY_{number}", path=f"/folder-{number}")
        ledger = owed(ledger, workload, selected=MatchedChanges((change,)), seconds=number)

    assert a_change(ANY_KEY, path="/**") in ledger.pending[0].changes
    assert len(ledger.pending[0].changes) <= 50
    assert isinstance(planned(ledger, replace(workload, annotations=a_workload().annotations)), RestartNow)


def test_an_import_mutation_unseen_is_owed_once() -> None:
    """To whom it concerns, as anything in its folder."""
    change = a_change(ANY_KEY, IMPORT)

    assert owed(a_ledger(), a_workload(), selected=CLAIMED).pending == (
        a_pending_restart("web", 1, change, seconds=60),
    )


@pytest.mark.parametrize(("last", "is_owed"), [(9, True), (10, True), (11, False)])
def test_a_restart_since_it_was_heard_pays_an_import_mutation(last: float, is_owed: bool) -> None:  # noqa: FBT001
    """What was restarted after the event has the new content already."""
    workload = a_workload(last_restart=a_record(at(last)))

    assert bool(owed(a_ledger(), workload, selected=CLAIMED).pending) is is_owed
    assert owed(a_ledger(), workload).pending


def test_nothing_selected_is_nothing() -> None:
    """Changes and claims are something."""
    assert (bool(MatchedChanges(())), bool(CHANGED), bool(CLAIMED)) == (False, True, True)


# -- planning -------------------------------------------------------------------------------------


def test_what_is_owed_is_done() -> None:
    """A workload that nothing speaks for otherwise is restarted for its debt."""
    assert planned(a_ledger(None, a_pending_restart()), a_workload()) == RestartNow(
        a_workload(), a_pending_restart(), Action.RESTART
    )


@pytest.mark.parametrize(
    ("workloads", "step"),
    [
        ((), Resolved(a_pending_restart(), Reason.WORKLOAD_GONE)),
        ((replace(a_workload(), uid="another"),), Resolved(a_pending_restart(), Reason.WORKLOAD_GONE)),
        (
            (a_workload(last_restart=a_record(at(0), payments="epoch.1")),),
            Resolved(a_pending_restart(), Reason.ALREADY_RESTARTED),
        ),
        (
            (a_workload(paused="true", last_restart=a_record(at(0), payments="epoch.2")),),
            Resolved(a_pending_restart(), Reason.ALREADY_RESTARTED),
        ),
        ((a_workload(auto_reload="false"),), Resolved(a_pending_restart(), Reason.NO_LONGER_MATCHING)),
        ((a_workload(secret_keys="OTHER"),), Resolved(a_pending_restart(), Reason.NO_LONGER_MATCHING)),
        (
            (a_workload(last_restart=a_record(at(1), mail="other.9")),),
            Resolved(a_pending_restart(), Reason.COVERED_BY_OTHER_SUBSCRIPTION),
        ),
        ((a_workload(paused="true"),), Deferred(a_pending_restart(), Reason.PAUSED)),
    ],
    ids=["gone", "recreated", "paid", "paid and held", "opted out", "narrowed", "covered", "held"],
)
def test_what_needs_no_restart(workloads: tuple[Workload, ...], step: PlannedAction) -> None:
    """Each has its own reason."""
    assert planned(a_ledger(None, a_pending_restart()), *workloads) == step


@pytest.mark.parametrize("revisions", [{"payments": "epoch.0"}, {"payments": "other.1"}, {"mail": "epoch.1"}])
def test_another_receipt_pays_nothing(revisions: dict[str, str]) -> None:
    """Neither an older stamp, nor one of another baseline, nor a neighbour's from before the change."""
    workload = a_workload(last_restart=a_record(at(0), **revisions))

    assert planned(a_ledger(None, a_pending_restart()), workload) == RestartNow(
        workload, a_pending_restart(), Action.RESTART
    )


def test_a_restart_of_the_same_moment_covers_nothing() -> None:
    """Coverage means strictly later, not merely another restart."""
    workload = a_workload(last_restart=a_record(at(5)))

    assert isinstance(planned(a_ledger(None, a_pending_restart(seconds=5)), workload), RestartNow)


def test_every_debt_has_its_step() -> None:
    """In the order of the ledger, whatever the order of the list."""
    ledger = a_ledger(None, a_pending_restart("a"), a_pending_restart("b", 2), a_pending_restart("c"))

    steps = steps_of(ledger, a_workload("c", paused="true"), a_workload("a"))

    assert steps == (
        RestartNow(a_workload("a"), a_pending_restart("a"), Action.RESTART),
        Resolved(a_pending_restart("b", 2), Reason.WORKLOAD_GONE),
        Deferred(a_pending_restart("c"), Reason.PAUSED),
    )


@given(st.lists(st.sampled_from("ABC"), min_size=1, max_size=3), st.booleans())
def test_a_restart_settles_its_debt(keys: list[str], is_stripped: bool) -> None:  # noqa: FBT001 - drawn
    """After the patch the plan settles; the debt that a later change makes is not settled by it."""
    changes = MatchedChanges(tuple(map(a_change, keys)))
    words = {"secret_keys": ",".join(keys)} if is_stripped else {}
    workload = a_workload(**words)
    ledger = owed(a_ledger(), workload, selected=changes)
    after = restarted(workload, ledger)

    assert planned(ledger, after) == Resolved(ledger.pending[0], Reason.ALREADY_RESTARTED)
    assert isinstance(planned(owed(ledger, after, selected=changes, seconds=80), after), RestartNow)


def test_one_restart_serves_two_subscriptions() -> None:
    """Both saw the same change; whoever comes second finds a restart later than its debt."""
    first = owed(a_ledger(epoch="x"), a_workload(), seconds=60)
    second = owed(a_ledger(epoch="y"), a_workload(), seconds=61)
    after = restarted(a_workload(), first, 62, "mail")

    assert planned(second, after) == Resolved(second.pending[0], Reason.COVERED_BY_OTHER_SUBSCRIPTION)


# -- clearing -------------------------------------------------------------------------------------


def test_what_is_settled_is_cleared() -> None:
    """The debts that were handled go, the others stay."""
    ledger = a_ledger(None, a_pending_restart("a"), a_pending_restart("b", 2), a_pending_restart("c"))

    assert remove_done(ledger, [a_pending_restart("a"), a_pending_restart("c")]) == a_ledger(
        None, a_pending_restart("b", 2)
    )


def test_a_newer_debt_stays() -> None:
    """What was added while an older debt was handled is still owed."""
    ledger = a_ledger(None, a_pending_restart("a", 3, a_change("B")))

    assert remove_done(ledger, [a_pending_restart("a", 2)]) is ledger
    assert remove_done(ledger, []) is ledger
    assert remove_done(ledger, [a_pending_restart("a", 3)]).pending == ()


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 5)),
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 5)),
)
def test_clearing_never_removes_what_is_newer(open_debts: dict[str, int], handled: dict[str, int]) -> None:
    """Exactly the debts up to the handled sequence numbers go, and clearing again changes nothing."""
    ledger = a_ledger(None, *(a_pending_restart(name, seq) for name, seq in open_debts.items()), seq=9)
    settled = [a_pending_restart(name, seq) for name, seq in handled.items()]

    cleared = remove_done(ledger, settled)

    assert {d.name for d in cleared.pending} == {
        n for n, seq in open_debts.items() if seq > handled.get(n, 0)
    }
    assert remove_done(cleared, settled) is cleared
    assert (cleared.seq, cleared.epoch) == (ledger.seq, ledger.epoch)


def test_a_debt_is_for_what_was_selected() -> None:
    """Of several changes a workload is owed those that concern it."""
    selected = MatchedChanges((a_change("A", UPDATE), a_change("B", UPDATE)))
    ledger = owed(
        a_ledger(), a_workload("a", secret_keys="A"), a_workload("b", secret_keys="B"), selected=selected
    )

    told: dict[str, tuple[Change, ...]] = {pending.name: pending.changes for pending in ledger.pending}
    assert told == {"a": (a_change("A"),), "b": (a_change("B"),)}


# -- rules: action, cooldown, requests ------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "annotations", "action"),
    [
        (DEPLOYMENT, {}, Action.RESYNC_THEN_RESTART),
        (DEPLOYMENT, {"action": "Restart"}, Action.RESTART),
        (ROLLOUT, {"action": "Resync"}, Action.RESYNC),
        (DEPLOYMENT, {"action": "restart"}, Action.RESYNC_THEN_RESTART),
        (CRON_JOB, {}, Action.RESYNC),
        (CRON_JOB, {"action": "Restart"}, Action.RESYNC),
        (JOB, {}, Action.RESYNC),
    ],
)
def test_what_is_done_for_a_workload(kind: WorkloadKind, annotations: dict[str, str], action: Action) -> None:
    """Its own annotation counts before the spec; what runs once is never restarted."""
    rules = RestartPolicy(Action.RESYNC_THEN_RESTART)
    workload = a_workload(kind=kind, **annotations)

    assert steps_of(a_ledger(None, a_pending_restart()), workload, rules=rules) == (
        RestartNow(workload, a_pending_restart(), action),
    )


COOLING = RestartPolicy(cooldown=timedelta(seconds=30))


@pytest.mark.parametrize(
    ("restarted", "until"),
    [(570, None), (569, None), (571, 601), (600, 630), (610, 640), (611, None), (700, None)],
)
def test_a_restart_is_rested_from(restarted: float, until: float | None) -> None:
    """So long after the newest one, whoever made it; a time ahead of now by over 10 s is no restart."""
    workload = a_workload(last_restart=a_record(at(restarted), mail="x.1"))
    ledger = a_ledger(None, a_pending_restart(seconds=1000))
    (step,) = steps_of(ledger, workload, rules=COOLING)

    if until is None:
        assert isinstance(step, RestartNow)
    else:
        assert step == Deferred(ledger.pending[0], Reason.COOLING_DOWN, at(until))


@pytest.mark.parametrize(("kind", "annotations"), [(DEPLOYMENT, {"action": "Resync"}), (CRON_JOB, {})])
def test_who_is_not_restarted_does_not_rest(kind: WorkloadKind, annotations: dict[str, str]) -> None:
    """Its Secrets are made fresh at once."""
    workload = a_workload(kind=kind, last_restart=a_record(at(599)), **annotations)
    (step,) = steps_of(a_ledger(None, a_pending_restart()), workload, rules=COOLING)

    assert isinstance(step, RestartNow)


def test_who_is_held_is_held_whatever_else() -> None:
    """Its owner's word is the reason that is told, and no moment is promised."""
    workload = a_workload(paused="true", last_restart=a_record(at(599)))
    ledger = a_ledger(None, a_pending_restart(seconds=1000))

    assert steps_of(ledger, workload, rules=COOLING) == (Deferred(ledger.pending[0], Reason.PAUSED),)


@pytest.mark.parametrize("action", [Action.RESYNC, Action.RESYNC_THEN_RESTART])
def test_a_neighbours_restart_covers_only_where_secrets_are_not_looked_at(action: Action) -> None:
    """It may have come before they were fresh; then their content decides, and not the time."""
    workload = a_workload(last_restart=a_record(at(100), mail="x.1"))
    ledger = a_ledger(None, a_pending_restart())

    assert planned(ledger, workload) == Resolved(a_pending_restart(), Reason.COVERED_BY_OTHER_SUBSCRIPTION)
    assert steps_of(ledger, workload, rules=RestartPolicy(action)) == (
        RestartNow(workload, a_pending_restart(), action),
    )


def test_a_person_asks_for_a_restart_of_all() -> None:
    """All that the subscription concerns, whatever they narrow to; nobody else."""
    workloads = [a_workload("a"), a_workload("b", subscription="mail"), a_workload("c", secret_keys="X")]
    ledger = add_requested(a_ledger(seq=6), "payments", workloads, at(60))

    assert [
        (pending.name, pending.seq, pending.is_requested, pending.changes) for pending in ledger.pending
    ] == [
        ("a", 7, True, ()),
        ("c", 7, True, ()),
    ]
    assert ledger.seq == 7
    assert {type(step) for step in steps_of(ledger, *workloads)} == {RestartNow}


def test_a_request_joins_what_is_owed() -> None:
    """One restart for both; what has changed is still told, and what changes later leaves it asked for."""
    before = owed(a_ledger(), a_workload())
    asked = add_requested(before, "payments", [a_workload()], at(61))
    after = owed(asked, a_workload(), selected=MatchedChanges((a_change("B"),)), seconds=62)

    assert asked.pending == (replace(before.pending[0], seq=2, since=at(61), is_requested=True),)
    assert after.pending[0].is_requested
    assert [change.key for change in after.pending[0].changes] == ["A", "B"]


def test_a_request_that_concerns_nobody() -> None:
    """Nothing is owed, and no number is used up."""
    ledger = a_ledger(seq=6)

    assert add_requested(ledger, "payments", [a_workload(subscription="mail")], at(60)) is ledger


def test_a_request_ends_with_its_restart() -> None:
    """A receipt pays it like any debt; who opted out meanwhile is left alone."""
    ledger = add_requested(a_ledger(), "payments", [a_workload()], at(60))
    pending = ledger.pending[0]

    assert planned(ledger, restarted(a_workload(), ledger)) == Resolved(pending, Reason.ALREADY_RESTARTED)
    assert planned(ledger, a_workload(auto_reload="false")) == Resolved(pending, Reason.NO_LONGER_MATCHING)


def test_a_restart_that_came_too_early_is_owed_another_one() -> None:
    """As a new debt that no receipt has paid and nobody asked for; a newer debt serves as well."""
    paid = replace(a_pending_restart("web", 1), is_requested=True)
    ledger = a_ledger(None, a_pending_restart("api", 2), seq=2)
    late = replace(paid, seq=3, since=at(90), is_requested=False)

    for unconfirmed in Unconfirmed:
        owed = replace(ledger, seq=3, pending=(*ledger.pending, replace(late, unconfirmed=unconfirmed)))
        assert requeue_unconfirmed(ledger, {paid: unconfirmed}, at(90)) == owed
    assert (
        requeue_unconfirmed(ledger, {a_pending_restart("api", 1): Unconfirmed.PROVIDER_TIMED_OUT}, at(90))
        is ledger
    )
    assert requeue_unconfirmed(ledger, {}, at(90)) is ledger


def test_a_debt_that_was_paid_is_followed_when_another_one_takes_its_place() -> None:
    """The restart, of which only its receipt tells, rolls out; what it left in doubt stays owed."""
    ledger, later = a_ledger(None, a_pending_restart("web", 1), seq=1), a_change("B", path="/b")
    workload = restarted(a_workload(), ledger)
    doubted = restarted(a_workload(), ledger, unconfirmed=Unconfirmed.PROVIDER_TIMED_OUT)

    alone = owed(ledger, workload, selected=MatchedChanges((later,)), seconds=90)
    both = owed(ledger, doubted, selected=MatchedChanges((later,)), seconds=90)

    assert [(rollout.uid, rollout.seq) for rollout in alone.rollouts] == [(workload.uid, 1)]
    assert alone.pending[0].changes == (later,)
    assert set(both.pending[0].changes) == {*ledger.pending[0].changes, later}
    assert owed(ledger, workload, selected=MatchedChanges(()), seconds=90) is ledger


@pytest.mark.parametrize("unconfirmed", list(Unconfirmed))
def test_a_watch_gives_way_to_a_restart_that_was_taken_back(unconfirmed: Unconfirmed) -> None:
    """A watch restarts nothing by itself; it goes on after the restart that is made again."""
    watch = replace(a_pending_restart(), unconfirmed=unconfirmed)
    rollout = replace(begun_rollout(a_pending_restart(), at(60), wave=0), reverts=1)
    (again,) = add_reverted(a_ledger(None, watch), (rollout,), at(90)).pending

    assert (again.uid, again.reverts, again.unconfirmed) == (watch.uid, 1, unconfirmed)
    assert not again.is_watch
    (after,) = requeue_unconfirmed(a_ledger(), {again: unconfirmed}, at(91)).pending
    assert after.is_watch


def test_a_newer_pending_restart_stays_when_one_is_taken_back() -> None:
    """It replaces the pods as well."""
    ledger = a_ledger(None, a_pending_restart())
    rollout = replace(begun_rollout(a_pending_restart(), at(60), wave=0), reverts=1)

    assert add_reverted(ledger, (rollout,), at(90)) is ledger


# -- affected workloads --------------------------------------------------------------------------------


@given(st.lists(_CHANGES, max_size=5, unique=True), st.lists(_CLAIMS, max_size=2), _WORKLOADS)
def test_whom_it_concerns(
    changes: list[Change], import_events: list[UnmatchedImportEvent], workloads: tuple[Workload, ...]
) -> None:
    """Each workload of the subscription by its own annotations, whatever the others say."""
    selected = MatchedChanges(tuple(changes), tuple(import_events))
    all_affected = {
        affected.workload.uid: affected.matched
        for affected in run_to_end(affected_workloads("app", selected, workloads))
    }
    for workload in workloads:
        is_ours = workload.is_subscribed_to("app")
        mine = all_affected.get(workload.uid, MatchedChanges(()))
        assert mine.changes == (matching_changes(workload, changes) if is_ours else ())
        assert [import_event.change for import_event in mine.import_events] == [
            import_event.change
            for import_event in import_events
            if is_ours and matching_changes(workload, (import_event.change,))
        ]
    assert all(all_affected.values())


def test_it_can_be_interrupted() -> None:
    """Between any two patterns: what a tenant can make long is none of ten thousand at once."""
    workloads = [a_workload(f"web-{number}", secret_keys="DB_*") for number in range(3)]
    selected = MatchedChanges(tuple(a_change(f"DB_{number}") for number in range(10)))
    assert sum(1 for _ in affected_workloads("app", selected, workloads)) >= 30
