"""Rights to the API server: what a chart grants to its ServiceAccount, what an audit log shows it to use.

Both are told as the smallest right there is, one verb on one resource, so that they can be compared.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from support.charts import Key, Manifest, Objects

_REFUSED = 403
_CREATED = 201


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One verb on one resource, `pods` or `pods/log`; of all namespaces if none, of all objects if none."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""

    def covers(self, use: "Use") -> bool:
        """Whether that may be done by this right; a right to all of a collection is none by a name."""
        is_same = (self.group, self.resource, self.verb) == (use.group, use.resource, use.verb)
        return is_same and self.namespace in {"", use.namespace} and self.name in {"", use.name}


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """One verb on one resource, as it was asked for; no namespace is all of them, no name the collection."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""


def granted(found: Objects, account: Key) -> frozenset[Grant]:
    """What the roles that are bound to a ServiceAccount grant to it.

    Raises:
        KeyError: a role is bound that is not there.
    """
    bindings = (
        (key, each) for key, each in found.items() if key.kind in {"RoleBinding", "ClusterRoleBinding"}
    )
    return frozenset(
        grant
        for key, binding in bindings
        if any(_is(subject, account) for subject in binding["subjects"])
        for rule in _role_of(found, key, binding)["rules"]
        for grant in _grants_of(rule, key.namespace)
    )


def _is(subject: Manifest, account: Key) -> bool:
    return Key(subject["kind"], subject["name"], subject.get("namespace", "")) == account


def _role_of(found: Objects, key: Key, binding: Manifest) -> Manifest:
    reference = binding["roleRef"]
    namespace = key.namespace if reference["kind"] == "Role" else ""
    return found[Key(reference["kind"], reference["name"], namespace)]


def _grants_of(rule: Manifest, namespace: str) -> Iterator[Grant]:
    names = rule.get("resourceNames", [""])
    for group, resource, verb, name in product(rule["apiGroups"], rule["resources"], rule["verbs"], names):
        yield Grant(group, resource, verb, namespace, name)


def requests(log: str, user: str) -> tuple[dict[str, Any], ...]:
    """The entries of an audit log of one user, as JSON."""
    entries = map(json.loads, log.splitlines())
    return tuple(entry for entry in entries if entry["user"]["username"] == user)


def used(entries: Iterable[dict[str, Any]]) -> frozenset[Use]:
    """The rights that these requests have made use of; discovery and the like need none of a chart.

    A patch that is applied on the server's side and makes its object needs the right to create it, too.
    """
    return frozenset(
        use
        for entry in entries
        if "objectRef" in entry and not _is_refused(entry)
        for use in _uses_of(entry["verb"], entry["objectRef"], entry["responseStatus"]["code"])
    )


def _uses_of(verb: str, thing: dict[str, str], code: int) -> Iterator[Use]:
    resource = "/".join(filter(None, (thing["resource"], thing.get("subresource"))))
    verbs = (verb, "create") if verb == "patch" and code == _CREATED else (verb,)
    for each in verbs:
        yield Use(
            thing.get("apiGroup", ""), resource, each, thing.get("namespace", ""), thing.get("name", "")
        )


def refused(entries: Iterable[dict[str, Any]]) -> frozenset[str]:
    """What was asked for and forbidden, as verb and path."""
    return frozenset(f"{entry['verb']} {entry['requestURI']}" for entry in entries if _is_refused(entry))


def _is_refused(entry: dict[str, Any]) -> bool:
    return bool(entry["responseStatus"]["code"] == _REFUSED)


def unused(grants: Iterable[Grant], uses: Iterable[Use]) -> frozenset[Grant]:
    """The rights that nothing has made use of."""
    known = frozenset(uses)
    return frozenset(grant for grant in grants if not any(grant.covers(use) for use in known))


def ungranted(grants: Iterable[Grant], uses: Iterable[Use]) -> frozenset[Use]:
    """What was done by rights from elsewhere: in another cluster they may be missing."""
    known = frozenset(grants)
    return frozenset(use for use in uses if not any(grant.covers(use) for grant in known))
