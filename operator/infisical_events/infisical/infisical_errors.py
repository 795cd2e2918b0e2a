"""What can go wrong between the operator and Infisical, told apart by what a person has to do.

InfisicalError          reason, a sentence, how long to wait at least
├── LoginError          the credentials were refused, or the login could not be made
├── TokenRejectedError   the access token is not (or no longer) accepted: log in again
├── FolderMissingError  the environment or the folder does not exist, or is hidden
└── StreamEndedError    an open stream came to its end: the other side closed or broke it
    ├── StreamRefusedError  the server said that it would not go on
    └── StreamGivenUpError  it was ended from here
"""

from infisical_events.core.status.reasons import Reason


class InfisicalError(Exception):
    """A failure with a constant reason and a sentence that says what to do.

    Attributes:
        reason: The reason for conditions and metrics.
        retry_after: Seconds that the server asked to wait, or that prudence demands; 0 when neither.
        quote: The server's own words as they stand in the sentence, with brackets; may be empty.
    """

    def __init__(self, reason: Reason, sentence: str, retry_after: float = 0.0, quote: str = "") -> None:
        super().__init__(sentence)
        self.reason = reason
        self.retry_after = retry_after
        self.quote = quote


class LoginError(InfisicalError):
    """No token could be had."""


class TokenRejectedError(InfisicalError):
    """The server does not accept the access token."""


class FolderMissingError(InfisicalError):
    """`SecretPathNotFound`: no such environment or folder."""


class UnknownRouteError(InfisicalError):
    """A 404 of the web framework, not of the application: an older or a newer server."""


class StreamEndedError(InfisicalError):
    """Any end of an open stream; one of neither kind below was clean, cut or reset by the other side."""


class StreamRefusedError(StreamEndedError):
    """`event: error`: the permission is lost, or could not be checked."""


class StreamGivenUpError(StreamEndedError):
    """Nothing was heard for too long, or an event had no end: this says nothing of how long streams live."""
