"""Downloads official releases and verifies their sha256 before use.

HTTP only: `program_provider` decides which program to fetch and what to do after a failure.
"""

import hashlib
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from local_cluster import errors
from local_cluster.programs import Program

# A machine without internet access continues with the next source within seconds.
_TIMEOUT = httpx.Timeout(30, connect=3)
_CHUNK_BYTES = 1 << 20
_REPORT_SECONDS = 15


def locate(template: str, platform: str, mirror: str) -> str:
    """Return the url to fetch.

    `mirror` (a base url, or empty) replaces every publisher: `<mirror>/<host>/<path>`. Kubernetes
    separates system and architecture by a slash, all others by a dash.
    """
    separated = platform.replace("-", "/") if "dl.k8s.io" in template else platform
    url = template.replace("{platform}", separated)
    return url.replace("https:/", mirror.rstrip("/"), 1) if mirror else url


def host(url: str) -> str:
    """Return `host[:port]` of `url`: an unreachable publisher is not tried for the next program."""
    return urlsplit(url).netloc


def announced(text: str, file_name: str) -> str:
    """Return the sha256 (lower-case hex) of `file_name` in the text of a checksum file.

    Both common forms work: the digest alone, and lines `<digest>  [*]<file>`.

    Raises:
        ChecksumMismatch: the text has no digest for this file.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if [len(words) for words in lines] == [1]:
        return lines[0][0].lower()
    for words in lines:
        if len(words) > 1 and words[1].lstrip("*") == file_name:
            return words[0].lower()
    raise errors.ChecksumMismatch(f"the publisher's checksum file does not mention {file_name}")


def fetch(program: Program, platform: str, mirror: str, folder: Path, say: Callable[[str], None]) -> Path:
    """Download, verify and unpack `program` into `folder`; return the executable.

    Raises:
        Unavailable: the publisher cannot be reached or has no such file.
        ChecksumMismatch: the download differs from the published checksum.
    """
    url = locate(program.release.url, platform, mirror)
    try:
        with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
            expected = _expected(client, program, platform, mirror)
            download = folder / Path(urlsplit(url).path).name
            actual = _save(client, url, download, program.name, say)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise errors.Unavailable(f"{url}: {type(error).__name__} {error}") from error
    if actual != expected:
        download.unlink()
        raise errors.ChecksumMismatch(
            f"refused to use {url}: its sha256 is {actual}, the published checksum is {expected}. "
            f"The file changed on the way from the publisher; check the network and the mirror."
        )
    return _unpack(download, program, platform)


def _expected(client: httpx.Client, program: Program, platform: str, mirror: str) -> str:
    release = program.release
    if not release.checksum_url:
        return dict(release.checksums)[platform]
    text = client.get(locate(release.checksum_url, platform, mirror)).raise_for_status().text
    return announced(text, Path(urlsplit(locate(release.url, platform, mirror)).path).name)


def _save(client: httpx.Client, url: str, target: Path, name: str, say: Callable[[str], None]) -> str:
    digest, received, reported = hashlib.sha256(), 0, time.monotonic()
    with client.stream("GET", url) as response, target.open("wb") as file:
        total = int(response.raise_for_status().headers.get("content-length", 0))
        for chunk in response.iter_bytes(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
            received += len(chunk)
            if time.monotonic() - reported >= _REPORT_SECONDS:
                reported = time.monotonic()
                say(f"{name}: {received >> 20} of {total >> 20} MiB")
    return digest.hexdigest()


def _unpack(download: Path, program: Program, platform: str) -> Path:
    if not program.release.member:
        return download
    member = program.release.member.replace("{platform}", platform)
    with tarfile.open(download) as archive:
        try:
            archive.extract(member, download.parent, filter="data")
        except KeyError as error:
            raise errors.Unavailable(f"{download.name} has no file {member}") from error
    return download.parent / member
