# ruff: noqa: T201 - a program that prints
"""`python -m simulation.traces`: one line per seed with a digest of all that the operator wrote.

Two revisions of the operator that print the same lines wrote the same ledgers, workload patches, sync
requests and Secrets at the same moments. `simulation.compare` runs it for both. With `--calm` nothing goes
wrong and calls take no time, so that the order of reads inside a pass makes no difference.
"""

import argparse
import hashlib
import itertools
import json
import random
import secrets
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from unittest import mock

from simulation.faults import Calm
from simulation.field_scenarios import history_of
from simulation.run import run_history


def _epochs() -> Callable[[int], str]:
    """Epochs are random: here they are numbered, or no two runs would write the same."""
    numbers = itertools.count(1)
    return lambda _: f"epoch{next(numbers)}"


def traced(seed: int, *, is_calm: bool) -> list[str]:
    """All writes of the history of a seed, in order: one line of JSON each."""
    faults = Calm(random.Random(seed + 1)) if is_calm else None  # noqa: S311 - a simulation
    with mock.patch.object(secrets, "token_urlsafe", side_effect=_epochs()):
        record = run_history(history_of(seed), faults)
    return [
        json.dumps([f"{write.at:.6f}", write.kind, write.name, write.body], sort_keys=True)
        for write in record.cluster.applied
    ]


def digest(seed: int, *, is_calm: bool) -> str:
    """`seed writes digest`."""
    lines = traced(seed, is_calm=is_calm)
    text = "\n".join(lines)
    return f"{seed} {len(lines)} {hashlib.sha256(text.encode()).hexdigest()}"


def main() -> None:
    """Print the digests of some seeds, or all writes of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="print all writes of one history")
    parser.add_argument("--calm", action="store_true", help="no faults, and calls take no time")
    options = parser.parse_args()
    if options.seed is not None:
        print("\n".join(traced(options.seed, is_calm=options.calm)))
        return
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor() as pool:
        for line in pool.map(partial(digest, is_calm=options.calm), seeds, chunksize=10):
            print(line)


if __name__ == "__main__":
    main()
