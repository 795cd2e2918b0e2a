"""Which workloads the selected changes and claims concern."""

from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.interruptible import run_to_end
from infisical_events.core.ledger.ledger import UnmatchedImportEvent
from infisical_events.core.restarts.affected_workloads import MatchedChanges, affected_workloads
from infisical_events.core.snapshots.changes import ANY_KEY, Change
from infisical_events.core.workloads.workloads import Workload, matching_changes
from support.builders import IMPORT, UPDATE, a_change, a_folder, a_record, a_workload, at

_KEYS = ("DB_URL", "DB_PASSWORD", "API_KEY", ANY_KEY)
_CHANGES = st.builds(
    lambda key, path, kind: a_change(key, kind, path=path),
    st.sampled_from(_KEYS),
    st.sampled_from(("/a", "/b")),
    st.sampled_from((UPDATE, IMPORT)),
)
_CLAIMS = st.builds(
    lambda seconds, path: UnmatchedImportEvent(a_folder(path), at(seconds)),
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
        "last_restart": st.integers(-20, 20).map(lambda seconds: a_record(at(seconds))),
    },
)
_WORKLOADS = st.lists(_WORDS, max_size=4).map(
    lambda given: tuple(a_workload(f"web-{number}", **words) for number, words in enumerate(given))
)


@given(st.lists(_CHANGES, max_size=5, unique=True), st.lists(_CLAIMS, max_size=2), _WORKLOADS)
def test_whom_it_concerns(
    changes: list[Change], import_events: list[UnmatchedImportEvent], workloads: tuple[Workload, ...]
) -> None:
    """Each workload of the subscription by its own annotations, whatever the others say."""
    selected = MatchedChanges(tuple(changes), tuple(import_events))
    all_affected = {
        affected.workload.uid: affected.matched
        for affected in run_to_end(affected_workloads("app", selected, workloads))
    }
    for workload in workloads:
        is_ours = workload.is_subscribed_to("app")
        mine = all_affected.get(workload.uid, MatchedChanges(()))
        assert mine.changes == (matching_changes(workload, changes) if is_ours else ())
        assert [import_event.change for import_event in mine.import_events] == [
            import_event.change
            for import_event in import_events
            if is_ours and matching_changes(workload, (import_event.change,))
        ]
    assert all(all_affected.values())


def test_it_can_be_interrupted() -> None:
    """Between any two patterns: what a tenant can make long is none of ten thousand at once."""
    workloads = [a_workload(f"web-{number}", secret_keys="DB_*") for number in range(3)]
    selected = MatchedChanges(tuple(a_change(f"DB_{number}") for number in range(10)))
    assert sum(1 for _ in affected_workloads("app", selected, workloads)) >= 30
