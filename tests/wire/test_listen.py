"""`infisical-events listen` prints what a local Infisical reports, and what the spec selects of it."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from infisical_events.cli import commands as cli
from infisical_sandbox.server import Controls, Ending, Options, Sandbox
from support import manifests
from support.sandbox_client import free_port

SECRET = "canary-client-secret-of-listen"
OPTIONS = Options(client_secret=SECRET, ping_interval=0.5)
VALUE = "canary-value"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A local Infisical with one secret in prod:/payments."""
    with Sandbox.in_thread(OPTIONS) as running:
        running.do_blocking(Controls.set_secrets, "prod", "/payments", {"DB_PASSWORD": VALUE})
        yield running


@pytest.fixture
def manifest(sandbox: Sandbox, tmp_path: Path) -> Path:
    """A subscription to updates of the keys DB_* in prod:/payments."""
    document = manifests.subscription(sandbox)
    where = {"environmentSlug": "prod", "secretPath": "/payments", "secretKeys": ["DB_*"]}
    document["spec"]["events"] = [{"event": "secret:update", "conditions": where}]
    file = tmp_path / "subscription.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def environment(sandbox: Sandbox) -> dict[str, str]:
    """The credentials of the local Infisical."""
    return {"INFISICAL_CLIENT_ID": sandbox.client_id, "INFISICAL_CLIENT_SECRET": sandbox.client_secret}


def listen(sandbox: Sandbox, *arguments: str, **variables: str) -> Result:
    """Run the command until it ends by itself."""
    result = CliRunner().invoke(cli.main, ["listen", *arguments], env=environment(sandbox) | variables)
    assert not {text for text in (SECRET, VALUE) if text in result.output}
    return result


@contextmanager
def once_streaming(sandbox: Sandbox, *actions: Callable[[], object]) -> Iterator[None]:
    """Do this in a thread, one after the other, each as soon as a stream is open."""

    def work() -> None:
        for action in actions:
            for _ in range(1_000):
                if sandbox.do_blocking(Controls.count_streams):
                    break
                threading.Event().wait(0.01)
            action()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def edit(sandbox: Sandbox, path: str, *keys: str) -> Callable[[], object]:
    """An action that writes secrets with new values."""
    return partial(sandbox.do_blocking, Controls.set_secrets, "prod", path, dict.fromkeys(keys, VALUE))


def test_matched_and_not(sandbox: Sandbox, manifest: Path) -> None:
    """With --wide each event is printed, with the operator's reason where the spec does not select it."""
    with once_streaming(
        sandbox,
        edit(sandbox, "/payments", "DB_PASSWORD"),
        edit(sandbox, "/payments", "API_KEY"),
        edit(sandbox, "/payments", "API_KEY"),
        edit(sandbox, "/other", "X"),
        edit(sandbox, "/other", "X"),
    ):
        result = listen(sandbox, "--file", str(manifest), "--wide", "--count", "5", "--timeout", "30")

    assert result.exit_code == 0, result.output
    lines = [re.split(r" {2,}", line) for line in result.stdout.splitlines()]
    assert [line[1:] for line in lines] == [
        ["secret:update", "prod:/payments", "DB_PASSWORD", "matched"],
        ["secret:create", "prod:/payments", "API_KEY", "not matched: EventTypeNotSelected"],
        ["secret:update", "prod:/payments", "API_KEY", "not matched: KeysNotSelected"],
        ["secret:create", "prod:/other", "X", "not matched: EventTypeNotSelected"],
        ["secret:update", "prod:/other", "X", "not matched: PathNotSelected"],
    ]


def test_json_by_options(sandbox: Sandbox) -> None:
    """Without a file, options say what to listen to; the output is one object per event."""
    arguments = ("--address", sandbox.url, "--project-id", sandbox.project_id, "--env", "prod")
    with once_streaming(sandbox, edit(sandbox, "/payments", "A", "B")):
        result = listen(sandbox, *arguments, "--count", "1", "--timeout", "30", "-o", "json")

    assert result.exit_code == 0, result.output
    (event,) = map(json.loads, result.stdout.splitlines())
    assert event | {"time": ""} == {
        "time": "",
        "type": "secret:create",
        "environmentSlug": "prod",
        "secretPath": "/payments",
        "keys": ["A", "B"],
        "matched": True,
        "matchedKeys": ["A", "B"],
        "reason": "",
    }


@pytest.mark.parametrize("ending", [Ending.CLEAN, Ending.RESET])
def test_reconnect(sandbox: Sandbox, manifest: Path, ending: Ending) -> None:
    """A stream that ends is opened again, and the gap is mentioned."""
    actions = (partial(sandbox.do_blocking, Controls.end_streams, ending),)
    with once_streaming(sandbox, *actions, edit(sandbox, "/payments", "DB_PASSWORD")):
        result = listen(sandbox, "--file", str(manifest), "--count", "1", "--timeout", "30")

    assert result.exit_code == 0, result.output
    assert "Reconnecting in" in result.stderr
    assert "Infisical does not repeat them" in result.stderr
    assert "connected again" in result.stderr


def test_names_are_escaped(sandbox: Sandbox, manifest: Path) -> None:
    """A name with control characters does not reach the terminal as it is."""
    item = {"environment": "prod", "secretPath": "/payments", "secretKey": "DB_\x1b[31m\n"}
    data = {"projectType": "secret-manager", "data": {"eventType": "secret:update", "payload": [item]}}
    frame = f"event: secret:update\ndata: {json.dumps(data)}\n\n".encode()
    with once_streaming(sandbox, partial(sandbox.do_blocking, Controls.write_streams, frame)):
        result = listen(sandbox, "--file", str(manifest), "--count", "1", "--timeout", "30")

    assert r"DB_\x1b[31m\n" in result.stdout
    assert "\x1b" not in result.output


def test_timeout(sandbox: Sandbox, manifest: Path, eventually: Callable[..., Any]) -> None:
    """Without events a time-out is a clean end, unless events were wanted."""
    assert listen(sandbox, "--file", str(manifest), "--timeout", "0.5").exit_code == 0
    assert listen(sandbox, "--file", str(manifest), "--timeout", "0.5", "--count", "1").exit_code == 1
    eventually(lambda: sandbox.do_blocking(Controls.count_streams) == 0, seconds=10)


def test_rejections(sandbox: Sandbox, manifest: Path, tmp_path: Path) -> None:
    """What no retry can cure ends the command with its reason; exit code 3 if nobody answers."""
    rejected = listen(sandbox, "--file", str(manifest), INFISICAL_CLIENT_SECRET="wrong")
    missing = listen(sandbox, "--file", str(manifest), INFISICAL_CLIENT_SECRET="")
    there = ("--project-id", "p", "--env", "prod")
    away = listen(sandbox, *there, "--address", f"http://127.0.0.1:{free_port()}")
    token = tmp_path / "token"
    token.write_text("no-token\n")
    invalid = listen(sandbox, "--file", str(manifest), "--token-file", str(token))

    assert (rejected.exit_code, "CredentialsRejected" in rejected.stderr) == (1, True)
    assert (missing.exit_code, "INFISICAL_TOKEN" in missing.stderr) == (1, True)
    assert (away.exit_code, "Unreachable" in away.stderr) == (3, True)
    assert (invalid.exit_code, "TokenRejected" in invalid.stderr) == (1, True)


def test_mistakes(sandbox: Sandbox, tmp_path: Path) -> None:
    """Missing options and files without a subscription are mistakes of the command line."""
    file = tmp_path / "other.yaml"
    file.write_text("kind: Secret\n")

    assert listen(sandbox).exit_code == 2
    assert "has no InfisicalEventSubscription" in listen(sandbox, "--file", str(file)).output
    assert "--token-file" not in listen(sandbox, "--token", "x").stdout


async def test_interrupt(sandbox: Sandbox, manifest: Path) -> None:
    """Ctrl-C closes the stream and is no failure."""
    program = [sys.executable, "-m", "infisical_events", "listen", "--file", str(manifest)]
    operator = str(Path(cli.__file__).parents[2])
    env = os.environ | environment(sandbox) | {"PYTHONPATH": operator}
    process = await asyncio.create_subprocess_exec(
        *program, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(60):
        assert b"connected" in await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        output, notes = await process.communicate()

    assert (process.returncode, output) == (0, b"")
    assert b"ended after 0 events" in notes
    assert b"Traceback" not in notes
