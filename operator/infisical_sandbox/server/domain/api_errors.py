"""The error responses of Infisical: status, error name and message are part of its API.

ApiError
└── all errors are this class; the functions below return one per case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ApiError(Exception):
    """An error response.

    Attributes: `status` (HTTP), `error` (the name for clients), `message` (a sentence, or for
    422 the list of issues), `details` (extra objects or sentences, absent when None), `headers`.
    """

    def __init__(
        self,
        status: int,
        error: str,
        message: str | list[dict[str, object]],
        details: Sequence[object] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {error}")
        self.status = status
        self.error = error
        self.message = message
        self.details = details
        self.headers = headers or {}


def bad_request(message: str, error: str = "BadRequest") -> ApiError:
    """400: the request is not possible."""
    return ApiError(400, error, message)


def unauthorized(message: str, error: str = "UnauthorizedError") -> ApiError:
    """401: not authenticated."""
    return ApiError(401, error, message)


def forbidden(message: str, error: str = "ForbiddenError") -> ApiError:
    """403 for reasons other than a permission rule."""
    return ApiError(403, error, message)


def denied(action: str, subject: str, rules: Sequence[object]) -> ApiError:
    """403 of the permission check; `rules` are those of the action and subject."""
    return ApiError(403, "PermissionDenied", f"You are not allowed to {action} on {subject}", details=rules)


def bad_token(message: str) -> ApiError:
    """403 of the signature and expiry check of a bearer token."""
    return ApiError(403, "TokenError", message)


def not_found(message: str, error: str = "NotFound") -> ApiError:
    """404: the named object does not exist."""
    return ApiError(404, error, message)


def invalid(issues: list[dict[str, object]]) -> ApiError:
    """422: the request does not fit the schema."""
    return ApiError(422, "ValidationFailure", issues)


def too_many(message: str, headers: dict[str, str] | None = None) -> ApiError:
    """429, with rate-limit headers only where the real limiter sends them."""
    return ApiError(429, "RateLimitExceeded", message, headers=headers)
