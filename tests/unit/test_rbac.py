"""Rights and their use, from manifests and audit logs: the base of the chart's test."""

import json
from typing import Any

import pytest

from support import rbac
from support.charts import Key, Manifest
from support.rbac import Grant, Use

ACCOUNT = Key("ServiceAccount", "operator", "home")
USER = "system:serviceaccount:home:operator"


def bound(kind: str, namespace: str, *rules: Manifest, account: str = "operator") -> dict[Key, Manifest]:
    """A role and its binding, both named `role`."""
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "home"}
    return {
        Key(kind, "role", namespace): {"rules": list(rules)},
        Key(f"{kind}Binding", "role", namespace): {
            "roleRef": {"kind": kind, "name": "role"},
            "subjects": [subject],
        },
    }


def entry(verb: str, code: int = 200, user: str = USER, **thing: str) -> dict[str, Any]:
    """A line of an audit log, as far as it is read."""
    return {
        "user": {"username": user},
        "verb": verb,
        "requestURI": "/api/v1/secrets",
        "responseStatus": {"code": code},
        **({"objectRef": thing} if thing else {}),
    }


def test_each_verb_on_each_resource_is_a_right() -> None:
    """Of a ClusterRole everywhere, of a Role in its namespace, of names if there are some."""
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
def test_a_right_is_used(grant: Grant, *, is_covered: bool) -> None:
    """Use is the same verb on the same resource, in the granted namespace and for the granted name."""
    uses = [Use("", "secrets", "get", "shop", "key")]

    assert (rbac.unused([grant], uses) == frozenset()) is is_covered
    assert (rbac.ungranted([grant], uses) == frozenset()) is is_covered


def test_a_look_at_all_namespaces_needs_a_right_to_all() -> None:
    """A right in one of them is none to it."""
    assert rbac.ungranted([Grant("", "pods", "list", "shop")], [Use("", "pods", "list")])


def test_the_uses_in_an_audit_log() -> None:
    """Subresources, server-side apply, and the user; discovery needs no right of a chart."""
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
