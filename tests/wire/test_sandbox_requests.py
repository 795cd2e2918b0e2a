"""The request-and-answer part of the local Infisical over real HTTP: shapes, errors, ETags, faults."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from infisical_sandbox.server import Controls, Options, ResponseFault, Sandbox
from infisical_sandbox.server.domain import generations
from infisical_sandbox.server.domain.records import TokenSettings
from support.sandbox_client import a_client, login, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

V3, V4 = "/api/v3/secrets/raw", "/api/v4/secrets"
CANARY = "canary-value-that-must-not-leak"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """The newest generation with two secrets."""
    async with Sandbox.in_thread(Options(fan_out_delay=0.0)) as running:
        await running.do(Controls.set_secrets, "prod", "/app", {"A": CANARY, "B": "2"})
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """Logged in."""
    async with a_client(sandbox) as connected:
        yield connected


@pytest.fixture
def app(sandbox: Sandbox) -> dict[str, Any]:
    """The folder `/app` as the v4 routes name it."""
    return {"projectId": sandbox.project_id, "environment": "prod", "secretPath": "/app"}


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and error name; the shape is checked on the way."""
    body = answer.json()
    assert body["reqId"].startswith("req-")
    assert len(body["reqId"]) == 18
    assert body["statusCode"] == answer.status_code
    return answer.status_code, body["error"]


# -- reading ----------------------------------------------------------------------------------


async def test_a_secret_has_every_field_of_the_contract(
    client: httpx.AsyncClient, app: dict[str, Any]
) -> None:
    """Both route families answer the same object."""
    v3 = {"workspaceId": app["projectId"], "environment": "prod", "secretPath": "/app/"}

    new = (await client.get(V4, params=app)).json()
    old = (await client.get(V3, params=v3)).json()

    assert new == old
    assert new["imports"] == []
    assert new["secrets"][0].keys() >= {
        *("id", "_id", "workspace", "environment", "version", "type", "secretKey", "secretValue"),
        *("secretComment", "secretPath", "secretValueHidden", "skipMultilineEncoding", "tags"),
        *("secretMetadata", "createdAt", "updatedAt", "actor", "isRotatedSecret", "rotationId"),
    }
    assert new["secrets"][0]["secretValue"] == CANARY


async def test_hidden_values_are_hidden(client: httpx.AsyncClient, app: dict[str, Any]) -> None:
    """With `viewSecretValue=false` a fixed text stands for every value."""
    answer = await client.get(V4, params=app | {"viewSecretValue": "false"})

    assert {(row["secretValue"], row["secretValueHidden"]) for row in answer.json()["secrets"]} == {
        ("<hidden-by-infisical>", True)
    }
    assert CANARY not in answer.text


async def test_imports_come_with_the_right_spelling_only(
    sandbox: Sandbox, client: httpx.AsyncClient, app: dict[str, Any]
) -> None:
    """A wrong spelling of the switch means no imports, not an error; imported secrets have no times."""
    await sandbox.do(Controls.add_import, "prod", "/", ("prod", "/app"))
    root = app | {"secretPath": "/"}

    right = (await client.get(V4, params=root | {"includeImports": "true"})).json()
    wrong = (await client.get(V4, params=root | {"include_imports": "true"})).json()

    assert wrong["imports"] == []
    [entry] = right["imports"]
    assert (entry["secretPath"], entry["environment"]) == ("/app", "prod")
    assert [row["secretKey"] for row in entry["secrets"]] == ["A", "B"]
    assert not entry["secrets"][0].keys() & {"createdAt", "updatedAt"}


async def test_an_unchanged_list_is_a_304(
    sandbox: Sandbox, client: httpx.AsyncClient, app: dict[str, Any]
) -> None:
    """The strong tag of the body, with or without `W/`, answers 304 without a body; a change ends that."""
    first = await client.get(V4, params=app)
    tag = first.headers["etag"]

    async def ask(value: str) -> httpx.Response:
        return await client.get(V4, params=app, headers={"If-None-Match": value})

    same = [await ask(value) for value in (tag, f"W/{tag}")]
    other = [await ask(value) for value in ("*", f'"x", {tag}')]
    await sandbox.do(Controls.set_secrets, "prod", "/app", {"A": "new"})
    changed = await ask(tag)

    assert [(answer.status_code, answer.content) for answer in same] == [(304, b"")] * 2
    assert [answer.status_code for answer in other] == [200, 200]
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"environment": "nope"}, (404, "SecretPathNotFound")),
        ({"secretPath": "/nope"}, (404, "SecretPathNotFound")),
        ({"secretPath": "/a/**"}, (400, "BadRequest")),
        ({"projectId": "nope"}, (404, "NotFound")),
        ({"recursive": "True"}, (422, "ValidationFailure")),
        ({"recursive": "1"}, (422, "ValidationFailure")),
    ],
)
async def test_a_wrong_read_says_what_is_wrong(
    client: httpx.AsyncClient, app: dict[str, Any], change: dict[str, str], expected: tuple[int, str]
) -> None:
    """Each mistake has its status and its name."""
    assert error_of(await client.get(V4, params=app | change)) == expected


async def test_the_older_list_misses_its_parameters_by_400(client: httpx.AsyncClient) -> None:
    """No project or no environment is a bad request there, not a validation failure."""
    for params in ({"environment": "prod"}, {"workspaceId": "x"}):
        assert error_of(await client.get(V3, params=params)) == (400, "BadRequest")


async def test_one_secret_by_name_id_and_version(
    sandbox: Sandbox, client: httpx.AsyncClient, app: dict[str, Any]
) -> None:
    """All three ways lead to it, and an old version keeps its value."""
    await sandbox.do(Controls.set_secrets, "prod", "/app", {"B": "3"})

    by_name = (await client.get(f"{V4}/B", params=app)).json()["secret"]
    by_id = (await client.get(f"{V4}/id/{by_name['id']}")).json()["secret"]
    old = (await client.get(f"{V4}/B", params=app | {"version": "1"})).json()["secret"]

    assert by_name == by_id
    assert (by_name["secretValue"], by_name["version"]) == ("3", 2)
    assert (old["secretValue"], old["version"], old["id"]) == ("2", 1, by_name["id"])


# -- writing ----------------------------------------------------------------------------------


async def test_a_secret_lives_its_life_over_http(client: httpx.AsyncClient, app: dict[str, Any]) -> None:
    """Create, update with a new name, delete: the id stays, the version grows, then it is gone."""
    made = (await client.post(f"{V4}/NEW", json=app | {"secretValue": "1"})).json()["secret"]
    renamed = (await client.patch(f"{V4}/NEW", json=app | {"newSecretName": "NEWER"})).json()["secret"]
    gone = await client.request("DELETE", f"{V4}/NEWER", json=app)

    assert (renamed["id"], renamed["version"], renamed["secretValue"]) == (made["id"], 2, "1")
    assert gone.status_code == 200
    assert error_of(await client.get(f"{V4}/NEWER", params=app)) == (404, "NotFound")


async def test_batches_work_on_many(client: httpx.AsyncClient, app: dict[str, Any]) -> None:
    """A batch creates, upserts and deletes several secrets in one call."""
    items = [{"secretKey": key, "secretValue": "1"} for key in ("X", "Y")]
    upsert = app | {"mode": "upsert", "secrets": [*items, {"secretKey": "Z", "secretPath": "/z"}]}

    made = (await client.post(f"{V4}/batch", json=app | {"secrets": items})).json()["secrets"]
    changed = (await client.patch(f"{V4}/batch", json=upsert)).json()["secrets"]
    gone = await client.request("DELETE", f"{V4}/batch", json=app | {"secrets": items})

    assert [row["version"] for row in made] == [1, 1]
    assert [(row["secretPath"], row["version"]) for row in changed] == [
        ("/app", 2),
        ("/app", 2),
        ("/z", 1),
    ]
    assert gone.status_code == 200
    assert [row["secretKey"] for row in (await client.get(V4, params=app)).json()["secrets"]] == ["A", "B"]


async def test_an_empty_batch_is_no_batch(client: httpx.AsyncClient, app: dict[str, Any]) -> None:
    """At least one item, else 422 with a list of issues."""
    answer = await client.post(f"{V4}/batch", json=app | {"secrets": []})

    assert error_of(answer) == (422, "ValidationFailure")
    assert answer.json()["message"][0]["path"] == ["secrets"]


async def test_a_change_policy_turns_writes_into_requests(
    sandbox: Sandbox, client: httpx.AsyncClient, app: dict[str, Any]
) -> None:
    """The write answers 200 with an approval and nothing has changed, until it is merged."""
    await sandbox.do(Controls.require_approvals, wanted=True)

    filed = await client.patch(f"{V4}/A", json=app | {"secretValue": "9"})
    before = (await client.get(f"{V4}/A", params=app)).json()["secret"]
    await sandbox.do(Controls.merge_approval, filed.json()["approval"]["id"])
    after = (await client.get(f"{V4}/A", params=app)).json()["secret"]

    assert filed.status_code == 200
    assert (before["version"], after["version"], after["secretValue"]) == (1, 2, "9")


async def test_a_viewer_may_not_write(
    sandbox: Sandbox, client: httpx.AsyncClient, app: dict[str, Any]
) -> None:
    """The refusal names the action and the subject."""
    await sandbox.do(Controls.assign_role, "viewer")

    answer = await client.post(f"{V4}/NEW", json=app | {"secretValue": "1"})

    assert error_of(answer) == (403, "PermissionDenied")
    assert answer.json()["message"] == "You are not allowed to create on secrets"
    assert answer.json()["details"] == []


async def test_folders_live_their_life(client: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """Made with its parents, listed below, renamed, read by id, refused when not empty, removed by name."""
    scope = {"projectId": sandbox.project_id, "environment": "dev"}
    made = await client.post("/api/v2/folders", json=scope | {"name": "c", "path": "/a/b"})
    folder = made.json()["folder"]
    renamed = await client.patch(
        f"/api/v2/folders/{folder['id']}", json=scope | {"name": "d", "path": "/a/b"}
    )
    listed = await client.get("/api/v2/folders", params=scope | {"path": "/", "recursive": "true"})
    one = (await client.get(f"/api/v2/folders/{folder['id']}")).json()["folder"]
    refused = await client.request("DELETE", "/api/v2/folders/a", json=scope | {"path": "/"})
    gone = await client.request(
        "DELETE",
        "/api/v1/folders/a",
        json={"workspaceId": sandbox.project_id, "environment": "dev", "path": "/", "forceDelete": True},
    )

    assert folder["path"] == "/a/b/c"
    assert renamed.json()["folder"]["path"] == "/a/b/d"
    assert [row["relativePath"] for row in listed.json()["folders"]] == ["a", "a/b", "a/b/d"]
    assert (one["environment"]["envSlug"], one["path"]) == ("dev", "/a/b/d")
    assert error_of(refused) == (400, "BadRequest")
    assert gone.status_code == 200
    assert (await client.get("/api/v2/folders", params=scope)).json()["folders"] == []


async def test_the_folder_list_knows_when_secrets_changed(
    sandbox: Sandbox, client: httpx.AsyncClient
) -> None:
    """The background job dates the folder after a change of its secrets."""
    params = {"projectId": sandbox.project_id, "environment": "prod", "path": "/"}
    await until(lambda: sandbox.controls.instance.fan_out.waiting == 0, "the jobs end")

    [folder] = (await client.get("/api/v2/folders", params=params)).json()["folders"]
    later = await client.get(
        "/api/v2/folders", params=params | {"lastSecretModified": "2999-01-01T00:00:00Z"}
    )

    assert folder["lastSecretModified"] is not None
    assert later.json()["folders"] == []


async def test_imports_live_their_life(client: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """Added in order, moved, removed; a source that is not there is a 404."""
    scope = {"projectId": sandbox.project_id, "environment": "prod", "path": "/"}
    await sandbox.do(Controls.create_folder, "prod", "/two")
    ids = []
    for path in ("/app", "/two"):
        entry = {"import": {"environment": "prod", "path": path}}
        answer = await client.post("/api/v2/secret-imports", json=scope | entry)
        ids.append(answer.json()["secretImport"]["id"])
    missing = {"import": {"environment": "prod", "path": "/nope"}}
    refused = await client.post("/api/v2/secret-imports", json=scope | missing)
    await client.patch(f"/api/v2/secret-imports/{ids[1]}", json=scope | {"import": {"position": 1}})
    moved = (await client.get("/api/v2/secret-imports", params=scope)).json()["secretImports"]
    await client.request("DELETE", f"/api/v2/secret-imports/{ids[1]}", json=scope)
    left = (await client.get("/api/v2/secret-imports", params=scope)).json()["secretImports"]

    assert refused.status_code == 404
    assert [(row["id"], row["position"]) for row in moved] == [(ids[1], 1), (ids[0], 2)]
    assert [(row["id"], row["position"]) for row in left] == [(ids[0], 1)]


async def test_secrets_move_between_folders(
    client: httpx.AsyncClient, sandbox: Sandbox, app: dict[str, Any]
) -> None:
    """They are gone here and new there; an unknown id moves nothing."""
    await sandbox.do(Controls.create_folder, "prod", "/new")
    ids = [row["id"] for row in (await client.get(V4, params=app)).json()["secrets"]]
    body = {
        "projectId": sandbox.project_id,
        "sourceEnvironment": "prod",
        "sourceSecretPath": "/app",
        "destinationEnvironment": "prod",
        "destinationSecretPath": "/new",
    }

    refused = await client.post(f"{V4}/move", json=body | {"secretIds": [*ids, "nobody"]})
    moved = await client.post(f"{V4}/move", json=body | {"secretIds": ids})
    there = (await client.get(V4, params=app | {"secretPath": "/new"})).json()["secrets"]

    assert error_of(refused) == (404, "NotFound")
    assert moved.json() == {"isSourceUpdated": True, "isDestinationUpdated": True}
    assert (await client.get(V4, params=app)).json()["secrets"] == []
    assert [(row["secretKey"], row["secretValue"]) for row in there] == [("A", CANARY), ("B", "2")]


async def test_a_personal_override_changes_nothing_shared(
    client: httpx.AsyncClient, app: dict[str, Any]
) -> None:
    """It is written, rewritten and removed beside the shared secret, which stays as it is."""
    mine = app | {"type": "personal"}

    made = await client.post(f"{V4}/A", json=mine | {"secretValue": "mine"})
    changed = await client.patch(f"{V4}/A", json=mine | {"secretValue": "mine too"})
    shared = (await client.get(f"{V4}/A", params=app)).json()["secret"]
    gone = await client.request("DELETE", f"{V4}/A", json=mine)
    orphan = await client.post(f"{V4}/NOBODY", json=mine | {"secretValue": "1"})

    assert [answer.json()["secret"]["type"] for answer in (made, changed, gone)] == ["personal"] * 3
    assert (shared["type"], shared["version"], shared["secretValue"]) == ("shared", 1, CANARY)
    assert error_of(orphan) == (400, "BadRequest")


async def test_a_clash_of_names_is_a_bad_request(
    client: httpx.AsyncClient, sandbox: Sandbox, app: dict[str, Any]
) -> None:
    """Secrets, renames, folders, environments and slugs that exist are refused with 400."""
    scope = {"projectId": sandbox.project_id, "environment": "prod"}
    project = f"/api/v1/projects/{sandbox.project_id}"

    answers = [
        await client.post(f"{V4}/A", json=app | {"secretValue": "1"}),
        await client.patch(f"{V4}/A", json=app | {"newSecretName": "B"}),
        await client.post("/api/v2/folders", json=scope | {"name": "app"}),
        await client.post("/api/v2/folders", json=scope | {"name": "a.b"}),
        await client.post(f"{project}/environments", json={"name": "P", "slug": "prod"}),
        await client.post(f"{project}/environments", json={"name": "P", "slug": "P r o d"}),
        await client.post("/api/v1/projects", json={"projectName": "S", "slug": "sandbox"}),
    ]

    assert {error_of(answer) for answer in answers} == {(400, "BadRequest")}


async def test_several_folders_are_renamed_at_once(client: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """A batch of renames answers the folders under their new paths."""
    scope = {"projectId": sandbox.project_id, "environment": "prod"}
    found = (await client.get("/api/v2/folders", params=scope)).json()["folders"]
    items = [{"id": found[0]["id"], "name": "renamed", "environment": "prod"}]

    answer = await client.patch(
        "/api/v2/folders/batch", json={"projectId": sandbox.project_id, "folders": items}
    )

    assert [row["path"] for row in answer.json()["folders"]] == ["/renamed"]


async def test_an_import_can_be_given_another_source(client: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """The entry keeps its id and points elsewhere."""
    scope = {"projectId": sandbox.project_id, "environment": "prod", "path": "/"}
    entry = await sandbox.do(Controls.add_import, "prod", "/", ("prod", "/app"))
    edit = {"import": {"environment": "dev", "path": "/other/"}}

    answer = (await client.patch(f"/api/v2/secret-imports/{entry}", json=scope | edit)).json()

    assert answer["secretImport"]["importPath"] == "/other"
    assert answer["secretImport"]["importEnv"]["slug"] == "dev"


async def test_a_body_over_the_limit_falls_through_to_a_500(
    client: httpx.AsyncClient, app: dict[str, Any]
) -> None:
    """More than one MiB is not taken."""
    answer = await client.post(f"{V4}/BIG", json=app | {"secretValue": "x" * 2**20})

    assert error_of(answer) == (500, "InternalServerError")


# -- projects and status ------------------------------------------------------------------------


async def test_projects_are_found_by_every_route(client: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """Wrapped by id, bare by slug, in both families."""
    answers = [
        (await client.get(path)).json()
        for path in (
            f"/api/v1/projects/{sandbox.project_id}",
            f"/api/v1/workspace/{sandbox.project_id}",
            f"/api/v1/projects/slug/{sandbox.project_slug}",
            f"/api/v2/workspace/{sandbox.project_slug}",
        )
    ]

    project = answers[2]
    assert answers == [{"project": project}, {"workspace": project}, project, project]
    assert project["id"] == sandbox.project_id
    assert [env["slug"] for env in project["environments"]] == ["dev", "staging", "prod"]


async def test_a_new_project_is_usable_at_once(client: httpx.AsyncClient) -> None:
    """It has the usual environments, one more on demand, and its maker may write."""
    project = (await client.post("/api/v1/projects", json={"projectName": "Other Shop"})).json()["project"]
    await client.post(f"/api/v1/projects/{project['id']}/environments", json={"name": "QA", "slug": "qa"})
    where = {"projectId": project["id"], "environment": "qa"}

    made = await client.post(f"{V4}/A", json=where | {"secretValue": "1"})

    assert made.status_code == 200
    assert made.json()["secret"]["secretPath"] == "/"


async def test_status_needs_no_token(sandbox: Sandbox) -> None:
    """Anyone may ask; there is no version in it."""
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as stranger:
        body = (await stranger.get("/api/status")).json()

    assert body["message"] == "Ok"
    assert "version" not in body


# -- tokens -----------------------------------------------------------------------------------


async def test_the_bearer_is_checked_before_the_route(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """An expired token is a 403 on unknown routes and even on the login itself."""
    await sandbox.do(Controls.expire_tokens)

    unknown = await client.get("/api/v9/nothing")
    again = await login(client, sandbox)
    client.headers.pop("Authorization")
    plain = await client.get("/api/v9/nothing")

    assert error_of(unknown) == (403, "TokenError")
    assert error_of(again) == (403, "TokenError")
    assert plain.json() == {
        "message": "Route GET:/api/v9/nothing not found",
        "error": "Not Found",
        "statusCode": 404,
    }


async def test_a_login_answers_four_fields(sandbox: Sandbox) -> None:
    """Token, its seconds, its most seconds, and its type."""
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as stranger:
        body = (await login(stranger, sandbox)).json()

    assert body | {"accessToken": ""} == {
        "accessToken": "",
        "expiresIn": 2592000,
        "accessTokenMaxTTL": 2592000,
        "tokenType": "Bearer",
    }


async def test_no_token_a_service_token_and_a_revoked_one(
    sandbox: Sandbox, client: httpx.AsyncClient, app: dict[str, Any]
) -> None:
    """Each has its own status, name and sentence."""
    service = await client.get(V4, params=app, headers={"Authorization": "Bearer st.abc"})
    await sandbox.do(Controls.revoke_tokens)
    revoked = await client.get(V4, params=app)
    client.headers.pop("Authorization")
    none = await client.get(V4, params=app)

    assert service.status_code == 403
    assert service.json()["error"].startswith("Forbidden access to /api/v4/secrets?")
    assert error_of(revoked) == (401, "UnauthorizedError")
    assert (error_of(none), none.json()["message"]) == ((401, "UnauthorizedError"), "Token missing")


async def test_a_token_is_renewed_and_revoked_over_http() -> None:
    """Renewal and revocation take the token in the body and need no header."""
    options = Options(tokens=TokenSettings(ttl=60, max_ttl=600))
    async with Sandbox.in_thread(options) as sandbox, a_client(sandbox) as client:
        token = client.headers.pop("Authorization").removeprefix("Bearer ")
        renewed = await client.post("/api/v1/auth/token/renew", json={"accessToken": token})
        revoked = await client.post("/api/v1/auth/token/revoke", json={"accessToken": token})
        after = await client.post(
            "/api/v1/auth/token/renew", json={"accessToken": renewed.json()["accessToken"]}
        )

    assert renewed.json()["expiresIn"] == 60
    assert revoked.json().keys() == {"message"}
    assert error_of(after) == (401, "UnauthorizedError")


async def test_wrong_logins_lock_the_method(sandbox: Sandbox) -> None:
    """After three failures the right secret is refused as well, still with 401."""
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as stranger:
        for _ in range(3):
            assert (await login(stranger, sandbox, "wrong")).status_code == 401
        locked = await login(stranger, sandbox)

    assert error_of(locked) == (401, "UnauthorizedError")
    assert "retry-after" not in locked.headers


async def test_a_token_can_be_minted_by_hand(
    sandbox: Sandbox, client: httpx.AsyncClient, app: dict[str, Any]
) -> None:
    """Token-auth has no login: a token is made for the identity and simply works."""
    path = f"/api/v1/auth/token-auth/identities/{sandbox.identity_id}/tokens"
    token = (await client.post(path, json={"name": "by hand"})).json()["accessToken"]

    answer = await client.get(V4, params=app, headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"{", "application/json"), (b"", "application/json"), (b"a=b", "application/x-www-form-urlencoded")],
)
async def test_what_is_no_json_falls_through_to_a_500(
    client: httpx.AsyncClient, content: bytes, kind: str
) -> None:
    """Broken bodies are not validation failures on this server."""
    path = "/api/v1/auth/token/renew"

    answer = await client.post(path, content=content, headers={"Content-Type": kind})

    assert error_of(answer) == (500, "InternalServerError")


# -- faults -----------------------------------------------------------------------------------


async def test_an_injected_error_hits_the_next_requests_only(
    sandbox: Sandbox, client: httpx.AsyncClient, app: dict[str, Any]
) -> None:
    """So many requests of that route fail, others and later ones do not."""
    await sandbox.do(Controls.fail_requests, ResponseFault("GET /api/v4/*", count=2, status=503))

    found = [(await client.get(V4, params=app)).status_code for _ in range(3)]

    assert (await client.get("/api/status")).status_code == 200
    assert found == [503, 503, 200]


@pytest.mark.parametrize("seconds", [None, 7])
async def test_a_429_comes_with_or_without_retry_after(
    sandbox: Sandbox, client: httpx.AsyncClient, seconds: int | None
) -> None:
    """The limiter's answer has its headers, the other 429 has none."""
    await sandbox.do(Controls.fail_requests, ResponseFault("*", status=429, retry_after=seconds))

    answer = await client.get("/api/status")

    assert error_of(answer) == (429, "RateLimitExceeded")
    assert answer.headers.get("retry-after") == (None if seconds is None else "7")
    assert ("x-ratelimit-reset" in answer.headers) == (seconds is not None)


async def test_a_hanging_request_never_answers(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """It times out at the client, and the next one works."""
    await sandbox.do(Controls.fail_requests, ResponseFault("*", hang=True))

    with pytest.raises(httpx.ReadTimeout):
        await client.get("/api/status", timeout=0.1)
    assert (await client.get("/api/status")).status_code == 200


async def test_stale_reads_serve_the_old_list_and_its_tag(
    sandbox: Sandbox, client: httpx.AsyncClient, app: dict[str, Any]
) -> None:
    """While reads are frozen, a change is invisible and a 304 is still given."""
    tag = (await client.get(V4, params=app)).headers["etag"]
    await sandbox.do(Controls.freeze_reads, 600)
    await sandbox.do(Controls.set_secrets, "prod", "/app", {"A": "new"})

    stale = await client.get(V4, params=app, headers={"If-None-Match": tag})
    await sandbox.do(Controls.reset_faults)
    fresh = await client.get(V4, params=app, headers={"If-None-Match": tag})

    assert (stale.status_code, fresh.status_code) == (304, 200)


async def test_the_admin_routes_need_their_token() -> None:
    """Without `admin` they do not exist; with it they want the token of the ready file."""
    async with Sandbox.in_thread() as plain, httpx.AsyncClient(base_url=plain.url) as client:
        assert (await client.get("/__admin__/state")).status_code == 404
    async with (
        Sandbox.in_thread(Options(admin=True)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url) as client,
    ):
        assert (await client.get("/__admin__/state")).status_code == 401
        client.headers["Authorization"] = f"Bearer {sandbox.ready()['adminToken']}"
        assert (await client.get("/__admin__/state")).json()["streams"] == 0


ADMIN_CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "faults", {"planMissing": True, "dropEvents": 1, "pingInterval": 1, "staleReads": 1}),
    ("PUT", "faults", {"connectionLimit": None, "delayEvents": 0.5, "extraCopies": 1}),
    ("DELETE", "faults", {}),
    ("POST", "responses", {"route": "GET /nowhere", "status": 503, "retryAfter": 1, "delay": 0}),
    ("POST", "streams/end", {"ending": "abort"}),
    ("POST", "streams/write", {"text": ": hello\n\n"}),
    ("POST", "streams/write", {"base64": "/////w=="}),
    ("POST", "streams/recheck", {}),
    ("POST", "tokens", {"action": "mint", "ttl": 5}),
    ("POST", "tokens", {"action": "expire"}),
    ("POST", "tokens", {"action": "revoke"}),
    ("PUT", "permissions", {"role": "viewer"}),
    ("PUT", "permissions", {"rules": [{"subject": "secrets", "action": "read"}]}),
    ("PUT", "permissions", {}),
    ("PUT", "approvals", {"required": True}),
    ("POST", "rotations", {"environment": "prod", "values": {"A": CANARY}}),
    ("GET", "journal", {}),
    ("GET", "state", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), ADMIN_CALLS)
async def test_every_switch_can_be_thrown_over_http(method: str, path: str, body: dict[str, Any]) -> None:
    """Each admin route takes its body and answers with JSON."""
    async with (
        Sandbox.in_thread(Options(admin=True)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url) as client,
    ):
        client.headers["Authorization"] = f"Bearer {sandbox.admin_token}"

        answer = await client.request(method, f"/__admin__/{path}", json=body)

        assert answer.status_code == 200, answer.text
        assert isinstance(answer.json(), dict)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("permissions", {"rules": [{"subject": "secret", "action": "read"}]}),
        ("permissions", {"role": "king"}),
        ("faults", {"delayEvents": -1}),
    ],
)
async def test_a_wrong_switch_is_refused(path: str, body: dict[str, Any]) -> None:
    """A typo in a fault is told, not ignored."""
    async with (
        Sandbox.in_thread(Options(admin=True)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url) as client,
    ):
        client.headers["Authorization"] = f"Bearer {sandbox.admin_token}"

        assert (await client.put(f"/__admin__/{path}", json=body)).status_code in {400, 422}


async def test_the_journal_knows_names_and_no_values(sandbox: Sandbox) -> None:
    """Changes and events are noted with both clocks; a secret's value is nowhere."""
    entries = await sandbox.do(Controls.journal)
    text = json.dumps([entry.as_json() for entry in entries])

    assert {"secret", "event", "event-delivered"} <= {entry.kind for entry in entries}
    assert '"secretKey": "A"' in text
    assert CANARY not in text


async def test_the_log_knows_no_values(
    sandbox: Sandbox, client: httpx.AsyncClient, app: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither values nor credentials nor queries are logged."""
    caplog.set_level("DEBUG")
    await client.post(f"{V4}/NEW", json=app | {"secretValue": CANARY})
    await client.get(V4, params=app)
    await until(lambda: "GET /api/v4/secrets 200" in caplog.text, "the request is logged")

    ours = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith("infisical_sandbox")
    )
    assert CANARY not in ours
    assert sandbox.client_secret not in ours
    assert sandbox.project_id not in ours


# -- staying ----------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", generations.BY_NAME.values(), ids=generations.BY_NAME)
async def test_the_state_survives_a_restart(tmp_path: Path, generation: generations.Generation) -> None:
    """With a database file, project, credentials, tokens, secrets and versions are there again."""
    options = Options(database=tmp_path / "state.db", generation=generation)
    async with Sandbox.in_thread(options) as first, a_client(first) as client:
        await first.do(Controls.set_secrets, "prod", "/app", {"A": "1", "B": "1"})
        await first.do(Controls.set_secrets, "prod", "/app", {"A": "2"})
        await first.do(Controls.delete_secrets, "prod", "/app", ["B"])
        await first.do(Controls.add_import, "prod", "/", ("prod", "/app"))
        params = {"projectId": first.project_id, "environment": "prod", "secretPath": "/app"}
        before = (await client.get(V4, params=params)).json()
        token = client.headers["Authorization"]
        credentials = (first.project_id, first.client_id, first.client_secret)

    async with Sandbox.in_thread(options) as second, a_client(second) as client:
        after = await client.get(V4, params=params, headers={"Authorization": token})
        old = (await client.get(f"{V4}/A", params=params | {"version": "1"})).json()["secret"]

        assert (second.project_id, second.client_id, second.client_secret) == credentials
        assert after.json() == before
        assert old["secretValue"] == "1"


async def test_a_taken_port_is_told_at_once(sandbox: Sandbox) -> None:
    """A second sandbox on the same port fails with the system's reason instead of hanging."""
    port = int(sandbox.url.rsplit(":", 1)[1])

    with pytest.raises(OSError, match="address already in use"):
        await Sandbox.in_thread(Options(port=port)).__aenter__()


async def test_a_sandbox_runs_in_the_loop_of_its_caller() -> None:
    """`running` serves without a thread, and its controls act directly."""
    async with Sandbox.running() as sandbox, a_client(sandbox) as client:
        await sandbox.do(Controls.set_secrets, "dev", "/", {"A": "1"})
        params = {"projectId": sandbox.project_id, "environment": "dev"}
        answer = await asyncio.wait_for(client.get(V4, params=params), 5)

    assert [row["secretKey"] for row in answer.json()["secrets"]] == ["A"]


# -- the Go port ------------------------------------------------------------------------------------


@pytest.fixture
async def go_sandbox() -> AsyncIterator[Sandbox]:
    """The newest generation whose reads the Go port answers, with two secrets."""
    async with Sandbox.in_thread(Options(generation=generations.GO, fan_out_delay=0.0)) as running:
        await running.do(Controls.set_secrets, "prod", "/app", {"A": CANARY, "B": "2"})
        yield running


@pytest.mark.parametrize(
    ("path", "query", "status", "name", "message"),
    [
        (V4, {"secretPath": "/nowhere"}, 404, "NotFound", "Folder not found"),
        (V4, {"environment": "prd"}, 404, "NotFound", "Environment not found"),
        (f"{V4}/NONE", {}, 404, "NotFound", "Secret with name"),
        (V4, {"projectId": "none"}, 404, "NotFound", "Project with ID"),
        (V4, {"recursive": "yes"}, 400, "ValidationError", "Validation failed"),
    ],
)
async def test_errors_of_the_go_port(
    go_sandbox: Sandbox, path: str, query: dict[str, str], status: int, name: str, message: str
) -> None:
    """They have no request id, and one name for everything that is not found."""
    usual = {"projectId": go_sandbox.project_id, "environment": "prod", "secretPath": "/app"}
    async with a_client(go_sandbox) as client:
        answer = await client.get(path, params=usual | query)
    body = answer.json()
    assert (answer.status_code, body["statusCode"], body["error"]) == (status, status, name)
    assert body["message"].startswith(message)
    assert "reqId" not in body


async def test_a_malformed_token_at_the_go_port(go_sandbox: Sandbox) -> None:
    """It is a 401, where Node says 403; the stream stays with Node."""
    headers = {"Authorization": "Bearer broken"}
    async with httpx.AsyncClient(base_url=go_sandbox.url, trust_env=False, headers=headers) as client:
        read = await client.get(V4, params={"projectId": "p", "environment": "prod"})
        subscribed = await client.post("/api/v1/events/subscribe/project-events", json={})
    assert (read.status_code, read.json()["error"]) == (401, "UnauthorizedError")
    assert error_of(subscribed) == (403, "TokenError")


async def test_a_route_that_the_go_port_does_not_have(go_sandbox: Sandbox) -> None:
    """Its router answers in plain text."""
    async with a_client(go_sandbox) as client:
        answer = await client.get(f"{V4}/a/b/c")
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")


async def test_a_list_of_the_go_port_leaves_out_what_is_empty(go_sandbox: Sandbox) -> None:
    """Neither imports nor tags nor metadata are there when there are none; imports come unasked."""
    where = {"projectId": go_sandbox.project_id, "environment": "prod", "secretPath": "/app"}
    async with a_client(go_sandbox) as client:
        plain = (await client.get(V4, params=where)).json()
        await go_sandbox.do(Controls.set_secrets, "dev", "/deep", {"D": "1"})
        await go_sandbox.do(Controls.set_secrets, "dev", "/near", {"D": "2"})
        await go_sandbox.do(Controls.add_import, "dev", "/near", ("dev", "/deep"))
        await go_sandbox.do(Controls.add_import, "prod", "/app", ("dev", "/near"))
        imports = (await client.get(V4, params=where)).json()["imports"]
    assert "imports" not in plain
    assert not {"tags", "secretMetadata", "skipMultilineEncoding"} & plain["secrets"][0].keys()
    assert [entry["secretPath"] for entry in imports] == ["/deep", "/near"]
    assert [entry["secrets"][0]["secretValue"] for entry in imports] == ["1", "2"]


async def test_an_environment_gets_another_slug(sandbox: Sandbox, client: httpx.AsyncClient) -> None:
    """Its secrets keep their ids, and the old slug is not found any more."""
    project = (await client.get(f"/api/v1/projects/{sandbox.project_id}")).json()["project"]
    [prod] = [each["id"] for each in project["environments"] if each["slug"] == "prod"]
    url = f"/api/v1/projects/{sandbox.project_id}/environments/{prod}"
    where = {"projectId": sandbox.project_id, "secretPath": "/app"}
    before = (await client.get(V4, params=where | {"environment": "prod"})).json()["secrets"]
    assert (await client.patch(url, json={"slug": "production"})).status_code == 200
    after = (await client.get(V4, params=where | {"environment": "production"})).json()["secrets"]
    gone = await client.get(V4, params=where | {"environment": "prod"})
    assert [secret["id"] for secret in before] == [secret["id"] for secret in after]
    assert error_of(gone) == (404, "SecretPathNotFound")
