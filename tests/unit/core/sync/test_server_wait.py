"""The time for which a server demands that requests wait."""

from datetime import timedelta

from infisical_events.core.sync.server_wait import NO_SERVER_WAIT
from support.builders import at


def test_a_wait_lasts_until_the_next_request_that_is_not_refused() -> None:
    """Only the time between a refusal and the next request counts."""
    refused = NO_SERVER_WAIT.continued(at(0), is_demanded=True)
    still = refused.continued(at(10), is_demanded=True)
    over = still.continued(at(15), is_demanded=False)
    later = over.continued(at(100), is_demanded=True)

    assert [wait.total for wait in (refused, still, over, later)] == [
        timedelta(seconds=seconds) for seconds in (0, 10, 15, 15)
    ]
    assert [wait.is_demanded for wait in (refused, still, over, later)] == [True, True, False, True]
