"""The local Infisical as a process that can be killed, suspended and started again."""

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from e2e.faults import waiting

_START_SECONDS = 60
_END_SECONDS = 20
_ENVIRONMENT = "prod"


@dataclass(frozen=True, slots=True)
class Change:
    """A new version of a secret, and when it was made (wall clock and monotonic, in seconds)."""

    path: str
    key: str
    version: int
    wall: float
    monotonic: float


@dataclass(slots=True)
class InfisicalProcess:
    """The process. `url` is the address for subscriptions, behind the proxy. A file keeps the state.

    `certificates` is a folder of `local_cluster.certificates`, to serve https; None for plain http.
    """

    folder: Path
    port: int
    options: Sequence[str] = ()
    url: str = ""
    certificates: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    ready: dict[str, Any] = field(default_factory=dict)
    noted: int = 0
    _http: httpx.Client | None = None

    @property
    def project_id(self) -> str:
        """The ready-made project."""
        return str(self.ready["projectId"])

    @property
    def client_id(self) -> str:
        """The client id of the ready-made identity."""
        return str(self.ready["clientId"])

    @property
    def client_secret(self) -> str:
        """The client secret of the ready-made identity."""
        return str(self.ready["clientSecret"])

    def start(self) -> None:
        """Start it with the same port and file, wait until it serves, and log in."""
        ready_file = self.folder / "infisical.json"
        ready_file.unlink(missing_ok=True)
        command = (sys.executable, "-m", "infisical_demo", "server", "--port", str(self.port), "--admin")
        kept = ("--db", str(self.folder / "infisical.db"), "--ready-file", str(ready_file), "--quiet")
        with (self.folder / "infisical.log").open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                (*command, *kept, *self._tls_options(), *self.options),
                env=os.environ,
                stdout=output,
                stderr=output,
            )
        waiting.wait_until(
            lambda: ready_file.exists() or self._ended(), seconds=_START_SECONDS, what="Infisical serves"
        )
        self.ready = json.loads(ready_file.read_text())
        self._http = httpx.Client(
            base_url=self.ready["url"], timeout=30, verify=self._trusted(), trust_env=False
        )
        self.noted = 0
        self.log_in()

    def kill(self) -> None:
        """End it by SIGKILL and wait for its end."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(_END_SECONDS)
        self.process = None
        if self._http is not None:
            self._http.close()
        self._http = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it if it runs."""
        if self.process is not None:
            self.process.send_signal(number)

    def admin(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Call the administration API of the local Infisical."""
        authorized = {"Authorization": f"Bearer {self.ready['adminToken']}"}
        return self._call(method, f"/__admin__{path}", body, authorized)

    @property
    def access_token(self) -> str:
        """The access token of this program."""
        if self._http is None:
            raise AssertionError("the local Infisical does not run")
        return self._http.headers["Authorization"].removeprefix("Bearer ")

    @property
    def streams(self) -> int:
        """How many streams are open, as the server counts them."""
        return int(self.admin("GET", "/state")["streams"])

    def fail(self, route: str, **how: object) -> None:
        """Let matching requests fail until `heal`."""
        self.admin("POST", "/responses", {"route": route, "count": 100_000} | how)

    def heal(self) -> None:
        """Remove all injected faults."""
        self.admin("DELETE", "/faults")

    def create(self, path: str, keys: Sequence[str]) -> None:
        """Create a folder and, by one call, secrets in it."""
        parent, name = path.rsplit("/", 1)
        scope = {"projectId": self.project_id, "environment": _ENVIRONMENT}
        self._call("POST", "/api/v2/folders", scope | {"path": parent or "/", "name": name})
        items = [{"secretKey": key, "secretValue": "first"} for key in keys]
        self._call("POST", "/api/v4/secrets/batch", scope | {"secretPath": path, "secrets": items})

    def write(self, path: str, key: str, value: str) -> None:
        """Give a secret a new value."""
        where = {"projectId": self.project_id, "environment": _ENVIRONMENT, "secretPath": path}
        self._call("PATCH", f"/api/v4/secrets/{key}", where | {"secretValue": value})

    def change(self, path: str, key: str, value: str) -> Change:
        """Give a secret a new value; return its entry in the journal."""
        self.write(path, key, value)
        return self.changes()[-1]

    def changes(self) -> list[Change]:
        """Return the changes since the last call."""
        entries = self._entries(self.noted)
        self.noted = max([self.noted, *(entry["number"] for entry in entries)])
        return [
            Change(
                entry["secretPath"], entry["secretKey"], entry["version"], entry["wall"], entry["monotonic"]
            )
            for entry in entries
            if entry["kind"] == "secret"
        ]

    def journal(self, kind: str) -> list[dict[str, Any]]:
        """Return the entries of a kind since the process was started."""
        return [entry for entry in self._entries(0) if entry["kind"] == kind]

    def _entries(self, since: int) -> list[dict[str, Any]]:
        return list(self.admin("GET", f"/journal?since={since}")["entries"])

    def _tls_options(self) -> Sequence[str]:
        if self.certificates is None:
            return ()
        files = {"--tls-certificate": "server.crt", "--tls-key": "server.key"}
        return [part for flag, name in files.items() for part in (flag, str(self.certificates / name))]

    def _trusted(self) -> ssl.SSLContext | bool:
        return self.certificates is None or ssl.create_default_context(cafile=self.certificates / "ca.crt")

    def _ended(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            log = (self.folder / "infisical.log").read_text()[-2000:]
            raise ChildProcessError(f"the local Infisical ended:\n{log}")
        return False

    def log_in(self) -> None:
        """Get an access token for the changes of this program."""
        credentials = {"clientId": self.client_id, "clientSecret": self.client_secret}
        if self._http is not None:
            self._http.headers.pop("Authorization", None)
            answer = self._call("POST", "/api/v1/auth/universal-auth/login", credentials)
            self._http.headers["Authorization"] = f"Bearer {answer['accessToken']}"

    def _call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        if self._http is None:
            raise AssertionError("the local Infisical does not run")
        answer = self._http.request(method, path, json=body, headers=headers)
        answer.raise_for_status()
        return dict(answer.json())
