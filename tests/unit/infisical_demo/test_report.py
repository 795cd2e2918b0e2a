"""The demo's output is readable in a terminal and in a file, and keeps its failed checks."""

import io

import pytest
from rich.console import Console

from infisical_demo.latency import summarize
from infisical_demo.report import Report


@pytest.fixture
def page() -> io.StringIO:
    """The output so far."""
    return io.StringIO()


@pytest.fixture
def report(page: io.StringIO) -> Report:
    """A report that prints to a file."""
    return Report(Console(file=page, width=60))


def test_a_failed_check_is_printed_and_kept(report: Report, page: io.StringIO) -> None:
    """The demo's exit code depends on it."""
    report.check(truth=False, sentence="one is two", otherwise="one is still one")

    assert page.getvalue() == "  ✗ one is still one\n"
    assert report.failures == ("one is still one",)
    assert report.checks == 1


def test_a_passed_check_is_printed_and_not_kept(report: Report, page: io.StringIO) -> None:
    """Only failures are repeated at the end."""
    report.check(truth=True, sentence="one is one", otherwise="one is two")

    assert page.getvalue() == "  ✓ one is one\n"
    assert report.failures == ()
    assert report.checks == 1


def test_a_file_gets_whole_plain_lines(report: Report, page: io.StringIO) -> None:
    """No colours, no animation, no line wrapping, no markup in foreign text."""
    with report.waiting("waiting"):
        report.timed(1.0345, "restart", f"[bold]{'x' * 100}")

    assert page.getvalue() == f"    +1.034 s  restart  [bold]{'x' * 100}\n"


def test_percentiles_are_of_the_durations_in_milliseconds() -> None:
    """From 0.00 s to 0.10 s in steps of 10 ms: the middle is 50 ms, 95 of 100 take at most 95 ms."""
    found = summarize([step / 100 for step in range(11)])

    assert (found.count, found.longest) == (11, pytest.approx(100))
    assert (found.p50, found.p95) == (pytest.approx(50), pytest.approx(95))
