"""Some proofs of `make prove`, as short as possible."""

from dataclasses import replace

import pytest

from e2e.restart_order import concurrency
from e2e.restart_order.proofs import PROOFS, Proof, run_proof
from e2e.restart_order.slots import ProofContext

pytestmark = pytest.mark.cluster

PROOF = {proof.name: proof for proof in PROOFS}


SHORT = (
    replace(PROOF["halt"], slot_spec=lambda: concurrency.slot_spec(8, 2), most_rolling=2),
    PROOF["burst-native"],
)


@pytest.mark.parametrize("proof", SHORT, ids=lambda proof: proof.name)
def test_the_proof_has_no_flaw(context: ProofContext, proof: Proof) -> None:
    """Each restart has the new content, none is missing or superfluous, and not too many run at a time."""
    result = run_proof(context, proof, 1)

    assert result.has_passed, result
    assert result.restarts == result.expected > 0


def test_names_of_proofs_are_unique() -> None:
    """`ONLY` selects a proof by its name."""
    assert len(PROOF) == len(PROOFS)
