"""Folders and the one spelling of a path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.paths.scopes import Folder, canonical
from support.builders import a_folder
from support.strategies import folders

messy_paths = st.lists(st.sampled_from(["/", "a", "b c", "**", ".."]), max_size=6).map("".join)


def test_a_folder_is_written_readably() -> None:
    """Characters that Infisical allows in names are written as they are, all others escaped."""
    assert str(a_folder("/pay-ments/eu_1")) == "prod:/pay-ments/eu_1"
    assert str(Folder("a:b", "/c d/**")) == "a%3Ab:/c%20d/%2A%2A"


@given(folders)
def test_a_folder_survives_storage(folder: Folder) -> None:
    """Every folder is read back as it was, whatever an event or a list called it."""
    assert Folder.parse(str(folder)) == folder


@given(folders)
def test_a_stored_folder_has_no_separator_in_a_name(folder: Folder) -> None:
    """Blanks, arrows and asterisks separate names where folders are stored, so no name has them."""
    assert not set(" *<\n") & set(str(folder))
    assert str(folder).count(":") == 1


@pytest.mark.parametrize("text", ["", "prod", "/a"])
def test_what_is_no_folder_is_refused(text: str) -> None:
    """A text without an environment is no folder."""
    with pytest.raises(ValueError, match="environment:/path"):
        Folder.parse(text)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("", "/"), ("/", "/"), ("//", "/"), ("a/b", "/a/b"), ("//a", "/a"), ("/a/", "/a"), ("/a//b/", "/a/b")],
)
def test_a_path_has_one_spelling(path: str, expected: str) -> None:
    """All spellings that the server accepts for one folder are equal."""
    assert canonical(path) == expected


@given(messy_paths)
def test_the_one_spelling_stays(path: str) -> None:
    """Spelling a path again changes nothing."""
    once = canonical(path)

    assert canonical(once) == once
    assert once.startswith("/")
    assert once == "/" or not once.endswith("/")
    assert "//" not in once
