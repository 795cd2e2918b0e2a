"""Waits that a server demands, by its address."""

import asyncio

import httpx
import pytest

from infisical_events.core.status.reasons import Reason
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.infisical.transport.address_backoff import AddressBackoffs
from support.virtual_time import in_virtual_time

LIMITED = httpx.URL("https://app.infisical.com/api/v4/secrets")


def is_held(backoffs: AddressBackoffs, url: str) -> bool:
    """Whether a request to this URL would not be sent."""
    try:
        backoffs.check(httpx.URL(url))
    except InfisicalError:
        return True
    return False


@pytest.mark.parametrize(
    ("url", "held"),
    [
        ("https://app.infisical.com/api/v1/auth/universal-auth/login", True),
        ("https://APP.infisical.com:443/", True),
        ("https://app.infisical.com:8443/", False),
        ("http://app.infisical.com/", False),
        ("https://eu.infisical.com/", False),
    ],
)
@in_virtual_time
async def test_a_wait_is_one_of_scheme_host_and_port(url: str, held: bool) -> None:  # noqa: FBT001
    """Whatever the path is; another address is not held."""
    backoffs = AddressBackoffs()
    backoffs.record(LIMITED, 429, {"retry-after": "60"})
    assert is_held(backoffs, url) is held


@pytest.mark.parametrize(
    ("status", "headers", "held"),
    [
        (429, {"retry-after": "60"}, True),
        (503, {"retry-after": "60"}, True),
        (429, {}, False),
        (429, {"retry-after": "0"}, False),
        (429, {"retry-after": "soon"}, False),
        (403, {"retry-after": "60"}, False),
        (200, {"retry-after": "60"}, False),
    ],
)
@in_virtual_time
async def test_only_an_overloaded_server_demands_a_wait(
    status: int,
    headers: dict[str, str],
    held: bool,  # noqa: FBT001
) -> None:
    """By 429 or 503, with a time."""
    backoffs = AddressBackoffs()
    backoffs.record(LIMITED, status, headers)
    assert is_held(backoffs, str(LIMITED)) is held


@in_virtual_time
async def test_the_longest_wait_counts_and_ends() -> None:
    """A shorter one that comes later shortens nothing; the error has the rest and the reason."""
    backoffs = AddressBackoffs()
    backoffs.record(LIMITED, 503, {"retry-after": "100"})
    await asyncio.sleep(10)
    backoffs.record(LIMITED, 429, {"retry-after": "5"})
    with pytest.raises(InfisicalError) as error:
        backoffs.check(LIMITED)
    await asyncio.sleep(90)

    assert (error.value.reason, error.value.retry_after) == (Reason.SERVER_ERROR, 90.0)
    assert error.value.is_backoff
    assert not is_held(backoffs, str(LIMITED))
