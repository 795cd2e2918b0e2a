# ruff: noqa: T201 - a program that prints
"""`python -m simulation --seeds 100000`: as many histories as wanted; a failing one prints its trace."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from simulation.histories import history_of
from simulation.playing import play
from simulation.verdicts import is_unavoidable, violations

_UNAVOIDABLE_SHARE = 0.001
"""More histories than this in which a late event and a stale read deceive are a defect all the same."""


def judged(seed: int) -> tuple[int, list[str], bool, Counter[str]]:
    """One history: its seed, its violations, whether they cannot be avoided, and its figures."""
    played = play(history_of(seed))
    broken = violations(played)
    figures = Counter(changes=len(played.infisical.changes), restarts=len(played.cluster.rollouts))
    return seed, broken, bool(broken) and is_unavoidable(played, broken), figures


def main() -> int:
    """Run the seeds on all cores; the exit code is 1 when some invariant was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--trace", action="store_true", help="print every step of a failing history")
    options = parser.parse_args()
    begun, totals, failed, deceived = time.monotonic(), Counter[str](), [], []
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor() as pool:
        for seed, broken, is_deceived, figures in pool.map(judged, seeds, chunksize=50):
            totals.update(figures)
            if is_deceived:
                deceived.append(seed)
            elif broken:
                failed.append(seed)
                print(f"seed {seed}: {broken[0][:500]}", flush=True)
                if options.trace:
                    print("\n".join(map(str, history_of(seed).steps)))
    seconds = time.monotonic() - begun
    print(
        f"{options.seeds} histories, {totals['changes']} changes, {totals['restarts']} restarts, "
        f"{len(failed)} broken, {seconds:.0f} s"
    )
    print(f"deceived by a late event and a stale read (superfluous restarts, no loss): {deceived}")
    return 1 if failed or len(deceived) > _UNAVOIDABLE_SHARE * options.seeds else 0


if __name__ == "__main__":
    sys.exit(main())
