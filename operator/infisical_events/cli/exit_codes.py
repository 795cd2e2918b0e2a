"""Exit codes of the commands for people, as scripts and CI jobs test them."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended; 2 is also what click returns for a mistake in the command line."""

    OK = 0
    FOUND = 1
    USAGE = 2
    UNANSWERED = 3

    @property
    def meaning(self) -> str:
        """A clause for the help."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "all is well",
    ExitCode.FOUND: "something is wrong, or would not happen, as the output says",
    ExitCode.USAGE: "mistake in the command line",
    ExitCode.UNANSWERED: "the cluster or Infisical could not be asked",
}
