"""Rights to the API server: the grants of a chart's ServiceAccount, and the uses in an audit log.

Both are split into the smallest rights, one verb on one resource, so that they can be compared.
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
    """A granted verb on a resource, as `pods` or `pods/log`; an empty namespace or name means all."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""

    def covers(self, use: "Use") -> bool:
        """Whether the grant allows a use. A use of a collection needs a grant without a name."""
        is_same = (self.group, self.resource, self.verb) == (use.group, use.resource, use.verb)
        return is_same and self.namespace in {"", use.namespace} and self.name in {"", use.name}


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """A used verb on a resource; no namespace means all namespaces, no name the collection."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""


def granted(found: Objects, account: Key) -> frozenset[Grant]:
    """Return the grants of the roles that are bound to a ServiceAccount.

    Raises:
        KeyError: a bound role does not exist.
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
    """Return the entries of an audit log of one user, as JSON."""
    entries = map(json.loads, log.splitlines())
    return tuple(entry for entry in entries if entry["user"]["username"] == user)


def used(entries: Iterable[dict[str, Any]]) -> frozenset[Use]:
    """Return the uses of these requests; discovery needs no grant of a chart.

    A server-side apply that creates its object also needs the right to create it.
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
    """Return the forbidden requests as verb and path."""
    return frozenset(f"{entry['verb']} {entry['requestURI']}" for entry in entries if _is_refused(entry))


def _is_refused(entry: dict[str, Any]) -> bool:
    return bool(entry["responseStatus"]["code"] == _REFUSED)


def unused(grants: Iterable[Grant], uses: Iterable[Use]) -> frozenset[Grant]:
    """Return the grants without a use."""
    known = frozenset(uses)
    return frozenset(grant for grant in grants if not any(grant.covers(use) for use in known))


def ungranted(grants: Iterable[Grant], uses: Iterable[Use]) -> frozenset[Use]:
    """Return the uses without a grant of the chart; in another cluster their rights may be missing."""
    known = frozenset(grants)
    return frozenset(use for use in uses if not any(grant.covers(use) for grant in known))
