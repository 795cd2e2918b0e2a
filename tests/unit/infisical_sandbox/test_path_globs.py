"""Path globs: the table of the server's matcher, and its odd corners."""

from __future__ import annotations

import pytest

from infisical_sandbox.server.domain import path_globs, permissions
from infisical_sandbox.server.domain.api_errors import ApiError
from infisical_sandbox.server.domain.generations import E4, EventType
from infisical_sandbox.server.domain.permissions import Ability
from infisical_sandbox.server.domain.records import Rule
from infisical_sandbox.server.domain.subscriptions import Entry, require

PATHS = ("/", "/a", "/a/", "/a/b", "/a/b/c", "/ab")
TABLE = {
    "/": "Y.....",
    "/*": ".YY..Y",
    "/**": "YYYYYY",
    "/a": ".Y....",
    "/a/": "..Y...",
    "/a/*": "...Y..",
    "/a/**": ".YYYY.",
    "/a*": ".YY..Y",
    "/a**": ".YY..Y",
    "/**/*": "...YY.",
    "**": "YYYYYY",
    "*": "Y.....",
    "a/b": "......",
}


@pytest.mark.parametrize("pattern", TABLE)
def test_the_table_of_the_server_holds(pattern: str) -> None:
    """A glob matches exactly the paths that the server's own matcher matches."""
    assert TABLE[pattern] == "".join("Y" if path_globs.matches(pattern, path) else "." for path in PATHS)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/**", "//a", True),
        ("/A", "/a", False),
        ("/a/**/b", "/a/b", True),
        ("/a/**/b", "/a/x/y/b", True),
        ("/**/a", "/a", False),
        ("/**/**/a", "/x/a", True),
        ("/{a,b}/c", "/b/c", True),
        ("/{a,b*}", "/bx", True),
        ("/{a}", "/a", False),
        ("/a?", "/ab", True),
        ("/?", "/a", True),
        ("/[ab]", "/b", True),
        ("/[!a]", "/b", False),
        ("/[^a]", "/b", True),
        ("/**a", "/x/a", False),
        ("/***", "/a/b", False),
        ("!/a", "/b", True),
        ("!/a", "/a", False),
        ("", "", False),
        (r"/\*", "/*", True),
    ],
)
def test_odd_corners_are_those_of_the_server(pattern: str, path: str, *, expected: bool) -> None:
    """Where the matcher surprises, it surprises the same way here."""
    assert expected is path_globs.matches(pattern, path)


REGISTERED = ("/", "/a", "/a/*", "/a/**", "/**", None)
RULES: list[tuple[dict[str, object], str]] = [
    ({"secretPath": {"$glob": "/**"}}, "YYYYYY"),
    ({"secretPath": {"$glob": "/a/**"}}, ".YYY.."),
    ({"secretPath": {"$glob": "/a/*"}}, "..YY.."),
    ({"secretPath": {"$eq": "/a"}}, ".Y...."),
    ({"secretPath": {"$in": ["/a"]}}, ".Y...."),
    ({"secretPath": {"$glob": "/a"}}, ".Y...."),
    ({"environment": "dev"}, "YYYYY."),
    ({"environment": {"$in": ["dev"]}}, "YYYYY."),
    ({"environment": {"$glob": "*"}}, "YYYYY."),
    ({"environment": {"$ne": "prod"}}, "YYYYYY"),
]


@pytest.mark.parametrize(("conditions", "expected"), RULES, ids=str)
def test_a_subscription_is_tested_by_its_literal_text(conditions: dict[str, object], expected: str) -> None:
    """A rule meets the registered text itself, and no conditions mean the empty environment and `/`."""
    action = E4.event_actions[EventType.CREATE]
    ability = Ability((Rule(E4.event_subject, (action,), conditions),))

    assert expected == "".join("Y" if _passes(ability, path) else "." for path in REGISTERED)


def _passes(ability: Ability, path: str | None) -> bool:
    entry = Entry(EventType.CREATE, None if path is None else "dev", path)
    try:
        require(entry, ability, E4)
    except ApiError:
        return False
    return True


def test_the_last_fitting_rule_wins() -> None:
    """An inverted rule takes back what an earlier one gave, and only where its conditions hold."""
    ability = Ability(
        (
            Rule(permissions.SECRETS, ("readValue",)),
            Rule(permissions.SECRETS, ("readValue",), {"environment": "prod"}, inverted=True),
        )
    )

    assert ability.can("readValue", permissions.SECRETS, {"environment": "dev"})
    assert not ability.can("readValue", permissions.SECRETS, {"environment": "prod"})
    assert ability.can_somewhere("readValue", permissions.SECRETS)


@pytest.mark.parametrize(
    "rule",
    [
        {"subject": "secret", "action": "read"},
        {"subject": "secrets", "actions": []},
        {"subject": "secrets", "action": "read", "conditions": {"environment": {"$regex": "x"}}},
    ],
)
def test_a_mistyped_rule_is_refused(rule: dict[str, object]) -> None:
    """A rule that no server would know is an error, not a rule that never fits."""
    with pytest.raises(ValueError, match=r"rule|condition"):
        permissions.parse(rule)
