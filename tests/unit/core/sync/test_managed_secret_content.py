"""What a Secret shall hold, and by what two contents are told apart."""

import hashlib
import re
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from infisical_events.api.specs import ManagedSecret
from infisical_events.core.ledger.acceptance import AcceptedState
from infisical_events.core.snapshots.snapshots import Partition, PartitionState, SecretVersion
from infisical_events.core.sync.managed_secret_content import (
    ContentError,
    FolderValues,
    ManagedSecretContent,
    check_secrets,
    managed_secret_content_of,
    matches_accepted,
    may_lack_import,
)
from infisical_events.core.sync.templates import length_of, rendered
from infisical_events.core.sync.value_digests import DigestKey
from support.builders import a_ledger, a_partition, a_partition_state, a_spec, an_accepted_state, at
from support.strategies import few_keys, own_states, states

CANARY = "canary-value-9a3e"
KEY = DigestKey(b"one")
OWN, SHARED, DEFAULTS = a_partition(), a_partition(source="/shared"), a_partition(source="/defaults")


def a_managed(**fields: Any) -> ManagedSecret:  # noqa: ANN401 - JSON
    """An entry of `spec.resync.secrets`, as a user writes it."""
    raw = {"name": "payments", "environmentSlug": "prod", "secretPath": "/a"} | fields
    return a_spec(resync={"secrets": [raw]}).resync.secrets[0]


def folder_values_of(partitions: dict[Partition, dict[str, str]] | None = None, **own: str) -> FolderValues:
    """Values by part, or the folder's own; the order of imports is that of the mapping."""
    given_parts = {OWN: own} | (partitions or {})
    ranks = {
        partition: rank
        for rank, partition in enumerate(partition for partition in given_parts if partition.source)
    }
    seen = {
        partition: PartitionState.of(
            {key: SecretVersion(f"{partition}/{key}", 1) for key in values}, ranks.get(partition, 0)
        )
        for partition, values in given_parts.items()
    }
    return FolderValues(seen, given_parts)


def content_of(
    folder_values: FolderValues, managed: ManagedSecret, key: DigestKey = KEY
) -> ManagedSecretContent:
    """What it makes in the namespace `team`."""
    return managed_secret_content_of(folder_values, managed, "team", key)


def token(folder_values: FolderValues, **fields: object) -> str:
    """The token of what it makes."""
    return content_of(folder_values, a_managed(**fields)).fingerprint


def with_body(folder_values: FolderValues, body: PartitionState) -> FolderValues:
    """The same values under other sightings of the folder's own secrets."""
    return replace(folder_values, partitions={**folder_values.partitions, OWN: body})


# -- which value wins ---------------------------------------------------------------------------------


def test_own_secrets_win_over_imports_and_later_imports_over_earlier() -> None:
    """As in the server's own reading of a folder."""
    imports = {SHARED: {"A": "shared", "B": "shared", "C": "shared"}, DEFAULTS: {"B": "later"}}
    folder_values = folder_values_of(imports, A="own")

    assert content_of(folder_values, a_managed()).data == {
        "A": "own",
        "B": "later",
        "C": "shared",
    }


_few_values = st.dictionaries(few_keys, st.text(max_size=3))


@given(_few_values, st.lists(_few_values, max_size=3))
def test_the_order_of_a_mapping_decides_nothing(own: dict[str, str], brought: list[dict[str, str]]) -> None:
    """Ranks decide: the imports are read from the first to the last, then come the own secrets."""
    named = {a_partition(source=f"/s{place}"): values for place, values in enumerate(brought)}
    folder_values = folder_values_of(named, **own)
    turned = FolderValues(dict(reversed(folder_values.partitions.items())), folder_values.values)
    expected = {key: value for values in [*brought, own] for key, value in values.items()}

    assert content_of(folder_values, a_managed()).data == content_of(turned, a_managed()).data == expected
    assert content_of(folder_values, a_managed()).fingerprint == content_of(turned, a_managed()).fingerprint


def test_keys_are_selected() -> None:
    """Only what the patterns include gets into the Secret, imported or not."""
    folder_values = folder_values_of({SHARED: {"DB_HOST": "h", "OTHER": "o"}}, DB_USER="u", DB_OLD="x")

    content = content_of(folder_values, a_managed(secretKeys=["DB_*", "!*_OLD"]))

    assert content.data == {"DB_HOST": "h", "DB_USER": "u"}


def test_an_empty_folder_makes_an_empty_secret() -> None:
    """What was deleted leaves the Secret, to the last key."""
    assert content_of(folder_values_of(), a_managed()).data == {}


# -- what cannot be made ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["with blank", "a/b", "é", "..", ".", "..x", "a" * 254, "line\nbreak"])
def test_a_key_that_no_secret_can_have_is_left_out(key: str) -> None:
    """The clause names it and says how to give it another name, which helps; the valid rest is written."""
    folder_values = folder_values_of(**{key: CANARY}, GOOD="1")
    content = content_of(folder_values, a_managed())

    assert content.data == {"GOOD": "1"}
    assert ascii(key[:64]) in content.omission
    assert "template" in content.omission
    assert CANARY not in content.omission
    assert "\n" not in content.omission
    renamed = a_managed(template={"K": f'{{{{ index . "{key}" }}}}'})
    assert (content_of(folder_values, renamed).data, content_of(folder_values, renamed).omission) == (
        {"K": CANARY},
        "",
    )
    assert content_of(folder_values, a_managed(secretKeys=["OTHER"])).omission == ""


@pytest.mark.parametrize("key", ["A", "tls.crt", ".dockerconfigjson", "a..b", "-", "_", "a" * 253])
def test_a_key_that_a_secret_can_have(key: str) -> None:
    """All that Kubernetes takes is taken."""
    assert content_of(folder_values_of(**{key: "v"}), a_managed()).data == {key: "v"}


def test_many_bad_keys_make_no_endless_sentence() -> None:
    """Some are named and the others counted."""
    content = content_of(folder_values_of(**{f"k {number}": "v" for number in range(8)}), a_managed())

    assert re.search(r"'k 0', .*'k 4' and 3 more", content.omission)


def test_a_template_has_exactly_its_keys() -> None:
    """What it does not name is left out."""
    folder_values = folder_values_of(USER="u", PASSWORD="p", OTHER="o")

    content = content_of(folder_values, a_managed(template={"url": "{{ .USER }}:{{ .PASSWORD }}@db"}))

    assert content.data == {"url": "u:p@db"}


def test_a_missing_secret_is_named_with_its_place() -> None:
    """The sentence names the Secret, the folder, the template's key and the name; no value."""
    with pytest.raises(ContentError) as refused:
        content_of(folder_values_of(USER=CANARY), a_managed(template={"url": "{{ .USER }}:{{ .PASSWORD }}"}))

    assert str(refused.value) == (
        "secret/payments from prod:/a: template key url refers to missing secrets: PASSWORD."
    )


@pytest.mark.parametrize(("letter", "most"), [("a", 1024 * 1024), ("é", 512 * 1024)])
def test_what_is_too_large_is_refused(letter: str, most: int) -> None:
    """A Secret holds a mebibyte of values, in bytes, all of them together."""
    half = letter * (most // 2)
    assert len(content_of(folder_values_of(A=half, B=half), a_managed()).data) == 2

    with pytest.raises(ContentError, match=r"would have 104857\d bytes.*secretKeys"):
        content_of(folder_values_of(A=half, B=half + letter), a_managed())


def test_a_value_that_cannot_be_written_is_refused() -> None:
    """Half of a surrogate pair, which JSON can name, is told by its key."""
    with pytest.raises(ContentError, match="value of 'A' is not valid Unicode text"):
        content_of(folder_values_of(A="\ud800"), a_managed())


def test_no_value_is_shown() -> None:
    """Neither what was read nor what was made of it repeats a value when it is printed."""
    folder_values = folder_values_of({SHARED: {"B": CANARY}}, A=CANARY)
    content = content_of(folder_values, a_managed())

    assert CANARY not in f"{folder_values!r} {folder_values} {content!r} {content}"


# -- the fingerprint ----------------------------------------------------------------------------------


def test_a_fingerprint_is_short_and_names_its_key() -> None:
    """Two times 12 characters of URL-safe base64."""
    assert re.fullmatch(r"[\w-]{12}:[\w-]{12}", token(folder_values_of(A="1")), re.ASCII)
    assert token(folder_values_of(A="1")).startswith(KEY.id)


@given(own_states, own_states)
def test_a_fingerprint_knows_nothing_of_versions(one: PartitionState, other: PartitionState) -> None:
    """A comment, a tag or the same value again is the same content."""
    values = dict.fromkeys(one.versions.keys() | other.versions.keys(), "1")
    assume(one.versions.keys() == other.versions.keys())
    read = folder_values_of(**values)

    assert token(with_body(read, one)) == token(with_body(read, other))


@given(few_values := st.dictionaries(few_keys, st.text(max_size=3)), few_values)
def test_a_fingerprint_changes_with_the_data(one: dict[str, str], other: dict[str, str]) -> None:
    """And with nothing else."""
    assert (token(folder_values_of(**one)) == token(folder_values_of(**other))) == (one == other)


def test_a_fingerprint_is_keyed() -> None:
    """Without the key of the operator no guess of a value can be tried."""
    read = folder_values_of(A=CANARY)

    assert (
        content_of(read, a_managed()).fingerprint
        != content_of(read, a_managed(), DigestKey(b"2")).fingerprint
    )
    assert hashlib.sha256(CANARY.encode()).hexdigest() not in token(read)


def test_equal_secrets_have_different_fingerprints() -> None:
    """So a reader of two annotations does not learn that two Secrets have the same data."""
    read = folder_values_of(A="1")

    assert token(read) != token(read, name="other")
    assert token(read) != managed_secret_content_of(read, a_managed(), "other", KEY).fingerprint


@pytest.mark.parametrize(
    "edit",
    [
        {"template": {"A": "{{ .A }}"}},
        {"labels": {"a": "b"}},
        {"annotations": {"a": "b"}},
        {"creationPolicy": "Orphan"},
    ],
)
def test_an_edit_that_leaves_the_data_is_no_new_content(edit: dict[str, Any]) -> None:
    """Pods do not read the metadata of a Secret."""
    assert token(folder_values_of(A="1")) == token(folder_values_of(A="1"), **edit)


# -- whether it is what is believed -------------------------------------------------------------------


def seen_as(partitions: dict[Partition, PartitionState]) -> FolderValues:
    """A reading of these sightings."""
    return FolderValues({OWN: a_partition_state()} | partitions, {})


@given(own_states, states)
def test_a_reading_agrees_with_itself(own: PartitionState, brought: PartitionState) -> None:
    """And with a belief that has forgotten keys or digests, or knows of other folders."""
    folder_values = seen_as({OWN: own, SHARED: brought})
    elsewhere = {
        a_partition("/b"): a_partition_state(A=7),
        a_partition("/b", source="/shared"): a_partition_state(A=7),
    }

    for accepted in (
        {OWN: own, SHARED: brought},
        {OWN: own.compacted(), SHARED: brought.compacted()},
        {OWN: own.without_digests()},
        elsewhere,
        {},
    ):
        assert matches_accepted(folder_values, accepted)


@given(own_states, own_states)
def test_a_reading_agrees_with_what_its_bodies_agree_with(
    seen: PartitionState, current: PartitionState
) -> None:
    """What decides is what decides elsewhere."""
    assert matches_accepted(seen_as({OWN: seen}), {OWN: current}) == current.agrees(seen)


@pytest.mark.parametrize(
    ("accepted", "agrees"),
    [
        ({OWN: a_partition_state(A=1)}, False),
        ({SHARED: a_partition_state(A=1)}, False),
        ({OWN: a_partition_state()}, True),
        ({a_partition("/a/**", source="/shared"): a_partition_state(A=1)}, True),
        ({a_partition("/a/b"): a_partition_state(A=1)}, True),
    ],
)
def test_what_is_gone_disagrees(accepted: dict[Partition, PartitionState], agrees: bool) -> None:  # noqa: FBT001 - a case
    """An empty reading is not what is believed, unless nothing is, or a look elsewhere may have shown it."""
    assert matches_accepted(seen_as({}), accepted) is agrees


@pytest.mark.parametrize(("version", "agrees"), [(1, True), (2, False)])
def test_an_import_is_compared_with_a_recursive_look(version: int, agrees: bool) -> None:  # noqa: FBT001 - a case
    """An import that was believed of many folders has another place in a list, and the same secrets."""
    accepted = {
        a_partition("/**", source="/shared"): a_partition_state(rank=3, A=version),
        a_partition("/a/**"): a_partition_state(),
    }

    assert matches_accepted(seen_as({SHARED: a_partition_state(rank=0, A=1)}), accepted) is agrees


@pytest.mark.parametrize(
    ("accepted", "now", "may_lack"),
    [(30, 31, True), (30, 90, True), (30, 91, False), (0, 1, False)],
    ids=["just now", "a minute ago", "longer ago", "in the baseline"],
)
def test_an_import_of_a_tree_that_is_not_shown(accepted: float, now: float, may_lack: bool) -> None:  # noqa: FBT001 - a case
    """It may be this folder's, in a read that lags, for as long as reads may."""
    tree = {a_partition("/**", source="/shared"): an_accepted_state(a_partition_state(A=1), accepted)}

    assert may_lack_import(seen_as({}), a_ledger(tree), at(now)) is may_lack
    assert not may_lack_import(seen_as({SHARED: a_partition_state(A=1)}), a_ledger(tree), at(now))


@pytest.mark.parametrize(
    "accepted",
    [
        {a_partition("/**", source="/shared"): an_accepted_state(seconds=30)},
        {a_partition("/b/**", source="/shared"): an_accepted_state(a_partition_state(A=1), 30)},
        {SHARED: an_accepted_state(a_partition_state(A=1), 30)},
        {a_partition("/a/b"): an_accepted_state(a_partition_state(A=1), 30)},
    ],
    ids=["gone", "of another tree", "of this folder", "no import"],
)
def test_what_a_read_of_the_folder_cannot_lack(accepted: dict[Partition, AcceptedState]) -> None:
    """Only what may be there and is not shown is missing; what must be there is compared."""
    assert not may_lack_import(seen_as({}), a_ledger(accepted), at(31))


# -- specs that can never be served -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"secretKeys": ["[z-a]"]}, r"secretKeys: the key pattern '\[z-a\]' has a range in reverse order"),
        ({"template": {"K": "{{ .A"}}, r"template key K has the invalid placeholder '\{\{ \.A'"),
        ({"template": {"..": "x"}}, r"template: '\.\.' is not a valid Secret key"),
        (
            {"template": {"K": "{{ .A }}"}, "secretKeys": ["B*"]},
            r"template: it refers to 'A', which secretKeys",
        ),
    ],
)
def test_what_can_never_be_made_is_refused(fields: dict[str, Any], told: str) -> None:
    """Each mistake is told with its place, before anything is read."""
    raw = {"name": "payments", "environmentSlug": "prod", "secretPath": "/a"} | fields
    with pytest.raises(ValueError, match=rf"^spec\.resync\.secrets\[0\](\.|: ){told}"):
        check_secrets(a_spec(resync={"secrets": [raw]}))


def test_what_can_be_made_is_let_through() -> None:
    """A spec without Secrets, and one with all fields."""
    check_secrets(a_spec())
    raw = {
        "name": "payments",
        "environmentSlug": "prod",
        "secretPath": "/a/b",
        "secretKeys": ["DB_*"],
        "template": {"tls.crt": "{{ .DB_A }}", "tls.key": "x"},
        "type": "kubernetes.io/tls",
        "creationPolicy": "Orphan",
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
    }
    check_secrets(
        a_spec(resync={"secrets": [raw, {"name": "m", "environmentSlug": "e", "creationPolicy": "Merge"}]})
    )


def test_a_template_is_measured_before_it_is_made() -> None:
    """A value that a template names ten thousand times never fills the memory: 256 keys would be 500 GiB."""
    bomb = "{{ .A }}" * 2000
    folder_values = folder_values_of(A="a" * 1024 * 1024)
    tracemalloc.start()
    try:
        with pytest.raises(ContentError, match=r"would have \d+ bytes"):
            content_of(folder_values, a_managed(template={f"k{number}": bomb for number in range(16)}))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 16 * 1024 * 1024


@given(st.dictionaries(st.sampled_from("ABC"), st.text(max_size=5)), st.text(max_size=20))
def test_a_template_is_measured_as_it_is_made(values: dict[str, str], text: str) -> None:
    """The length that is told is that of the text."""
    template = {"k": text.replace("{", "") + "{{ .A }} {{ .A }}" + '{{ "{{" }}', "l": '{{ index . "B" }}'}
    assume({"A", "B"} <= values.keys())

    assert length_of(template, values) == sum(map(len, rendered(template, values).values()))
