# ruff: noqa: T201 - a program that prints
"""`python -m e2e.faults faults` or `soak`: faults on real processes, ending with a table."""

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from e2e.faults import fault_environment, replicas_soak, soak, waiting
from e2e.faults.fault_proxy import LoopThread
from e2e.faults.fault_runner import FaultContext, run_fault
from e2e.faults.fault_table import FAULTS, Fault
from e2e.faults.program import control_plane, exit_code, matches, run, say, scratch_folder
from e2e.faults.results import FaultResult, table
from infisical_sandbox.server.domain import generations

GENERATIONS = tuple(generations.BY_NAME)
"""The server generations, which the faults take in turn."""


def select_faults(only: str) -> tuple[Fault, ...]:
    """Return the faults whose names match one of the patterns; all without a pattern."""
    return tuple(fault for fault in FAULTS if not only or matches(fault.name, only))


def run_all(
    context: FaultContext, faults: Sequence[Fault], rounds: int, jobs: int, generation: str | None
) -> list[FaultResult]:
    """Run the faults that do not affect each other in parallel, then those that break the control plane.

    Each runs against the given generation of the server; without one, the generations take turns.
    """
    taken = {fault.name: GENERATIONS[index % len(GENERATIONS)] for index, fault in enumerate(FAULTS)}
    shared = [fault for fault in faults if not fault.is_exclusive]
    alone = [fault for fault in faults if fault.is_exclusive]

    def run_one(fault: Fault) -> FaultResult:
        return run_fault(context, fault, rounds, generation=generation or taken[fault.name])

    with ThreadPoolExecutor(jobs) as pool:
        try:
            results = list(pool.map(run_one, shared))
        except BaseException:
            waiting.STOP.set()
            pool.shutdown(cancel_futures=True)
            raise
    return results + [run_one(fault) for fault in alone]


def run_faults(options: argparse.Namespace) -> int:
    """Return exit code 1 if a fault lost or doubled a restart, or could not be run to its end."""
    faults = select_faults(options.only)
    if not faults:
        print("no fault has this name; the faults are:", *(fault.name for fault in FAULTS), sep="\n  ")
        return 2
    if fault_environment.FAKETIME is None:
        say("libfaketime is not installed: faults of the clock are skipped")
    with scratch_folder("infisical-chaos-") as folder, LoopThread() as loop, control_plane(folder) as cluster:
        context = FaultContext(cluster, loop, folder, say)
        results = run_all(context, faults, options.rounds, options.jobs, options.generation)
    print(f"\n{table(results)}\n")
    return exit_code(folder, has_passed=all(result.has_passed for result in results))


def run_soak(options: argparse.Namespace) -> int:
    """Return exit code 1 if a check does not hold."""
    scenarios = {
        "lifetimes-0": lambda context: soak.run_lifetimes(context, 0, options.seconds),
        "lifetimes-1": lambda context: soak.run_lifetimes(context, 1, options.seconds),
        "replicas": lambda context: replicas_soak.run_replicas(
            context, options.subscriptions, options.seconds
        ),
        "returns": lambda context: soak.run_returns(context, options.cycles, options.subscriptions),
    }
    wanted = [name for name in scenarios if not options.only or matches(name, options.only)]
    with scratch_folder("infisical-soak-") as folder, LoopThread() as loop, control_plane(folder) as cluster:
        context = FaultContext(cluster, loop, folder, say)
        checks = {name: scenarios[name](context) for name in wanted}
    for name, found in checks.items():
        print(f"\n{name}", *found, sep="\n  ")
    has_passed = all(check.holds for found in checks.values() for check in found)
    print()
    return exit_code(folder, has_passed=has_passed)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(required=True)
    one = kinds.add_parser("faults")
    one.add_argument("--rounds", type=int, default=4, help="rounds of each fault")
    one.add_argument("--only", default="", help="names or patterns of faults, separated by spaces")
    one.add_argument("--jobs", type=int, default=3, help="faults run in parallel")
    one.add_argument("--generation", choices=GENERATIONS, help="server generation (default: in turn)")
    one.set_defaults(run=run_faults)
    two = kinds.add_parser("soak")
    two.add_argument(
        "--only",
        default="",
        help="lifetimes-0, lifetimes-1, replicas, returns, or patterns, separated by spaces",
    )
    two.add_argument("--cycles", type=int, default=3, help="how often Infisical is killed")
    two.add_argument("--subscriptions", type=int, default=300, help="number of subscriptions")
    two.add_argument(
        "--seconds",
        type=float,
        default=120,
        help="duration of the changes in the scenarios lifetimes and replicas",
    )
    two.set_defaults(run=run_soak)
    options = parser.parse_args()
    return int(options.run(options))


if __name__ == "__main__":
    run(main)
