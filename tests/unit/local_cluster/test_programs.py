"""The table of programs, and what `deploy/local` pins, are one truth."""

from pathlib import Path

import pytest

from local_cluster import programs, release_download
from local_cluster.programs import PROGRAMS, Program

MODULES = Path(__file__).parents[3] / "deploy" / "local" / "programs"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_the_go_module_pins_the_version(program: Program) -> None:
    """A program that is built is of the version that would be downloaded."""
    lines = [line.split() for line in (MODULES / program.module / "go.mod").read_text().splitlines()]
    required = {words[0]: words[1] for words in lines if len(words) > 1}

    assert f"v{program.version}" in {
        version for module, version in required.items() if program.package.startswith(module)
    }
    assert any(program.package in words for words in lines)


@pytest.mark.parametrize("module", sorted({program.module for program in PROGRAMS}))
def test_go_modules_name_no_machine(module: str) -> None:
    """go.mod and go.sum hold module paths and digests alone, no place to fetch them from."""
    for name in ("go.mod", "go.sum"):
        assert "://" not in (MODULES / module / name).read_text()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
@pytest.mark.parametrize("platform", ["linux-amd64", "linux-arm64"])
def test_every_download_can_be_verified(program: Program, platform: str) -> None:
    """Each program has a published checksum file or a pinned digest, never both or none."""
    release = program.release

    assert bool(release.checksum_url) != bool(release.checksums)
    assert release.checksum_url or len(dict(release.checksums)[platform]) == 64


def test_kubernetes_urls_are_the_published_ones() -> None:
    """Kubernetes separates system and architecture by a slash, the others by a dash."""
    urls = {p.name: release_download.locate(p.release.url, "linux-amd64", "") for p in PROGRAMS}

    assert urls["kubectl"] == "https://dl.k8s.io/v1.37.2/bin/linux/amd64/kubectl"
    assert urls["helm"] == "https://get.helm.sh/helm-v4.3.1-linux-amd64.tar.gz"
    assert urls["etcd"].endswith("/etcd-io/etcd/releases/download/v3.7.3/etcd-v3.7.3-linux-amd64.tar.gz")


def test_the_cache_key_changes_with_every_version() -> None:
    """Programs of different versions never meet in one cache folder."""
    key = programs.version_key("linux-amd64")

    assert all(program.version in key for program in PROGRAMS)
    assert key != programs.version_key("linux-arm64")
