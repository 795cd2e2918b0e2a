"""Where the data of an ExternalSecret come from, by its spec and its stores."""

from typing import Any

import pytest
from hypothesis import given

from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.sync.external_secrets import content_of_spec, names_change, stores_of, target_of
from infisical_events.core.sync.secret_stores import NO_STORES, SecretStore, StoreReference, secret_store_of
from support.builders import UPDATE
from support.strategies import json_values

STORE = {"secretStoreRef": {"name": "s"}}
GENERATED = {"sourceRef": {"generatorRef": {"kind": "Password", "name": "p"}}}


def key(name: str, **more: object) -> dict[str, Any]:
    """An entry of `data`."""
    return {"secretKey": "K", "remoteRef": {"key": name}, **more}


def stores(provider: str = "infisical", scope: Scope | None = None) -> dict[StoreReference, SecretStore]:
    """The store `s`, of this provider."""
    return {StoreReference("SecretStore", "s"): SecretStore(provider, scope)}


def a_scope(path: str, *, recursive: bool = False) -> Scope:
    """A folder of `prod`."""
    return Scope(Folder("prod", path), recursive)


@pytest.mark.parametrize(
    ("spec", "provider", "reason"),
    [
        ({"dataFrom": [GENERATED]}, "infisical", "its data come from a generator"),
        ({"data": [key("a", **GENERATED)]}, "infisical", "its data come from a generator"),
        ({**STORE, "data": [key("a")]}, "aws", "its data come from aws, not from Infisical"),
        ({**STORE, "dataFrom": [{"find": {}}, GENERATED]}, "vault", "its data come from vault"),
        ({**STORE, "data": [key("a")]}, "infisical", ""),
        ({**STORE, "data": [key("a")]}, "webhook", ""),
        ({**STORE, "data": [key("a", sourceRef={"storeRef": {"name": "other"}})]}, "aws", ""),
        ({**STORE, "data": [key("a"), key("b", sourceRef={"storeRef": {"name": "other"}})]}, "aws", ""),
        ({}, "aws", ""),
    ],
)
def test_data_that_no_change_can_reach(spec: dict[str, Any], provider: str, reason: str) -> None:
    """A generator, or stores that are all of other services; an unknown store may be Infisical's."""
    found = content_of_spec(spec, stores(provider)).unaffected_reason

    assert found.startswith(reason)
    assert bool(found) is bool(reason)


@pytest.mark.parametrize(
    ("spec", "is_disabled"),
    [
        ({"refreshPolicy": "CreatedOnce"}, True),
        ({"refreshInterval": "0s"}, True),
        ({"refreshPolicy": "OnChange", "refreshInterval": "0"}, False),
        ({}, False),
    ],
)
def test_a_policy_that_never_syncs_again(spec: dict[str, Any], is_disabled: bool) -> None:  # noqa: FBT001 - a table
    """OnChange syncs when the annotation is written, which is a change of the object."""
    content = content_of_spec({**STORE, "data": [key("a")], **spec}, NO_STORES)

    assert bool(content.disabled_reason) is is_disabled


def test_a_generator_beside_keys() -> None:
    """A request would run it as well."""
    content = content_of_spec({**STORE, "data": [key("a")], "dataFrom": [GENERATED]}, stores())

    assert "generator" in content.unrequestable_reason
    assert content.unaffected_reason == ""


@pytest.mark.parametrize(
    ("entry", "folders"),
    [
        ({"data": [key("KEY")]}, {"/app"}),
        ({"data": [key("/pay/KEY")]}, {"/pay", "/pay/KEY"}),
        ({"data": [key("sub/KEY")]}, {"/app/sub", "/app/sub/KEY"}),
        ({"dataFrom": [{"extract": {"key": "/pay"}}]}, {"/", "/pay"}),
        ({"dataFrom": [{"key": "/pay"}]}, {"/", "/pay"}),
    ],
)
def test_the_folders_of_keys(entry: dict[str, Any], folders: set[str]) -> None:
    """As the Infisical provider of External Secrets resolves a key, and as a folder."""
    content = content_of_spec({**STORE, **entry}, stores(scope=a_scope("/app", recursive=True)))

    assert content.reads is not None
    assert {str(scope) for scope in content.reads} == {f"prod:{folder}" for folder in folders}


def test_finding_keys_reads_the_whole_scope_of_the_store() -> None:
    """With its subfolders, if it is recursive."""
    scope = a_scope("/app", recursive=True)
    content = content_of_spec(
        {**STORE, "dataFrom": [{"find": {"name": {"regexp": ".*"}}}]}, stores(scope=scope)
    )

    assert content.reads == (scope,)


def test_keys_of_an_unknown_store() -> None:
    """They are kept as they are; with an entry that finds keys, nothing is known."""
    both = {"data": [key("a")], "dataFrom": [{"extract": {"key": "/b"}}]}

    assert content_of_spec(both, NO_STORES).remote_keys == ("a", "/b")
    assert content_of_spec({**both, "dataFrom": [{"find": {}}]}, NO_STORES).remote_keys is None


@pytest.mark.parametrize(
    ("name", "is_named"),
    [
        ("KEY", True),
        ("OTHER", False),
        ("/pay", True),
        ("/pay/", True),
        ("/pay/KEY", True),
        ("/pay/OTHER", False),
        ("/other", False),
        ("/other/KEY", False),
        ("pay/KEY", True),
        ("ay/KEY", False),
    ],
)
def test_a_remote_key_that_names_a_change(name: str, is_named: bool) -> None:  # noqa: FBT001 - a table
    """By the key, or by the path of its folder."""
    assert names_change(name, Change(a_scope("/pay"), "KEY", frozenset({UPDATE}))) is is_named


def test_a_change_of_unknown_keys_may_be_any() -> None:
    """So may one of a whole tree."""
    assert names_change("OTHER", Change(a_scope("/pay"), ANY_KEY, frozenset({UPDATE})))
    assert names_change("/x", Change(a_scope("/pay", recursive=True), "KEY", frozenset({UPDATE})))


def test_the_stores_and_the_target() -> None:
    """A generator has no store; the target has the name of the object by default."""
    spec = {**STORE, "data": [key("a")], "dataFrom": [GENERATED, {"sourceRef": {"storeRef": {"name": "t"}}}]}

    assert stores_of(spec) == {StoreReference("SecretStore", "s"), StoreReference("SecretStore", "t")}
    assert target_of("app", {}) == ("Secret", "app")
    assert target_of("app", {"target": {"name": "env"}}) == ("Secret", "env")
    assert target_of("app", {"target": {"manifest": {"kind": "ConfigMap"}}}) == ("ConfigMap", "app")


@given(raw=json_values)
def test_a_store_of_any_shape(raw: object) -> None:
    """What is not understood is no store, and breaks nothing."""
    spec = {"provider": {"infisical": {"secretsScope": raw}}}

    assert secret_store_of({"spec": {"provider": raw}}) is None or isinstance(raw, dict)
    assert secret_store_of({"spec": spec}) is not None


def test_the_scope_of_an_infisical_store() -> None:
    """Its environment and path, `/` by default."""
    scope = {"environmentSlug": "prod", "projectSlug": "p"}
    found = secret_store_of({"spec": {"provider": {"infisical": {"secretsScope": scope}}}})

    assert found == SecretStore("infisical", a_scope("/"))
