"""A namespace with very large projects leaves memory to others."""

import pytest

from infisical_events.runtime.limits.secret_quota import SecretQuota


@pytest.fixture
def quota() -> SecretQuota:
    """A thousand in all, six hundred of a namespace, and ten for everyone."""
    return SecretQuota(1_000, 600, 10)


def test_a_namespace_has_a_bound(quota: SecretQuota) -> None:
    """What one owner gives back, another one of the namespace may have."""
    assert quota.keep("team", 1, 400)
    assert not quota.keep("team", 2, 201)
    assert quota.keep("team", 1, 300)
    assert quota.keep("team", 2, 201)


def test_the_process_has_a_bound(quota: SecretQuota) -> None:
    """Beyond it only a little of each namespace is admitted."""
    assert quota.keep("one", 1, 600)
    assert quota.keep("two", 1, 400)
    assert not quota.keep("three", 1, 11)
    assert quota.keep("three", 1, 10)
    assert not quota.keep("three", 2, 1)


def test_fewer_are_always_admitted(quota: SecretQuota) -> None:
    """Who keeps less than before may do so, also where too many are kept."""
    assert quota.keep("one", 1, 600)
    quota.max_of_namespace = 100
    assert quota.keep("one", 1, 500)
    assert not quota.keep("one", 1, 501)


def test_what_is_forgotten_is_free(quota: SecretQuota) -> None:
    """Owners that ended do not count."""
    for owner in range(100):
        assert quota.keep("team", owner, 600)
        assert quota.keep("team", owner, 0)
