"""Errors of requests to Infisical, by what a user has to do.

InfisicalError              a reason, a message, and the minimum time to wait
├── LoginError              the credentials are rejected, or the login failed
├── TokenRejectedError      the access token is invalid or expired: log in again
├── NoProjectAccessError    the identity has no access at all: no member, or from this IP address
├── FolderMissingError      the environment or the folder does not exist, or is hidden
├── UnknownRouteError       the server does not have the endpoint
└── StreamEndedError        an open stream ended: the other side closed it, or the connection failed
    ├── StreamRefusedError  the server sent `event: error`
    └── StreamGivenUpError  the operator closed it
"""

from infisical_events.core.status.reasons import Reason


class InfisicalError(Exception):
    """An error with a constant reason and a message that says what to do.

    Attributes:
        reason: The reason for conditions and metrics.
        retry_after: Seconds to wait before a retry, by the server or as a precaution; 0 for no minimum.
        quote: The server's message as it is quoted in the sentence, with brackets; may be empty.
    """

    def __init__(self, reason: Reason, sentence: str, retry_after: float = 0.0, quote: str = "") -> None:
        super().__init__(sentence)
        self.reason = reason
        self.retry_after = retry_after
        self.quote = quote

    @property
    def is_backoff(self) -> bool:
        """Whether the server demanded that requests wait: a 429 or 5xx with Retry-After."""
        return self.retry_after > 0 and self.reason in {Reason.RATE_LIMITED, Reason.SERVER_ERROR}


class LoginError(InfisicalError):
    """There is no access token: the login failed."""


class TokenRejectedError(InfisicalError):
    """The server rejected the access token."""


class NoProjectAccessError(InfisicalError):
    """A 403 of Infisical that is about the identity and not about what it wants to read."""


class FolderMissingError(InfisicalError):
    """A 404 of the application: the environment or the folder does not exist."""


class UnknownRouteError(InfisicalError):
    """A 404 that is not of the application: an older or a newer server, or something in between.

    Attributes:
        is_infisical: Whether the web framework of Infisical wrote it.
    """

    def __init__(self, sentence: str, *, is_infisical: bool = False) -> None:
        super().__init__(Reason.UNEXPECTED_RESPONSE, sentence)
        self.is_infisical = is_infisical


class StreamEndedError(InfisicalError):
    """Any end of an open stream; without a subclass, the other side closed or reset it."""


class StreamRefusedError(StreamEndedError):
    """The server sent `event: error`: the permission is lost, or could not be checked."""


class StreamGivenUpError(StreamEndedError):
    """No data for too long, or an event is too large: says nothing about the lifetime of streams."""
