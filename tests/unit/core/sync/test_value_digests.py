"""Digests of one namespace and purpose say nothing of those of another one."""

import asyncio
import itertools

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from infisical_events.core.sync.value_digests import DigestKey, DigestPurpose, derived_source

ROOT = DigestKey(b"the key of the installation")
PLACES = tuple(itertools.product(("team-a", "team-b", "team", "a/team"), DigestPurpose))


@pytest.mark.parametrize(("namespace", "purpose"), PLACES)
def test_a_derived_key_is_that_of_the_standard(namespace: str, purpose: DigestPurpose) -> None:
    """It is what another implementation of HKDF-Expand derives."""
    expand = HKDFExpand(algorithm=SHA256(), length=32, info=f"{purpose}/{namespace}".encode())
    assert ROOT.derived(namespace, purpose).secret == expand.derive(ROOT.secret)


def test_no_two_keys_are_equal() -> None:
    """Neither namespaces nor purposes share a key, and none has the key of the installation."""
    keys = {ROOT.secret, *(ROOT.derived(*place).secret for place in PLACES)}
    assert len(keys) == len(PLACES) + 1


def test_a_server_is_no_oracle() -> None:
    """Who chooses id and value of a secret in Infisical gets no digest of a Secret of that name."""
    name, content = "team-a/database", "a guess"
    stored = ROOT.derived("team-a", DigestPurpose.SECRET_CONTENT).digest(name, content)
    of_lists = [ROOT.derived(space, DigestPurpose.LISTED_VALUE).digest(name, content) for space, _ in PLACES]
    assert stored not in of_lists


def test_a_rotated_key_changes_the_derived_ones() -> None:
    """The derived key is that of the installation's key as it is now."""
    root = ROOT

    async def current() -> DigestKey:
        return root

    async def derived_id() -> str:
        return (await derived_source(current, "team-a", DigestPurpose.LISTED_VALUE)()).id

    before = asyncio.run(derived_id())
    root = DigestKey(b"another key")
    assert asyncio.run(derived_id()) != before
