"""One attempt to open a stream, as the three checks that the server makes one after the other.

The server checks the permission of each entry, then the plan, then the number of streams.
"""

from infisical_events.core.diagnosis.check_results import CheckResult, failed, passed, skipped
from infisical_events.core.diagnosis.network_remedies import local_remedy_for
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted

PERMISSION = "Secret Events permission"
PLAN = "Plan"
FREE_STREAM = "Free stream"

STREAM_CHECKS = (PERMISSION, PLAN, FREE_STREAM)

_FAILING = {
    Reason.PLAN_LACKS_EVENT_SUBSCRIPTIONS: PLAN,
    Reason.EVENTS_NOT_SUPPORTED: PLAN,
    Reason.CONNECTION_LIMIT_REACHED: FREE_STREAM,
}
"""Which check an error belongs to; any other belongs to the first."""


def opened_stream_checks(entries: int) -> tuple[CheckResult, ...]:
    """The stream of so many entries was opened, and closed again."""
    return (
        passed(PERMISSION, f"all {counted(entries, 'entry')} of spec.events may be subscribed to"),
        passed(PLAN, "has Event Subscriptions"),
        passed(
            FREE_STREAM, "one stream was opened and closed; for that time it was one of the project's 100"
        ),
    )


def refused_stream_checks(reason: Reason, message: str) -> tuple[CheckResult, ...]:
    """The stream was refused for this reason; nothing was opened."""
    failing = STREAM_CHECKS.index(_FAILING.get(reason, PERMISSION))
    return tuple(
        passed(name, "no objection")
        if index < failing
        else failed(name, message, reason, local_remedy_for(reason, message))
        if index == failing
        else skipped(name, f"{STREAM_CHECKS[failing]} failed")
        for index, name in enumerate(STREAM_CHECKS)
    )
