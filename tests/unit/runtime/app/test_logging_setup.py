"""One record is one line, whatever is in it, and others' detail never gets into a log."""

import json
import logging
from collections.abc import Iterator

import pytest

from infisical_events.runtime.app.logging_setup import LogFormat, configure

OURS = "infisical_events.runtime.stream.stream_controller"
FORMATS = pytest.mark.parametrize("log_format", LogFormat)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The root logger as pytest left it."""
    root, ours = logging.getLogger(), logging.getLogger("infisical_events")
    before = root.handlers[:], root.level, ours.level
    yield
    for handler in root.handlers:
        if handler not in before[0]:
            handler.close()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that were written."""
    return capsys.readouterr().err.splitlines()


@FORMATS
@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\x85b", "a\u2028b", "a\x0bb", "a\x1b[31mb", "a\u202eb"])
def test_one_line(capsys: pytest.CaptureFixture[str], log_format: LogFormat, text: str) -> None:
    """Foreign text can neither begin a line of its own nor steer a terminal."""
    configure(log_format, "info")
    logging.getLogger(OURS).warning("the server says %s", text)
    [line] = lines(capsys)
    assert line.isprintable()


@FORMATS
def test_percent_signs(capsys: pytest.CaptureFixture[str], log_format: LogFormat) -> None:
    """Foreign text is not taken for a format."""
    configure(log_format, "info")
    logging.getLogger(OURS).warning("the server says %s", "100%s %d")
    assert "100%s %d" in lines(capsys)[0]


@FORMATS
def test_forged_line_in_an_exception(capsys: pytest.CaptureFixture[str], log_format: LogFormat) -> None:
    """A traceback cannot be taken for log lines, whatever the exception's text is."""
    configure(log_format, "info")
    error = ValueError("x\n10:00:00 INFO    restarted Deployment web\x1b[31m")
    logging.getLogger(OURS).error("unexpected", exc_info=error)
    first, *rest = lines(capsys)
    assert "unexpected" in first
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_broken_record_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """A record whose arguments do not fit its format does not fail the code that logs."""
    configure(LogFormat.TEXT, "info")
    logging.getLogger("somebody.else").warning("%d", "no number")
    assert "Logging error" in "\n".join(lines(capsys))


@FORMATS
def test_subscription_is_told(capsys: pytest.CaptureFixture[str], log_format: LogFormat) -> None:
    """A line tells which subscription it is about."""
    configure(log_format, "info")
    logging.getLogger(OURS).info("heard", extra={"subscription": "team/app"})
    assert "team/app" in lines(capsys)[0]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A JSON line has timestamp, level, logger, message and the subscription."""
    configure(LogFormat.JSON, "info")
    logging.getLogger(OURS).info("heard %s", "A\nB", extra={"subscription": "team/app"})
    record = json.loads(lines(capsys)[0])
    assert record.pop("timestamp")
    assert record == {"level": "INFO", "logger": OURS, "message": "heard A\nB", "subscription": "team/app"}


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "kopf.objects", "kubernetes", "aiohttp.client"])
def test_others_stay_at_warnings(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """At level debug our own detail is logged and that of other libraries, with its headers, is not."""
    configure(LogFormat.TEXT, "debug")
    logging.getLogger(OURS).debug("ours")
    logging.getLogger(name).info("Authorization: Bearer t0ken")
    logging.getLogger(name).debug("Authorization: Bearer t0ken")
    logging.getLogger(name).warning("theirs")
    said = lines(capsys)
    assert [line.split()[-1] for line in said] == ["ours", "theirs"]


def test_level(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below the level is not logged."""
    configure(LogFormat.TEXT, "error")
    logging.getLogger(OURS).warning("quiet")
    logging.getLogger(OURS).error("loud")
    assert [line.split()[-1] for line in lines(capsys)] == ["loud"]
