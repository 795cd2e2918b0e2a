"""A few of the proofs of `make prove`, as short as they can be."""

from dataclasses import replace

import pytest

from e2e.restart_order import bounds
from e2e.restart_order.lanes import Hall
from e2e.restart_order.proofs import PROOFS, Proof, play

pytestmark = pytest.mark.cluster

PROOF = {proof.name: proof for proof in PROOFS}


SHORT = (replace(PROOF["halt"], setting=lambda: bounds.setting(8, 2), most_rolling=2), PROOF["burst-native"])


@pytest.mark.parametrize("proof", SHORT, ids=lambda proof: proof.name)
def test_the_act_has_no_flaw(hall: Hall, proof: Proof) -> None:
    """New content before each restart, as many restarts as are due, no more at a time than may be."""
    shown = play(hall, proof, 1)

    assert shown.is_well, shown
    assert shown.restarts == shown.expected > 0


def test_every_proof_has_a_name_of_its_own() -> None:
    """So that it can be asked for."""
    assert len(PROOF) == len(PROOFS)
