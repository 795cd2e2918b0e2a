# ruff: noqa: T201 - a program that prints
"""`python -m e2e.faults faults` or `soak`: on real processes, as long as wanted, with a verdict."""

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from e2e.faults import replicas, soaking, stages, waiting
from e2e.faults.playing import Theatre, play
from e2e.faults.programs import concluded, control_plane, fits, run, say, scratch
from e2e.faults.proxying import Loop
from e2e.faults.rows import ROWS, Row
from e2e.faults.verdicts import Told, table


def chosen(only: str) -> tuple[Row, ...]:
    """The rows whose names match one of the patterns; all if none is given."""
    return tuple(row for row in ROWS if not only or fits(row.name, only))


def played(theatre: Theatre, rows: Sequence[Row], rounds: int, jobs: int) -> list[Told]:
    """Those that disturb nobody side by side, then those that need the control plane for themselves."""
    shared = [row for row in rows if not row.is_exclusive]
    alone = [row for row in rows if row.is_exclusive]
    with ThreadPoolExecutor(jobs) as pool:
        try:
            told = list(pool.map(lambda row: play(theatre, row, rounds), shared))
        except BaseException:
            waiting.STOP.set()
            pool.shutdown(cancel_futures=True)
            raise
    return told + [play(theatre, row, rounds) for row in alone]


def faults(options: argparse.Namespace) -> int:
    """The exit code is 1 when some row lost or doubled something, or could not be played."""
    rows = chosen(options.only)
    if not rows:
        print("no fault has such a name; there are:", *(row.name for row in ROWS), sep="\n  ")
        return 2
    if stages.FAKETIME is None:
        say("no libfaketime on this machine: the clock is not stepped")
    with scratch("infisical-chaos-") as folder, Loop() as loop, control_plane(folder) as cluster:
        told = played(Theatre(cluster, loop, folder, say), rows, options.rounds, options.jobs)
    print(f"\n{table(told)}\n")
    return concluded(folder, is_well=all(row.is_well for row in told))


def soak(options: argparse.Namespace) -> int:
    """The exit code is 1 when a verdict does not hold."""
    scenarios = {
        "lifetimes-0": lambda theatre: soaking.lifetimes(theatre, 0, options.seconds),
        "lifetimes-1": lambda theatre: soaking.lifetimes(theatre, 1, options.seconds),
        "replicas": lambda theatre: replicas.replicas(theatre, options.subscriptions, options.seconds),
        "returns": lambda theatre: soaking.returns(theatre, options.cycles, options.subscriptions),
    }
    wanted = [name for name in scenarios if not options.only or fits(name, options.only)]
    with scratch("infisical-soak-") as folder, Loop() as loop, control_plane(folder) as cluster:
        theatre = Theatre(cluster, loop, folder, say)
        verdicts = {name: scenarios[name](theatre) for name in wanted}
    for name, told in verdicts.items():
        print(f"\n{name}", *told, sep="\n  ")
    is_well = all(verdict.holds for told in verdicts.values() for verdict in told)
    print()
    return concluded(folder, is_well=is_well)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(required=True)
    one = kinds.add_parser("faults")
    one.add_argument("--rounds", type=int, default=4, help="tries of each fault")
    one.add_argument("--only", default="", help="names of faults, or patterns of them, by blanks")
    one.add_argument("--jobs", type=int, default=3, help="faults at the same time")
    one.set_defaults(run=faults)
    two = kinds.add_parser("soak")
    two.add_argument("--only", default="", help="lifetimes-0, lifetimes-1, returns, or patterns, by blanks")
    two.add_argument("--cycles", type=int, default=3, help="how often Infisical dies")
    two.add_argument("--subscriptions", type=int, default=300, help="how many streams it loses then")
    two.add_argument(
        "--seconds",
        type=float,
        default=120,
        help="of changes under short streams, or with replicas that fail",
    )
    two.set_defaults(run=soak)
    options = parser.parse_args()
    return int(options.run(options))


if __name__ == "__main__":
    run(main)
