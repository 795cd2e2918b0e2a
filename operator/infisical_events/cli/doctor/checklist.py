"""Runs checks one after the other; what depends on a failed one is skipped."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from infisical_events.core.diagnosis.check_results import CheckResult, failed, passed, skipped
from infisical_events.core.diagnosis.network_remedies import local_remedy_for
from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import KubernetesError


class FaultFoundError(Exception):
    """A check found a fault that is no error of a request."""

    def __init__(self, reason: str, found: str, remedy: str) -> None:
        super().__init__(found)
        self.reason = reason
        self.remedy = remedy


@dataclass(slots=True)
class Checklist:
    """The results so far, and the essential check that failed, if one did."""

    results: list[CheckResult] = field(default_factory=list)
    blocked_by: str = ""

    async def run(self, name: str, check: Callable[[], Awaitable[str]], *, is_essential: bool = True) -> bool:
        """Make a check, which returns what it found; whether it passed.

        After an essential one that failed all others are skipped.
        """
        if self.blocked_by:
            self.skip(name, f"{self.blocked_by} failed")
            return False
        result = await _result_of(name, check)
        self.results.append(result)
        if result.is_failed and is_essential:
            self.blocked_by = name
        return not result.is_failed

    def skip(self, name: str, why: str) -> None:
        """Record that a check is not made."""
        self.results.append(skipped(name, why))


async def _result_of(name: str, check: Callable[[], Awaitable[str]]) -> CheckResult:
    try:
        return passed(name, await check())
    except FaultFoundError as fault:
        return failed(name, str(fault), fault.reason, fault.remedy)
    except InfisicalError as error:
        return failed(name, str(error), error.reason, local_remedy_for(error.reason, str(error)))
    except KubernetesError as error:
        reason = Reason.KUBERNETES_API_ERROR
        return failed(name, str(error), reason, local_remedy_for(reason))
