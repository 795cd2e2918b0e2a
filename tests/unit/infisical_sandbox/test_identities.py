"""Tokens and logins by the clock: lifetimes, renewals, revocation, lockout."""

from __future__ import annotations

from dataclasses import replace

import jwt
import pytest

from infisical_sandbox.server.domain import identities
from infisical_sandbox.server.domain.access_tokens import MAX_AGE, Grant, Tokens
from infisical_sandbox.server.domain.api_errors import ApiError
from infisical_sandbox.server.domain.generations import E3, E4, Generation
from infisical_sandbox.server.domain.records import Identity, Lockout, LockoutSettings, TokenSettings
from support.sandbox_client import NOW, a_world

KEY = "0123456789abcdef0123456789abcdef"
BOTH = pytest.mark.parametrize("generation", [E4, E3], ids=["new", "old"])


class Bench:
    """A signer with one identity."""

    def __init__(self, generation: Generation) -> None:
        self.world = a_world()
        self.tokens = Tokens(self.world.store, KEY, generation)
        self.identity: Identity = identities.create(self.world.store, "org", "robot")

    def issue(self, **settings: int) -> Grant:
        return self.tokens.issue(self.identity, "universal-auth", TokenSettings(**settings), NOW)

    def api_error(self, token: str, seconds: float) -> tuple[int, str, str]:
        with pytest.raises(ApiError) as api_error:
            self.tokens.verify(token, NOW + seconds)
        return api_error.value.status, api_error.value.error, str(api_error.value.message)


@BOTH
def test_an_expired_token_is_forbidden_not_unauthorized(generation: Generation) -> None:
    """Expiry answers 403 `TokenError`, at the second it says."""
    bench = Bench(generation)
    grant = bench.issue(ttl=60)

    bench.tokens.verify(grant.token, NOW + 59)

    assert grant.expires_in == 60
    assert bench.api_error(grant.token, 60) == (
        403,
        "TokenError",
        "Your token has expired. Please re-authenticate.",
    )


@BOTH
def test_a_forged_or_mangled_token_is_a_token_error(generation: Generation) -> None:
    """Wrong key, wrong algorithm and nonsense are told apart in words only."""
    bench = Bench(generation)
    forged = jwt.encode({"identityAccessTokenId": "x"}, KEY[::-1], "HS256")
    other = jwt.encode({"identityAccessTokenId": "x"}, KEY * 2, "HS512")

    said = [bench.api_error(token, 0) for token in (forged, other, "nonsense")]

    assert {(403, "TokenError")} == {(status, error) for status, error, _ in said}
    assert [
        next(word for word in ("algorithm", "signature", "malformed") if word in text) for _, _, text in said
    ] == ["signature", "algorithm", "malformed"]


@pytest.mark.parametrize(
    ("generation", "message"),
    [(E3, "No identity access token found"), (E4, "Failed to authorize: token has been revoked")],
    ids=["old", "new"],
)
def test_revoking_ends_all_renewals(generation: Generation, message: str) -> None:
    """A renewal has the same token id inside: revoking one revokes both, with 401."""
    bench = Bench(generation)
    first = bench.issue(ttl=60, max_ttl=600)
    second = bench.tokens.renew(first.token, NOW + 30)

    bench.tokens.revoke(second.token, NOW + 31)

    assert (401, "UnauthorizedError", message) == bench.api_error(first.token, 32)
    assert (401, "UnauthorizedError", message) == bench.api_error(second.token, 32)


def test_an_old_server_deletes_a_token_it_cannot_fully_renew() -> None:
    """If a whole TTL does not fit below the maximum, the still valid token stops working at once."""
    bench = Bench(E3)
    grant = bench.issue(ttl=60, max_ttl=100)

    with pytest.raises(ApiError) as api_error:
        bench.tokens.renew(grant.token, NOW + 50)

    assert api_error.value.status == 401
    assert bench.api_error(grant.token, 51)[0] == 401


def test_a_new_server_shortens_the_last_renewal() -> None:
    """What is left of the maximum is granted; only then renewal ends, and the old token goes on."""
    bench = Bench(E4)
    first = bench.issue(ttl=60, max_ttl=100)
    second = bench.tokens.renew(first.token, NOW + 50)
    last = bench.tokens.renew(second.token, NOW + 99)

    assert [first.expires_in, second.expires_in, last.expires_in] == [60, 50, 1]
    bench.tokens.verify(first.token, NOW + 59)


def test_the_defaults_of_an_old_server_cannot_be_renewed() -> None:
    """TTL and maximum are both 30 days, so a renewal never fits."""
    bench = Bench(E3)
    grant = bench.issue()

    with pytest.raises(ApiError):
        bench.tokens.renew(grant.token, NOW + 1)


@BOTH
def test_an_expired_token_cannot_be_renewed(generation: Generation) -> None:
    """Renewal checks the signature and the end first: 403."""
    bench = Bench(generation)
    grant = bench.issue(ttl=60, max_ttl=600)

    with pytest.raises(ApiError) as api_error:
        bench.tokens.renew(grant.token, NOW + 61)

    assert (api_error.value.status, api_error.value.error) == (403, "TokenError")


def test_no_limit_means_forever_on_an_old_and_ninety_days_on_a_new_server() -> None:
    """An old server issues a token without an end, a new one never does."""
    old, new = Bench(E3).issue(ttl=0, max_ttl=0), Bench(E4).issue(ttl=0, max_ttl=0)

    assert (old.expires_in, new.expires_in) == (0, MAX_AGE)
    assert "exp" not in jwt.decode(old.token, options={"verify_signature": False})


def test_a_periodic_token_of_an_old_server_has_no_maximum() -> None:
    """It reports its period and a billion seconds, and renews for ever."""
    bench = Bench(E3)
    grant = bench.issue(period=60, ttl=60, max_ttl=60)

    again = bench.tokens.renew(grant.token, NOW + 59)

    assert (again.expires_in, again.max_ttl) == (60, 1_000_000_000)


@BOTH
def test_each_request_costs_a_use(generation: Generation) -> None:
    """A token for two requests is refused at the third, with 401."""
    bench = Bench(generation)
    grant = bench.issue(uses_limit=2)
    bench.tokens.verify(grant.token, NOW)
    bench.tokens.verify(grant.token, NOW)

    status, error, message = bench.api_error(grant.token, 0)

    assert (status, error) == (401, "UnauthorizedError")
    assert "usage limit reached" in message


def test_three_failures_lock_even_the_right_secret_out() -> None:
    """Five minutes of 401 for everybody, then the right secret works again."""
    bench = Bench(E4)
    store, client_id = bench.world.store, str(bench.identity.client_id)
    text = identities.add_client_secret(store, bench.identity, NOW)
    for _ in range(3):
        with pytest.raises(ApiError):
            identities.login(store, client_id, "wrong", NOW)

    with pytest.raises(ApiError) as api_error:
        identities.login(store, client_id, text, NOW + 299)

    assert api_error.value.status == 401
    assert "temporarily locked" in str(api_error.value.message)
    assert bench.identity == identities.login(store, client_id, text, NOW + 300)[0]


def test_failures_far_apart_do_not_lock() -> None:
    """The counter forgets after its reset time, and a success forgets at once."""
    lock, settings = Lockout("id"), LockoutSettings()
    for turn in range(10):
        lock = identities.failed(lock, settings, NOW + turn * 31)

    assert lock.locked_until == 0
    assert lock == identities.failed(lock, replace(settings, enabled=False), NOW)


@pytest.mark.parametrize("limits", [(10, 0), (0, 1)], ids=["expired", "used up"])
def test_a_worn_out_client_secret_is_refused(limits: tuple[int, int]) -> None:
    """An expired or used-up client secret answers 401 and says why."""
    bench = Bench(E4)
    store, client_id = bench.world.store, str(bench.identity.client_id)
    text = identities.add_client_secret(store, bench.identity, NOW, limits=limits)
    identities.login(store, client_id, text, NOW)

    with pytest.raises(ApiError, match="401") as api_error:
        identities.login(store, client_id, text, NOW + 11)

    assert str(api_error.value.message).startswith("Access denied due to")


def test_an_unknown_client_is_as_wrong_as_a_wrong_secret() -> None:
    """Both answers are the same."""
    bench = Bench(E4)
    said = []
    for client_id in (str(bench.identity.client_id), "nobody"):
        with pytest.raises(ApiError) as api_error:
            identities.login(bench.world.store, client_id, "wrong", NOW)
        said.append((api_error.value.status, api_error.value.error, api_error.value.message))

    assert said[0] == said[1] == (401, "UnauthorizedError", "Invalid credentials")
