"""What is owed does not depend on whether it is found in one piece or in steps."""

from hypothesis import given
from hypothesis import strategies as st

from factories import IMPORT, UPDATE, a_change, a_debt, a_folder, a_ledger, a_receipt, a_workload, at
from infisical_events.core.changes import ANY_KEY, Change
from infisical_events.core.ledgers import Claim, Ledger
from infisical_events.core.owing import owing
from infisical_events.core.planning import Selected, owe
from infisical_events.core.stepping import finished
from infisical_events.core.workloads import Workload

_KEYS = ("DB_URL", "DB_PASSWORD", "API_KEY", ANY_KEY)
_CHANGES = st.builds(
    lambda key, path, kind: a_change(key, kind, path=path),
    st.sampled_from(_KEYS),
    st.sampled_from(("/a", "/b")),
    st.sampled_from((UPDATE, IMPORT)),
)
_CLAIMS = st.builds(
    lambda seconds, path: Claim(a_folder(path), at(seconds)),
    st.integers(-20, 20),
    st.sampled_from(("/a", "/b")),
)
_WORDS = st.fixed_dictionaries(
    {},
    optional={
        "auto_reload": st.sampled_from(("true", "false")),
        "subscription": st.sampled_from(("app", "other")),
        "secret_keys": st.sampled_from(("DB_*", "!DB_*", "API_?EY, DB_URL", "no [key")),
        "secret_path": st.sampled_from(("/a", "/**", "no path")),
        "events": st.sampled_from((UPDATE, IMPORT, "no event")),
        "last_restart": st.integers(-20, 20).map(lambda seconds: a_receipt(at(seconds))),
    },
)
_WORKLOADS = st.lists(_WORDS, max_size=4).map(
    lambda given: tuple(a_workload(f"web-{number}", **words) for number, words in enumerate(given))
)
_DEBTS = st.dictionaries(st.integers(0, 4), st.lists(_CHANGES, min_size=1, max_size=3), max_size=4)


@given(
    _DEBTS,
    st.lists(_CHANGES, max_size=5, unique=True),
    st.lists(_CLAIMS, max_size=2),
    _WORKLOADS,
)
def test_in_steps_and_in_one_piece(
    debts: dict[int, list[Change]],
    changes: list[Change],
    claims: list[Claim],
    workloads: tuple[Workload, ...],
) -> None:
    """Both give the same ledger, and the very same one where nobody is concerned."""
    owed = (a_debt(f"web-{number}", 3, *told) for number, told in debts.items())
    ledger = a_ledger({}, *owed, seq=3)
    selected = Selected(tuple(changes), tuple(claims))
    stepwise = finished(owing(ledger, "app", selected, workloads, at(5)))
    at_once = owe(ledger, "app", selected, workloads, at(5))
    assert stepwise == at_once
    assert (stepwise is ledger) == (at_once is ledger)


def test_no_workload() -> None:
    """Where there is no workload nothing is owed."""
    ledger: Ledger = a_ledger()
    assert finished(owing(ledger, "app", Selected((a_change(),)), (), at(5))) is ledger
