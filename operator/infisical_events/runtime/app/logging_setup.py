"""Log lines for people (text) or machines (json), each with the subscription it is about.

Other people's libraries log requests, headers and bodies when asked for detail. They are kept at
warnings whatever the level, so that no token can get into a log.
"""

import logging
import sys
from enum import StrEnum
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from infisical_events.core.status.text import escaped

_OURS = "infisical_events"


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


class _TextFormatter(logging.Formatter):
    """Foreign text (messages of servers, of users' annotations) must not start a line of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(about)s%(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        subscription = getattr(record, "subscription", "")
        record.about = f"[{subscription}] " if subscription else ""
        record.message = escaped(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401 - logging's name and its union
        """Indented, since the text of an exception may look like a log line."""
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"    {escaped(line)}" for line in lines)


def configure(log_format: LogFormat, level: str) -> None:
    """Set up the root logger; our own lines from `level` on, all others from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    renamed = {"asctime": "timestamp", "levelname": "level", "name": "logger"}
    structured = JsonFormatter([*renamed, "message"], rename_fields=renamed)
    handler.setFormatter(structured if log_format is LogFormat.JSON else _TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(_OURS).setLevel(level.upper())
