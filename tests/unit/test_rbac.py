"""Grants from manifests and uses from audit logs, on which the test of the chart's rights depends."""

import json
from typing import Any

import pytest

from support import rbac
from support.charts import Key, Manifest
from support.rbac import Grant, Use

ACCOUNT = Key("ServiceAccount", "operator", "home")
USER = "system:serviceaccount:home:operator"


def bound(kind: str, namespace: str, *rules: Manifest, account: str = "operator") -> dict[Key, Manifest]:
    """Return a role and its binding, both named `role`."""
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "home"}
    return {
        Key(kind, "role", namespace): {"rules": list(rules)},
        Key(f"{kind}Binding", "role", namespace): {
            "roleRef": {"kind": kind, "name": "role"},
            "subjects": [subject],
        },
    }


def entry(verb: str, code: int = 200, user: str = USER, **thing: str) -> dict[str, Any]:
    """Return an entry of an audit log, as far as it is used."""
    return {
        "user": {"username": user},
        "verb": verb,
        "requestURI": "/api/v1/secrets",
        "responseStatus": {"code": code},
        **({"objectRef": thing} if thing else {}),
    }


def test_each_verb_on_each_resource_is_a_grant() -> None:
    """A ClusterRole grants everywhere, a Role in its namespace, and names limit both."""
    pods = {"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get"]}
    named = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["key"], "verbs": ["get"]}

    everywhere = rbac.granted(bound("ClusterRole", "", pods), ACCOUNT)
    here = rbac.granted(bound("Role", "shop", named), ACCOUNT)

    assert everywhere == {Grant("", "pods", "get"), Grant("", "secrets", "get")}
    assert here == {Grant("", "secrets", "get", "shop", "key")}
    assert rbac.granted(bound("Role", "shop", pods, account="other"), ACCOUNT) == frozenset()


@pytest.mark.parametrize(
    ("grant", "is_covered"),
    [
        (Grant("", "secrets", "get"), True),
        (Grant("", "secrets", "get", "shop"), True),
        (Grant("", "secrets", "get", "shop", "key"), True),
        (Grant("", "secrets", "get", "shop", "other"), False),
        (Grant("", "secrets", "get", "mail"), False),
        (Grant("", "secrets", "list"), False),
        (Grant("", "secrets/status", "get"), False),
        (Grant("apps", "secrets", "get"), False),
    ],
)
def test_a_grant_covers_a_use(grant: Grant, *, is_covered: bool) -> None:
    """By the same verb on the same resource, within its namespace and name."""
    uses = [Use("", "secrets", "get", "shop", "key")]

    assert (rbac.unused([grant], uses) == frozenset()) is is_covered
    assert (rbac.ungranted([grant], uses) == frozenset()) is is_covered


def test_a_use_in_all_namespaces_needs_a_grant_for_all() -> None:
    """A grant in one namespace does not cover a use in all namespaces."""
    assert rbac.ungranted([Grant("", "pods", "list", "shop")], [Use("", "pods", "list")])


def test_an_audit_log_gives_uses_and_forbidden_requests() -> None:
    """Subresources, objects created by an apply, and the user count; discovery needs no grant of a chart."""
    lines = [
        entry("create", 201, resource="serviceaccounts", subresource="token", namespace="shop", name="app"),
        entry("patch", 201, resource="secrets", namespace="shop", name="made"),
        entry("list", 200, "somebody", resource="pods"),
        entry("get"),
        entry("get", 403, resource="nodes"),
    ]
    asked = rbac.requests("\n".join(map(json.dumps, lines)), USER)

    assert rbac.used(asked) == {
        Use("", "serviceaccounts/token", "create", "shop", "app"),
        Use("", "secrets", "patch", "shop", "made"),
        Use("", "secrets", "create", "shop", "made"),
    }
    assert rbac.refused(asked) == {"get /api/v1/secrets"}
