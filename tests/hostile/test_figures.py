"""Each bound of `make hostile` can be broken, and the disguises of a canary are found."""

from dataclasses import replace

import pytest

from hostile.attack_table import ATTACKS, BY_NAME
from hostile.disguises import DISGUISES, leaked
from hostile.figures import AttackResult, Bounds, Figures, Stall, broken_bounds, table

GOOD = Figures(seconds=10, changes=(0.1, 0.2), rss=100 * 1024 * 1024)
CANARY = "5b0e7f1c9a3d2e4f60718293a4b5c6d7e8f90a1b"
OTHER = "c0ffee00d15ea5e00badcafe0123456789abcdef"


def test_good_figures_break_nothing() -> None:
    """All bounds have room for a usual operator."""
    assert broken_bounds(GOOD, Bounds()) == ()


@pytest.mark.parametrize(
    ("broken", "figures"),
    [
        ("RSS", replace(GOOD, rss=257 * 1024 * 1024)),
        ("stall", replace(GOOD, stalls=(Stall(0.1, ""), Stall(0.26, "json")))),
        ("neighbour", replace(GOOD, changes=(0.1, 2.1))),
        ("neighbour", replace(GOOD, unserved=1)),
        ("neighbour", replace(GOOD, changes=())),
        ("Lease", replace(GOOD, is_lease_kept=False)),
        ("Lease", replace(GOOD, lease_gap=11)),
        ("log", replace(GOOD, log=1_000_001)),
        ("log", replace(GOOD, seconds=120, log=2_000_010)),
        ("Events", replace(GOOD, events=202)),
        ("process ended", replace(GOOD, is_same_process=False)),
        ("attack not applied", replace(GOOD, is_applied=False)),
        ("leak secret hex", replace(GOOD, leaks=("secret hex",))),
    ],
)
def test_each_bound_can_be_broken(broken: str, figures: Figures) -> None:
    """One figure beyond its bound is one broken bound."""
    assert broken_bounds(figures, Bounds()) == (broken,)


def test_a_row_shows_the_verdict() -> None:
    """A broken bound, an error of the program and an attack that holds differ."""
    rows = table(
        [
            AttackResult("good", GOOD),
            AttackResult("bad", replace(GOOD, events=900), ("Events",)),
            AttackResult("none", failure="AttackerError: nothing of ready"),
        ]
    ).splitlines()

    assert rows[1].endswith("holds")
    assert rows[2].endswith("BROKEN Events")
    assert rows[3].endswith("FAILED AttackerError: nothing of ready")


@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguise_is_found(name: str) -> None:
    """In the middle of other text, and in JSON."""
    assert name in leaked(CANARY, f'a log line: "{DISGUISES[name](CANARY)}", and more')


@pytest.mark.parametrize("name", DISGUISES)
def test_another_canary_is_no_leak(name: str) -> None:
    """The same form of another text has no piece in common."""
    assert leaked(CANARY, f"wrong: {DISGUISES[name](OTHER)}") == ()


def test_a_piece_in_other_capitals_is_found() -> None:
    """Whatever changes the case or breaks the line hides nothing."""
    assert leaked(CANARY, f"wrong: {CANARY[9:15].upper()}\n{CANARY[15:26].upper()}") != ()


def test_names_of_attacks_are_unique() -> None:
    """`--only` selects an attack by its name."""
    assert len(BY_NAME) == len(ATTACKS)
