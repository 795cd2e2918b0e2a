# ruff: noqa: T201 - a program that prints
"""`python -m simulation --seeds 100000`: as many histories as wanted; a failing one prints its trace."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from simulation.deceptions import is_unavoidable
from simulation.field_scenarios import field_history_of, history_of
from simulation.histories import History
from simulation.invariants import violations
from simulation.run import run_history
from simulation.shrinking import shrunk
from simulation.small_scope import Case, cases, scripts

_UNAVOIDABLE_SHARE = 0.001
"""More histories than this in which the server deceives are a defect all the same."""

_PROGRESS = 1000
"""Histories between two words about how far it is."""


def _history_of(seed: int, *, has_adversary: bool) -> History:
    return field_history_of(seed) if has_adversary else history_of(seed)


def checked(seed: int, *, has_adversary: bool = False) -> tuple[int, list[str], bool, Counter[str]]:
    """One history: its seed, its violations, whether they cannot be avoided, and its figures."""
    record = run_history(_history_of(seed, has_adversary=has_adversary))
    broken = violations(record)
    figures = Counter(changes=len(record.infisical.changes), restarts=len(record.cluster.rollouts))
    return seed, broken, bool(broken) and is_unavoidable(record, broken), figures


def _replayed(seed: int, *, has_adversary: bool) -> int:
    """One history, as short as it can be made, with all that goes wrong in it."""
    history = _history_of(seed, has_adversary=has_adversary)
    if not violations(run_history(history)):
        print(f"seed {seed}: nothing is broken")
        return 0
    short = shrunk(history)
    print(f"seed {seed}, with {len(short.steps)} of {len(history.steps)} steps:")
    print(short)
    print("\n".join(violations(run_history(short))))
    return 1


def _small(faults: int) -> int:
    """Every script of two steps with every placement of so many faults."""
    begun, plays, failed = time.monotonic(), 0, 0
    print("script      runs  broken")
    with ProcessPoolExecutor() as pool:
        for script in scripts(2):
            broken = [*pool.map(Case.broken, tried := [*cases(script, faults)], chunksize=100)]
            bad = [case for case, found in zip(tried, broken, strict=True) if found]
            plays, failed = plays + len(tried), failed + len(bad)
            print(f"{script!s:<10}{len(tried):>7}{len(bad):>8}  {bad[0] if bad else ''}", flush=True)
    print(f"{plays} runs, {failed} broken, {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


def main() -> int:
    """Run the seeds on all cores; the exit code is 1 when some invariant was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="replay one history, as short as it can be made")
    parser.add_argument("--small", type=int, metavar="FAULTS", help="the small scope with so many faults")
    parser.add_argument("--adversary", action="store_true", help="an adversary in every history")
    options = parser.parse_args()
    if options.seed is not None:
        return _replayed(options.seed, has_adversary=options.adversary)
    if options.small is not None:
        return _small(options.small)
    begun, totals, failed, deceived = time.monotonic(), Counter[str](), [], []
    seeds = range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor() as pool:
        for done, (seed, broken, is_deceived, figures) in enumerate(
            pool.map(partial(checked, has_adversary=options.adversary), seeds, chunksize=25), 1
        ):
            totals.update(figures)
            if is_deceived:
                deceived.append(seed)
            elif broken:
                failed.append(seed)
                print(f"seed {seed}: {broken[0][:500]}", flush=True)
            if done % _PROGRESS == 0:
                print(f"{done} of {options.seeds}, {time.monotonic() - begun:.0f} s", flush=True)
    seconds = time.monotonic() - begun
    print(
        f"{options.seeds} histories, {totals['changes']} changes, {totals['restarts']} restarts, "
        f"{len(failed)} broken, {seconds:.0f} s"
    )
    print(f"deceived by the server (superfluous restarts, no loss): {deceived}")
    if failed:
        print(f"the first one: make simulate SEED={failed[0]}{' ADVERSARY=1' if options.adversary else ''}")
        _replayed(failed[0], has_adversary=options.adversary)
    return 1 if failed or len(deceived) > _UNAVOIDABLE_SHARE * options.seeds else 0


if __name__ == "__main__":
    sys.exit(main())
