"""The operator's packages show the way: a docstring lists the modules, and a name has one meaning."""

import ast
from collections import Counter
from pathlib import Path

import pytest

import infisical_events

ROOT = Path(infisical_events.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
PACKAGES = sorted(path.parent for path in MODULES if path.name == "__init__.py")

MAX_MODULES = 15
"""More modules than a reader can remember at once."""

SHARED_NAMES = {"__init__", "__main__"}
"""Module names with a meaning of their own in Python."""

SHARED_CLASSES = {
    "Rollout",  # `api.specs`: the field spec.rollout of the CRD; `core.ledger`: a rollout that is tracked
}
"""Class names that occur twice: in the CRD's types of `api`, which have the names of its fields."""


def modules_of(package: Path) -> set[str]:
    """The names of the modules of a package, without those of its subpackages."""
    return {path.stem for path in package.glob("*.py")} - SHARED_NAMES


def name_of(package: Path) -> str:
    """`infisical_events.core.paths`."""
    return ".".join(package.relative_to(ROOT.parent).parts)


def classes_of(module: Path) -> set[str]:
    """The names of all classes in a module."""
    return {node.name for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.ClassDef)}


def repeated(names: list[str]) -> set[str]:
    """The names that occur more than once."""
    return {name for name, count in Counter(names).items() if count > 1}


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_a_docstring_names_all_modules(package: Path) -> None:
    """Who opens a package reads what is in it, and in which order to read that."""
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""

    assert {module for module in modules_of(package) if f"`{module}`" not in docstring} == set()


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_a_package_is_small(package: Path) -> None:
    """A package with too many modules is divided."""
    assert len(modules_of(package)) <= MAX_MODULES


def test_a_module_name_has_one_meaning() -> None:
    """A module is identified by its name alone, in conversation and in a list of open files."""
    assert repeated([path.stem for path in MODULES if path.stem not in SHARED_NAMES]) == set()


def test_a_class_name_has_one_meaning() -> None:
    """A search for a class finds one definition; the exceptions have one in `api`."""
    classes = {path: classes_of(path) for path in MODULES}
    in_api = set().union(*(names for path, names in classes.items() if path.parent.name == "api"))

    assert repeated([name for names in classes.values() for name in names]) == SHARED_CLASSES
    assert in_api >= SHARED_CLASSES
