"""One check: whether it passed, what was found, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from infisical_events.core.status.reasons import Reason

_AWAY = {Reason.NAME_NOT_RESOLVED, Reason.UNREACHABLE}
"""Reasons with which a server could not be asked at all."""


class CheckOutcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def symbol(self) -> str:
        """One character for a table."""
        return {"passed": "✓", "failed": "✗", "skipped": "–"}[self.value]  # noqa: RUF001 - a dash is meant


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check; `reason` and `remedy` are empty unless it failed."""

    name: str
    outcome: CheckOutcome
    found: str
    reason: str = ""
    remedy: str = ""

    @property
    def is_failed(self) -> bool:
        """Whether there is something to do."""
        return self.outcome is CheckOutcome.FAILED

    def as_data(self) -> dict[str, str]:
        """All fields as plain data, for JSON and YAML."""
        return {
            "check": self.name,
            "outcome": self.outcome.value,
            "found": self.found,
            "reason": str(self.reason),
            "remedy": self.remedy,
        }


def passed(name: str, found: str) -> CheckResult:
    """A check with nothing to do."""
    return CheckResult(name, CheckOutcome.PASSED, found)


def failed(name: str, found: str, reason: str, remedy: str) -> CheckResult:
    """A check that found a fault."""
    return CheckResult(name, CheckOutcome.FAILED, found, reason, remedy)


def skipped(name: str, why: str) -> CheckResult:
    """A check that was not made."""
    return CheckResult(name, CheckOutcome.SKIPPED, why)


def has_failure(results: Iterable[CheckResult]) -> bool:
    """Whether at least one check failed."""
    return any(result.is_failed for result in results)


def is_unanswered(results: Iterable[CheckResult]) -> bool:
    """Whether Infisical could not be asked: its name is not resolved, or there is no response."""
    return any(result.is_failed and result.reason in _AWAY for result in results)
