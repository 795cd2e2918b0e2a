"""One record is one line, whatever it contains, and the detail of libraries never gets into a log."""

import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from infisical_events.runtime.app import logging_setup
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
    logging.getLogger(OURS).warning("the server says %s", text, extra={"error": text})
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
    error = ValueError("x\n2026-11-30T10:00:00.000Z INFO    restarted Deployment web\x1b[31m")
    logging.getLogger(OURS).error("unexpected", exc_info=error)
    first, *rest = lines(capsys)
    assert "unexpected" in first
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_broken_record_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """A record whose arguments do not fit its format does not fail the code that logs."""
    configure(LogFormat.TEXT, "info")
    logging.getLogger("library").warning("%d", "no number")
    assert "Logging error" in "\n".join(lines(capsys))


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A text line has a date and time in UTC, the level, the message and the fields in their order."""
    configure(LogFormat.TEXT, "info")
    before = datetime.now(UTC)  # noqa: TID251 - compared with what logging reads from the clock
    logging.getLogger(OURS).info(
        "event received", extra={"subscription": "team/app", "shard": 3, "seconds": 0.5, "reason": None}
    )
    time, line = lines(capsys)[0].split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert abs(datetime.fromisoformat(time) - before) < timedelta(minutes=1)
    assert line == "INFO    event received subscription=team/app shard=3 seconds=0.5 reason=None"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain/value-1", "plain/value-1"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "a"', '"say \\"a\\""'),
        ("a\\", '"a\\\\"'),
        ("a\nb", '"a\\\\nb"'),
        ("a\u2028b\x1b[31m", '"a\\\\u2028b\\\\x1b[31m"'),
    ],
)
def test_values_of_fields_in_text(capsys: pytest.CaptureFixture[str], value: str, written: str) -> None:
    """A value is one word or quoted, so that it cannot be taken for another field or another line."""
    configure(LogFormat.TEXT, "info")
    logging.getLogger(OURS).warning("request failed", extra={"error": value})
    [line] = lines(capsys)
    assert line.endswith(f" request failed error={written}")
    assert line.isprintable()


def test_a_field_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    """A megabyte that a server sent does not get into the log."""
    configure(LogFormat.TEXT, "info")
    logging.getLogger(OURS).warning("request failed", extra={"error": "x" * 1_000_000})
    assert len(lines(capsys)[0]) < 5000


def test_fields_of_libraries_are_left_out_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A library may attach objects of any size and content to its records."""
    configure(LogFormat.TEXT, "info")
    logging.getLogger("aiohttp.client").warning("theirs", extra={"headers": "t0ken"})
    assert lines(capsys)[0].endswith(" theirs")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A JSON line has timestamp, level, logger, message and each field as a key."""
    configure(LogFormat.JSON, "info")
    fields = {"subscription": "team/app", "shard": 3, "error": "A\nB"}
    logging.getLogger(OURS).info("event received", extra=fields)
    record = json.loads(lines(capsys)[0])
    assert datetime.fromisoformat(record.pop("timestamp")).utcoffset() == timedelta(0)
    assert record == {"level": "INFO", "logger": OURS, "message": "event received", **fields}


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


@FORMATS
def test_a_long_text_is_cut(capsys: pytest.CaptureFixture[str], log_format: LogFormat) -> None:
    """A server chose it: a line of megabytes would fill a disk."""
    configure(log_format, "info")
    logging.getLogger(OURS).warning("refused", extra={"error": "x" * 1_000_000})
    [line] = lines(capsys)
    assert len(line) < 5_000


@FORMATS
def test_a_flood_of_lines_is_cut_and_counted(
    capsys: pytest.CaptureFixture[str], log_format: LogFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than a megabyte per minute; the next minute begins with the number of lines that were left out."""
    now = [0.0]
    monkeypatch.setattr(logging_setup.time, "monotonic", lambda: now[0])
    configure(log_format, "info")
    logger = logging.getLogger(OURS)
    for number in range(6_000):
        logger.warning("refused", extra={"subscription": f"n-{number % 200}/app", "error": "x" * 1_000})
    written = lines(capsys)
    now[0] = 61.0
    logger.warning("refused")
    left_out, after = lines(capsys)

    assert 970_000 <= sum(map(len, written)) < 1_000_000
    assert str(6_000 - len(written)) in left_out
    assert "left out" in left_out
    assert "refused" in after


@FORMATS
def test_the_end_of_a_traceback_is_kept(capsys: pytest.CaptureFixture[str], log_format: LogFormat) -> None:
    """The last line names the error."""
    configure(log_format, "info")
    try:
        _recurse(5_000)
    except RecursionError:
        logging.getLogger(OURS).exception("unexpected")
    assert "RecursionError" in lines(capsys)[-1]


def _recurse(depth: int) -> None:
    _recurse(depth - 1)
