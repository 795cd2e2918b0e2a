# ruff: noqa: T201 - a program that prints
"""`make bench`: what projects of many keys cost: a look, the memory for it, the ledger, and taking it in.

A local Infisical runs in a process of its own; every row is measured in a fresh process, whose peak memory
is the operating system's own account. Figures of one machine and one run: compare within a run only.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
_ROWS = tuple((grade, keys) for grade in (Grade.VERSIONS, Grade.VALUES) for keys in (100, 10_000, 40_000))


async def _measured(url: str, project: str, client_id: str, secret: str, grade: str) -> None:
    """One row, as JSON on standard output."""
    spec = a_spec(an_entry(path="/**"), projectId=project, observe=grade)
    scopes = scopes_of(spec)
    async with a_session(url, spec, UniversalCredentials(client_id, secret)) as session:
        await session.login()
        before = _peak()
        begin = time.perf_counter()
        first = await session.read_snapshot(scopes)
        looked = time.perf_counter()
        again = await session.read_snapshot(scopes)
        unchanged = time.perf_counter()
    read_result = ReadResult(Header(project, url, Grade(grade), first.key_id), scopes, (first,))
    ledger = first_ledger(read_result, "epoch", utc_now())
    absorbing = time.perf_counter()
    apply_read(ledger, ReadResult(read_result.header, scopes, (again,)), (), utc_now())
    applied = time.perf_counter()
    stored = json.dumps(encode(ledger))
    encoded = time.perf_counter()
    row = {
        "grade": grade,
        "keys": first.key_count,
        "look": looked - begin,
        "unchanged": unchanged - looked,
        "take in": applied - absorbing,
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


def _row(sandbox: Sandbox, grade: str) -> dict[str, float]:
    arguments = [sandbox.url, sandbox.project_id, sandbox.client_id, sandbox.client_secret, grade]
    done = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, __file__, "--row", *arguments], stdout=subprocess.PIPE, check=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Fill a local Infisical and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        asyncio.run(_measured(*options.row))
        return
    print("grade       keys   look s   304 s  take in s  encode s  peak MiB  ledger kB  folded")
    for grade, keys in _ROWS:
        with (
            tempfile.TemporaryDirectory() as folder,
            Sandbox.in_thread(Options(database=Path(folder) / "infisical.db")) as sandbox,
        ):
            for number in range(_FOLDERS):
                values = {f"SERVICE_{n:06d}_PASSWORD": f"value {n}" for n in range(keys // _FOLDERS)}
                sandbox.do_blocking(Controls.set_secrets, "prod", f"/folder-{number}", values)
            row = _row(sandbox, grade)
        print(
            f"{row['grade']:<9}{row['keys']:>7}{row['look']:>9.2f}{row['unchanged']:>8.2f}"
            f"{row['take in']:>11.3f}{row['encode']:>10.3f}{row['memory']:>10.0f}"
            f"{row['ledger'] / 1000:>11.0f}  {'yes' if row['folded'] else 'no'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
