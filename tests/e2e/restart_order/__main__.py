# ruff: noqa: T201 - a program that prints
"""`python -m e2e.restart_order`: sync, verify, restart once, follow, on a real control plane."""

import argparse
from functools import partial

from e2e.faults.programs import concluded, control_plane, fits, run, say, scratch
from e2e.faults.stages import kubectl
from e2e.restart_order.lanes import Hall
from e2e.restart_order.proofs import PROOFS, play
from e2e.restart_order.verdicts import table
from support.fake_controllers import resources


def main() -> int:
    """The exit code is 1 when some proof has a flaw, or could not be played."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=10, help="runs of each proof, or kills of those that kill"
    )
    parser.add_argument("--only", default="", help="names of proofs, or patterns of them, by blanks")
    options = parser.parse_args()
    proofs = [proof for proof in PROOFS if not options.only or fits(proof.name, options.only)]
    if not proofs:
        print("no proof has such a name; there are:", *(proof.name for proof in PROOFS), sep="\n  ")
        return 2
    with scratch("infisical-acting-") as folder, control_plane(folder) as cluster:
        resources.serve(partial(kubectl, cluster))
        shown = [play(Hall(cluster, folder, say), proof, options.rounds) for proof in proofs]
    print(f"\n{table(shown)}\n")
    return concluded(folder, is_well=all(each.is_well for each in shown))


if __name__ == "__main__":
    run(main)
