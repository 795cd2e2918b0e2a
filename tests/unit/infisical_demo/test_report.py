"""What the demo tells is readable anywhere, and it remembers what was not true."""

import io

import pytest
from rich.console import Console

from infisical_demo.latency import summary
from infisical_demo.report import Story


@pytest.fixture
def page() -> io.StringIO:
    """What has been told so far."""
    return io.StringIO()


@pytest.fixture
def story(page: io.StringIO) -> Story:
    """A story that is told to a file."""
    return Story(Console(file=page, width=60))


def test_an_unmet_expectation_is_told_in_a_sentence_and_remembered(story: Story, page: io.StringIO) -> None:
    """The demo cannot end well after it."""
    story.check(truth=False, sentence="one is two", otherwise="one is still one")

    assert page.getvalue() == "  ✗ one is still one\n"
    assert story.failures == ("one is still one",)
    assert story.checks == 1


def test_a_met_expectation_is_told_and_forgotten(story: Story, page: io.StringIO) -> None:
    """Only what failed is repeated in the end."""
    story.check(truth=True, sentence="one is one", otherwise="one is two")

    assert page.getvalue() == "  ✓ one is one\n"
    assert story.failures == ()
    assert story.checks == 1


def test_a_file_gets_whole_plain_lines(story: Story, page: io.StringIO) -> None:
    """No colours, no animation, no wrapping, no markup read into foreign text."""
    with story.waiting("waiting"):
        story.happened(1.0345, "restart", f"[bold]{'x' * 100}")

    assert page.getvalue() == f"    +1.034 s  restart  [bold]{'x' * 100}\n"


def test_percentiles_are_of_the_durations_in_milliseconds() -> None:
    """From 0.00 s to 0.10 s in steps of 10 ms: the middle is 50 ms, 95 of 100 take at most 95 ms."""
    found = summary([step / 100 for step in range(11)])

    assert (found.count, found.longest) == (11, pytest.approx(100))
    assert (found.p50, found.p95) == (pytest.approx(50), pytest.approx(95))
