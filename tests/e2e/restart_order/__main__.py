# ruff: noqa: T201 - a program that prints
"""`python -m e2e.restart_order`: proofs of sync, verify, restart once, follow, on a real control plane."""

import argparse
from functools import partial

from e2e.faults.fault_environment import kubectl
from e2e.faults.program import control_plane, exit_code, matches, run, say, scratch_folder
from e2e.restart_order.proof_results import table
from e2e.restart_order.proofs import PROOFS, run_proof
from e2e.restart_order.slots import ProofContext
from support.fake_controllers import resources


def main() -> int:
    """Return exit code 1 if a proof has a flaw or could not be run to its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="runs of each proof, or kills of the operator")
    parser.add_argument("--only", default="", help="names or patterns of proofs, separated by spaces")
    options = parser.parse_args()
    proofs = [proof for proof in PROOFS if not options.only or matches(proof.name, options.only)]
    if not proofs:
        print("no proof has this name; the proofs are:", *(proof.name for proof in PROOFS), sep="\n  ")
        return 2
    with scratch_folder("infisical-proofs-") as folder, control_plane(folder) as cluster:
        resources.serve(partial(kubectl, cluster))
        results = [run_proof(ProofContext(cluster, folder, say), proof, options.rounds) for proof in proofs]
    print(f"\n{table(results)}\n")
    return exit_code(folder, has_passed=all(each.has_passed for each in results))


if __name__ == "__main__":
    run(main)
