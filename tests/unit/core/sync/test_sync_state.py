"""How a source is asked to sync, and when it has answered."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET, STATIC_SECRET, ResourceKind
from infisical_events.core.sync.secret_providers import SecretProvider
from infisical_events.core.sync.sync_requests import (
    PodContent,
    SecretContent,
    SyncContext,
    sync_request_of,
    sync_request_patch,
)
from infisical_events.core.sync.sync_state import SyncState, evaluate
from support.builders import a_change, a_scope, at
from support.strategies import json_values

ASKED = "events.infisical.com/resync-payments"
NOW = at(1000)
TIMEOUT = timedelta(seconds=60)
OLD, NEW = {"env": "old"}, {"env": "new"}
CHANGES = (a_change(path="/a"),)


# -- asking ---------------------------------------------------------------------------------------


def a_source(
    kind: ResourceKind = EXTERNAL_SECRET,
    acknowledged: str | None = "1",
    **fields: Any,  # noqa: ANN401 - of SecretProvider
) -> SecretProvider:
    """A source of the Secret `env` that was never asked."""
    plain = SecretProvider(kind, "app", "u", "41", frozenset({"env"}), {}, acknowledged=acknowledged)
    return replace(plain, **fields)


def a_sync_context(
    provider: SecretProvider, tokens: dict[str, str], known: dict[str, str] = OLD, **annotations: str
) -> SyncContext:
    """For the debt with the number 1, which is owed since `NOW`."""
    contents = {name: SecretContent(token, annotations) for name, token in tokens.items()}
    return SyncContext(
        provider, "payments", "epoch", 1, CHANGES, contents, PodContent(known), timeout=TIMEOUT, since=NOW
    )


def asked(
    provider: SecretProvider,
    seq: int = 1,
    tokens: dict[str, str] = OLD,
    now: datetime = NOW,
    epoch: str = "epoch",
) -> SecretProvider:
    """The source as it stands when it was asked."""
    patch = sync_request_patch(a_sync_context(provider, tokens), f"{epoch}.{seq}", now)
    return replace(provider, annotations={**provider.annotations, **patch["metadata"]["annotations"]})


def judged(
    provider: SecretProvider,
    tokens: dict[str, str] = OLD,
    *,
    seconds: float = 0,
    known: dict[str, str] = OLD,
    **annotations: str,
) -> SyncState:
    """What the source can vouch for, `seconds` after `NOW`, for the debt with the number 1."""
    return evaluate(a_sync_context(provider, tokens, known, **annotations), NOW + timedelta(seconds=seconds))


def test_a_source_is_asked_by_one_patch() -> None:
    """Under the version that was read; it says for what, since when, and what was there by then."""
    provider = a_source(
        INFISICAL_SECRET, None, sync_trigger={"spec": {"syncConfig": {"resyncInterval": "60s"}}}
    )
    patch = sync_request_patch(a_sync_context(provider, {"env": "old", "a": ""}), "epoch.7", NOW)
    told = json.loads(patch["metadata"]["annotations"].pop(ASKED))

    assert patch == {
        "metadata": {"uid": "u", "resourceVersion": "41", "annotations": {}},
        "spec": {"syncConfig": {"resyncInterval": "60s"}},
    }
    assert told == {
        "stamp": "epoch.7",
        "since": NOW.isoformat(),
        "attempt": 1,
        "at": NOW.isoformat(),
        "acknowledged": "",
        "tokens": {"a": "", "env": "old"},
    }


def test_asked_again() -> None:
    """For the same stamp it is another attempt; its time runs from when it was left without an answer."""
    first, late = asked(a_source()), NOW + TIMEOUT
    again = sync_request_of(asked(first, now=late), "payments", late)
    other = sync_request_of(asked(first, 2, now=late), "payments", late)
    answered = sync_request_of(asked(replace(first, acknowledged="2"), 2, now=late), "payments", late)
    forgotten = sync_request_of(asked(first, 2, now=late + TIMEOUT), "payments", late + TIMEOUT)

    assert again
    assert other
    assert answered
    assert forgotten
    assert (again.attempt, again.since, again.at) == (2, NOW, late)
    assert (other.attempt, other.since, other.at) == (1, NOW, late)
    assert (answered.attempt, answered.since) == (1, late)
    assert (forgotten.attempt, forgotten.since) == (1, late + TIMEOUT)


def test_who_never_answers_is_always_asked_anew() -> None:
    """It may have found the same data: its time for the next change begins with that."""
    first, late = asked(a_source(INFISICAL_SECRET, None)), NOW + TIMEOUT
    other = sync_request_of(asked(first, 2, now=late), "payments", late)

    assert other
    assert other.since == late


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "yes",
        '{"stamp": "epoch.1"}',
        '{"stamp":"epoch.1","since":"?","attempt":1,"at":"?","acknowledged":"","tokens":{}}',
        '{"stamp":"epoch.1","since":"2026-01-02","attempt":"x","at":"2026-01-02","acknowledged":"","tokens":{}}',
        "[" * 100_000,
        '{"stamp":"epoch.1","since":"2026-01-02","attempt":1,"at":"2060-01-02","acknowledged":"","tokens":{}}',
        '{"stamp":"epoch.1","since":"9999-12-31","attempt":1,"at":"2026-01-02","acknowledged":"","tokens":{}}',
    ],
)
def test_a_question_edited_by_hand(text: str) -> None:
    """What cannot be read, or is of the future, was never asked."""
    provider = a_source(annotations={ASKED: text})

    assert sync_request_of(provider, "payments", NOW) is None
    assert judged(provider) is SyncState.NOT_REQUESTED


@given(json_values)
def test_any_question_is_read_or_not(raw: object) -> None:
    """Whatever stands there, nothing is raised."""
    provider = a_source(annotations={ASKED: json.dumps(raw)})

    assert judged(provider) in SyncState


# -- what it can vouch for ------------------------------------------------------------------------


def test_who_was_not_asked() -> None:
    """Nothing is known of it, whatever its Secrets have."""
    assert judged(a_source(), NEW) is SyncState.NOT_REQUESTED


@pytest.mark.parametrize(("epoch", "seq"), [("other", 9), ("epoch", 0)])
def test_a_question_for_something_else(epoch: str, seq: int) -> None:
    """Of another baseline, or for an earlier debt, it is not this one's; its answer is waited for first."""
    provider = asked(a_source(), seq, epoch=epoch)

    assert judged(provider, NEW) is SyncState.WAITING
    assert judged(provider, NEW, seconds=60) is SyncState.NOT_REQUESTED
    assert judged(replace(provider, acknowledged="2"), NEW) is SyncState.NOT_REQUESTED


def test_a_question_of_another_subscription() -> None:
    """It is waited for as well, until that very question stands on the Secrets."""
    provider = asked(a_source(STATIC_SECRET, copies_annotations=True))
    theirs = "events.infisical.com/resync-ledger"
    provider = replace(provider, annotations={theirs: provider.annotations[ASKED]})

    assert judged(provider, NEW) is SyncState.WAITING
    assert judged(provider, NEW, **{ASKED: provider.annotations[theirs]}) is SyncState.WAITING
    assert judged(provider, NEW, **{theirs: provider.annotations[theirs]}) is SyncState.NOT_REQUESTED


def test_a_question_for_a_later_debt() -> None:
    """It is one for this debt as well."""
    assert judged(asked(a_source(), 9)) is SyncState.WAITING


@pytest.mark.parametrize("acknowledged", ["1", ""])
def test_who_has_not_answered(acknowledged: str) -> None:
    """It is waited for until its time is over, even if the content has moved; nothing is no answer."""
    provider = replace(asked(a_source()), acknowledged=acknowledged)

    assert judged(provider, NEW) is SyncState.WAITING
    assert judged(provider, NEW, seconds=59.9) is SyncState.WAITING
    assert judged(provider, NEW, seconds=60) is SyncState.TIMED_OUT


def test_an_answer_may_be_that_of_a_sync_that_was_under_way() -> None:
    """A provider that failed at the request had acknowledged nothing: its first answer may be of before."""
    never_synced = asked(a_source(acknowledged=""))
    assert judged(replace(never_synced, acknowledged="2"), NEW) is SyncState.CHANGED

    failing = asked(a_source(acknowledged="", error_message="not reachable"))
    provider = replace(failing, acknowledged="2", error_message="")
    assert judged(provider, NEW) is SyncState.NOT_REQUESTED
    assert judged(provider, NEW, seconds=60) is SyncState.CHANGED  # no sync is under way for so long

    again = asked(provider)
    assert judged(again, NEW) is SyncState.WAITING
    assert judged(replace(again, acknowledged="3"), NEW) is SyncState.CHANGED


def test_who_has_answered_with_another_content() -> None:
    """Is fresh at once, and stays so."""
    provider = replace(asked(a_source()), acknowledged="2")

    assert judged(provider, NEW) is SyncState.CHANGED
    assert judged(provider, NEW, seconds=3600) is SyncState.CHANGED


def test_who_had_synced_first() -> None:
    """Whoever had the new content when it was asked is fresh as soon as it answers."""
    provider = asked(a_source(), tokens=NEW)

    assert judged(provider, NEW) is SyncState.WAITING
    assert judged(replace(provider, acknowledged="2"), NEW) is SyncState.CHANGED


def test_who_answers_with_the_same_content() -> None:
    """Is asked once more after a second, for it may have read something old; then it is the same."""
    provider = replace(asked(a_source()), acknowledged="2")
    assert judged(provider) is SyncState.WAITING
    assert judged(provider, seconds=0.99) is SyncState.WAITING
    assert judged(provider, seconds=1) is SyncState.NOT_REQUESTED

    again = asked(provider, now=NOW + timedelta(seconds=1))
    assert judged(again, seconds=1) is SyncState.WAITING
    assert judged(replace(again, acknowledged="3"), seconds=1) is SyncState.UNCHANGED
    assert judged(replace(again, acknowledged="3"), NEW, seconds=1) is SyncState.CHANGED


def test_asking_again_gives_no_more_time() -> None:
    """Its time counts from the first question."""
    again = asked(replace(asked(a_source()), acknowledged="2"), now=NOW + timedelta(seconds=50))

    assert judged(again, seconds=59) is SyncState.WAITING
    assert judged(again, seconds=60) is SyncState.TIMED_OUT


@pytest.mark.parametrize(
    ("tokens", "known"),
    [
        ({"env": ""}, OLD),
        ({"env": "new"}, {}),
        ({"env": "old", "more": "x"}, OLD),
        ({"env": ""}, {"env": ""}),
    ],
)
def test_what_nobody_knows_counts_as_changed(tokens: dict[str, str], known: dict[str, str]) -> None:
    """A content without words, or pods of which nobody knows what they have: a restart too many is better."""
    provider = replace(asked(a_source(), tokens=tokens), acknowledged="2")

    assert judged(provider, tokens, known=known) is SyncState.CHANGED


def test_who_answers_nothing() -> None:
    """Is told by its content, which has moved since it was asked."""
    provider = asked(a_source(INFISICAL_SECRET, None))

    assert judged(provider, seconds=59) is SyncState.WAITING
    assert judged(provider, NEW) is SyncState.CHANGED
    assert judged(provider, seconds=60) is SyncState.TIMED_OUT


def test_who_answers_nothing_and_reads_something_else() -> None:
    """Once its time is over it is silent: it may have found the same data. One in trouble is late."""
    provider = asked(a_source(INFISICAL_SECRET, None, reads=(a_scope("/b"),)))
    reader = replace(provider, reads=(a_scope("/**"),))

    assert judged(provider, seconds=59) is SyncState.WAITING
    assert judged(provider, seconds=60) is SyncState.UNRESPONSIVE
    assert judged(replace(provider, error_message="no such folder"), seconds=60) is SyncState.TIMED_OUT
    assert judged(reader, seconds=60) is SyncState.TIMED_OUT


def test_who_answers_nothing_and_had_synced_first() -> None:
    """Is given ten seconds to move again, then taken for fresh."""
    provider = asked(a_source(INFISICAL_SECRET, None), tokens=NEW)

    assert judged(provider, NEW, seconds=9.9) is SyncState.WAITING
    assert judged(provider, NEW, seconds=10) is SyncState.CHANGED


def test_a_person_wants_a_restart_of_who_answers_nothing() -> None:
    """Its Secrets are as fresh as is wanted after ten seconds."""
    provider = asked(a_source(INFISICAL_SECRET, None))
    context = replace(a_sync_context(provider, OLD), is_requested=True)

    assert evaluate(context, NOW) is SyncState.WAITING
    assert evaluate(context, NOW + timedelta(seconds=10)) is SyncState.CHANGED


def test_who_answers_nothing_and_moved_back() -> None:
    """Content that moved to what the pods have is the same; it could not be seen to move twice."""
    provider = asked(a_source(INFISICAL_SECRET, None), tokens=NEW)
    assert judged(provider, OLD, seconds=1) is SyncState.UNCHANGED


def test_a_key_that_was_rotated() -> None:
    """Tokens under two keys tell nothing of each other: who is told by content alone is asked once more."""
    before, after = {"env": "1:old"}, {"env": "2:old"}
    silent = asked(a_source(INFISICAL_SECRET, None), tokens=before)
    again = asked(silent, tokens=after)

    assert judged(silent, after, known=before, seconds=30) is SyncState.NOT_REQUESTED
    assert judged(again, after, known=before, seconds=30) is SyncState.WAITING
    assert judged(again, {"env": "2:new"}, known=before, seconds=30) is SyncState.CHANGED


def test_a_secret_that_there_was_not() -> None:
    """Has moved when there is one; one that is gone has not."""
    provider = asked(a_source(INFISICAL_SECRET, None), tokens={"env": ""})

    assert judged(provider, {"env": ""}) is SyncState.WAITING
    assert judged(provider, NEW) is SyncState.CHANGED
    assert judged(asked(provider, tokens=OLD), {"env": ""}) is SyncState.WAITING


def test_who_cannot_be_asked_and_syncs_by_itself() -> None:
    """Is never asked, and told by its content; its time runs from when the restart was owed."""
    provider = a_source(unrequestable_reason="it is made by somebody who takes the question back")

    assert judged(provider, seconds=59) is SyncState.WAITING
    assert judged(provider, NEW, seconds=59) is SyncState.CHANGED
    assert judged(provider, seconds=60) is SyncState.TIMED_OUT


def test_an_answer_to_an_earlier_sync() -> None:
    """A sync that began before the question may end after it: the question has to stand on the Secret."""
    provider = replace(asked(a_source(STATIC_SECRET, copies_annotations=True)), acknowledged="2")
    mine = provider.annotations[ASKED]

    assert judged(provider, NEW) is SyncState.WAITING
    assert judged(provider, NEW, **{ASKED: "an older question"}) is SyncState.WAITING
    assert judged(provider, NEW, **{ASKED: mine}) is SyncState.CHANGED
    assert judged(provider, NEW, seconds=60) is SyncState.TIMED_OUT
    assert judged(replace(provider, copies_annotations=False), NEW) is SyncState.CHANGED


def test_an_answer_of_the_same_second() -> None:
    """A time in whole seconds may not move; the question on the Secret proves that it was read."""
    provider = asked(a_source(STATIC_SECRET, copies_annotations=True))
    mine = provider.annotations[ASKED]

    assert judged(provider, NEW, seconds=30) is SyncState.WAITING
    assert judged(provider, NEW, **{ASKED: mine}) is SyncState.CHANGED


def test_two_subscriptions_ask_apart() -> None:
    """The question of one is none of the other's; a sync that answers one might pass for both answers."""
    context = replace(a_sync_context(a_source(), OLD), subscription="mail")
    other = sync_request_patch(context, "epoch.9", NOW)["metadata"]["annotations"]

    assert judged(a_source(annotations=other), NEW) is SyncState.WAITING
    assert judged(a_source(annotations=other, acknowledged="2"), NEW) is SyncState.NOT_REQUESTED


def test_what_is_watched_is_not_asked() -> None:
    """Its content tells whether another restart is due; who answers for it has done so."""
    silent, answering = a_source(INFISICAL_SECRET, None), a_source()
    same, moved = (
        [
            evaluate(replace(a_sync_context(provider, tokens), is_confirmation_only=True), NOW)
            for provider in (silent, answering)
        ]
        for tokens in (OLD, NEW)
    )

    assert same == [SyncState.TIMED_OUT, SyncState.UNCHANGED]
    assert moved == [SyncState.CHANGED, SyncState.CHANGED]


def test_content_that_nobody_knew() -> None:
    """That pods may have another content is no proof that a silent source has moved; a person is served."""
    provider = asked(a_source(INFISICAL_SECRET, None))

    assert judged(provider, known={}, seconds=59) is SyncState.WAITING
    assert judged(provider, known={}, seconds=60) is SyncState.TIMED_OUT
