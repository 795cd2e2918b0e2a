"""A received event becomes one line, with the verdict of the operator's selectors."""

import pytest

from infisical_events.core.diagnosis.event_lines import event_line, unrecognized_line
from infisical_events.core.paths.scopes import Folder
from infisical_events.core.snapshots.events import SecretEvent, UnrecognizedFrame
from infisical_events.core.snapshots.selectors import selectors_of
from support.builders import IMPORT, START, UPDATE, a_spec, an_entry

SELECTORS = selectors_of(a_spec(an_entry(UPDATE, "prod", "/a", "DB_*"), an_entry(IMPORT, "prod", "/a")))


@pytest.mark.parametrize(
    ("keys", "verdict"),
    [
        (("DB_A", "DB_B"), "DB_A, DB_B  matched"),
        (("DB_A", "X"), "DB_A, X  matched (DB_A)"),
        (("X",), "X  not matched: KeysNotSelected"),
    ],
)
def test_keys(keys: tuple[str, ...], verdict: str) -> None:
    """An event matches if one of its keys does, and the line names those that do."""
    line = event_line(SecretEvent(UPDATE, Folder("prod", "/a"), frozenset(keys)), SELECTORS, START)

    assert line.as_text() == f"2026-01-02T03:04:05Z  secret:update  prod:/a  {verdict}"


def test_import_has_no_keys() -> None:
    """An import mutation names a folder only."""
    line = event_line(SecretEvent(IMPORT, Folder("prod", "/a"), frozenset()), SELECTORS, START)

    assert line.as_text() == "2026-01-02T03:04:05Z  secret:import-mutation  prod:/a  matched"
    assert (line.as_data()["keys"], line.as_data()["matchedKeys"]) == ([], [])


def test_unrecognized_frame() -> None:
    """A frame that is no known event is shown with the cause."""
    line = unrecognized_line(UnrecognizedFrame("the data is not JSON"), START)

    assert "not matched: the data is not JSON" in line.as_text()
