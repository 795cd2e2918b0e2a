"""Who writes Secrets: how each kind of object is read, and what it is asked by."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.api.resources import EXTERNAL_SECRET, INFISICAL_SECRET, STATIC_SECRET, ResourceKind
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.secret_providers import content_marker_of, provider_of, reworded
from support.builders import a_change
from support.strategies import json_values


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
    provider = provider_of(INFISICAL_SECRET, stored(spec))

    assert (provider.secrets, provider.acknowledged, provider.disabled_reason) == (names, None, "")


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
    assert provider_of(INFISICAL_SECRET, stored(spec)).sync_trigger == {"spec": {"syncConfig": config}}


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
    provider = provider_of(STATIC_SECRET, stored({"targets": targets}))

    assert (provider.secrets, provider.copies_annotations, provider.sync_trigger) == (names, is_copied, {})


def test_the_acknowledgement_of_a_static_secret() -> None:
    """The time of its newest success, as its condition says it; its trouble is the newest failure's."""
    failed = condition("secrets.infisical.com/LastReconcileStatus", "False", "no such\nfolder")
    provider = provider_of(STATIC_SECRET, stored(None, succeeded("2026-01-02T03:04:05Z", failed)))

    assert (provider.acknowledged, provider.error_message) == ("2026-01-02T03:04:05Z", "no such folder")


@pytest.mark.parametrize(
    ("spec", "names"),
    [({}, {"app"}), ({"target": {"name": "env"}}, {"env"}), ({"target": {"template": {}}}, {"app"})],
)
def test_the_secret_of_an_external_secret(spec: object, names: set[str]) -> None:
    """It is named like its source if it has no name of its own."""
    assert provider_of(EXTERNAL_SECRET, stored(spec)).secrets == names


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
    provider = provider_of(EXTERNAL_SECRET, stored(None, status))

    assert (provider.acknowledged, provider.error_message) == (acknowledged, trouble)


def test_a_provider_whose_owner_reverts_sync_requests() -> None:
    """A provider that a ClusterExternalSecret owns cannot be requested; with another owner it can."""
    made = {"kind": "ClusterExternalSecret", "name": "all\n"}
    deaf = provider_of(EXTERNAL_SECRET, stored(ownerReferences=[{"kind": "Other", "name": "x"}, made]))

    assert (
        deaf.unrequestable_reason.startswith("owned by ClusterExternalSecret all ,"),
        deaf.is_acknowledging,
    ) == (True, False)
    assert provider_of(
        EXTERNAL_SECRET, stored(ownerReferences=[{"kind": "Other", "name": "x"}])
    ).is_acknowledging
    assert not provider_of(INFISICAL_SECRET, stored({})).is_acknowledging


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
    unable = provider_of(EXTERNAL_SECRET, stored(spec)).disabled_reason

    assert (unable == "") is is_able
    assert is_able or "never syncs again" in unable


@pytest.mark.parametrize("kind", [INFISICAL_SECRET, STATIC_SECRET, EXTERNAL_SECRET])
@given(raw=json_values)
def test_another_shape_is_refused(kind: ResourceKind, raw: Any) -> None:  # noqa: ANN401 - any JSON
    """No JSON is read as a source by chance, and none raises anything else than it says."""
    for shape in (raw, stored(raw), stored(None, raw), stored({"targets": raw, "refreshInterval": raw})):
        try:
            provider = provider_of(kind, shape)
        except (KeyError, TypeError, AttributeError, ValueError):
            continue
        assert provider.kind is kind


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
    provider = provider_of(kind, stored())

    assert content_marker_of(provider, SecretMetadata("env", "u", "1", {key: "W/abc"})) == "W/abc"
    assert content_marker_of(provider, SecretMetadata("env", "u", "1", {})) == ""
    assert content_marker_of(provider, None) == ""


WAYS = {
    "universalAuth": {"secretsScope": {"envSlug": "prod", "secretsPath": "/a", "recursive": True}},
    "serviceToken": {"secretsScope": {"envSlug": "dev", "secretsPath": "b/"}},
}


@pytest.mark.parametrize(
    ("authentication", "environment", "path", "may_read"),
    [
        (WAYS, "prod", "/a", True),
        (WAYS, "prod", "/a/deep/er", True),
        (WAYS, "prod", "/**", True),
        (WAYS, "dev", "/b", True),
        (WAYS, "prod", "/b", False),
        (WAYS, "dev", "/b/below", False),
        (WAYS, "dev", "/a", False),
        ({}, "prod", "/b", True),
        ({"universalAuth": None}, "prod", "/b", True),
        ({"universalAuth": {"credentialsRef": {}}}, "prod", "/b", True),
    ],
)
def test_what_an_infisical_secret_reads(
    authentication: object,
    environment: str,
    path: str,
    may_read: bool,  # noqa: FBT001 - a table
) -> None:
    """The folders that any of its ways to log in names; it may read anything if none is named."""
    provider = provider_of(INFISICAL_SECRET, stored({"authentication": authentication}))

    assert provider.may_read([a_change(path=path, environment=environment)]) is may_read
    assert provider.may_read([]) is (provider.reads is None)


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
