# ruff: noqa: T201 - a program that prints
"""`python -m simulation.compare BASE`: does this tree write what the revision BASE wrote, seed by seed?

The base is checked out beside the tree and runs its own `simulation.traces`. Rearranging code must
change no line; where the order of reads inside a pass has changed on purpose, `--calm` compares without
faults and without latencies, which both depend on the order of calls.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_MOST_SHOWN = 10


@contextmanager
def _checked_out(revision: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "base"
        subprocess.run(["git", "worktree", "add", "--detach", str(place), revision], cwd=_ROOT, check=True)  # noqa: S603, S607
        try:
            yield place
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(place)], cwd=_ROOT, check=True)  # noqa: S603, S607


def _traced(tree: Path, arguments: list[str]) -> list[str]:
    paths = os.pathsep.join(str(tree / folder) for folder in ("operator", "tests"))
    command = [sys.executable, "-m", "simulation.traces", *arguments]
    result = subprocess.run(  # noqa: S603
        command,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": paths},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return result.stdout.splitlines()


def main() -> int:
    """Compare; the exit code is 1 when some seed differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="the revision to compare with")
    parser.add_argument("--seeds", type=int, default=2000, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--calm", action="store_true", help="no faults, and calls take no time")
    options = parser.parse_args()
    arguments = ["--seeds", str(options.seeds), "--first", str(options.first)]
    arguments += ["--calm"] if options.calm else []
    with _checked_out(options.base) as base:
        before = _traced(base, arguments)
    after = _traced(_ROOT, arguments)
    differing = [one.split()[0] for one, other in zip(before, after, strict=True) if one != other]
    writes = sum(int(line.split()[1]) for line in before)
    print(f"{len(before)} histories, {writes} writes, {len(differing)} histories differ")
    if differing:
        print(f"the first ones: {', '.join(differing[:_MOST_SHOWN])}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
