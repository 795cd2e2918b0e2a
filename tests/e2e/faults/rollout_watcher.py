"""Counting rollouts by a watch of the Deployments of one namespace.

It connects to the API server directly, without a proxy. A rollout is a version of a Deployment with other
revision annotations in its pod template. The watch delivers every version.
"""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import httpx

from e2e.faults import waiting
from infisical_events.api import annotations
from infisical_events.api.resources import GROUP

_GONE = 410
_WATCH_SECONDS = 30
_PAUSE_SECONDS = 0.1
_CATCH_UP_SECONDS = 60

Stamps = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rollout:
    """One restart: when the operator patched (its own wall clock) and when the watch showed it (monotonic).

    `count` is more than 1 only after a gap in the watch.
    """

    workload: str
    patched_at: float
    seen_at: float
    stamps: tuple[tuple[str, str], ...]
    count: int = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """The compared parts of a Deployment."""

    stamps: tuple[tuple[str, str], ...]
    generation: int


class RolloutWatcher:
    """Watches until the block ends."""

    def __init__(self, client: httpx.Client, namespace: str) -> None:
        self._client = client
        self._path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        self._seen: dict[str, Seen] = {}
        self._rollouts: list[Rollout] = []
        self._version: str | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"watcher-{namespace}", daemon=True)

    def __enter__(self) -> Self:
        self._relist()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._client.close()
        self._thread.join(_CATCH_UP_SECONDS)

    @property
    def rollouts(self) -> tuple[Rollout, ...]:
        """All rollouts so far, in order."""
        return tuple(self._rollouts)

    def catch_up(self) -> None:
        """Wait until the watch is as new as a list of this moment."""

        def is_even() -> bool:
            try:
                answer = self._client.get(self._path).raise_for_status().json()
            except httpx.HTTPError:
                return False
            return all(_seen(item) == self._seen.get(_name(item)) for item in answer["items"])

        waiting.wait_until(is_even, seconds=_CATCH_UP_SECONDS, what="the watch of Deployments is up to date")

    def _follow(self) -> None:
        while not self._ending.is_set():
            try:
                if self._version is None:
                    self._relist()
                self._watch()
            except (httpx.HTTPError, httpx.StreamError, RuntimeError, json.JSONDecodeError):
                self._ending.wait(_PAUSE_SECONDS)  # the API server is unavailable, or the client is closed

    def _relist(self) -> None:
        answer = self._client.get(self._path).raise_for_status().json()
        for item in answer["items"]:
            self._add(item, has_gap=True)
        self._version = answer["metadata"]["resourceVersion"]

    def _watch(self) -> None:
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self._version),
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        with self._client.stream("GET", self._path, params=query) as answer:
            if answer.status_code == _GONE:
                self._version = None
                return
            answer.raise_for_status()
            for line in answer.iter_lines():
                if not self._received(json.loads(line)):
                    return

    def _received(self, event: dict[str, Any]) -> bool:
        found = event["object"]
        if event["type"] == "ERROR":
            self._version = None if found.get("code") == _GONE else self._version
            return False
        self._version = found["metadata"]["resourceVersion"]
        if event["type"] in {"ADDED", "MODIFIED"}:
            self._add(found)
        return True

    def _add(self, deployment: dict[str, Any], *, has_gap: bool = False) -> None:
        name, now = _name(deployment), _seen(deployment)
        before = self._seen.get(name)
        self._seen[name] = now
        if before is None or before.stamps == now.stamps:
            return
        # Every restart raises the generation by one, so the difference counts the restarts in a gap.
        count = now.generation - before.generation if has_gap else 1
        patched_at = patched(deployment["metadata"].get("annotations") or {})
        self._rollouts.append(Rollout(name, patched_at, time.monotonic(), now.stamps, count))


def patched(noted: Stamps) -> float:
    """Return the time of the last restart from its record on the workload; 0 if there is none."""
    raw = noted.get(annotations.LAST_RESTART)
    return datetime.fromisoformat(json.loads(raw)["time"]).timestamp() if raw else 0.0


def _name(deployment: dict[str, Any]) -> str:
    return str(deployment["metadata"]["name"])


def _seen(deployment: dict[str, Any]) -> Seen:
    noted = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    records = {key: text for key, text in noted.items() if key.startswith(f"{GROUP}/revision-")}
    return Seen(tuple(sorted(records.items())), deployment["metadata"]["generation"])
