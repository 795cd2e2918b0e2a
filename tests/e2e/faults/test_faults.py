"""Some faults of `make chaos`, one round each: under each fault a change causes one restart."""

import pytest

from e2e.faults.fault_runner import FaultContext, run_fault
from e2e.faults.fault_table import FAULTS, Moment

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

FAULT = {fault.name: fault for fault in FAULTS}


@pytest.mark.parametrize(
    ("name", "moment", "generation"),
    [
        ("infisical-frame-truncated", Moment.DURING, "e4"),
        ("infisical-killed", Moment.AROUND, "go"),
        ("operator-killed", Moment.BEFORE, "e3"),
        ("operators-handing-over", Moment.AROUND, "e4"),
        ("api-rejected-6s", Moment.DURING, "go"),
        ("api-every-answer-lost", Moment.DURING, "e3"),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Moment) else value,
)
def test_a_fault_neither_loses_nor_doubles_a_restart(
    context: FaultContext, name: str, moment: Moment, generation: str
) -> None:
    """Each Deployment is restarted after its last change, and not more often than its folder changed."""
    fault = FAULT[name]

    first = fault.moments.index(moment)
    result = run_fault(context, fault, 1, first=first, generation=generation)

    assert result.has_passed, result


def test_names_of_faults_are_unique() -> None:
    """`ONLY` selects a fault by its name."""
    assert len(FAULT) == len(FAULTS)
