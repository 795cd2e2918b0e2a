"""Text for status, Events and logs."""

import pytest

from infisical_events.core.status.text import counted, escaped, preview, single_line


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "key", "0 keys"),
        (1, "key", "1 key"),
        (2, "key", "2 keys"),
        (1, "entry", "1 entry"),
        (2, "entry", "2 entries"),
        (2, "day", "2 days"),
        (2, "replica", "2 replicas"),
        (2, "pass", "2 passes"),
        (2, "index", "2 indexes"),
        (2, "patch", "2 patches"),
        (2, "push", "2 pushes"),
        (1, "pending restart", "1 pending restart"),
        (3, "pending restart", "3 pending restarts"),
        (10_000, "secret change", "10000 secret changes"),
    ],
)
def test_a_number_has_its_noun_in_the_right_form(number: int, noun: str, text: str) -> None:
    """Only one thing is named in the singular; of several words the last one has the plural."""
    assert counted(number, noun) == text


@pytest.mark.parametrize(
    ("things", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        (["a", "b", "c"], "a, b and 1 more"),
        (range(9), "0, 1 and 7 more"),
    ],
)
def test_a_preview_counts_what_it_leaves_out(things: list[object], text: str) -> None:
    """A message stays short however many things it is about."""
    assert preview(things, 2) == text


def test_foreign_text_stays_on_one_line() -> None:
    """Neither a line break nor an escape sequence reaches a log or a terminal."""
    assert single_line("a\nb\x1b[31mc\u2028d") == "a b [31mc d"


def test_foreign_text_is_escaped_and_cut() -> None:
    """What cannot be printed remains readable, and the length is bounded before that."""
    assert escaped("a\nb\x1b") == r"a\nb\x1b"
    assert escaped("a" * 10_000, 3) == "aaa"
