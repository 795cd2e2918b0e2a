"""What ends the watch for a while, and what ends the process."""

import aiohttp
import kopf
import pytest
from kopf._cogs.clients.errors import APINotFoundError  # noqa: TID251 - kopf has no public name for it

from infisical_events.runtime.app.bootstrap import _is_cut_off


async def _ended(error: Exception | None) -> None:
    if error is not None:
        raise error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (APINotFoundError(None, status=404, headers={}), "APINotFoundError"),
        (APINotFoundError("x" * 10_000, status=404, headers={}), "x" * 100),
        (kopf.LoginError("ran out of credentials"), "ran out of credentials"),
        (aiohttp.ClientPayloadError(), "ClientPayloadError"),
    ],
)
async def test_cut_off(error: Exception, told: str, caplog: pytest.LogCaptureFixture) -> None:
    """What the cluster does to a watch is told in one short sentence, and the watch begins again."""
    assert await _is_cut_off(_ended(error))
    [record] = caplog.records
    assert told in record.message
    assert len(record.message) < 600


async def test_told_to_stop() -> None:
    """A watch that ends of itself was told to."""
    assert not await _is_cut_off(_ended(None))


async def test_defect() -> None:
    """A defect is not waited out."""
    with pytest.raises(ZeroDivisionError):
        await _is_cut_off(_ended(ZeroDivisionError()))
