# ruff: noqa: T201 - a program that prints
"""`python -m hostile`: attacks on the operator's process on a real control plane, ending with a table.

Each attack has a hostile Infisical, a hostile tenant, or both. Meanwhile the secret of another namespace
changes, and its restarts are timed. Exit code 1 means that an attack broke a bound.
"""

import argparse
from collections.abc import Sequence
from functools import partial

from e2e.faults.fault_environment import kubectl
from e2e.faults.program import control_plane, exit_code, matches, run, say, scratch_folder
from hostile.attack import Attack
from hostile.attack_runner import HostileEnvironment, hostile_environment
from hostile.attack_table import ATTACKS
from hostile.figures import AttackResult, Bounds, places, table
from support.fake_controllers import resources

_MIB = 1024 * 1024


def select(only: str) -> tuple[Attack, ...]:
    """Return the attacks whose names match one of the patterns; all without a pattern."""
    return tuple(attack for attack in ATTACKS if not only or matches(attack.name, only))


def groups_of(attacks: Sequence[Attack], size: int) -> tuple[tuple[Attack, ...], ...]:
    """Return groups of so many attacks for the same time, neighbours of the table in different groups.

    So each group has lists, floods and tenants. A group of one attack would repeat it, so there is none.
    """
    number = -(-len(attacks) // size) if size > 1 else 0
    return tuple(group for each in range(number) if len(group := tuple(attacks[each::number])) > 1)


def run_alone(
    environment: HostileEnvironment, attacks: Sequence[Attack], seconds: float | None
) -> list[AttackResult]:
    """Run the attacks one after the other."""
    return [environment.run([attack], attack.name, seconds) for attack in attacks]


def run_together(
    environment: HostileEnvironment, groups: Sequence[Sequence[Attack]], seconds: float | None
) -> list[AttackResult]:
    """Run the attacks of each group at the same time."""
    results = []
    for number, group in enumerate(groups, 1):
        environment.say(f"group {number}: {' '.join(attack.name for attack in group)}")
        results.append(environment.run(group, f"group {number} ({len(group)} attacks)", seconds))
    return results


def main() -> int:
    """Return exit code 1 if an attack broke a bound or could not be run to its end."""
    options = _parser().parse_args()
    attacks = select(options.only)
    if options.list or not attacks:
        print(*(attack.name for attack in attacks or ATTACKS), sep="\n")
        return 0 if attacks else 2
    bounds = Bounds(rss=options.rss * _MIB, stall=options.stall / 1000, neighbour=options.neighbour)
    with scratch_folder("infisical-hostile-") as folder:
        with control_plane(folder) as cluster:
            resources.serve(partial(kubectl, cluster))
            with hostile_environment(cluster, folder, say, bounds) as environment:
                results = [] if options.together else run_alone(environment, attacks, options.seconds)
                results += run_together(environment, groups_of(attacks, options.at_once), options.seconds)
        if long := places(results, bounds.stall):
            print(f"\nWhere the event loop stood still, the innermost function first:\n{long}")
        print(f"\n{table(results)}\n")
        held = sum(result.holds for result in results)
        print(f"{held} of {len(results)} hold")
        return exit_code(folder, has_passed=held == len(results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hostile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="names or patterns of attacks, separated by spaces")
    parser.add_argument("--list", action="store_true", help="print the names of the attacks and end")
    parser.add_argument("--seconds", type=float, help="duration of each attack (default: its own, 8 to 15)")
    parser.add_argument("--at-once", type=int, default=10, help="attacks of a group; 0: no groups")
    parser.add_argument("--together", action="store_true", help="run the groups only")
    parser.add_argument("--rss", type=float, default=256, help="bound of the operator's memory in MiB")
    parser.add_argument("--stall", type=float, default=250, help="bound of a stall of the event loop in ms")
    parser.add_argument(
        "--neighbour", type=float, default=2, help="bound of a change of the neighbour in seconds"
    )
    return parser


if __name__ == "__main__":
    run(main)
