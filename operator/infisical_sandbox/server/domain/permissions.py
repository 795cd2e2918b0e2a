"""Permission rules and their check, as in the server's rule library: the last matching rule decides.

Conditions are `{field: text}` or `{field: {$eq|$ne|$in|$glob: …}}`; several operators must all hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infisical_sandbox.server.domain import api_errors, path_globs
from infisical_sandbox.server.domain.records import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infisical_sandbox.server.domain.generations import Generation

SECRETS = "secrets"
FOLDERS = "secret-folders"
IMPORTS = "secret-imports"
ROLES = ("admin", "member", "viewer", "no-access")
SUBJECTS = frozenset({"all", SECRETS, FOLDERS, IMPORTS, "secret-events", "secret-event-subscriptions"})
_READ = ("read", "describeSecret", "readValue")
_WRITE = ("create", "edit", "delete")


@dataclass(frozen=True, slots=True)
class Ability:
    """The permissions of an identity in one project."""

    rules: tuple[Rule, ...]

    def relevant(self, action: str, subject: str) -> tuple[Rule, ...]:
        """The rules for the action and subject, in order; the last has precedence."""
        return tuple(
            rule
            for rule in self.rules
            if rule.subject in {subject, "all"} and {action, "manage"} & set(rule.actions)
        )

    def can(self, action: str, subject: str, fields: Mapping[str, str]) -> bool:
        """Whether the action is allowed on this very subject."""
        for rule in reversed(self.relevant(action, subject)):
            if fits(rule.conditions, fields):
                return not rule.inverted
        return False

    def can_somewhere(self, action: str, subject: str) -> bool:
        """Whether the action is allowed on at least one thing of this kind."""
        for rule in reversed(self.relevant(action, subject)):
            if not (rule.inverted and rule.conditions):
                return not rule.inverted
        return False

    def require(self, action: str, subject: str, fields: Mapping[str, str]) -> None:
        """403 `PermissionDenied` unless allowed."""
        if not self.can(action, subject, fields):
            raise self.denial(action, subject)

    def denial(self, action: str, subject: str) -> api_errors.ApiError:
        """The 403 with the rules that were checked."""
        return api_errors.denied(
            action, subject, [as_json(rule, action) for rule in self.relevant(action, subject)]
        )


def fits(conditions: Mapping[str, object] | None, fields: Mapping[str, str]) -> bool:
    """Whether every condition holds; a field that is missing satisfies none."""
    return all(_holds(test, fields.get(name)) for name, test in (conditions or {}).items())


def _holds(test: object, value: str | None) -> bool:
    if not isinstance(test, dict):
        return test == value
    return all(_operator(name, operand, value) for name, operand in test.items())


def _operator(name: str, operand: object, value: str | None) -> bool:
    match name, operand:
        case "$eq", _:
            return operand == value
        case "$ne", _:
            return operand != value
        case "$in", list():
            return value in operand
        case "$glob", str():
            return value is not None and path_globs.matches(operand, value)
    raise ValueError(f"unknown condition {name}: use $eq, $ne, $in (a list) or $glob (a text)")


def as_json(rule: Rule, action: str) -> dict[str, object]:
    """The rule as the `details` of a 403 list it."""
    shown: dict[str, object] = {
        "action": action if len(rule.actions) == 1 else list(rule.actions),
        "inverted": rule.inverted,
        "subject": rule.subject,
    }
    return {**shown, "conditions": rule.conditions} if rule.conditions else shown


def parse(rule: Mapping[str, object]) -> Rule:
    """A rule from its JSON form `{subject, action|actions, conditions?, inverted?}`.

    Raises: ValueError for a subject or operator that no server generation knows.
    """
    actions = rule.get("actions", rule.get("action"))
    names = (actions,) if isinstance(actions, str) else tuple(actions or ())  # type: ignore[arg-type]  # checked below
    subject, conditions = rule.get("subject"), rule.get("conditions")
    if subject not in SUBJECTS or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"a rule needs a subject of {sorted(SUBJECTS)} and at least one action")
    if conditions is not None and not isinstance(conditions, dict):
        raise ValueError("conditions are an object: {field: text or {operator: operand}}")
    fits(conditions, {})
    return Rule(str(subject), tuple(map(str, names)), conditions, bool(rule.get("inverted")))


def role(name: str, generation: Generation) -> tuple[Rule, ...]:
    """The rules of a built-in role: admin, member, viewer or no-access."""
    events = Rule(generation.event_subject, tuple(generation.event_actions.values()))
    subjects = (SECRETS, FOLDERS, IMPORTS)
    match name:
        case "no-access":
            return ()
        case "viewer":
            return (*(Rule(subject, _READ) for subject in subjects), events)
        case "admin" | "member":
            return (*(Rule(subject, _READ + _WRITE) for subject in subjects), events)
    raise ValueError(f"no role {name!r}: one of {', '.join(ROLES)}")
