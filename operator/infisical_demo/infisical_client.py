"""A client of the local Infisical: changes secrets, and reads the journal of emitted events."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from infisical_demo.errors import DemoError
from infisical_sandbox.server.http_client import Address, Client, Folder

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class EmittedEvent:
    """An event of the server: `at` is seconds of the monotonic clock, `receivers` a number of streams."""

    at: float
    event: str
    keys: tuple[str, ...]
    receivers: int


@dataclass(frozen=True, slots=True)
class LocalInfisical:
    """A running server: `facts` is its ready file."""

    facts: Mapping[str, Any]

    @classmethod
    def read(cls, ready_file: Path) -> "LocalInfisical":
        """Return the server that wrote this ready file."""
        return cls(json.loads(ready_file.read_text()))

    @property
    def url(self) -> str:
        """The base url."""
        return str(self.facts["url"])

    @property
    def environment_slug(self) -> str:
        """The slug of the environment that the demo uses."""
        return str(self.facts["environments"][-1])

    def set_secrets(self, path: str, values: Mapping[str, str]) -> None:
        """Create or update secrets, as `infisical-sandbox secrets set` does."""
        address = Address(
            self.url, self.facts["clientId"], self.facts["clientSecret"], self.facts["projectId"]
        )
        with Client(address) as client:
            folder = Folder(self.environment_slug, path)
            client.create_folder(folder)
            client.set_secrets(folder, values)

    def mark(self) -> int:
        """The number of the newest journal entry; 0 for an empty journal."""
        return max((int(entry["number"]) for entry in self._journal(0)), default=0)

    def emitted(self, since: int) -> tuple[EmittedEvent, ...]:
        """The events after journal entry `since`."""
        entries = self._journal(since)
        receivers = {e["of"]: int(e["receivers"]) for e in entries if e["kind"] == "event-delivered"}
        return tuple(
            EmittedEvent(e["monotonic"], e["event"], tuple(e["keys"]), receivers.get(e["number"], 0))
            for e in entries
            if e["kind"] == "event"
        )

    def count_streams(self) -> int:
        """The number of open event streams."""
        return int(self._ask("/__admin__/state", {})["streams"])

    def _journal(self, since: int) -> list[dict[str, Any]]:
        return list(self._ask("/__admin__/journal", {"since": since})["entries"])

    def _ask(self, path: str, query: Mapping[str, int]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.facts['adminToken']}"}
        try:
            with httpx.Client(base_url=self.url, timeout=_TIMEOUT_SECONDS, trust_env=False) as http:
                response = http.get(path, params=query, headers=headers).raise_for_status()
        except httpx.HTTPError as error:
            raise DemoError(f"the local Infisical does not respond: {error}") from error
        return dict(response.json())
