"""What the metadata of a Secret say about who writes it."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from infisical_events.api import annotations
from infisical_events.core.sync.secret_metadata import FieldManager, SecretMetadata
from infisical_events.core.sync.unlisted_writers import unlisted_content_marker_of, unlisted_provider
from support.builders import at

VERSION = "secrets.infisical.com/version"
PLAIN = SecretMetadata("env", "u", "7", {}, created_at=at(0))


def written(by: str, moment: datetime) -> tuple[FieldManager, ...]:
    """The data were written by this manager."""
    return (FieldManager(by, moment, writes_data=True),)


@pytest.mark.parametrize(
    ("fields", "is_waited_for"),
    [
        ({}, False),
        ({"annotations": {VERSION: "1"}}, True),
        ({"annotations": {"reconcile.external-secrets.io/data-hash": "1"}}, True),
        ({"controller_kind": "InfisicalSecret"}, True),
        ({"controller_kind": "SecretSync"}, True),
        ({"controller_kind": "SealedSecret"}, False),
        ({"annotations": {VERSION: "1"}, "controller_kind": "InfisicalDynamicSecret"}, False),
        ({"annotations": {"replicator.v1.mittwald.de/replicated-from-version": "3"}}, True),
        ({"managers": written("secret-syncer", at(60))}, True),
        ({"managers": written("secret-syncer", at(0))}, False),
        ({"managers": written("kubectl-edit", at(60))}, False),
        ({"managers": written("Helm", at(60))}, False),
        ({"managers": (FieldManager("labeller", at(60)),)}, False),
    ],
)
def test_the_marks_of_a_writer(
    fields: dict[str, Any],
    is_waited_for: bool,  # noqa: FBT001 - a table
) -> None:
    """Something keeps writing it, and may read Infisical."""
    provider = unlisted_provider(replace(PLAIN, **fields))

    assert provider is not None
    assert provider.is_waited_for is is_waited_for
    assert (str(provider), provider.references) == ("secret/env", {"env"})
    assert "not found" in provider.unrequestable_reason


def test_only_known_marks_say_that_it_reads_infisical() -> None:
    """Another controller's Secret counts after a provider that explains the change."""
    marked = unlisted_provider(replace(PLAIN, annotations={VERSION: "1"}))
    owned = unlisted_provider(replace(PLAIN, controller_kind="SecretSync"))

    assert marked is not None
    assert owned is not None
    assert (marked.is_presumed, owned.is_presumed) == (False, True)


def test_a_secret_of_a_subscription_is_none_of_them() -> None:
    """This operator writes it."""
    assert unlisted_provider(replace(PLAIN, annotations={annotations.CONTENT: "x"})) is None


def test_a_config_map_is_waited_for_by_known_marks_alone() -> None:
    """Controllers write all sorts of things into ConfigMaps."""
    plain = replace(PLAIN, name="configmap/cfg", managers=written("some-controller", at(60)))
    other, marked = (
        unlisted_provider(plain),
        unlisted_provider(replace(plain, annotations={VERSION: "1"})),
    )

    assert other is not None
    assert marked is not None
    assert (other.is_waited_for, marked.is_waited_for) == (False, True)
    assert (str(other), other.references) == ("configmap/cfg", {"configmap/cfg"})


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": {VERSION: "2"}},
        {"data_digest": "2"},
        {"managers": written("kubectl-edit", at(9))},
        {"resource_version": "8"},
    ],
)
def test_new_content_shows(change: dict[str, Any]) -> None:
    """By an annotation, a digest, the time of a write of data, or the version of the object."""
    assert unlisted_content_marker_of(replace(PLAIN, **change)) != unlisted_content_marker_of(PLAIN)


def test_a_label_is_no_new_content() -> None:
    """Where the times of writes of data are known, other writes do not count."""
    before = replace(PLAIN, managers=written("helm", at(0)))
    after = replace(
        before, resource_version="8", managers=(*before.managers, FieldManager("labeller", at(60)))
    )

    assert unlisted_content_marker_of(before) == unlisted_content_marker_of(after)
