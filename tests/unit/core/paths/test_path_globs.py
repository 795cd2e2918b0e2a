"""Path globs and key filters, by themselves; beside the original they stand in `tests/wire`."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from infisical_events.core.paths.path_globs import (
    MAX_KEY_LENGTH,
    MAX_PATH_LENGTH,
    MAX_PATTERN_LENGTH,
    KeyFilter,
    PathGlob,
    compile_path_glob,
)

TABLE = Path(__file__).parents[3] / "picomatch" / "table.txt"
REFUSED_ROWS = {"/a/", "**", "*"}

segments = st.text("ab-_0Z", min_size=1, max_size=3)
folders = st.lists(segments, max_size=4).map(lambda names: "/" + "/".join(names))
parts = st.sampled_from(
    [
        *("/", "/a", "/b", "a", "b", "-", "_", "/**", "/*", "*", "?", "[ab]", "[^a]"),
        *("{a,b}", "{,/a}", "{a*,/b}", "?(a)", "@(a|b/a)", "+(a)", "*(b)"),
        *("{", ",", "}", "@(", "|", ")"),
    ]
)
candidates = st.lists(parts, min_size=1, max_size=6).map("".join)


@st.composite
def globs(draw: st.DrawFn) -> PathGlob:
    """A glob that is accepted."""
    try:
        return compile_path_glob("/" + draw(candidates).removeprefix("/"))
    except ValueError:
        assume(condition=False)
        raise


def table_rows() -> list[tuple[str, dict[str, bool]]]:
    """Each glob of the table with what it makes of each path."""
    head, *rows = (line.split() for line in TABLE.read_text().splitlines())
    return [
        (glob, {path: mark == "Y" for path, mark in zip(head[1:], marks, strict=True)})
        for glob, *marks in rows
    ]


@pytest.mark.parametrize(
    ("glob", "expected"), table_rows(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_glob_matches_what_the_server_matches(glob: str, expected: dict[str, bool]) -> None:
    """Every row of the table of the server's verdicts is either ours too or refused."""
    if glob in REFUSED_ROWS:
        with pytest.raises(ValueError, match=r"must start with '/'|never matches"):
            compile_path_glob(glob)
    else:
        assert {path: compile_path_glob(glob).matches(path) for path in expected} == expected


@pytest.mark.parametrize(
    ("glob", "matching", "others"),
    [
        ("/**/a", "/b/a /b/b/a", "/a /b/ab"),
        ("/a/**/b", "/a/b /a/a/b /a/a/a/b", "/a /ab /b"),
        ("/a/**/*", "/a/b /a/b/c", "/a"),
        ("/a/**/**", "/a /a/b", "/ab"),
        ("/*/**", "/a/b /a/", "/a"),
        ("/a*/**", "/ab/c /a/c", "/a /ab"),
        ("/a?", "/ab", "/a /abc /a/"),
        ("/?", "/a", "/ / /ab"),
        ("/[ac-e]", "/a /d /a/", "/b /A /-"),
        ("/[^a-c]", "/d /d/", "/a / /dd"),
        ("/[-a]", "/- /a", "/b"),
        ("/{a,b/c}/**", "/a /a/x /b/c /b/c/x", "/b /c"),
        ("/app{,-eu}", "/app /app-eu", "/app- /app-eu/"),
        ("/{a{b,c},d}", "/ab /ac /d", "/a /b"),
        ("/@(a|b)c", "/ac /bc", "/c /abc"),
        ("/?(a|b)c", "/ac /bc /c", "/abc"),
        ("/+(a|b)", "/a /abba", "/ /c"),
        ("/x*(a|b)", "/x /xab", "/xc"),
        ("/A", "/A", "/a"),
    ],
)
def test_wildcards_mean_what_they_mean_to_the_server(glob: str, matching: str, others: str) -> None:
    """Every kind of wildcard matches the folders that it names and no others."""
    compiled = compile_path_glob(glob)
    assert [path for path in matching.split() if not compiled.matches(path)] == []
    assert [path for path in others.split() if compiled.matches(path)] == []


@pytest.mark.parametrize(
    ("glob", "advice"),
    [
        ("", "must start with '/'"),
        ("a/b", "must start with '/'"),
        ("!/a", "must start with '/'"),
        ("/a//b", "write one '/'"),
        ("/a/", "remove the last '/'"),
        ("/" + "a" * MAX_PATTERN_LENGTH, "longer than 512 characters"),
        ("/a.b", "'.' as character 3, which no folder name can contain"),
        ("/a b", "no folder name can contain"),
        ("/\N{LATIN SMALL LETTER E WITH ACUTE}", "no folder name can contain"),
        ("/a\n", "no folder name can contain"),
        (r"/\*", "no folder name can contain"),
        ("/!(a)", "cannot exclude folders"),
        ("/[!a]", r"not like [abc], [a-z] or [^abc]"),
        ("/[]", "not like [abc]"),
        ("/[a", "not like [abc]"),
        ("/[a-b-c]", "not like [abc]"),
        ("/[z-a]", "write [a-z]"),
        ("/(a|b)", "has to follow one of @ ? + *"),
        ("/**(a)", "next to other characters"),
        ("/**a", "next to other characters"),
        ("/***", "next to other characters"),
        ("/{a,**}", "next to other characters"),
        ("/@(a)**", "next to other characters"),
        ("/{a,b/**/c}", "inside a group"),
        ("/{a}", "braces around one alternative"),
        ("/{}", "braces around one alternative"),
        ("/{a,b", "does not close its '{'"),
        ("/@(a|b", "does not close its '@('"),
        ("/a}", "outside of {a,b} and @(a|b)"),
        ("/@(a}", "outside of {a,b} and @(a|b)"),
        ("/a,b", "outside of {a,b} and @(a|b)"),
        ("/{a|b}", "outside of {a,b} and @(a|b)"),
        ("/@(a|+(b))", "use braces for the inner group"),
        ("/{{{{{a,b},c},d},e},f}", "more than 4 deep"),
        ("/+(a*)", "'*' inside a group that repeats"),
        ("/@(a)?", "next to a parenthesis"),
    ],
)
def test_what_would_not_do_as_it_says_is_refused(glob: str, advice: str) -> None:
    """A glob that cannot match, or would surprise, is refused with advice."""
    with pytest.raises(ValueError, match=r"^the path glob '") as refusal:
        compile_path_glob(glob)
    assert advice in str(refusal.value)


def test_a_refusal_repeats_only_the_beginning_of_a_glob() -> None:
    """However long the glob, the sentence about it fits into a condition."""
    with pytest.raises(ValueError, match="longer") as refusal:
        compile_path_glob("/" + "a" * 100_000)
    assert len(str(refusal.value)) < 150


@given(st.text(max_size=30) | candidates)
def test_any_text_is_understood_or_refused(text: str) -> None:
    """No text leads to anything but a glob or a ValueError."""
    with suppress(ValueError):
        assert compile_path_glob(text).pattern == text


@given(folders, folders)
def test_a_literal_matches_itself_only(folder: str, other: str) -> None:
    """A glob without wildcards is one folder: not its twin with a last slash, nor any other."""
    glob = compile_path_glob(folder)
    assert glob.is_literal
    assert glob.base == folder
    assert glob.matches(folder)
    assert not glob.matches(folder + "/")
    assert glob.matches(other) == (folder == other)


@given(folders)
def test_two_stars_match_every_folder(folder: str) -> None:
    """`/**` leaves nothing out, and below a folder neither the folder nor anything in it."""
    assert compile_path_glob("/**").matches(folder)
    below = compile_path_glob("/top/**")
    assert below.matches(f"/top{folder}".rstrip("/"))
    assert not below.matches(f"/topmost{folder}")


@given(globs(), folders)
def test_whatever_matches_lies_at_or_below_the_base(glob: PathGlob, folder: str) -> None:
    """A recursive look at the base misses no folder that the glob matches."""
    inside = f"{folder}/".startswith(f"{glob.base.rstrip('/')}/")
    assert inside or not glob.matches(folder)


@pytest.mark.parametrize(
    ("glob", "base"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/**", "/"),
        ("/a*", "/"),
        ("/a/**", "/a"),
        ("/a/b*", "/a"),
        ("/a/b/{c,d}/e", "/a/b"),
        ("/a?(/b)/c", "/"),
        ("/{a,b}", "/"),
    ],
)
def test_the_base_is_as_deep_as_can_be(glob: str, base: str) -> None:
    """The base is the whole literal beginning, cut at the last slash unless it is all."""
    assert compile_path_glob(glob).base == base


def test_globs_are_equal_by_their_pattern() -> None:
    """Equal patterns make equal, hashable globs; reading one twice costs nothing."""
    assert compile_path_glob("/a/*") is compile_path_glob("/a/*")
    assert len({compile_path_glob("/a/*"), compile_path_glob("/a/?")}) == 2
    assert repr(compile_path_glob("/a/*")) == "PathGlob(pattern='/a/*')"


HOSTILE = [
    "/" + "*a" * 255,
    "/" + "*?" * 255,
    "/" + "{*,a*}" * 80,
    "/" + "{{{*a,*},*},*}" * 36,
    "/" + "*({a,aa})" * 50,
    "/+(" + "{,a}" * 120 + ")",
    "/+(" + "{a,aa}" * 80 + ")b",
    "/" + "+([a-z])" * 60,
    "/a" + "/**/a" * 100,
    "/*/**" * 100,
]


def effort(action: Callable[[], object]) -> int:
    """How many Python frames are entered or resumed: work, measured without a clock."""
    frames = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal frames
        frames += event == "call"

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(previous)
    return frames


@pytest.mark.parametrize("glob", HOSTILE, ids=lambda glob: glob[:12])
@pytest.mark.parametrize("path", ["/" + "a" * 400, "/a" * 200], ids=["wide", "deep"])
def test_no_glob_takes_more_than_proportional_effort(glob: str, path: str) -> None:
    """The effort is bounded by the length of the glob times that of the path."""
    compiled = compile_path_glob(glob)
    assert effort(lambda: compiled.matches(path + "!")) <= 2 * len(glob) * len(path)
    assert effort(lambda: compiled.matches(path * 2)) <= 2.5 * effort(lambda: compiled.matches(path))


@pytest.mark.parametrize(
    ("patterns", "matching", "others"),
    [
        ((), "DB_URL x", ""),
        (("*",), "DB_URL x", ""),
        (("DB_*",), "DB_ DB_URL", "db_url MY_DB_URL DB"),
        (("DB_*", "!DB_LEGACY_*"), "DB_URL DB_LEGACY", "DB_LEGACY_URL API_KEY"),
        (("!DB_*",), "API_KEY", "DB_URL"),
        (("!*",), "", "DB_URL x"),
        (("DB_?",), "DB_1", "DB_ DB_12"),
        (("DB_[0-3x]",), "DB_0 DB_x", "DB_4 DB_-"),
        (("DB_[^0-3]",), "DB_4 DB_^", "DB_0"),
        (("tls.crt", "tls.key"), "tls.crt tls.key", "tlsxcrt tls.crt2"),
        (("a/b:c",), "a/b:c", "a"),
    ],
)
def test_a_key_filter_means_included_and_not_excluded(
    patterns: tuple[str, ...], matching: str, others: str
) -> None:
    """Without inclusions all keys are included, an exclusion beats every inclusion."""
    keys = KeyFilter(patterns)
    assert [key for key in matching.split() if not keys.matches(key)] == []
    assert [key for key in others.split() if keys.matches(key)] == []


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("", "write '*' for every key"),
        ("!", "write '*' for every key"),
        ("!!A", "one pattern for each alternative"),
        ("{A,B}", "one pattern for each alternative"),
        ("A|B", "one pattern for each alternative"),
        ("A B", "no space"),
        ("[!A]", "[^abc]"),
        ("[]", "[^abc]"),
        ("A[", "no other bracket"),
        ("[Z-A]", "write [A-Z]"),
        ("A" * (MAX_PATTERN_LENGTH + 1), "longer than 512 characters"),
    ],
)
def test_a_key_pattern_that_cannot_be_meant_is_refused(pattern: str, advice: str) -> None:
    """A key pattern is plain characters, `*`, `?` and classes; else there is advice."""
    with pytest.raises(ValueError, match=r"^the key pattern '") as refusal:
        KeyFilter(("A*", pattern))
    assert advice in str(refusal.value)


@given(st.text("ABC_", min_size=1), st.text("ABC_", min_size=1))
def test_a_plain_key_pattern_is_that_key(pattern: str, key: str) -> None:
    """A pattern without wildcards includes, or excludes, one key."""
    assert KeyFilter((pattern,)).matches(key) == (pattern == key)
    assert KeyFilter((f"!{pattern}",)).matches(key) == (pattern != key)


def test_key_filters_are_values() -> None:
    """Equal patterns make equal, hashable filters."""
    assert {KeyFilter(("A*",)), KeyFilter(("A*",)), KeyFilter()} == {KeyFilter(("A*",)), KeyFilter()}


@pytest.mark.parametrize("pattern", ["*A" * 200 + "*B", "*?" * 200, "?*" * 200 + "B"])
def test_no_key_pattern_backtracks_without_bound(pattern: str) -> None:
    """A key pattern full of stars is decided within the time that a test has."""
    assert KeyFilter((pattern,)).matches("A" * 20_000 + "C") is pattern.endswith("?")


@pytest.mark.parametrize(
    "pattern",
    [
        "/" + "a*" * 250,
        "/+(a|a|aa)+(a|a|aa)+(a|a|aa)b",
        "/+(" + "{a,aa,aaa}" * 45 + ")",
        "/" + "**/" * 100 + "a",
    ],
)
def test_no_pattern_stalls(pattern: str) -> None:
    """The worst path for the worst pattern takes tenths of a second, once; a longer one is nobody's."""
    glob, begun = compile_path_glob(pattern), time.process_time()
    for _ in range(10_000):
        glob.matches("/" + "a" * (MAX_PATH_LENGTH - 1))
    assert not glob.matches("/" + "a" * 10_000_000)
    assert time.process_time() - begun < 2.0


def test_no_filter_stalls() -> None:
    """A hundred of the worst patterns take milliseconds for a key; a key that nobody has matches none."""
    keys, begun = KeyFilter(tuple("*a" * 120 + f"b{number}" for number in range(100))), time.process_time()
    assert not keys.matches("a" * MAX_KEY_LENGTH)
    assert not KeyFilter(("*",)).matches("a" * 10_000_000)
    assert KeyFilter().matches("a" * 10_000_000)
    assert time.process_time() - begun < 2.0


def test_a_filter_is_bounded() -> None:
    """An annotation of a workload may have room for a hundred thousand patterns, and each takes compiling."""
    begun = time.process_time()
    with pytest.raises(ValueError, match="more than 100 key patterns"):
        KeyFilter(tuple(f"*{number}*" for number in range(100_000)))
    assert time.process_time() - begun < 1.0
