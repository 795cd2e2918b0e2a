"""Drift of a Secret, by its metadata alone."""

from dataclasses import replace

import pytest

from infisical_events.core.sync.secret_metadata import Drift, SecretMetadata, drift_of

WRITTEN = SecretMetadata(
    "env", "u", "1", {}, our_fields=frozenset({"f:data/f:A", "f:data/f:B", "f:metadata/f:labels/f:x"})
)


def without(*fields: str) -> SecretMetadata:
    """The Secret after `kubectl edit` took these fields."""
    left = WRITTEN.our_fields - set(fields)
    managers = dict.fromkeys(fields, "kubectl-edit")
    return replace(WRITTEN, resource_version="2", our_fields=left, other_managers=managers)


@pytest.mark.parametrize(
    ("found", "drift"),
    [
        (WRITTEN, ""),
        (replace(WRITTEN, resource_version="9", labels={"theirs": "1"}), ""),
        (replace(WRITTEN, our_fields=WRITTEN.our_fields | {"f:data/f:C"}), ""),
        (None, "was deleted"),
        (replace(WRITTEN, is_deleting=True), "was deleted"),
        (replace(WRITTEN, uid="other"), "was replaced"),
        (without("f:data/f:B", "f:data/f:A"), "was edited by field manager kubectl-edit (data A, B)"),
        (without("f:metadata/f:labels/f:x"), "was edited by field manager kubectl-edit (metadata)"),
        (replace(WRITTEN, our_fields=frozenset()), "was edited (data A, B)"),
        (
            replace(WRITTEN, our_fields=frozenset(), other_managers={"f:data/f:C": "x"}),
            "was edited (data A, B)",
        ),
    ],
)
def test_what_other_clients_did(found: SecretMetadata | None, drift: str) -> None:
    """A field that was edited or removed is not ours any more; what others add is no drift."""
    assert drift_of(found, WRITTEN) == Drift(drift)


def test_another_process_writes_other_content() -> None:
    """Its fingerprint is then another one, and still ours: keys that are gone are no edit by others."""
    content = "events.infisical.com/content"
    mine = replace(
        WRITTEN,
        annotations={content: "key:old"},
        our_fields=WRITTEN.our_fields | {f"f:metadata/f:annotations/f:{content}"},
    )
    theirs = replace(mine, annotations={content: "key:new"}, our_fields=mine.our_fields - {"f:data/f:A"})
    edited = replace(theirs, our_fields=WRITTEN.our_fields)

    assert drift_of(theirs, mine) == Drift(is_rewritten=True)
    assert drift_of(edited, mine) == Drift("was edited (metadata)")


def test_our_keys_are_the_data_among_our_fields() -> None:
    """Labels are none."""
    assert WRITTEN.our_keys == {"A", "B"}
