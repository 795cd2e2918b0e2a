"""Log lines for people (text) or for machines (JSON): a constant message and fields.

A caller passes the fields as `extra=`. In text they follow the message as `key=value`, in JSON they are keys
of the object. A text is cut, and what is beyond a budget of bytes per minute is left out and counted: servers
and users choose what is in them, and how often. Libraries log requests, headers and bodies at the levels info
and debug. Their level is always warning, so that no token can get into a log.
"""

import logging
import sys
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from infisical_events.core.status.text import MAX_MESSAGE_LENGTH, escaped
from infisical_events.runtime.app.log_budget import LogBudget

_OURS = "infisical_events"
_MAX_TRACEBACK_LENGTH = 16_384

_BUDGET, _DEBUG_BUDGET = 980_000, 10_000_000
"""Bytes per minute, and those at level debug; a last line and its traceback may be beyond it."""

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What `logging` itself puts on a record; every other attribute was passed as `extra=`."""


class LogFormat(StrEnum):
    """The format of log lines."""

    TEXT = "text"
    JSON = "json"


class _UtcTime(logging.Formatter):
    """ISO 8601 in UTC with milliseconds: lines of several pods can be compared and sorted."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's signature
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _TextFormatter(_UtcTime):
    """One record is one line: foreign text (of servers, of users' annotations) must not start another."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = " ".join((escaped(record.message), *_fields(record)))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401 - logging's name and its union
        """Indented, since the text of an exception may look like a log line."""
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"    {escaped(line)}" for line in lines)


class _JsonFormatter(_UtcTime, JsonFormatter):
    """One record is one JSON object; `pythonjsonlogger` adds the fields."""

    def __init__(self) -> None:
        renamed = {"asctime": "timestamp", "levelname": "level", "name": "logger"}
        JsonFormatter.__init__(self, [*renamed, "message"], rename_fields=renamed)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Cut each text."""
        return {key: _cut(key, value) for key, value in super().process_log_record(log_data).items()}


def _cut(key: str, value: object) -> object:
    """The begin of a text; of a traceback the end, which names the error."""
    if not isinstance(value, str):
        return value
    return value[-_MAX_TRACEBACK_LENGTH:] if key == "exc_info" else value[:MAX_MESSAGE_LENGTH]


class _BoundedHandler(logging.StreamHandler[TextIO]):
    """Writes to stderr within a budget; a line says how many lines were left out."""

    def __init__(self, budget: LogBudget) -> None:
        super().__init__(sys.stderr)
        self._budget = budget

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or leave it out."""
        if left_out := self._budget.begin_minute(time.monotonic()):
            super().emit(_left_out(left_out))
        if self._budget.admits(_namespace_of(record)):
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, and count its bytes."""
        line = super().format(record)
        self._budget.spend(_namespace_of(record), len(line.encode(errors="replace")) + 1)
        return line


def _namespace_of(record: logging.LogRecord) -> str:
    """The namespace of the subscription that a line is about; empty if it is about none."""
    return str(getattr(record, "subscription", "")).partition("/")[0]


def _left_out(lines: int) -> logging.LogRecord:
    fields = {"name": _OURS, "levelname": "WARNING", "levelno": logging.WARNING, "lines": lines}
    return logging.makeLogRecord(fields | {"msg": "too many log lines, some were left out"})


def _fields(record: logging.LogRecord) -> list[str]:
    """`key=value` for each field of one of our records; those of libraries may be large or confidential."""
    if record.name.partition(".")[0] != _OURS:
        return []
    fields = vars(record).items()
    return [f"{key}={_quoted(str(value))}" for key, value in fields if key not in _STANDARD_ATTRIBUTES]


def _quoted(value: str) -> str:
    """A value as one word: in quotation marks where a reader could not see where it ends."""
    text = escaped(value)
    if text and not any(character in text for character in ' "=\\'):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def configure(log_format: LogFormat, level: str) -> None:
    """Set up the root logger: our own lines from `level` on, those of libraries from warning on.

    Args:
        log_format: Text or JSON.
        level: `debug`, `info`, `warning` or `error`.
    """
    handler = _BoundedHandler(LogBudget(_DEBUG_BUDGET if level.upper() == "DEBUG" else _BUDGET))
    handler.setFormatter(_JsonFormatter() if log_format is LogFormat.JSON else _TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(_OURS).setLevel(level.upper())
