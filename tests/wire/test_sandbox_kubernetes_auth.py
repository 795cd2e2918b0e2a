"""Kubernetes auth: a service account token for an access token, reviewed by an API server."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from aiohttp import web

from infisical_sandbox.server import Options, Sandbox
from infisical_sandbox.server.domain.records import KubernetesSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

GOOD = {
    "authenticated": True,
    "user": {"username": "system:serviceaccount:shop:operator"},
    "audiences": ["infisical"],
}


@asynccontextmanager
async def a_reviewer(status: dict[str, Any] | None, seen: list[Any]) -> AsyncIterator[str]:
    """The address of an API server that answers every TokenReview so; None answers 403."""

    async def review(request: web.Request) -> web.Response:
        seen.append((request.headers["Authorization"], await request.json()))
        if status is None:
            return web.json_response({"kind": "Status", "code": 403}, status=403)
        return web.json_response({"kind": "TokenReview", "status": status})

    app = web.Application()
    app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", review)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


async def log_in(settings: KubernetesSettings, jwt: str = "the-jwt") -> httpx.Response:
    """The answer to a login with this token at a sandbox of these settings."""
    async with (
        Sandbox.in_thread(Options(kubernetes=settings)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as client,
    ):
        body = {"identityId": sandbox.identity_id, "jwt": jwt}
        answer = await client.post("/api/v1/auth/kubernetes-auth/login", json=body)
        if answer.is_success:
            bearer = {"Authorization": f"Bearer {answer.json()['accessToken']}"}
            projects = await client.get("/api/v1/projects", headers=bearer)
            assert projects.json()["projects"][0]["id"] == sandbox.project_id
        return answer


async def test_a_reviewed_token_logs_in() -> None:
    """Without a reviewer the client's own token asks, and the audience is asked for."""
    seen: list[Any] = []
    async with a_reviewer(GOOD, seen) as url:
        answer = await log_in(
            KubernetesSettings(url, namespaces=("shop",), names=("operator",), audience="infisical")
        )

    assert answer.json().keys() == {"accessToken", "expiresIn", "accessTokenMaxTTL", "tokenType"}
    [(bearer, review)] = seen
    assert bearer == "Bearer the-jwt"
    assert review["spec"] == {"token": "the-jwt", "audiences": ["infisical"]}


async def test_a_reviewer_token_asks_instead() -> None:
    """With a reviewer its token authorizes the review."""
    seen: list[Any] = []
    async with a_reviewer(GOOD, seen) as url:
        await log_in(KubernetesSettings(url, reviewer_token="reviewer"))

    assert seen[0][0] == "Bearer reviewer"


@pytest.mark.parametrize(
    "status", [{"authenticated": False, "error": "no"}, None, {**GOOD, "user": {"username": "admin"}}]
)
async def test_a_review_that_says_no_is_a_review_error(status: dict[str, Any] | None) -> None:
    """Unauthenticated, refused or no service account: 401 with a name of its own."""
    async with a_reviewer(status, []) as url:
        answer = await log_in(KubernetesSettings(url))

    assert (answer.status_code, answer.json()["error"]) == (401, "KubernetesTokenReviewError")


async def test_an_unreachable_cluster_is_a_review_error() -> None:
    """Nobody listens: the same 401, and no token in the message."""
    answer = await log_in(KubernetesSettings("http://127.0.0.1:9"))

    assert (answer.status_code, answer.json()["error"]) == (401, "KubernetesTokenReviewError")
    assert "the-jwt" not in answer.text


@pytest.mark.parametrize("bound", [{"namespaces": ("other",)}, {"names": ("other",)}, {"audience": "other"}])
async def test_only_allowed_accounts_get_in(bound: dict[str, Any]) -> None:
    """Namespace, name and audience each keep others out, with a plain 401."""
    async with a_reviewer(GOOD, []) as url:
        answer = await log_in(KubernetesSettings(url, **bound))

    assert (answer.status_code, answer.json()["error"]) == (401, "UnauthorizedError")


async def test_an_identity_without_kubernetes_auth_says_so() -> None:
    """The login of a method that is not configured is a 404."""
    async with (
        Sandbox.in_thread() as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as client,
    ):
        body = {"identityId": sandbox.identity_id, "jwt": "x"}
        answer = await client.post("/api/v1/auth/kubernetes-auth/login", json=body)

    assert answer.status_code == 404


async def test_a_real_api_server_reviews(
    cluster: Any,  # noqa: ANN401 - the session's cluster or a foreign one
    kubectl: Callable[..., str],
    namespace: str,
) -> None:
    """A projected token for our audience logs in over TLS; one for another audience does not."""
    kubectl(
        "create", "clusterrolebinding", namespace, "--clusterrole=system:auth-delegator",
        f"--serviceaccount={namespace}:default",
    )  # fmt: skip
    entry = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
    settings = KubernetesSettings(
        entry["server"],
        base64.b64decode(entry["certificate-authority-data"]).decode(),
        reviewer_token=kubectl("create", "token", "default", "-n", namespace).strip(),
        namespaces=(namespace,),
        audience="infisical",
    )

    def token(audience: str) -> str:
        return kubectl("create", "token", "default", "-n", namespace, f"--audience={audience}").strip()

    try:
        good = await log_in(settings, token("infisical"))
        bad = await log_in(settings, token("someone-else"))
    finally:
        kubectl("delete", "clusterrolebinding", namespace)

    assert good.status_code == 200, good.text
    assert bad.status_code == 401
