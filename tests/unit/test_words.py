"""Texts that a user reads are in the plain technical English of Kubernetes, and count things correctly.

Covered are the sentences in the operator's code, the CRD, the chart, the alerts, the dashboard and the
documentation. Docstrings, comments in code, code blocks and names in backticks are not.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "infisical-events"

BANNED = {
    "told": r"told",
    "anew": r"anew",
    "for ever": r"for ever",
    "bear": r"bears?|borne",
    "mend": r"mend(?:s|ed|ing)?",
    "owe": r"ow(?:e|es|ed|ing)",
    "debt": r"debts?",
    "belief": r"beliefs?|believ(?:e|es|ed|ing)",
    "look (for a read)": (
        r"(?:an?|the|each|every|no|any|first|last|next|one|full) looks?|looked at|looking|looks at"
    ),
    "sight": r"sights?|sighted",
    "blow": r"blows?",
    "whoever": r"whoever",
    "somebody": r"somebody",
    "nobody": r"nobody",
    "hear (say receive)": r"hear[sd]?|hearing",
    "doubt": r"doubts?|doubted",
    "settle": r"settle[sd]?|settling",
    "neighbour": r"neighbours?",
    "seat": r"seats?",
    "board": r"boards?",
    "gate": r"gates?",
    "wake": r"wakes?",
    "ring": r"rings?",
}
"""Words that this project must not use, each with its forms: the field has other words for their meanings."""
PATTERNS = {
    word: re.compile(rf"(?<![\w-])(?:{forms})(?![\w-])", re.IGNORECASE) for word, forms in BANNED.items()
}

NOUNS = (
    "attempts|bytes|changes|characters|entries|errors|events|files|folders|imports|keys|minutes|namespaces|networks|"
    "partitions|paths|patterns|pods|reads|replicas|restarts|rollouts|rules|seconds|secrets|Secrets|shards|streams|"
    "subscriptions|tasks|times|tries|values|versions|waves|workloads"
)
"""Plural nouns that follow a number in a message: `counted(number, noun)` gets these right for 1."""
UNCOUNTED = re.compile(rf"(?<![\w.,:/-])1 (?:{NOUNS})\b|%d (?:{NOUNS})\b")


def _python(file: Path) -> Iterator[tuple[int, str]]:
    """Sentences in code: strings outside of docstrings with a blank and a lower-case word."""
    tree = ast.parse(file.read_text())
    documented = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            if " " in node.value and re.search(r"\b[a-z]+\b", node.value):
                yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            yield from ((node.lineno, f"1 {word}") for word in _words_behind_values(node))


def _words_behind_values(node: ast.JoinedStr) -> Iterator[str]:
    """The words that directly follow a value in an f-string, unless it is a constant: that is never 1."""
    for value, text in zip(node.values, node.values[1:], strict=False):
        if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant):
            name = getattr(value.value, "id", getattr(value.value, "attr", ""))
            word = re.match(r" (\w+)", str(text.value))
            if word and not name.isupper():
                yield word.group(1)


def _descriptions(node: object) -> Iterator[str]:
    """All texts under the keys of a document that people read."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in {"description", "summary", "message", "title", "legendFormat"} and isinstance(
                value, str
            ):
                yield value
            yield from _descriptions(value)
    elif isinstance(node, list):
        for item in node:
            yield from _descriptions(item)


def _document(file: Path) -> Iterator[tuple[int, str]]:
    """Descriptions, messages and titles in YAML or JSON, and the comments of YAML."""
    text = file.read_text()
    if file.suffix == ".json":
        documents: list[Any] = [json.loads(text)]
    else:
        documents = [] if "templates" in file.parts else list(yaml.safe_load_all(text))
        for number, line in enumerate(text.splitlines(), 1):
            comment = re.search(r"(?:^|\s)#\s(.*)", line)
            if comment:
                yield number, comment.group(1)
    yield from ((0, description) for document in documents for description in _descriptions(document))


def _prose(file: Path) -> Iterator[tuple[int, str]]:
    """Lines of Markdown outside of code blocks, without code in backticks and targets of links."""
    is_code = False
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield number, re.sub(r"`[^`]*`|\]\([^)]*\)", "`…`", line)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    yield from enumerate(file.read_text().splitlines(), 1)


READERS = {
    ".py": _python,
    ".yaml": _document,
    ".json": _document,
    ".md": _prose,
    ".txt": _lines,
    ".tpl": _lines,
}
FILES = sorted(
    {
        *(ROOT / "operator" / "infisical_events").rglob("*.py"),
        *(ROOT / "crds").glob("*.yaml"),
        *(ROOT / "deploy" / "samples").glob("*.yaml"),
        CHART / "values.yaml",
        CHART / "values.schema.json",
        CHART / "README.md",
        *(CHART / "files").glob("*.*"),
        *(CHART / "templates").glob("*.*"),
        *(ROOT / "docs").glob("*.md"),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
    }
)


def findings(file: Path) -> list[str]:
    """`line: word: text` for each banned word and each number with a noun in the wrong number."""
    found = []
    for number, text in READERS[file.suffix](file):
        words = [word for word, pattern in PATTERNS.items() if pattern.search(text)]
        words += ["use counted(number, noun)"] if UNCOUNTED.search(text) else []
        found += [f"{number}: {word}: {text.strip()[:120]}" for word in words]
    return found


def name_of(file: Path) -> str:
    """The path of a file in the repository."""
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_words(file: Path) -> None:
    """A text has no word of the list above and no plural noun for a single thing."""
    assert findings(file) == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('log.info("nobody heard of it")', ["nobody", "hear (say receive)"]),
        ('raise ValueError(f"{x} is told")', ["told"]),
        ('message = f"{number} keys recorded"', ["use counted(number, noun)"]),
        ('log.info("%d tasks ended", 3)', ["use counted(number, noun)"]),
        ('message = f"at most {MAX_KEYS} keys"', []),
        ("message = f\"{counted(number, 'key')} recorded\"", []),
        ('"""A docstring that nobody of the users reads."""', []),
        ('class A:\n    x = 1\n    """Nobody reads it."""', []),
        ('KEY = "debts"', []),
        ('x = "look at its pods, and check the dashboard"', []),
        ('x = "the first look failed"', ["look (for a read)"]),
    ],
)
def test_code_is_read(tmp_path: Path, code: str, words: list[str]) -> None:
    """The test finds what it looks for in code, and nothing in docstrings and single words."""
    file = tmp_path / "module.py"
    file.write_text(code)

    assert [finding.split(": ")[1] for finding in findings(file)] == words


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("page.md", "Nobody reads.\n```\nnobody\n```\n`debts` is a key, [a](#look)", ["nobody"]),
        ("values.yaml", "# It is owed.\nkey: nobody\n", ["owe"]),
        ("crd.yaml", "a:\n  description: >-\n    The\n    debts.\n", ["debt"]),
        ("panels.json", '{"panels": [{"title": "Restarts owed", "expr": "owed"}]}', ["owe"]),
    ],
)
def test_documents_are_read(tmp_path: Path, name: str, text: str, words: list[str]) -> None:
    """The test finds what it looks for in prose, comments and descriptions, and nothing in code."""
    file = tmp_path / name
    file.write_text(text)

    assert [finding.split(": ")[1] for finding in findings(file)] == words
