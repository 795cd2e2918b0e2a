# ruff: noqa: T201 - a program that prints
"""`python -m simulation --seeds 100000`: as many histories as wanted; a failing one prints its trace."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from simulation.histories import history_of
from simulation.playing import play
from simulation.verdicts import violations


def judged(seed: int) -> tuple[int, list[str], int, int]:
    """One history: its seed, its violations, how many changes and how many restarts it had."""
    played = play(history_of(seed))
    return seed, violations(played), len(played.infisical.changes), len(played.cluster.rollouts)


def main() -> int:
    """Run the seeds on all cores; the exit code is 1 when some invariant was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--trace", action="store_true", help="print every step of a failing history")
    options = parser.parse_args()
    begun, totals, failed = time.monotonic(), Counter[str](), []
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor() as pool:
        for seed, broken, changes, restarts in pool.map(judged, seeds, chunksize=50):
            totals.update(changes=changes, restarts=restarts)
            if broken:
                failed.append(seed)
                print(f"seed {seed}: {broken[0][:500]}", flush=True)
                if options.trace:
                    print("\n".join(map(str, history_of(seed).steps)))
    seconds = time.monotonic() - begun
    print(
        f"{options.seeds} histories, {totals['changes']} changes, {totals['restarts']} restarts, "
        f"{len(failed)} broken, {seconds:.0f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
