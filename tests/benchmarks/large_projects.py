# ruff: noqa: T201 - a program that prints
"""What projects of many keys cost: the first read, its memory, its ledger, and an unchanged read.

A local Infisical runs in a process of its own; every row is measured in a fresh process, whose peak memory
is the operating system's own account.
"""

import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.environment import Bench
from benchmarks.figures import Figure, Measurement
from infisical_events.api.specs import Grade
from infisical_events.core.credentials import UniversalCredentials
from infisical_events.core.ledger.codec import encode
from infisical_events.core.ledger.ledger import Header
from infisical_events.core.ledger.observation_modes import ReadResult, apply_read, first_ledger
from infisical_events.core.paths.scopes import scopes_of
from infisical_events.runtime.clock import utc_now
from infisical_sandbox.server import Controls, Options, Sandbox
from support.builders import a_spec, an_entry
from support.infisical_sessions import a_session

_FOLDERS = 20
_BOUND_KEYS, _MOST_CPU = 10_000, 1.0
"""Seconds of processor time for the first read of so many keys."""


async def _measured(url: str, project: str, client_id: str, secret: str, grade: str) -> None:
    """One row, as JSON on standard output."""
    spec = a_spec(an_entry(path="/**"), projectId=project, observe=grade)
    scopes = scopes_of(spec)
    async with a_session(url, spec, UniversalCredentials(client_id, secret)) as session:
        await session.login()
        before = _peak()
        begin, cpu = time.perf_counter(), time.process_time()
        first = await session.read_snapshot(scopes)
        read, cpu = time.perf_counter(), time.process_time() - cpu
        again = await session.read_snapshot(scopes)
        unchanged = time.perf_counter()
    read_result = ReadResult(Header(project, url, Grade(grade), first.key_id), scopes, (first,))
    ledger = first_ledger(read_result, "epoch", utc_now())
    applying = time.perf_counter()
    apply_read(ledger, ReadResult(read_result.header, scopes, (again,)), (), utc_now())
    applied = time.perf_counter()
    stored = json.dumps(encode(ledger))
    encoded = time.perf_counter()
    row = {
        "grade": grade,
        "keys": first.key_count,
        "read": read - begin,
        "readCpu": cpu,
        "unchanged": unchanged - read,
        "apply": applied - applying,
        "encode": encoded - applied,
        "memory": _peak() - before,
        "ledger": len(stored),
        "folded": stored.count('\\"') < first.key_count,
    }
    print(json.dumps(row))


def _peak() -> float:
    """MiB since this program started; `ru_maxrss` would include the parent."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def _row(sandbox: Sandbox, grade: str) -> dict[str, Any]:
    arguments = [sandbox.url, sandbox.project_id, sandbox.client_id, sandbox.client_secret, grade]
    done = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, check=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _filled(grade: Grade, keys: int) -> dict[str, Any]:
    """One row, of an Infisical with so many keys."""
    folders = min(_FOLDERS, keys)
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox.in_thread(Options(database=Path(folder) / "infisical.db")) as sandbox,
    ):
        for number in range(folders):
            values = {f"SERVICE_{n:06d}_PASSWORD": f"value {n}" for n in range(keys // folders)}
            sandbox.do_blocking(Controls.set_secrets, "prod", f"/folder-{number}", values)
        return _row(sandbox, grade)


def measure_keys(bench: Bench, sizes: Sequence[int]) -> Measurement:
    """Measure projects of so many keys in both observation modes; all of each row is in the details."""
    rows = []
    for grade, keys in itertools.product((Grade.VERSIONS, Grade.VALUES), sizes):
        row = _filled(grade, keys)
        bench.say(f"keys: {', '.join(f'{name} {_shown(value)}' for name, value in row.items())}")
        rows.append(row)
    return Measurement([figure for row in rows for figure in _figures(row)], {"rows": rows})


def _figures(row: Mapping[str, Any]) -> list[Figure]:
    name = f"{row['keys']:,} keys, {row['grade']}"
    most = _MOST_CPU if row["keys"] == _BOUND_KEYS else None
    return [
        Figure(f"{name}: CPU of first read", row["readCpu"], "s", most=most),
        Figure(f"{name}: first read", row["read"], "s"),
        Figure(f"{name}: peak memory", row["memory"], "MiB"),
    ]


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    asyncio.run(_measured(*sys.argv[1:]))
