"""What the built packages contain: the operator's wheel, an editable install, and the sdist."""

import configparser
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text()
OWN_COMMANDS = {"infisical-events", "kubectl-infisical_events"}
CHECKOUT_PACKAGES = {"infisical_sandbox", "local_cluster", "infisical_demo"}
CRD_FILE = "crds/events.infisical.com_infisicaleventsubscriptions.yaml"
COPIED_FOR_THE_BUILD = ("pyproject.toml", "README.md", "LICENSE", "deploy/wheel_hook.py", CRD_FILE)
SDIST = (
    *("operator", "tests", "crds", "charts", "deploy", "docs", ".github", ".ci"),
    *("Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt", ".dockerignore"),
)
BUILD = """
import sys
from hatchling import build
print(getattr(build, sys.argv[1])(sys.argv[2]))
"""


def built(kind: str, source: Path, target: Path) -> Path:
    """Build one artifact of the project in `source`, without the network."""
    environ = {"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": "0"}
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", BUILD, kind, str(target)],
        cwd=source,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target / done.stdout.split()[-1]


def commands(wheel: Path) -> set[str]:
    """The console scripts that an installation of this wheel makes."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/entry_points.txt"))
        parser = configparser.ConfigParser()
        parser.read_string(archive.read(name).decode())
    return set(parser["console_scripts"])


def top_level(wheel: Path) -> set[str]:
    """The packages in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        folders = {name.split("/")[0] for name in archive.namelist() if "/" in name}
    return {folder for folder in folders if not folder.endswith(".dist-info")}


def test_released_wheel_is_the_operator_alone(tmp_path: Path) -> None:
    """The wheel has one package and its command, also as a plugin of kubectl."""
    wheel = built("build_wheel", ROOT, tmp_path)

    assert top_level(wheel) == {"infisical_events"}
    assert commands(wheel) == OWN_COMMANDS


def test_wheel_has_the_crd(tmp_path: Path) -> None:
    """`infisical-events validate` checks against the same file that is applied to the cluster."""
    wheel = built("build_wheel", ROOT, tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        packaged = archive.read(f"infisical_events/{CRD_FILE}")

    assert packaged == (ROOT / CRD_FILE).read_bytes()


def test_editable_install_has_the_sandbox(tmp_path: Path) -> None:
    """From a checkout both commands exist, and one path leads to all packages."""
    wheel = built("build_editable", ROOT, tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        paths = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".pth")]

    assert commands(wheel) == OWN_COMMANDS | {"infisical-sandbox"}
    assert [Path(path.strip()) for path in paths] == [ROOT / "operator"]
    assert {each for each in CHECKOUT_PACKAGES if not (ROOT / "operator" / each).is_dir()} == set()


def test_build_context_has_all_that_the_image_copies() -> None:
    """What the Containerfile copies from the checkout is what .dockerignore lets through."""
    copies = [line.split()[1:-1] for line in CONTAINERFILE.splitlines() if line.startswith("COPY ")]
    copied = {name for names in copies for name in names if not names[0].startswith("--")}
    ignore = (ROOT / ".dockerignore").read_text().splitlines()

    assert copied == {line.removeprefix("!") for line in ignore if line.startswith("!")}


def test_image_copies_what_the_build_needs(tmp_path: Path) -> None:
    """The wheel builds from nothing but the files that the Containerfile copies for it."""
    before = CONTAINERFILE.partition("pip wheel")[0]
    source = tmp_path / "src"
    for name in (*COPIED_FOR_THE_BUILD, "operator/infisical_events/__init__.py"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    wheel = built("build_wheel", source, tmp_path)

    needed = ("crds crds" if name == CRD_FILE else name for name in COPIED_FOR_THE_BUILD)
    assert [name for name in (*needed, "operator/infisical_events") if name not in before] == []
    assert commands(wheel) == OWN_COMMANDS


def test_sdist_has_what_the_tests_need(tmp_path: Path) -> None:
    """The source distribution holds all files that the tests, make and the image read."""
    with tarfile.open(built("build_sdist", ROOT, tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    files = {path for name in SDIST for path in [ROOT / name, *(ROOT / name).rglob("*")] if path.is_file()}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.suffix != ".pyc" and not any(part.endswith("_cache") for part in path.parts)
    }

    assert wanted - names == set()
