"""Values at the wire: read for who asks for them, compared by keyed digests, and never let through."""

from urllib.parse import parse_qs, urlsplit

import pytest

from factories import a_spec
from infisical_events.api.specs import Spec
from infisical_events.core.folders import Folder
from infisical_events.core.observations import Observation, Part
from infisical_events.core.reasons import Reason
from infisical_events.core.scopes import Scope
from infisical_events.infisical.digesting import DigestKey
from infisical_events.infisical.errors import InfisicalError
from infisical_events.infisical.sessions import Session
from infisical_sandbox.server import Controls, Sandbox
from infisical_sessions import DIGEST_KEY, a_sandbox_session, a_session
from scripted_server import always, answer, serving

A = Scope.parse("prod:/a")
OWN = Part.own(Folder("prod", "/a"))
CANARY = "canary-value-8c1f"


def a_values_spec() -> Spec:
    """A spec that asks for values."""
    return a_spec(observe="Values")


async def digests(session: Session) -> dict[str, str]:
    """The digests of the folder's own secrets, by key."""
    parts = (await session.observe((A,))).parts
    return {key: seen.digest for key, seen in parts[OWN].sightings.items()}


async def test_a_value_is_seen_to_change_with_what_it_refers_to() -> None:
    """The version of a secret that refers to another one stays, its digest does not."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox, observe="Values") as session:
        await sandbox.do(Controls.set_secrets, "prod", "/db", {"HOST": "one"})
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"URL": "${prod.db.HOST}/x", "PLAIN": "one"})
        before = await session.observe((A,))
        await sandbox.do(Controls.set_secrets, "prod", "/db", {"HOST": "two"})
        after = await session.observe((A,))

    old, new = (sight.parts[OWN].sightings for sight in (before, after))
    assert old["URL"].version == new["URL"].version
    assert old["URL"].digest != new["URL"].digest
    assert old["PLAIN"] == new["PLAIN"]
    assert before.key_id == after.key_id == DIGEST_KEY.id


async def test_equal_values_cannot_be_told_from_others() -> None:
    """Whoever reads the status does not learn that two secrets have one value, nor the value by trying."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox, observe="Values") as session:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": CANARY, "L": CANARY})
        seen = await digests(session)

    assert seen["K"] != seen["L"]
    assert DIGEST_KEY.digest("", CANARY) not in seen.values()


async def test_no_value_is_kept_or_told() -> None:
    """Neither an observation nor an error of a list that makes no sense repeats a value."""
    listed = {"id": "i", "secretKey": "K", "version": 1, "secretValue": CANARY, "type": "shared"}
    body = {"secrets": [listed], "imports": []}
    async with (
        serving(always(answer(200, body))) as server,
        a_session(server.url, a_values_spec()) as session,
    ):
        seen = await session.observe((A,))
    broken = {"secrets": [listed | {"version": CANARY}]}
    async with (
        serving(always(answer(200, broken))) as server,
        a_session(server.url, a_values_spec()) as session,
    ):
        with pytest.raises(InfisicalError) as error:
            await session.observe((A,))

    assert CANARY not in repr(seen)
    assert CANARY not in f"{error.value!r} {error.value.__cause__!r}"


async def test_what_is_asked_for() -> None:
    """Values, expanded; everything else as for versions."""
    body = {"secrets": [], "imports": []}
    async with (
        serving(always(answer(200, body))) as server,
        a_session(server.url, a_values_spec()) as session,
    ):
        await session.observe((A,))
    query = parse_qs(urlsplit(server.requests[0].target).query)

    assert query["viewSecretValue"] == query["expandSecretReferences"] == ["true"]


async def test_a_hidden_value_has_no_digest() -> None:
    """Of a value that is not shown only the version is known."""
    listed = {"id": "i", "secretKey": "K", "version": 1, "type": "shared"}
    hidden = listed | {"secretValue": "<hidden-by-infisical>", "secretValueHidden": True}
    body = {"secrets": [hidden, listed | {"secretKey": "L"}], "imports": []}
    async with (
        serving(always(answer(200, body))) as server,
        a_session(server.url, a_values_spec()) as session,
    ):
        assert await digests(session) == {"K": "", "L": ""}


async def test_lacking_the_right_to_read_is_told_with_what_to_do() -> None:
    """Who may only describe secrets is refused as a whole, and told which right is missing."""
    describe = {"subject": "secrets", "actions": ["describeSecret"]}
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox, observe="Values") as session:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": CANARY})
        await sandbox.do(Controls.permit, [describe])
        with pytest.raises(InfisicalError) as refused:
            await session.observe((A,))

    assert refused.value.reason is Reason.PERMISSION_DENIED
    assert "Read Value" in str(refused.value)


async def test_a_rotated_key_makes_other_digests() -> None:
    """Two keys have two names, and their digests of one value differ."""
    old, new = DigestKey(b"one"), DigestKey(b"two")

    assert old.id != new.id
    assert old.digest("i", "v") != new.digest("i", "v")
    assert b"one".decode() not in repr(old)


async def test_an_unchanged_list_is_not_read_again() -> None:
    """A 304 stands for the digests last received, as long as the key is the same."""
    async with Sandbox.in_thread() as sandbox:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "1"})
        async with a_sandbox_session(sandbox, observe="Values") as session:
            first: Observation = await session.observe((A,))
            second = await session.observe((A,))
    assert first.parts == second.parts
