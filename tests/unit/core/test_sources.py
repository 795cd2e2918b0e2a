"""Who writes Secrets: how each kind is read, how it is asked to sync, and when it has answered."""

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import at
from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET, STATIC_SECRET, ResourceKind
from infisical_events.core.secrets import SecretMetadata
from infisical_events.core.sources import (
    Content,
    Freshness,
    Known,
    Question,
    Source,
    asking,
    content_of,
    freshness,
    request_of,
    reworded,
    source_of,
)
from strategies import json_values

ASKED = "events.infisical.com/resync-payments"
NOW = at(1000)
TIMEOUT = timedelta(seconds=60)
OLD, NEW = {"env": "old"}, {"env": "new"}


def stored(spec: object = None, status: object = None, **metadata: object) -> dict[str, Any]:
    """An object as the API server has it."""
    own = {"name": "app", "namespace": "team", "uid": "u", "resourceVersion": "41"} | metadata
    return {"metadata": own, "spec": spec or {}, "status": status or {}}


def condition(kind: str, status: str = "True", message: str = "") -> dict[str, str]:
    """One condition of a status."""
    return {"type": kind, "status": status, "message": message}


def ready(version: str, status: str = "True", message: str = "") -> dict[str, Any]:
    """The status of an ExternalSecret."""
    return {"syncedResourceVersion": version, "conditions": [condition("Ready", status, message)]}


def succeeded(at_time: str, *more: dict[str, str]) -> dict[str, Any]:
    """The status of an InfisicalStaticSecret whose newest success was at a time."""
    kind = "secrets.infisical.com/LastSuccessfulReconcileAt"
    return {"conditions": [condition(kind, message=at_time), *more]}


# -- how each kind is read ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, set()),
        ({"managedSecretReference": {"secretName": "a", "secretNamespace": "team"}}, {"a"}),
        ({"managedKubeSecretReferences": [{"secretName": "a"}, {"secretName": "b"}]}, {"a", "b"}),
        ({"managedKubeSecretReferences": [{"secretName": "a", "secretNamespace": "other"}]}, set()),
    ],
)
def test_the_secrets_of_an_infisical_secret(spec: object, names: set[str]) -> None:
    """Those that it writes into its own namespace; it acknowledges nothing."""
    source = source_of(INFISICAL_SECRET, stored(spec))

    assert (source.secrets, source.acknowledged, source.unable) == (names, None, "")


@pytest.mark.parametrize(
    ("spec", "config"),
    [
        ({}, {"resyncInterval": "300s"}),
        ({"resyncInterval": 60}, {"resyncInterval": "1m"}),
        ({"instantUpdates": True}, {"resyncInterval": "01h", "instantUpdates": True}),
        ({"instantUpdates": True, "resyncInterval": 90}, {"resyncInterval": "090s", "instantUpdates": True}),
        ({"syncConfig": {"instantUpdates": True}}, {"resyncInterval": "01h"}),
        ({"syncConfig": {"resyncInterval": "1m"}}, {"resyncInterval": "60s"}),
        ({"syncConfig": {"resyncInterval": ""}}, {"resyncInterval": "300s"}),
        ({"syncConfig": {}, "instantUpdates": True, "resyncInterval": 5}, {"resyncInterval": "300s"}),
        ({"syncConfig": {"resyncInterval": "60s"}, "resyncInterval": 5}, {"resyncInterval": "1m"}),
        ({"syncConfig": {"resyncInterval": "60s"}, "instantUpdates": True}, {"resyncInterval": "1m"}),
    ],
)
def test_an_infisical_secret_is_asked_by_the_same_interval_in_other_words(
    spec: dict[str, Any], config: dict[str, Any]
) -> None:
    """Its operator looks at nothing but a changed spec; what that says besides stays as it was."""
    assert source_of(INFISICAL_SECRET, stored(spec)).ask == {"spec": {"syncConfig": config}}


@pytest.mark.parametrize(
    ("targets", "names", "is_copied"),
    [
        ([], set(), True),
        ([{"name": "a"}, {"name": "b", "kind": "Secret"}], {"a", "b"}, True),
        ([{"name": "a", "kind": "ConfigMap"}, {"name": "b", "namespace": "other"}], set(), True),
        ([{"name": "a", "metadata": {"labels": {"x": "y"}}}], {"a"}, False),
    ],
)
def test_the_secrets_of_a_static_secret(
    targets: list[object],
    names: set[str],
    is_copied: bool,  # noqa: FBT001 - a table
) -> None:
    """Secrets of its own namespace; annotations are copied there unless a target has some of its own."""
    source = source_of(STATIC_SECRET, stored({"targets": targets}))

    assert (source.secrets, source.is_copied, source.ask) == (names, is_copied, {})


def test_the_acknowledgement_of_a_static_secret() -> None:
    """The time of its newest success, as its condition says it; its trouble is the newest failure's."""
    failed = condition("secrets.infisical.com/LastReconcileStatus", "False", "no such\nfolder")
    source = source_of(STATIC_SECRET, stored(None, succeeded("2026-01-02T03:04:05Z", failed)))

    assert (source.acknowledged, source.trouble) == ("2026-01-02T03:04:05Z", "no such folder")


@pytest.mark.parametrize(
    ("spec", "names"),
    [({}, {"app"}), ({"target": {"name": "env"}}, {"env"}), ({"target": {"template": {}}}, {"app"})],
)
def test_the_secret_of_an_external_secret(spec: object, names: set[str]) -> None:
    """It is named like its source if it has no name of its own."""
    assert source_of(EXTERNAL_SECRET, stored(spec)).secrets == names


@pytest.mark.parametrize(
    ("status", "acknowledged", "trouble"),
    [
        ({}, "", ""),
        (ready("1-abc"), "1-abc", ""),
        (ready("1-abc", "False", "could not get secret data"), "", "could not get secret data"),
        ({"syncedResourceVersion": "1-abc"}, "", ""),
    ],
)
def test_the_acknowledgement_of_an_external_secret(status: object, acknowledged: str, trouble: str) -> None:
    """What it has synced while it is ready: a failing one keeps the version of its last success."""
    source = source_of(EXTERNAL_SECRET, stored(None, status))

    assert (source.acknowledged, source.trouble) == (acknowledged, trouble)


@pytest.mark.parametrize(
    ("spec", "is_able"),
    [
        ({}, True),
        ({"refreshPolicy": "CreatedOnce"}, False),
        ({"refreshPolicy": "OnChange", "refreshInterval": "0"}, True),
        ({"refreshInterval": "0"}, False),
        ({"refreshInterval": "0s"}, False),
        ({"refreshInterval": "0h0m0s"}, False),
        ({"refreshPolicy": "Periodic", "refreshInterval": "10s"}, True),
        ({"refreshInterval": "1h0m0s"}, True),
    ],
)
def test_an_external_secret_that_never_syncs_again(spec: object, is_able: bool) -> None:  # noqa: FBT001 - a table
    """It is told why it cannot be asked."""
    unable = source_of(EXTERNAL_SECRET, stored(spec)).unable

    assert (unable == "") is is_able
    assert is_able or "never syncs again" in unable


@pytest.mark.parametrize("kind", [INFISICAL_SECRET, STATIC_SECRET, EXTERNAL_SECRET])
@given(raw=json_values)
def test_another_shape_is_refused(kind: ResourceKind, raw: Any) -> None:  # noqa: ANN401 - any JSON
    """No JSON is read as a source by chance, and none raises anything else than it says."""
    for shape in (raw, stored(raw), stored(None, raw), stored({"targets": raw, "refreshInterval": raw})):
        try:
            source = source_of(kind, shape)
        except (KeyError, TypeError, AttributeError, ValueError):
            continue
        assert source.kind is kind


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (INFISICAL_SECRET, "secrets.infisical.com/version"),
        (STATIC_SECRET, "secrets.infisical.com/version"),
        (EXTERNAL_SECRET, "reconcile.external-secrets.io/data-hash"),
    ],
)
def test_what_the_content_is(kind: ResourceKind, key: str) -> None:
    """The source's own words on the Secret; without a Secret or without words nothing is said."""
    source = a_source(kind)

    assert content_of(source, SecretMetadata("env", "u", "1", {key: "W/abc"})) == "W/abc"
    assert content_of(source, SecretMetadata("env", "u", "1", {})) == ""
    assert content_of(source, None) == ""


# -- the same interval in other words -------------------------------------------------------------

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
durations = st.builds("{}{}".format, st.integers(0, 10**6), st.sampled_from([*UNITS]))


def seconds_of(text: str) -> int:
    """What Infisical's operator makes of it: one number and one unit."""
    assert re.fullmatch(r"[0-9]+[smhdw]", text)
    return int(text[:-1]) * UNITS[text[-1]]


@given(durations)
def test_other_words_are_the_same_time(interval: str) -> None:
    """However often it is reworded, it is another text each time, and the same number of seconds."""
    words = interval
    for _ in range(4):
        words, before = reworded(words), words
        assert words != before
        assert seconds_of(words) == seconds_of(interval)
        assert len(words) <= len(interval) + 2


@given(st.text())
def test_what_is_not_understood_is_another_text(interval: str) -> None:
    """The question is put all the same; its operator goes on with what it makes of such words."""
    assert reworded(interval) != interval
    assert len(reworded(reworded(interval))) <= len(interval) + 2


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ("1m", "60s"),
        ("60s", "1m"),
        ("90s", "090s"),
        ("090s", "90s"),
        ("1h", "01h"),
        ("01h", "1h"),
        ("0s", "00s"),
    ],
)
def test_words_for_an_interval(interval: str, words: str) -> None:
    """As a person meets them in the object."""
    assert reworded(interval) == words


# -- asking ---------------------------------------------------------------------------------------


def a_source(kind: ResourceKind = EXTERNAL_SECRET, acknowledged: str | None = "1", **fields: Any) -> Source:  # noqa: ANN401 - fields
    """A source of the Secret `env` that was never asked."""
    plain = Source(kind, "app", "u", "41", frozenset({"env"}), {}, acknowledged=acknowledged)
    return replace(plain, **fields)


def asked(
    source: Source, seq: int = 1, tokens: dict[str, str] = OLD, now: datetime = NOW, epoch: str = "epoch"
) -> Source:
    """The source as it stands when it was asked."""
    patch = asking(source, "payments", f"{epoch}.{seq}", tokens, now)
    return replace(source, annotations={**source.annotations, **patch["metadata"]["annotations"]})


def judged(
    source: Source,
    tokens: dict[str, str] = OLD,
    *,
    seconds: float = 0,
    known: dict[str, str] = OLD,
    **annotations: str,
) -> Freshness:
    """What the source can vouch for, `seconds` after `NOW`, for the debt with the number 1."""
    contents = {name: Content(token, annotations) for name, token in tokens.items()}
    question = Question(source, "payments", "epoch", 1, contents, Known(known), TIMEOUT)
    return freshness(question, NOW + timedelta(seconds=seconds))


def test_a_source_is_asked_by_one_patch() -> None:
    """Under the version that was read; it says for what, since when, and what was there by then."""
    source = a_source(INFISICAL_SECRET, None, ask={"spec": {"syncConfig": {"resyncInterval": "60s"}}})
    patch = asking(source, "payments", "epoch.7", {"env": "old", "a": ""}, NOW)
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
    """For the same stamp it is another attempt since the same moment; for another one a new question."""
    first = asked(a_source())
    again = request_of(asked(first, now=NOW + TIMEOUT), "payments")
    other = request_of(asked(first, 2, now=NOW + TIMEOUT), "payments")

    assert again is not None
    assert other is not None
    assert (again.attempt, again.since, again.at) == (2, NOW, NOW + TIMEOUT)
    assert (other.attempt, other.since, other.at) == (1, NOW + TIMEOUT, NOW + TIMEOUT)


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
    ],
)
def test_a_question_edited_by_hand(text: str) -> None:
    """What cannot be read was never asked."""
    source = a_source(annotations={ASKED: text})

    assert request_of(source, "payments") is None
    assert judged(source) is Freshness.UNASKED


@given(json_values)
def test_any_question_is_read_or_not(raw: object) -> None:
    """Whatever stands there, nothing is raised."""
    source = a_source(annotations={ASKED: json.dumps(raw)})

    assert judged(source) in Freshness


# -- what it can vouch for ------------------------------------------------------------------------


def test_who_was_not_asked() -> None:
    """Nothing is known of it, whatever its Secrets have."""
    assert judged(a_source(), NEW) is Freshness.UNASKED


@pytest.mark.parametrize(("epoch", "seq"), [("other", 9), ("epoch", 0)])
def test_a_question_for_something_else(epoch: str, seq: int) -> None:
    """Of another baseline, or for an earlier debt, it is not this one's."""
    assert judged(asked(a_source(), seq, epoch=epoch), NEW) is Freshness.UNASKED


def test_a_question_for_a_later_debt() -> None:
    """It is one for this debt as well."""
    assert judged(asked(a_source(), 9)) is Freshness.WAITING


@pytest.mark.parametrize("acknowledged", ["1", ""])
def test_who_has_not_answered(acknowledged: str) -> None:
    """It is waited for until its time is over, even if the content has moved; nothing is no answer."""
    source = replace(asked(a_source()), acknowledged=acknowledged)

    assert judged(source, NEW) is Freshness.WAITING
    assert judged(source, NEW, seconds=59.9) is Freshness.WAITING
    assert judged(source, NEW, seconds=60) is Freshness.OVERDUE


def test_who_has_answered_with_another_content() -> None:
    """Is fresh at once, and stays so."""
    source = replace(asked(a_source()), acknowledged="2")

    assert judged(source, NEW) is Freshness.CHANGED
    assert judged(source, NEW, seconds=3600) is Freshness.CHANGED


def test_who_had_synced_first() -> None:
    """Whoever had the new content when it was asked is fresh as soon as it answers."""
    source = asked(a_source(), tokens=NEW)

    assert judged(source, NEW) is Freshness.WAITING
    assert judged(replace(source, acknowledged="2"), NEW) is Freshness.CHANGED


def test_who_answers_with_the_same_content() -> None:
    """Is asked once more after a second, for it may have read something old; then it is the same."""
    source = replace(asked(a_source()), acknowledged="2")
    assert judged(source) is Freshness.WAITING
    assert judged(source, seconds=0.99) is Freshness.WAITING
    assert judged(source, seconds=1) is Freshness.UNASKED

    again = asked(source, now=NOW + timedelta(seconds=1))
    assert judged(again, seconds=1) is Freshness.WAITING
    assert judged(replace(again, acknowledged="3"), seconds=1) is Freshness.SAME
    assert judged(replace(again, acknowledged="3"), NEW, seconds=1) is Freshness.CHANGED


def test_asking_again_gives_no_more_time() -> None:
    """Its time counts from the first question."""
    again = asked(replace(asked(a_source()), acknowledged="2"), now=NOW + timedelta(seconds=50))

    assert judged(again, seconds=59) is Freshness.WAITING
    assert judged(again, seconds=60) is Freshness.OVERDUE


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
    source = replace(asked(a_source(), tokens=tokens), acknowledged="2")

    assert judged(source, tokens, known=known) is Freshness.CHANGED


def test_who_answers_nothing() -> None:
    """Is told by its content, which has moved since it was asked."""
    source = asked(a_source(INFISICAL_SECRET, None))

    assert judged(source, seconds=59) is Freshness.WAITING
    assert judged(source, NEW) is Freshness.CHANGED
    assert judged(source, seconds=60) is Freshness.OVERDUE


def test_who_answers_nothing_and_had_synced_first() -> None:
    """Is given ten seconds to move again, then taken for fresh."""
    source = asked(a_source(INFISICAL_SECRET, None), tokens=NEW)

    assert judged(source, NEW, seconds=9.9) is Freshness.WAITING
    assert judged(source, NEW, seconds=10) is Freshness.CHANGED


def test_who_answers_nothing_and_moved_back() -> None:
    """Content that moved to what the pods have is asked for once more, then the same."""
    source = asked(a_source(INFISICAL_SECRET, None), tokens=NEW)
    assert judged(source, OLD, seconds=1) is Freshness.UNASKED


def test_an_answer_to_an_earlier_sync() -> None:
    """A sync that began before the question may end after it: the question has to stand on the Secret, too.

    Who never shows it there is believed after five seconds.
    """
    source = replace(asked(a_source(STATIC_SECRET, is_copied=True)), acknowledged="2")
    mine = source.annotations[ASKED]

    assert judged(source, NEW) is Freshness.WAITING
    assert judged(source, NEW, **{ASKED: "an older question"}) is Freshness.WAITING
    assert judged(source, NEW, **{ASKED: mine}) is Freshness.CHANGED
    assert judged(source, NEW, seconds=5) is Freshness.CHANGED
    assert judged(replace(source, is_copied=False), NEW) is Freshness.CHANGED


def test_a_failing_external_secret_vouches_for_nothing() -> None:
    """It keeps the version of its last success, also when that is another one than it was asked with."""
    spec = {"target": {"name": "env"}}
    source = asked(source_of(EXTERNAL_SECRET, stored(spec, ready("1"))))
    kept = dict(source.annotations)
    failing = source_of(EXTERNAL_SECRET, stored(spec, ready("2", "False"), annotations=kept))

    assert judged(failing, NEW) is Freshness.WAITING
    assert judged(failing, NEW, seconds=60) is Freshness.OVERDUE


def test_who_cannot_be_asked_is_late_at_once() -> None:
    """Nobody waits for it."""
    assert judged(a_source(unable="it never syncs again"), NEW) is Freshness.OVERDUE


def test_two_subscriptions_ask_apart() -> None:
    """The question of one is none of the other's."""
    other = asking(a_source(), "mail", "epoch.9", OLD, NOW)["metadata"]["annotations"]

    assert judged(a_source(annotations=other, acknowledged="2"), NEW) is Freshness.UNASKED
