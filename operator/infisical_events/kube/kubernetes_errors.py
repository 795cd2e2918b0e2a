"""What can go wrong between the operator and the API server.

KubernetesError        status and the API server's own message
├── UnauthorizedError  401: the credentials are not, or no longer, good
├── ForbiddenError     403: RBAC, or an admission plugin
├── NotFoundError      404
├── ConflictError      409: somebody else wrote first
├── InvalidError       400, 413, 422: what was sent is not accepted as it is
├── SecretRefusedError  a Secret that is written here is not accepted; the sentence says what to change
└── UnknownOutcomeError  no answer: the write may or may not have happened
"""


class KubernetesError(Exception):
    """The API server refused, failed or did not answer."""


class UnauthorizedError(KubernetesError):
    """The API server does not know who asks: the credentials have ended, or never were good."""


class ConflictError(KubernetesError):
    """The object's resourceVersion or uid is not the one that was read."""


class NotFoundError(KubernetesError):
    """No such object."""


class InvalidError(KubernetesError):
    """The API server, or an admission plugin, does not accept the object."""


class SecretRejectedError(KubernetesError):
    """A Secret cannot be written as the spec has it, and trying again does not help; no value is repeated."""


class ForbiddenError(KubernetesError):
    """The operator's ServiceAccount may not do this."""


class UnknownOutcomeError(KubernetesError):
    """Nothing came back in time; what was asked may have been done."""


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
    return _BY_STATUS.get(status, KubernetesError)(message or f"the API server answered {status}")
