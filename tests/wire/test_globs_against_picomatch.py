"""Our path globs beside the library that the server matches with."""

import itertools
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import pytest
from filelock import FileLock

from infisical_events.core.paths.path_globs import compile_path_glob

ORACLE = Path(__file__).parents[1] / "picomatch"
VERSION = json.loads((ORACLE / "package.json").read_text())["dependencies"]["picomatch"]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "infisical-sandbox"

Questions: TypeAlias = dict[str, tuple[str, ...]]
Verdicts: TypeAlias = dict[tuple[str, str], bool]

SHORT_PATHS = tuple(
    "/" + "".join(rest) for length in range(5) for rest in itertools.product("ab/", repeat=length)
)
PARTS = (
    *("/", "/a", "a", "ab", "/**", "/*", "*", "**", "?", "[ab]", "[^a]"),
    *("{a,b}", "{,a}", "{a*,b/}", "?(a)", "@(a|b/a)", "+(a/)", "*(b)"),
    *("{", ",", "}", "@(", "|", ")"),
)
NAMES = ("a", "b", "ab", "ba", "aa", "abab")
STRANGE_NAMES = ("", "A", "-", "_", "c", "a-b", "ab_1", ".", ".a", "a.b")


@pytest.fixture(scope="session")
def picomatch() -> Callable[[Questions], Verdicts]:
    """The original: glob and paths to verdicts; skips where it cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are needed to hold our globs against picomatch")
    home = _installed(npm, CACHE / f"picomatch-{VERSION}")

    def ask(questions: Questions) -> Verdicts:
        done = subprocess.run(  # noqa: S603 - a program of this repository, found by which()
            [node, str(ORACLE / "verdicts.cjs")],
            input=json.dumps(list(questions.items())),
            capture_output=True,
            text=True,
            check=True,
            cwd=home,
        )
        answers = zip(questions.items(), json.loads(done.stdout), strict=True)
        return {
            (glob, path): verdict
            for (glob, paths), verdicts in answers
            for path, verdict in zip(paths, verdicts, strict=True)
        }

    return ask


def _installed(npm: str, home: Path) -> Path:
    """The directory with picomatch in it, filled once for all test processes."""
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / ".lock"):
        if not (home / "complete").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(ORACLE / name, home)
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=home, capture_output=True, check=False)  # noqa: S603 - npm, found by which()
            if done.returncode:
                pytest.skip(f"npm could not install picomatch {VERSION}: exit {done.returncode}")
            (home / "complete").touch()
    return home


def accepted(globs: Iterable[str]) -> Iterator[str]:
    """Those that we do not refuse."""
    for glob in globs:
        with suppress(ValueError):
            yield compile_path_glob(glob).pattern


def disagreements(verdicts: Verdicts) -> Verdicts:
    """What picomatch says otherwise than we do."""
    return {
        (glob, path): verdict
        for (glob, path), verdict in verdicts.items()
        if compile_path_glob(glob).matches(path) is not verdict
    }


def random_glob(chance: random.Random) -> str:
    """Parts in any order, mostly not acceptable; all that we accept can come up."""
    return "/" + "".join(chance.choices(PARTS, k=chance.randint(0, 6))).removeprefix("/")


def random_path(chance: random.Random) -> str:
    """A path, here and there with an empty, hidden or unusual segment or a slash at the end."""
    names = STRANGE_NAMES if chance.random() < 0.2 else NAMES
    path = "/" + "/".join(chance.choices(names, k=chance.randint(0, 4)))
    return path + "/" * (chance.random() < 0.15)


def test_the_table_is_the_servers(picomatch: Callable[[Questions], Verdicts]) -> None:
    """The table that the unit tests rely on says what picomatch says."""
    head, *rows = (line.split() for line in (ORACLE / "table.txt").read_text().splitlines())
    table = {
        (glob, path): mark == "Y" for glob, *marks in rows for path, mark in zip(head[1:], marks, strict=True)
    }
    assert picomatch({glob: tuple(head[1:]) for glob, *_ in rows}) == table


def test_short_globs_agree_on_all_short_paths(picomatch: Callable[[Questions], Verdicts]) -> None:
    """Every glob of up to two parts after the first, on every path of up to five characters."""
    globs = (
        "/" + first.removeprefix("/") + "".join(rest)
        for first in PARTS
        for length in range(3)
        for rest in itertools.product(PARTS, repeat=length)
    )
    questions = dict.fromkeys(accepted(globs), SHORT_PATHS)
    assert len(questions) > 2_000
    assert disagreements(picomatch(questions)) == {}


@pytest.mark.parametrize("seed", range(4))
def test_random_globs_agree_on_random_paths(picomatch: Callable[[Questions], Verdicts], seed: int) -> None:
    """There is no difference on any glob that we accept, whatever the path."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    globs = itertools.islice(accepted(random_glob(chance) for _ in itertools.count()), 6_000)
    questions = {glob: (*SHORT_PATHS[:10], *{random_path(chance) for _ in range(15)}) for glob in globs}
    verdicts = picomatch(questions)
    assert len(verdicts) > 20_000
    assert sum(verdicts.values()) > len(verdicts) / 20, "the paths must hit often enough to tell"
    assert disagreements(verdicts) == {}


def test_what_is_refused_for_its_last_slash_never_matches(
    picomatch: Callable[[Questions], Verdicts],
) -> None:
    """No folder's path, as it stands in events, matches a glob that ends with a slash."""
    canonical = tuple(p for p in SHORT_PATHS if p == "/" or not (p.endswith("/") or "//" in p))
    globs = (f"{glob}/" for glob in accepted(f"/{a}{b}" for a in PARTS for b in PARTS))
    verdicts = picomatch({glob: canonical for glob in globs if glob != "//"})
    assert not any(verdicts.values())
