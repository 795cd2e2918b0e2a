"""A stream may say anything, cut anywhere: it is understood, told as not understood, or ended."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from functools import partial
from itertools import repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.corpus import A, B, cut_anywhere, data, received, update
from fuzz.invariants import cut
from infisical_events.core.snapshots.events import SecretEvent, UnrecognizedFrame
from infisical_events.infisical import sse_lines
from infisical_events.infisical.sse_lines import EventMemory, EventPermit
from infisical_events.infisical.transport.fair_reads import ReadPace
from infisical_events.runtime.limits.fair_scheduling import FairSemaphore
from support.virtual_time import in_virtual_time

MEBI = 1024 * 1024

# -- anything, cut anywhere ---------------------------------------------------------------------------


@settings(max_examples=500)
@given(chunks=cut_anywhere())
def test_anything_is_survived(chunks: list[bytes]) -> None:
    """Of any bytes something is heard or nothing, and only the end of the stream is raised."""
    said, _ = asyncio.run(received(chunks))
    assert all(isinstance(hearing, SecretEvent | UnrecognizedFrame) for hearing in said)


@settings(max_examples=500)
@given(chunks=cut_anywhere())
def test_cuts_mean_nothing(chunks: list[bytes]) -> None:
    """The same bytes are heard as the same, in however many chunks they come."""
    assert asyncio.run(received(chunks)) == asyncio.run(received([b"".join(chunks)]))


@given(chunks=cut_anywhere())
def test_nonsense_spoils_no_later_event(chunks: list[bytes]) -> None:
    """Whatever came before, an event behind an empty line is heard, unless the server ended the stream."""
    said, end = asyncio.run(received([*chunks, b"\n\n", B]))
    assert said[-1:] == [update("B")] or "withdrew" in end


@given(newlines=st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=4, max_size=4))
def test_line_ends_may_be_mixed(newlines: list[bytes]) -> None:
    """Each line may end in its own way."""
    told = [b"id: 7", b"event: secret:update", data("A").encode(), b""]
    chunk = b"".join(line + newline for line, newline in zip(told, newlines, strict=True))
    # A carriage return before a line feed is one line end.
    is_one_less = newlines[2] == b"\r" and newlines[3] == b"\n"
    said, _ = asyncio.run(received([chunk, b"\n" if is_one_less else b""]))
    assert said == [update("A")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "data",
                    "eventType",
                    "event",
                    "payload",
                    "environment",
                    "secretPath",
                    "secretKey",
                    "secretKeys",
                ]
            )
            | st.text(max_size=3),
            inner | st.sampled_from(["secret:update", "secret:import-mutation", "/a", "prod"]),
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=500)
@given(envelope=JSON, name=st.sampled_from(["", "event: secret:update\n", "event: x\n", "event: ping\n"]))
def test_json_of_any_shape(envelope: object, name: str) -> None:
    """JSON of whatever shape is an event or is not understood, and the next event is heard."""
    said, _ = asyncio.run(received([f"{name}data: {json.dumps(envelope)}\n\n".encode(), B]))
    assert said[-1] == update("B")
    assert all(isinstance(hearing, SecretEvent | UnrecognizedFrame) for hearing in said)


@given(size=st.integers(1, 255), count=st.integers(1_000, 5_000))
@settings(max_examples=20, deadline=None)
def test_thousands_of_keys(size: int, count: int) -> None:
    """An event that names thousands of keys is heard whole, in however small chunks it comes."""
    keys = [f"KEY_{n}" for n in range(count)]
    whole = f"{data(*keys)}\n\n".encode()
    assert asyncio.run(received(cut(bytes([size]) + whole)))[0] == [update(*keys)]


# -- what servers and proxies do ----------------------------------------------------------------------


@pytest.mark.parametrize("first", ["data", "event", "id", "retry"])
@pytest.mark.parametrize("pings", ["1", "111"])
async def test_glued_ping_spoils_nothing(first: str, pings: str) -> None:
    """An old server's ping without a line end is taken off whatever line it is glued to."""
    fields = {"id": "id: 7", "event": "event: secret:update", "data": data("A"), "retry": "retry: 5"}
    told = [fields.pop(first), *fields.values()]
    chunk = f"{pings}{chr(10).join(told)}\n\n".encode()
    assert (await received([chunk, chunk]))[0] == [update("A")] * 2


async def test_leading_mark() -> None:
    """A byte order mark is taken off the first line, and only there."""
    bare = f"{data('A')}\n\n".encode()
    marked = b"\xef\xbb\xbf" + bare
    assert (await received([marked[:1], marked[1:2], marked[2:], marked, bare]))[0] == [update("A")] * 2


async def test_data_only() -> None:
    """Events that have data only are heard one by one, and none gets into the next."""
    bare = f"{data('A')}\n\n".encode()
    assert (await received([bare, bare, B, bare]))[0] == [update("A"), update("A"), update("B"), update("A")]


@pytest.mark.parametrize(
    "line", ["unknown: field", "unknown", "id", "id: 9", "retry: soon", ": comment", "\0"]
)
async def test_other_lines(line: str) -> None:
    """Lines that mean nothing here may stand anywhere in an event."""
    told = [line, "event: secret:update", line, data("A"), line, "", ""]
    assert (await received(["\n".join(told).encode()] * 2))[0] == [update("A")] * 2


async def test_sticky_id() -> None:
    """An id stays for all that follows, as the specification has it, and makes no event of what is none."""
    said, _ = await received([A, b"event: ping\n\n", b"\n", b": comment\n\n", B])
    assert said == [update("A"), update("B")]


async def test_event_that_lost_its_data() -> None:
    """An event that has a name and no data is a reason to look."""
    said, _ = await received([b"event: secret:update\n\n", b"event: ping\n\n", b"id: 7\n\n\n\n"])
    assert said == [UnrecognizedFrame("the event has no data")]


async def test_packed_all_the_same() -> None:
    """A stream that a proxy packs although nobody asked is understood."""
    said, _ = await received([gzip.compress(A + B)], **{"Content-Encoding": "gzip"})
    assert said == [update("A"), update("B")]


async def test_packing_that_breaks() -> None:
    """Bytes that are no packing are the end of the stream."""
    assert "DecodingError" in (await received([A], **{"Content-Encoding": "gzip"}))[1]


# -- memory -------------------------------------------------------------------------------------------

ENDLESS = {
    "no line end": b"1" * MEBI,
    "wide characters": "😀".encode() * (MEBI // 4),
    "one comment": b":" * MEBI,
    "data": b"data: xy\n" * (MEBI // 9),
    "empty data": b"data\n" * (MEBI // 5),
    "unknown fields": b"x\n" * (MEBI // 2),
}


@pytest.mark.parametrize("chunk", ENDLESS.values(), ids=ENDLESS)
async def test_endless_event(chunk: bytes) -> None:
    """An event without an end is the end of the stream, before it has filled the memory."""
    tracemalloc.start()
    try:
        _, end = await received(repeat(chunk))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "an event is too large" in end
    assert peak < 160 * MEBI


async def test_endless_bomb() -> None:
    """A packed event without an end is no other."""
    bomb = gzip.compress(b"data: x\n" * 20 * MEBI)
    assert "an event is too large" in (await received([bomb], **{"Content-Encoding": "gzip"}))[1]


async def test_single_bytes_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes no difference in how small bytes an endless line comes."""
    monkeypatch.setattr(sse_lines, "MAX_EVENT_LENGTH", 10_000)
    assert "an event is too large" in (await received(repeat(b"x")))[1]


async def test_comments_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments and pings may go on for ever: each empty line is an end."""
    monkeypatch.setattr(sse_lines, "MAX_EVENT_LENGTH", 1_000)
    assert (await received([*[b": still here\n\n"] * 1_000, A]))[0] == [update("A")]


@pytest.mark.parametrize("size", range(997, 1_004))
def test_longest_line(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line may be as long as the bound, and not longer, whether its end has come or not."""
    monkeypatch.setattr(sse_lines, "MAX_EVENT_LENGTH", 1_000)
    reader = sse_lines.LineDecoder()
    if size <= 1_000:
        assert list(reader.feed(b"x" * size)) == []
    else:
        with pytest.raises(sse_lines.EventTooLongError):
            list(reader.feed(b"x" * size))


# -- memory for long events ---------------------------------------------------------------------------

LONG_LINE = b"data: " + b"x" * 50_000 + b"\n"


async def lines_in(chunks: Iterable[bytes | float], permit: EventPermit) -> list[str]:
    """The lines of a stream that comes in these chunks, with pauses in seconds."""

    async def arriving() -> AsyncIterator[bytes]:
        for chunk in chunks:
            if isinstance(chunk, float):
                await asyncio.sleep(chunk)
            else:
                yield chunk

    async with EventMemory(permit) as memory:
        return [line async for line in sse_lines.lines_of(arriving(), ReadPace(), memory)]


@in_virtual_time
async def test_long_events_take_turns() -> None:
    """A long event that is not complete keeps others from memory, and short ones from nothing."""
    semaphore = FairSemaphore(1)
    permit = partial(semaphore.permit, "team")
    slow = asyncio.create_task(lines_in([LONG_LINE, 10.0, b"\n", 10.0], permit))
    long = asyncio.create_task(lines_in([1.0, LONG_LINE, b"\n"], permit))
    short = asyncio.create_task(lines_in([1.0, b"data: x\n\n"], permit))
    await asyncio.sleep(9.0)
    assert short.done()
    assert not long.done()
    await asyncio.sleep(2.0)
    assert len(await long) == 2
    assert not slow.done()
    assert len(await slow) == 2


@in_virtual_time
async def test_a_long_event_that_does_not_end() -> None:
    """It is given up after a while, and its memory is free for others."""
    permit = partial(FairSemaphore(1).permit, "team")
    with pytest.raises(sse_lines.EventTooLongError):
        await lines_in([LONG_LINE, *[5.0, b": still here\n"] * 5], permit)
    assert len(await lines_in([LONG_LINE, b"\n"], permit)) == 2
