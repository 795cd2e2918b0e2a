"""`infisical-sandbox server` as a process, and `secrets` talking to a server."""

from __future__ import annotations

import json
import os
import signal
import ssl
import stat
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from click.testing import CliRunner

from infisical_sandbox.server import Options, Sandbox
from infisical_sandbox.server.app_runner import write_ready_file
from infisical_sandbox.server.options import Certificate
from infisical_sandbox.server.secret_commands import secrets
from infisical_sandbox.server.server_command import server
from local_cluster import certificates
from support.sandbox_client import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERVER = (sys.executable, "-m", "infisical_sandbox.server")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`run("list", "--env", "prod")` against a fresh sandbox, as its ready file says."""
    ready = tmp_path / "ready.json"
    with Sandbox.in_thread() as sandbox:
        write_ready_file(ready, sandbox)

        def invoke(*arguments: str) -> Any:  # noqa: ANN401 - click's result
            return CliRunner().invoke(secrets, ["--ready-file", str(ready), *arguments])

        yield invoke


def test_secrets_are_set_listed_and_deleted(run: Callable[..., Any]) -> None:
    """One command creates the folder and both secrets, and values are shown only when asked for."""
    where = ("--env", "prod", "--path", "/payments")

    made = run("set", *where, "--create-path", "A=first", "B=x=y")
    changed = run("set", *where, "A=second")
    hidden = run("list", *where)
    shown = run("list", *where, "--show-values")
    gone = run("delete", *where, "A", "B")

    assert made.output == "prod:/payments: 2 created, 0 updated\n"
    assert changed.output == "prod:/payments: 0 created, 1 updated\n"
    assert "second" not in hidden.output
    assert shown.output == ("prod:/payments/A=second  (version 2)\nprod:/payments/B=x=y  (version 1)\n")
    assert gone.exit_code == 0
    assert run("list", *where).output == ""


def test_folders_and_imports_have_commands(run: Callable[..., Any]) -> None:
    """Folders are made with their parents, imports added, listed, followed and removed."""
    run("folders", "create", "--env", "prod", "/a/b")
    run("set", "--env", "prod", "--path", "/a/b", "KEY=1")
    added = run("import", "add", "--env", "prod", "prod:/a/b")
    listed = run("import", "list", "--env", "prod")
    secrets_seen = run("list", "--env", "prod", "--imports", "-o", "json")
    removed = run("import", "remove", "--env", "prod", listed.output.split()[0])

    assert run("folders", "list", "--env", "prod").output == "/a\n/a/b\n"
    assert added.output == "prod:/ imports prod:/a/b\n"
    assert listed.output.endswith("prod:/a/b\n")
    assert json.loads(secrets_seen.output)["imports"][0]["secrets"][0]["secretKey"] == "KEY"
    assert removed.exit_code == 0
    assert run("import", "list", "--env", "prod").output == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "--env", "nope"), "404: Folder with path '/'"),
        (("set", "--env", "prod", "hunter2hunter2hunter2hunter2"), "expected KEY=VALUE"),
        (("import", "add", "--env", "prod", "shared"), "the source is ENV:PATH"),
    ],
)
def test_a_mistake_ends_with_one_sentence(
    run: Callable[..., Any], arguments: tuple[str, ...], said: str
) -> None:
    """The server's sentence or ours, no traceback, an exit code, and no whole value repeated."""
    result = run(*arguments)

    assert result.exit_code != 0
    assert said in result.output
    assert "Traceback" not in result.output
    assert "hunter2hunter2hunter2hunter2" not in result.output


def test_the_server_must_be_given() -> None:
    """Without a server the error names the options; an unreachable server is named too."""
    nothing = CliRunner(env={"INFISICAL_SANDBOX_READY_FILE": ""}).invoke(secrets, ["list", "--env", "x"])
    address = ["--url", "http://127.0.0.1:9", "--client-id", "a", "--client-secret", "b", "--project-id", "c"]
    nobody = CliRunner().invoke(secrets, [*address, "list", "--env", "x"])

    assert "no server given: set --ready-file" in nothing.output
    assert "http://127.0.0.1:9 cannot be reached" in nobody.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_runs_as_a_process(tmp_path: Path, number: signal.Signals) -> None:
    """It writes the ready file once it listens, logs no secret, and stops at once after a signal."""
    ready = tmp_path / "ready.json"
    log = tmp_path / "log"
    command = (*SERVER, "--port", "0", "--ready-file", str(ready), "--admin", "--log-format", "json")
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stderr=output, stdout=subprocess.PIPE) as process,  # noqa: S603 - our own command
    ):
        try:
            assert process.stdout is not None
            welcome = process.stdout.readline()
            facts = json.loads(ready.read_text())
            listed = CliRunner().invoke(
                secrets, ["--ready-file", str(ready), "set", "--env", "prod", "KEY=canary"]
            )
        finally:
            process.send_signal(number)
            code = process.wait(DEADLINE)

    assert (code, listed.exit_code) == (0, 0)
    assert facts["url"].encode() in welcome
    assert facts.keys() == {
        *("url", "projectId", "projectSlug", "environments", "identityId"),
        *("clientId", "clientSecret", "adminToken"),
    }
    assert stat.S_IMODE(ready.stat().st_mode) == 0o600
    requests = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(request["message"].startswith("POST /api/v4/secrets/KEY 200") for request in requests)
    assert not any(secret in log.read_text() for secret in ("canary", facts["clientSecret"]))


def test_the_server_speaks_tls(tmp_path: Path) -> None:
    """With a certificate, a client that trusts its authority is answered over https."""
    certificates.write(tmp_path, datetime.now(UTC))  # noqa: TID251 - TLS compares it with the real clock
    files = Certificate(tmp_path / "server.crt", tmp_path / "server.key")
    with Sandbox.in_thread(Options(tls=files)) as sandbox:
        trusted = ssl.create_default_context(cafile=tmp_path / "ca.crt")
        status = httpx.get(f"{sandbox.url}/api/status", verify=trusted, trust_env=False).status_code

    assert sandbox.url.startswith("https://")
    assert status == 200


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    """A certificate without a private key is a mistake of the command line."""
    file = tmp_path / "server.crt"
    file.write_text("")
    result = CliRunner().invoke(server, ["--tls-certificate", str(file)])

    assert result.exit_code == 2
    assert "--tls-certificate and --tls-key need each other" in result.output


def test_a_taken_port_is_one_sentence() -> None:
    """The second server on a port ends with one message."""
    with Sandbox.in_thread() as sandbox:
        port = sandbox.url.rsplit(":", 1)[1]
        done = subprocess.run(  # noqa: S603 - our own command
            [*SERVER, "--port", port],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
            env=dict(os.environ),
        )

    assert done.returncode == 1
    assert "Error: the server cannot start" in done.stderr
    assert "Traceback" not in done.stderr
