"""Fuzz the reader of the stream: `python -m fuzz --seconds 60`, as `make fuzz` does.

Atheris is guided by what its inputs reach. It has no wheel for every Python and machine, so it is no
requirement: without it Hypothesis makes as many streams as there is time for.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

_BATCH = 500
"""Examples of Hypothesis between two looks at the clock."""


def main() -> None:
    """Fuzz for a while; a failing input is shown, and ends it with an exit code other than 0."""
    parser = argparse.ArgumentParser(prog="fuzzing", description="Fuzz the reader of the stream.")
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    if find_spec("atheris"):
        by_atheris(seconds)
    else:
        sys.stderr.write("atheris is not installed: Hypothesis makes the streams, guided by nothing.\n")
        by_hypothesis(seconds)


def by_atheris(seconds: int) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris  # noqa: PLC0415 - optional

    with atheris.instrument_imports(include=["infisical_events", "httpx_sse"]):
        from fuzz.corpus import PIECES  # noqa: PLC0415 - instrumented as it is imported
        from fuzz.invariants import cut, hold  # noqa: PLC0415

    corpus = Path(tempfile.mkdtemp(prefix="infisical-events-fuzz-"))
    for number, piece in enumerate(PIECES):
        (corpus / str(number)).write_bytes(bytes([number]) + piece)
    runner = asyncio.Runner()
    options = [f"-max_total_time={seconds}", f"-artifact_prefix={corpus}/", "-max_len=8192", "-verbosity=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda given: given and hold(runner, cut(given)))
    atheris.Fuzz()


def by_hypothesis(seconds: int) -> None:
    """Batch after batch, each from a seed of its own."""
    from hypothesis import given, seed, settings  # noqa: PLC0415 - not beside atheris

    from fuzz.corpus import cut_anywhere  # noqa: PLC0415
    from fuzz.invariants import hold  # noqa: PLC0415

    end, batches = time.monotonic() + seconds, 0
    with asyncio.Runner() as runner:

        @settings(max_examples=_BATCH, deadline=None, database=None)
        @given(chunks=cut_anywhere())
        def batch(chunks: list[bytes]) -> None:
            hold(runner, chunks)

        while time.monotonic() < end:
            seed(batches)(batch)()
            batches += 1
    sys.stderr.write(f"{batches * _BATCH} streams, and nothing but ends got out of them.\n")


if __name__ == "__main__":
    main()
