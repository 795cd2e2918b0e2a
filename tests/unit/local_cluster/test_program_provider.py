"""Where programs come from, in which order, and that nothing unverified is ever used."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from local_cluster import errors, program_provider, programs, release_download
from local_cluster.program_provider import Sources
from local_cluster.programs import PROGRAMS, Program, Release

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens
PLATFORM = programs.platform()


@dataclass
class Mirror:
    """A publisher on loopback: paths to bytes, and how often each was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def publish(self, program: Program, content: bytes) -> None:
        """Offer a program as its publisher does: packed if it is, with its checksum."""
        release = program.release
        path = self._path(release.url)
        self.files[path] = _packed(release, content) if release.member else content
        digest = hashlib.sha256(self.files[path]).hexdigest()
        if release.checksum_url:
            line = f"{'0' * 64}  other\n{digest}  {Path(path).name}\n"
            self.files[self._path(release.checksum_url)] = line.encode()

    def tamper(self, program: Program) -> None:
        """Change a published file behind its checksum's back."""
        self.files[self._path(program.release.url)] += b"!"

    def downloads(self, program: Program) -> int:
        """Count how often a program was downloaded."""
        return self.asked[self._path(program.release.url)]

    def _path(self, template: str) -> str:
        return release_download.locate(template, PLATFORM, "").removeprefix("https:/")


def _packed(release: Release, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo(release.member.replace("{platform}", PLATFORM))
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """An HTTP server that offers what a test publishes."""
    offered = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            offered.asked[self.path] += 1
            content = offered.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("content-length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        offered.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield offered
        server.shutdown()


@pytest.fixture
def no_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a Go toolchain."""
    monkeypatch.setenv("PATH", "/nowhere")


def _by_name(name: str) -> Program:
    return next(program for program in PROGRAMS if program.name == name)


ETCD, HELM, KUBECTL, APISERVER = map(_by_name, ("etcd", "helm", "kubectl", "kube-apiserver"))


def _script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a toolchain on PATH that runs the given shell text; `$6` is the file to write."""

    def install(text: str) -> None:
        _script(tmp_path / "toolchain" / "go", text)
        monkeypatch.setenv("PATH", f"{tmp_path / 'toolchain'}:/usr/bin:/bin")

    return install


def _sources(tmp_path: Path, mirror: str = NOWHERE, given: Path | None = None) -> Sources:
    return Sources(given=given, cache=tmp_path / "cache", mirror=mirror)


# -- order ----------------------------------------------------------------------------------------


def test_the_arguments_win_over_the_environment() -> None:
    """A folder or mirror that is named beats KUBEBUILDER_ASSETS and the variables."""
    environ = {
        "KUBEBUILDER_ASSETS": "/assets",
        "XDG_CACHE_HOME": "/cache",
        "INFISICAL_SANDBOX_MIRROR": "http://a",
    }

    told = program_provider.sources(environ, given=Path("/named"), mirror="http://b")
    untold = program_provider.sources(environ)

    assert (Path("/named"), "http://b") == (told.given, told.mirror)
    assert (Path("/assets"), "http://a") == (untold.given, untold.mirror)
    assert Path("/cache/infisical-sandbox") == told.cache


def test_a_folder_that_has_everything_is_used_as_it_is(tmp_path: Path) -> None:
    """Neither cache nor network are touched for programs that the user has."""
    given = _script(tmp_path / "mine" / "etcd", "").parent
    origin = _sources(tmp_path, given=given)

    assert given == program_provider.provide(origin, print, (ETCD,))
    assert not origin.cache.exists()


@pytest.mark.usefixtures("no_go")
def test_what_a_folder_lacks_comes_from_other_sources(tmp_path: Path, mirror: Mirror) -> None:
    """The folder's programs are used, the others are added, and it is said which are which."""
    mirror.publish(HELM, b"helm")
    given = _script(tmp_path / "mine" / "etcd", "echo mine").parent
    said: list[str] = []

    folder = program_provider.provide(_sources(tmp_path, mirror.url, given), said.append, (ETCD, HELM))

    assert (given / "etcd").read_bytes() == (folder / "etcd").read_bytes()
    assert (folder / "helm").read_bytes() == b"helm"
    assert any("has etcd" in line and "other sources provide helm" in line for line in said)
    assert [path.name for path in given.iterdir()] == ["etcd"]


@pytest.mark.usefixtures("no_go")
def test_components_of_another_minor_version_are_not_used(tmp_path: Path, mirror: Mirror) -> None:
    """An old API server is not combined with the pinned controller manager."""
    mirror.publish(APISERVER, b"pinned")
    given = _script(tmp_path / "mine" / APISERVER.name, "echo Kubernetes v1.29.0").parent
    said: list[str] = []

    folder = program_provider.provide(_sources(tmp_path, mirror.url, given), said.append, (APISERVER,))

    assert (folder / APISERVER.name).read_bytes() == b"pinned"
    assert any("is not used" in line and "v1.29.0" in line for line in said)


def test_components_of_the_same_minor_version_are_used(tmp_path: Path) -> None:
    """A patch release more or less does not matter."""
    given = _script(tmp_path / "mine" / APISERVER.name, "echo Kubernetes v1.37.9").parent

    assert given == program_provider.provide(_sources(tmp_path, given=given), print, (APISERVER,))


@pytest.mark.usefixtures("no_go")
def test_the_cache_is_asked_before_the_network(tmp_path: Path, mirror: Mirror) -> None:
    """What was downloaded once is not downloaded again."""
    mirror.publish(ETCD, b"etcd")
    origin = _sources(tmp_path, mirror.url)

    first = program_provider.provide(origin, print, (ETCD,))
    second = program_provider.provide(origin, print, (ETCD,))

    assert first == second
    assert mirror.downloads(ETCD) == 1


def test_without_a_network_programs_are_built(tmp_path: Path, go: Callable[[str], None]) -> None:
    """An unreachable publisher leads to the build, and is asked only once."""
    go('echo built > "$6"')
    said: list[str] = []
    wanted = (APISERVER, KUBECTL)

    folder = program_provider.provide(_sources(tmp_path), said.append, wanted)

    assert [(folder / program.name).read_bytes() for program in wanted] == [b"built\n", b"built\n"]
    assert sum("downloading" in line for line in said) == 1
    assert sum("building" in line for line in said) == 2


@pytest.mark.usefixtures("no_go")
def test_without_any_source_it_says_what_to_install(tmp_path: Path) -> None:
    """No network and no Go: the message names all three ways out."""
    with pytest.raises(errors.ClusterError, match=r"internet.*install Go.*KUBEBUILDER_ASSETS"):
        program_provider.provide(_sources(tmp_path), print, (ETCD,))


# -- downloads ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_go")
@pytest.mark.parametrize("program", [ETCD, HELM, KUBECTL, APISERVER], ids=lambda p: p.name)
def test_a_download_is_unpacked_and_executable(tmp_path: Path, mirror: Mirror, program: Program) -> None:
    """Plain and packed programs end up under their own names."""
    mirror.publish(program, b"content")

    path = program_provider.provide(_sources(tmp_path, mirror.url), print, (program,)) / program.name

    assert path.read_bytes() == b"content"
    assert os.access(path, os.X_OK)


def test_a_tampered_download_is_refused(tmp_path: Path, mirror: Mirror, go: Callable[[str], None]) -> None:
    """A checksum mismatch stops everything: no build hides it, nothing reaches the cache."""
    go('echo built > "$6"')
    mirror.publish(ETCD, b"etcd")
    mirror.tamper(ETCD)
    origin = _sources(tmp_path, mirror.url)

    with pytest.raises(errors.ChecksumMismatch, match="refused"):
        program_provider.provide(origin, print, (ETCD,))

    assert list((origin.cache / programs.version_key(PLATFORM)).iterdir()) == []


@pytest.mark.usefixtures("no_go")
def test_a_mirror_that_is_no_url_is_an_error(tmp_path: Path) -> None:
    """A mistyped mirror is an unreachable one, not a traceback."""
    said: list[str] = []

    with pytest.raises(errors.ClusterError, match="is not available"):
        program_provider.provide(_sources(tmp_path, "http://[nonsense"), said.append, (ETCD,))

    assert any("download failed" in line for line in said)


@pytest.mark.usefixtures("no_go")
def test_an_archive_without_the_program_is_an_error(tmp_path: Path, mirror: Mirror) -> None:
    """A publisher who packs differently one day leads to the next source."""
    mirror.publish(replace(ETCD, release=replace(ETCD.release, member="elsewhere/etcd")), b"etcd")
    said: list[str] = []

    with pytest.raises(errors.ClusterError, match="is not available"):
        program_provider.provide(_sources(tmp_path, mirror.url), said.append, (ETCD,))

    assert any("has no file" in line for line in said)


def test_a_pinned_digest_is_enforced(tmp_path: Path, mirror: Mirror) -> None:
    """Kwok publishes no checksums, so anything but the pinned bytes is refused."""
    kwok = _by_name("kwok")
    mirror.publish(kwok, b"not kwok")

    with pytest.raises(errors.ChecksumMismatch, match="refused"):
        program_provider.provide(_sources(tmp_path, mirror.url), print, (kwok,))


def test_a_checksum_file_may_be_a_bare_digest() -> None:
    """Both usual forms of checksum files are understood."""
    assert release_download.announced("AB\n", "kubectl") == "ab"
    assert release_download.announced("ab  etcd\ncd *kubectl\n", "kubectl") == "cd"


def test_a_checksum_file_must_mention_the_file() -> None:
    """A checksum of something else is no checksum."""
    with pytest.raises(errors.ChecksumMismatch, match="does not mention kubectl"):
        release_download.announced("ab  etcd\ncd  helm\n", "kubectl")


@pytest.mark.usefixtures("no_go")
def test_two_processes_download_once(tmp_path: Path, mirror: Mirror) -> None:
    """Whoever comes second waits for the first and uses its result."""
    mirror.publish(ETCD, b"etcd" * 100_000)
    origin = _sources(tmp_path, mirror.url)

    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: program_provider.provide(origin, print, (ETCD,)), range(8)))

    assert len(folders) == 1
    assert mirror.downloads(ETCD) == 1


@pytest.mark.usefixtures("no_go")
def test_leftovers_of_a_killed_process_are_swept(tmp_path: Path, mirror: Mirror) -> None:
    """A partial download of a killed process is removed."""
    mirror.publish(ETCD, b"etcd")
    origin = _sources(tmp_path, mirror.url)
    entry = origin.cache / programs.version_key(PLATFORM)
    (entry / ".partial-killed").mkdir(parents=True)

    program_provider.provide(origin, print, (ETCD,))

    assert [path.name for path in entry.iterdir()] == ["etcd"]


# -- builds ---------------------------------------------------------------------------------------


def test_a_failed_build_shows_the_end_of_the_output(tmp_path: Path, go: Callable[[str], None]) -> None:
    """The message has the compiler's last words and the place of the whole log."""
    go("echo first; for n in $(seq 30); do echo line $n; done; exit 2")

    with pytest.raises(errors.ClusterError) as caught:
        program_provider.provide(_sources(tmp_path), print, (ETCD,))

    message = str(caught.value)
    assert "exit code 2" in message
    assert "line 30" in message
    assert "first" not in message
    assert "first" in Path(message.rpartition(": ")[2]).read_text()


def test_an_interrupted_build_leaves_no_compiler(
    tmp_path: Path, go: Callable[[str], None], eventually: Callable[..., Any]
) -> None:
    """Ctrl-C ends the toolchain with everything it started."""
    pids = tmp_path / "pids"
    go(f"sleep 600 & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait")
    environ = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "INFISICAL_SANDBOX_MIRROR": NOWHERE,
    }
    environ.pop("KUBEBUILDER_ASSETS", None)
    command = (sys.executable, "-m", "infisical_demo", "cluster", "binaries")
    with subprocess.Popen(  # noqa: S603 - ourselves
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        eventually(pids.exists)
        process.send_signal(signal.SIGINT)
        assert process.wait(10)

    eventually(lambda: not any(_lives(int(pid)) for pid in pids.read_text().split()))
    assert list((tmp_path / "cache").rglob(".partial-*")) == []


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
