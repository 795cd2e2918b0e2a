"""Errors of requests to the API server, by what the caller has to do.

KubernetesError              any error, with the API server's message
├── UnauthorizedError        401: invalid or expired credentials
├── ForbiddenError           403: RBAC, or an admission plugin
│   └── ProtectedObjectError (`protected_objects`) a subscription refers to an object of the operator
├── NotFoundError            404
├── MissingKeyError          (`credential_reader`) the Secret exists, but its key does not
├── ConflictError            409: another client was faster
├── InvalidError             400, 413, 422: the object is invalid
├── SecretRejectedError      a managed Secret is rejected; the message says what to change
│   └── SecretOwnedError     it has another owner, or Merge finds none: nothing was sent
└── UnknownOutcomeError      no response: the write may have been applied
"""


class KubernetesError(Exception):
    """The API server rejected the request, failed or did not respond."""


class UnauthorizedError(KubernetesError):
    """The API server does not accept the credentials: they are expired or invalid."""


class ConflictError(KubernetesError):
    """The object's resourceVersion or uid is not the one that was read."""


class NotFoundError(KubernetesError):
    """The object does not exist."""


class InvalidError(KubernetesError):
    """The API server, or an admission plugin, rejected the object as invalid."""


class SecretRejectedError(KubernetesError):
    """A managed Secret is rejected and a retry does not help; the message contains no value of it."""


class SecretOwnedError(SecretRejectedError):
    """A managed Secret belongs to another owner, or is missing for a merge; either can change at any time."""


class ForbiddenError(KubernetesError):
    """The operator's ServiceAccount may not do this."""


class UnknownOutcomeError(KubernetesError):
    """No response in time; the request may have been applied."""


_BY_STATUS = {
    400: InvalidError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidError,
    422: InvalidError,
}


def error_for_status(status: int, message: str) -> KubernetesError:
    """The error class of an HTTP status."""
    return _BY_STATUS.get(status, KubernetesError)(message or f"the API server responded with HTTP {status}")
