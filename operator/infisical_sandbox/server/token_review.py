"""Kubernetes auth: TokenReview of a service account token, then the limits of the identity."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import aiohttp

from infisical_sandbox.server.domain import api_errors

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.records import KubernetesSettings

_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_ACCOUNT_PARTS = 4


async def review(settings: KubernetesSettings, jwt: str) -> None:
    """Check that this service account token may log in.

    Raises: 401 `KubernetesTokenReviewError` if the review fails or rejects the token, 401 for a namespace,
    name or audience that is not allowed.
    """
    status = await _token_review(settings, jwt)
    if not status.get("authenticated"):
        reason = str(status.get("error", "token is not authenticated"))[:200]
        raise _review_error(f"The TokenReview says no: {reason}")
    namespace, name = _account(str(status.get("user", {}).get("username", "")))
    _check(settings, namespace, name, status.get("audiences") or [])


async def _token_review(settings: KubernetesSettings, jwt: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"token": jwt}
    if settings.audience:
        spec["audiences"] = [settings.audience]
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    headers = {"Authorization": f"Bearer {settings.reviewer_token or jwt}"}
    context = ssl.create_default_context(cadata=settings.ca or None)
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(
                settings.api_url.rstrip("/") + _PATH, json=body, headers=headers, ssl=context
            ) as response,
        ):
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise _review_error(f"The TokenReview failed: {type(error).__name__}") from error
    if not isinstance(answer, dict) or answer.get("kind") != "TokenReview":
        raise _review_error(f"The TokenReview failed with status {response.status}")
    status: dict[str, Any] = answer.get("status") or {}
    return status


def _account(username: str) -> tuple[str, str]:
    parts = username.split(":")
    if len(parts) != _ACCOUNT_PARTS or parts[:2] != ["system", "serviceaccount"]:
        raise _review_error("The token is not one of a service account")
    return parts[2], parts[3]


def _check(settings: KubernetesSettings, namespace: str, name: str, audiences: list[str]) -> None:
    if settings.namespaces and namespace not in settings.namespaces:
        raise api_errors.unauthorized("Access denied: Kubernetes service account namespace not allowed")
    if settings.names and name not in settings.names:
        raise api_errors.unauthorized("Access denied: Kubernetes service account name not allowed")
    if settings.audience and settings.audience not in audiences:
        raise api_errors.unauthorized("Access denied: Kubernetes audience not allowed")


def _review_error(message: str) -> api_errors.ApiError:
    return api_errors.unauthorized(message, "KubernetesTokenReviewError")
