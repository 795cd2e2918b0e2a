"""The command line as a user runs it, over a kubeconfig; in this process, which has its imports already."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from infisical_events.cli.commands import main


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    output: str
    errors: str

    @property
    def lines(self) -> list[str]:
        """The lines of the output."""
        return self.output.splitlines()

    @property
    def data(self) -> Any:  # noqa: ANN401 - JSON
        """The output as JSON."""
        return json.loads(self.output)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`infisical-events` in one namespace."""

    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str) -> Answer:
        """Run one command."""
        given = ("--kubeconfig", str(self.kubeconfig), "-n", self.namespace)
        with _kept_logging():
            done = CliRunner().invoke(main, [*arguments, *given])
        return Answer(done.exit_code, done.stdout, done.stderr)


@contextmanager
def _kept_logging() -> Iterator[None]:
    """A command silences the log of its process, which is that of the tests here."""
    logger = logging.getLogger("infisical_events")
    propagate, handlers = logger.propagate, list(logger.handlers)
    try:
        yield
    finally:
        logger.propagate, logger.handlers = propagate, handlers
