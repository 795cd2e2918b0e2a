"""`python -m benchmarks.bare_floor FILE`: the least that any program must do between an event and a restart.

It receives one event from a stream, and sends one PATCH of one Deployment, over raw asyncio sockets with TLS:
no HTTP library, no ledger, no second read, no rollout. What an operator takes beside it, in the same run and
on the same servers, depends little on the machine.

The file is the JSON of a `FloorTask`. `ready` is printed when the stream is open.
"""

import asyncio
import json
import ssl
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

_SUBSCRIBE = "/api/v1/events/subscribe/project-events"
_MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class FloorTask:
    """Where the events come from and what is patched; names of files are of PEM files.

    Attributes:
        infisical_port, infisical_ca, token: The Infisical on loopback, and an access token.
        body: The body of the subscription.
        api_port, api_ca, certificate, key: The API server on loopback, and a client certificate.
        path: The Deployment.
        annotation: The annotation of its pod template that each event changes.
    """

    infisical_port: int
    infisical_ca: str
    token: str
    body: Mapping[str, Any]
    api_port: int
    api_ca: str
    certificate: str
    key: str
    path: str
    annotation: str

    def write(self, file: Path) -> None:
        """Write it for the program; the file has a token."""
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> Self:
        """The inverse of `write`."""
        return cls(**json.loads(file.read_text()))


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def opened(cls, port: int, tls: ssl.SSLContext) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        told = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)

    async def head(self) -> bytes:
        """The head of the response; raises OSError if it is none of a success."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise OSError(f"unexpected response: {head.splitlines()[0]!r}")
        return head

    async def discard_body(self, head: bytes) -> None:
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if lengths:
            await self.reader.readexactly(int(lengths[0].partition(b":")[2]))
            return
        while size := int(await self.reader.readline(), 16):
            await self.reader.readexactly(size + 2)
        await self.reader.readline()


async def _stream(task: FloorTask) -> _Connection:
    stream = await _Connection.opened(
        task.infisical_port, ssl.create_default_context(cafile=task.infisical_ca)
    )
    headers = {"Authorization": f"Bearer {task.token}", "Content-Type": "application/json"}
    stream.send("POST", _SUBSCRIBE, headers, json.dumps(task.body).encode())
    await stream.head()
    return stream


async def _api(task: FloorTask) -> _Connection:
    tls = ssl.create_default_context(cafile=task.api_ca)
    tls.load_cert_chain(task.certificate, task.key)
    return await _Connection.opened(task.api_port, tls)


async def _patch(api: _Connection, task: FloorTask, number: int) -> None:
    annotations = {task.annotation: str(number)}
    body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    api.send("PATCH", task.path, {"Content-Type": _MERGE_PATCH}, json.dumps(body).encode())
    await api.discard_body(await api.head())


async def _run(task: FloorTask) -> None:
    stream, api = await _stream(task), await _api(task)
    await _patch(api, task, 0)  # the first request of a connection is slower
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    number = 0
    while line := await stream.reader.readline():
        if line.startswith(b"data: {") and json.loads(line.removeprefix(b"data: ")).get("data"):
            number += 1
            await _patch(api, task, number)


if __name__ == "__main__":
    asyncio.run(_run(FloorTask.read(Path(sys.argv[1]))))
