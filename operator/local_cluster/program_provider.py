"""Provides the programs of the control plane, from several sources and with a shared cache.

Order of the sources: a folder that the user names; the cache; the official downloads; a build from
source. A lock and an atomic rename per program keep the cache consistent between processes.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from local_cluster import errors, go_build, programs, release_download
from local_cluster.programs import PROGRAMS, Program

Say = Callable[[str], None]

_PARTIAL = ".partial-"
_LOCK_REPORT_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of programs.

    `given` is the user's folder, used first (None: no such folder), `cache` the folder of all versions,
    `mirror` a base url that replaces all publishers (empty: the publishers themselves), `modules`
    the folder of the Go modules for a build.
    """

    given: Path | None
    cache: Path
    mirror: str = ""
    modules: Path = go_build.MODULES


def sources(environ: Mapping[str, str], *, given: Path | None = None, mirror: str | None = None) -> Sources:
    """Return the sources from arguments and environment; arguments have precedence."""
    assets = environ.get("KUBEBUILDER_ASSETS")
    home = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Sources(
        given=given or (Path(assets) if assets else None),
        cache=home / "infisical-sandbox",
        mirror=mirror if mirror is not None else environ.get("INFISICAL_SANDBOX_MIRROR", ""),
    )


def provide(origin: Sources, say: Say, wanted: tuple[Program, ...] = PROGRAMS) -> Path:
    """Provide all wanted programs and return the folder that has them.

    Raises:
        ClusterError: no source can deliver a program; the message says what to install.
        ChecksumMismatch: a download differs from its published checksum.
    """
    given = _given(origin.given, wanted, say)
    missing = tuple(program for program in wanted if program.name not in given)
    if not missing and origin.given:
        return origin.given.resolve()
    entry = origin.cache / programs.version_key(programs.platform())
    entry.mkdir(parents=True, exist_ok=True)
    if _absent(entry, missing):
        with _locked(entry, say):
            _complete(entry, _absent(entry, missing), origin, say)
    return _joined(origin.cache, entry, given, missing) if given else entry


def _given(folder: Path | None, wanted: Iterable[Program], say: Say) -> dict[str, Path]:
    if folder is None:
        return {}
    if not folder.is_dir():
        raise errors.ClusterError(f"{folder} is not a folder; check --binaries or KUBEBUILDER_ASSETS")
    found = {p.name: folder / p.name for p in wanted if _fits(p, folder / p.name, say)}
    if absent := [program.name for program in wanted if program.name not in found]:
        say(f"{folder} has {', '.join(found) or 'none of the programs'}; other sources provide "
            f"{', '.join(absent)}")  # fmt: skip
    return found


def _fits(program: Program, path: Path, say: Say) -> bool:
    """Return True if the program at `path` is compatible with the pinned versions.

    Only components of the control plane are checked: their minor versions must be equal.
    """
    if not os.access(path, os.X_OK):
        return False
    if program.module != "kubernetes" or program.name == "kubectl":
        return True
    shown = subprocess.run(  # noqa: S603 - the user named this folder
        [path, "--version"], capture_output=True, text=True, check=False, timeout=30
    ).stdout.strip()
    if shown.removeprefix("Kubernetes v").split(".")[:2] == program.version.split(".")[:2]:
        return True
    say(f"{path} is not used: its version is {shown!r}, the other programs need {program.version}")
    return False


def _absent(entry: Path, wanted: Iterable[Program]) -> tuple[Program, ...]:
    return tuple(p for p in wanted if not os.access(entry / p.name, os.X_OK))


@contextmanager
def _locked(entry: Path, say: Say) -> Iterator[None]:
    lock = filelock.FileLock(entry.with_name(f"{entry.name}.lock"))
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_LOCK_REPORT_SECONDS)
        except filelock.Timeout:
            say(f"waiting for another process that prepares {entry.name}")
    try:
        yield
    finally:
        lock.release()


def _complete(entry: Path, missing: tuple[Program, ...], origin: Sources, say: Say) -> None:
    _sweep(entry)
    unreachable: set[str] = set()
    for program in missing:
        publisher = release_download.host(program.release.url)
        with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=entry) as partial:
            folder = Path(partial)
            executable = None
            if publisher not in unreachable:
                executable = _download(program, folder, origin, say)
            if executable is None:
                unreachable.add(publisher)
                executable = _build(program, folder, origin, say)
            _install(executable, entry / program.name)
        say(f"{program.name} {program.version}: ready")


def _sweep(entry: Path) -> None:
    """Remove files of a killed process; under the lock they belong to no running one."""
    for leftover in entry.glob(f"{_PARTIAL}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _download(program: Program, folder: Path, origin: Sources, say: Say) -> Path | None:
    say(f"{program.name} {program.version}: downloading from {release_download.host(program.release.url)}")
    try:
        return release_download.fetch(program, programs.platform(), origin.mirror, folder, say)
    except errors.Unavailable as error:
        say(f"{program.name}: download failed ({error})")
        return None


def _build(program: Program, folder: Path, origin: Sources, say: Say) -> Path:
    log = origin.cache / f"{program.name}-build.log"
    try:
        return go_build.build(program, folder, say, modules=origin.modules, log=log)
    except errors.Unavailable as error:
        raise errors.ClusterError(
            f"{program.name} {program.version} is not available: the download and the build from source "
            f"both failed ({error}). Connect to the internet, or install Go 1.26, or set --binaries or "
            f"KUBEBUILDER_ASSETS to a folder that has the program."
        ) from error


def _install(executable: Path, target: Path) -> None:
    executable.chmod(0o755)
    with executable.open("rb") as file:
        os.fsync(file.fileno())  # a power cut must not leave an empty file under the final name
    executable.replace(target)


def _joined(cache: Path, entry: Path, given: Mapping[str, Path], missing: Iterable[Program]) -> Path:
    """Return a folder of links to all programs, because PATH needs one folder."""
    chosen = {**given, **{program.name: entry / program.name for program in missing}}
    digest = hashlib.sha256(repr(sorted(chosen.items())).encode()).hexdigest()[:12]
    folder = cache / f"joined-{digest}"
    folder.mkdir(exist_ok=True)
    for name, path in chosen.items():
        link = folder / f"{_PARTIAL}{os.getpid()}-{name}"
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve())
        link.replace(folder / name)
    return folder
