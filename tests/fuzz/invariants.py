"""The invariant of every stream, with any bytes: the one question of the fuzzer."""

import asyncio

from fuzz.corpus import B, received, update
from infisical_events.core.snapshots.events import SecretEvent, UnrecognizedFrame

LONGEST_CUT = 256
"""Bytes of a chunk at most, where the first byte says where to cut."""


def cut(given: bytes) -> list[bytes]:
    """Chunks as the first byte says, which is not said itself; 0 cuts nowhere."""
    size, said = (given[0] or LONGEST_CUT * LONGEST_CUT), given[1:]
    return [said[begin : begin + size] for begin in range(0, len(said), size)]


def hold(runner: asyncio.Runner, chunks: list[bytes]) -> None:
    """Only an end is raised, cuts mean nothing, and what comes behind an empty line is heard.

    Raises:
        AssertionError: one of these is not so.
        Exception: something else than the end of a stream got out of it.
    """
    said, end = runner.run(received(chunks))
    assert all(isinstance(hearing, SecretEvent | UnrecognizedFrame) for hearing in said)
    assert runner.run(received([b"".join(chunks)])) == (said, end)
    later, end = runner.run(received([*chunks, b"\n\n", B]))
    assert later[-1:] == [update("B")] or "withdrew" in end or "no end" in end
