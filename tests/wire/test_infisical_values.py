"""Values at the wire: read for who asks for them, compared by keyed digests, and never let through."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from infisical_events.api.specs import ManagedSecret, Spec
from infisical_events.core.paths.scopes import Folder, Scope
from infisical_events.core.snapshots.snapshots import ABSENT, Partition, Snapshot
from infisical_events.core.status.reasons import Reason
from infisical_events.core.sync.managed_secret_content import managed_secret_content_of, matches_accepted
from infisical_events.core.sync.value_digests import DigestKey
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.infisical.session import Session
from infisical_sandbox.server import Controls, Sandbox
from support.builders import a_spec
from support.infisical_sessions import DIGEST_KEY, a_sandbox_session, a_session
from support.scripted_server import always, answer, serving

A = Scope.parse("prod:/a")
OWN = Partition.own(Folder("prod", "/a"))
CANARY = "canary-value-8c1f"


def a_values_spec() -> Spec:
    """A spec that asks for values."""
    return a_spec(observe="Values")


async def digests(session: Session) -> dict[str, str]:
    """The digests of the folder's own secrets, by key."""
    parts = (await session.read_snapshot((A,))).partitions
    return {key: seen.digest for key, seen in parts[OWN].versions.items()}


async def test_a_value_is_seen_to_change_with_what_it_refers_to() -> None:
    """The version of a secret that refers to another one stays, its digest does not."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox, observe="Values") as session:
        await sandbox.do(Controls.set_secrets, "prod", "/db", {"HOST": "one"})
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"URL": "${prod.db.HOST}/x", "PLAIN": "one"})
        before = await session.read_snapshot((A,))
        await sandbox.do(Controls.set_secrets, "prod", "/db", {"HOST": "two"})
        after = await session.read_snapshot((A,))

    old, new = (sight.partitions[OWN].versions for sight in (before, after))
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
        seen = await session.read_snapshot((A,))
    broken = {"secrets": [listed | {"version": CANARY}]}
    async with (
        serving(always(answer(200, broken))) as server,
        a_session(server.url, a_values_spec()) as session,
    ):
        with pytest.raises(InfisicalError) as error:
            await session.read_snapshot((A,))

    assert CANARY not in repr(seen)
    assert CANARY not in f"{error.value!r} {error.value.__cause__!r}"


async def test_what_is_asked_for() -> None:
    """Values, expanded; everything else as for versions."""
    body = {"secrets": [], "imports": []}
    async with (
        serving(always(answer(200, body))) as server,
        a_session(server.url, a_values_spec()) as session,
    ):
        await session.read_snapshot((A,))
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
            await session.read_snapshot((A,))

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
            first: Snapshot = await session.read_snapshot((A,))
            second = await session.read_snapshot((A,))
    assert first.partitions == second.partitions


# -- values themselves, for the Secrets that are made of them ------------------------------------------


async def test_a_folder_is_read_with_its_values() -> None:
    """Own and imported values, expanded, under the sightings that a look shows."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox, observe="Values") as session:
        await sandbox.do(Controls.set_secrets, "dev", "/shared", {"SHARED": "s"})
        await sandbox.do(Controls.set_secrets, "prod", "/a/below", {"BELOW": "b"})
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"HOST": "h", "URL": "${HOST}/x"})
        await sandbox.do(Controls.add_import, "prod", "/a", ("dev", "/shared"))
        folder_values = await session.read_values(Folder("prod", "/a"))
        seen = await session.read_snapshot((A,))

    assert folder_values.values == {
        OWN: {"HOST": "h", "URL": "h/x"},
        Partition(A, Folder("dev", "/shared")): {"SHARED": "s"},
    }
    assert folder_values.partitions == seen.partitions
    assert matches_accepted(folder_values, seen.partitions)


async def test_a_later_import_wins() -> None:
    """The order of the list of imports is what the server says it is."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        for place in ("/one", "/two"):
            await sandbox.do(Controls.set_secrets, "prod", place, {"K": place, "OWN": place})
            await sandbox.do(Controls.add_import, "prod", "/a", ("prod", place))
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"OWN": "own"})
        folder_values = await session.read_values(Folder("prod", "/a"))

    managed = ManagedSecret(name="s", environment_slug="prod", secret_path="/a")
    assert managed_secret_content_of(folder_values, managed, "team", DigestKey(b"k")).data == {
        "K": "/two",
        "OWN": "own",
    }


async def test_a_changed_reference_is_another_content_where_versions_are_observed() -> None:
    """No version tells, so digests do, whatever the grade of the subscription is."""
    managed = ManagedSecret(name="s", environment_slug="prod", secret_path="/a")
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(Controls.set_secrets, "prod", "/db", {"HOST": "one"})
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"URL": "${prod.db.HOST}/x"})
        before = await session.read_values(Folder("prod", "/a"))
        accepted = (await session.read_snapshot((A,))).partitions
        await sandbox.do(Controls.set_secrets, "prod", "/db", {"HOST": "two"})
        after = await session.read_values(Folder("prod", "/a"))

    assert (
        managed_secret_content_of(before, managed, "team", DigestKey(b"k")).fingerprint
        != managed_secret_content_of(after, managed, "team", DigestKey(b"k")).fingerprint
    )
    assert matches_accepted(before, accepted)
    assert matches_accepted(after, accepted)


async def test_a_reading_that_is_another_than_the_look_is_told() -> None:
    """What changed between a look and the reading is found."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "1"})
        accepted = (await session.read_snapshot((A,))).partitions
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": "2"})
        folder_values = await session.read_values(Folder("prod", "/a"))

    assert not matches_accepted(folder_values, accepted)


async def test_an_empty_folder_has_its_own_part() -> None:
    """So whoever has a reading knows what was read."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(Controls.create_folder, "prod", "/a")
        folder_values = await session.read_values(Folder("prod", "/a"))

    assert (dict(folder_values.partitions), dict(folder_values.values)) == ({OWN: ABSENT}, {OWN: {}})


@pytest.mark.parametrize("folder", [Folder("prod", "/missing"), Folder("nowhere", "/")])
async def test_a_folder_that_is_not_there_is_an_error(folder: Folder) -> None:
    """Unlike a look, for which it is empty: a Secret must not be emptied by a misspelt path."""
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        with pytest.raises(InfisicalError) as refused:
            await session.read_values(folder)

    assert refused.value.reason is Reason.FOLDER_NOT_FOUND


async def test_values_are_always_read_whole() -> None:
    """One folder, imports included, expanded; no tag is sent, so nothing old can stand for it."""
    listed = {"id": "i", "secretKey": "K", "version": 1, "secretValue": "v", "type": "shared"}
    body = answer(200, {"secrets": [listed], "imports": []}, {"ETag": '"tag"'})
    async with serving(always(body)) as server, a_session(server.url) as session:
        await session.read_snapshot((A,))
        for _ in range(2):
            await session.read_values(Folder("prod", "/a"))

    for request in server.requests[1:]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.target).query).items()}
        assert "if-none-match" not in request.headers
        assert query.pop("projectId")
        assert query == {
            "environment": "prod",
            "secretPath": "/a",
            "recursive": "false",
            "viewSecretValue": "true",
            "expandSecretReferences": "true",
            "include_imports": "true",
            "includeImports": "true",
        }


@pytest.mark.parametrize(
    "hidden",
    [{"secretValue": "", "secretValueHidden": True}, {"secretValue": "<hidden-by-infisical>"}],
    ids=["told", "by its text"],
)
@pytest.mark.parametrize("is_imported", [False, True])
async def test_a_hidden_value_is_refused(hidden: dict[str, object], is_imported: bool) -> None:  # noqa: FBT001 - a case
    """It never gets into a Secret; the sentence names the key, its folder and the right that is missing."""
    plain = {"id": "i", "secretKey": "K", "version": 1, "secretValue": CANARY, "type": "shared"}
    listed = [plain, plain | {"secretKey": "L"} | hidden]
    imports = [{"environment": "dev", "secretPath": "/shared", "secrets": listed}]
    body = {"secrets": [plain], "imports": imports} if is_imported else {"secrets": listed, "imports": []}
    async with serving(always(answer(200, body))) as server, a_session(server.url) as session:
        with pytest.raises(InfisicalError) as refused:
            await session.read_values(Folder("prod", "/a"))

    assert refused.value.reason is Reason.PERMISSION_DENIED
    place = "dev:/shared" if is_imported else "prod:/a"
    assert re.search(rf"value of 'L' in {place}\..*Read Value", str(refused.value))
    assert CANARY not in str(refused.value)


async def test_lacking_the_right_to_read_is_told_where_secrets_are_written() -> None:
    """The sentence says what needs the right."""
    describe = {"subject": "secrets", "actions": ["describeSecret"]}
    async with Sandbox.in_thread() as sandbox, a_sandbox_session(sandbox) as session:
        await sandbox.do(Controls.set_secrets, "prod", "/a", {"K": CANARY})
        await sandbox.do(Controls.permit, [describe])
        with pytest.raises(InfisicalError, match=r"resync\.secrets needs Read Value") as refused:
            await session.read_values(Folder("prod", "/a"))

    assert refused.value.reason is Reason.PERMISSION_DENIED


@pytest.mark.parametrize(
    "broken",
    [
        {"version": CANARY},
        {"secretValue": 7},
        {"secretValue": None},
        {"secretKey": 7},
        {"secretValue": [CANARY]},
    ],
)
async def test_a_reading_that_makes_no_sense_is_refused(broken: dict[str, object]) -> None:
    """Nothing is taken for a value that is none, and no value is told."""
    listed = {"id": "i", "secretKey": "K", "version": 1, "secretValue": CANARY, "type": "shared"} | broken
    async with (
        serving(always(answer(200, {"secrets": [listed]}))) as server,
        a_session(server.url) as session,
    ):
        with pytest.raises(InfisicalError) as refused:
            await session.read_values(Folder("prod", "/a"))

    assert refused.value.reason is Reason.UNEXPECTED_RESPONSE
    assert CANARY not in f"{refused.value!r} {refused.value.__cause__!r}"


async def test_no_value_of_a_reading_is_shown() -> None:
    """A reading can be printed; a personal override is nobody's workload's business."""
    listed = {"id": "i", "secretKey": "K", "version": 1, "secretValue": CANARY, "type": "shared"}
    body = {"secrets": [listed, listed | {"type": "personal", "secretValue": "mine"}], "imports": []}
    async with serving(always(answer(200, body))) as server, a_session(server.url) as session:
        folder_values = await session.read_values(Folder("prod", "/a"))

    assert folder_values.values[OWN] == {"K": CANARY}
    assert CANARY not in repr(folder_values)
