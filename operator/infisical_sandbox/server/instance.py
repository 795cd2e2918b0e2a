"""One local Infisical without HTTP: its state, and the effects of a change."""

from __future__ import annotations

import asyncio
import secrets as randomness
from dataclasses import replace
from typing import TYPE_CHECKING

from infisical_sandbox.server import clock, journal
from infisical_sandbox.server.database import Database
from infisical_sandbox.server.domain import (
    api_errors,
    data_store,
    folders,
    identities,
    permissions,
    projects,
    subscriptions,
)
from infisical_sandbox.server.domain.access_tokens import Tokens
from infisical_sandbox.server.domain.records import Setting
from infisical_sandbox.server.event_streams import PING, Hub
from infisical_sandbox.server.fan_out_queue import FanOutQueue
from infisical_sandbox.server.faults import Faults
from infisical_sandbox.server.journal import Journal

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.changes import Change, FolderKey
    from infisical_sandbox.server.domain.data_store import Store
    from infisical_sandbox.server.domain.events import Event
    from infisical_sandbox.server.domain.permissions import Ability
    from infisical_sandbox.server.domain.records import Identity, Project
    from infisical_sandbox.server.event_streams import Stream
    from infisical_sandbox.server.options import Options

ORGANISATION = "11111111-1111-4111-8111-111111111111"


class Instance:
    """The state and the background work of one server, in one event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.generation = options.generation
        self.store: Store = data_store.empty()
        self.database = Database(options.database, self.store)
        self.faults = Faults()
        self.journal = Journal()
        self.admin_token = randomness.token_urlsafe(24)
        self.hub = Hub(self.generation, self._renewed_ability)
        self.fan_out = FanOutQueue(self.store, options.fan_out_delay, self.publish, self._touch_folder)
        self.tokens = Tokens(self.store, self._setting("signing-key", 32), self.generation)
        self.client_secret = options.client_secret or self._setting("client-secret", 32)
        self.project, self.identity = self._ready_made()
        self._timer: asyncio.TimerHandle | None = None
        self._checked = 0.0

    def start(self) -> None:
        """Start the ping timer in the running event loop."""
        self._checked = clock.now().monotonic
        self.retime()

    def stop(self) -> None:
        """Stop the background work and close the file."""
        self.fan_out.stop()
        if self._timer:
            self._timer.cancel()
        self.database.close()

    def retime(self) -> None:
        """Restart the ping timer with the current interval."""
        if self._timer:
            self._timer.cancel()
        interval = self.faults.ping_interval or self.options.ping_interval
        self._timer = asyncio.get_running_loop().call_later(interval, self._tick)

    @property
    def reading(self) -> Store:
        """The store for reads; a fault may have frozen it."""
        return self.faults.reading(self.store, clock.now().monotonic)

    @property
    def connection_limit(self) -> int | None:
        """The maximum number of streams per project, from the options or a fault."""
        fault = self.faults.connection_limit
        return self.options.limit if fault is None else fault

    @property
    def stream_lifetime(self) -> float | None:
        """The lifetime of a stream in seconds, from the options or a fault."""
        return self.faults.stream_lifetime or self.options.lifetime

    def apply(self, change: Change) -> None:
        """Publish the events of a change now, and those of importing folders later."""
        for secret, place in change.secrets:
            self.journal.note(
                "secret",
                projectId=place.project_id,
                environment=place.environment.slug,
                secretPath=place.path,
                secretKey=secret.key,
                secretId=secret.id,
                version=secret.version,
            )
        for event in change.events:
            self.publish(event)
        for key in change.syncs:
            self.fan_out.queue(key)

    def publish(self, event: Event) -> None:
        """Send an event to the streams, unless a fault switch prevents it."""
        facts = journal.event_facts(event)
        if self.faults.plan_missing:
            self.journal.note("event-not-published", **facts)
        elif self.faults.take_drop():
            self.journal.note("event-dropped", **facts)
        elif self.faults.delay_events:
            loop = asyncio.get_running_loop()
            loop.call_later(self.faults.delay_events, self._emit, event)
        else:
            self._emit(event)

    def ability(self, identity: Identity, project: Project) -> Ability:
        """The permissions of the identity in the project; 403 if it is not a member."""
        return identities.ability(self.store, identity, project, self.generation)

    def _emit(self, event: Event) -> None:
        for _ in range(1 + self.faults.extra_copies):
            entry = self.journal.note("event", **journal.event_facts(event))
            receivers = self.hub.deliver(event)
            self.journal.note("event-delivered", of=entry.number, receivers=receivers)

    def _touch_folder(self, key: FolderKey) -> None:
        place = folders.find(self.store, *key)
        if place:
            now = clock.now().wall
            self.store.folders.put(replace(place.folder, last_secret_modified=now))
            self.database.commit()

    def _tick(self) -> None:
        """Ping all streams; re-check their permissions when due."""
        self.retime()
        self.hub.write_all(PING)
        now = clock.now().monotonic
        if now - self._checked >= (self.faults.recheck_interval or self.options.recheck_interval):
            self._checked = now
            self.hub.recheck()

    def _renewed_ability(self, stream: Stream) -> Ability | None:
        identity = self.store.identities.get(stream.identity_id)
        project = self.store.projects.get(stream.project_id)
        try:
            if identity and project:
                ability = self.ability(identity, project)
                for entry in stream.entries:
                    subscriptions.require(entry, ability, self.generation)
                return ability
        except api_errors.ApiError:
            return None
        return None

    def _setting(self, name: str, size: int) -> str:
        row = self.store.settings.get(name) or self.store.settings.put(
            Setting(name, randomness.token_hex(size))
        )
        return row.value

    def _ready_made(self) -> tuple[Project, Identity]:
        known = self.store.settings.get("project-id"), self.store.settings.get("identity-id")
        if known[0] and known[1]:
            return self._restored(known[0].value, known[1].value)
        return self._first_project(clock.now().wall)

    def _restored(self, project_id: str, identity_id: str) -> tuple[Project, Identity]:
        identity = self.store.identities.get(identity_id)
        if identity is None:
            raise LookupError("the database refers to an identity that it does not contain")
        if not identities.knows_secret(self.store, identity, self.client_secret):
            identities.add_client_secret(self.store, identity, clock.now().wall, self.client_secret)
        return projects.by_id(self.store, project_id), self._as_optioned(identity)

    def _as_optioned(self, identity: Identity) -> Identity:
        """The machine identity with the auth settings from the options."""
        options = self.options
        return self.store.identities.put(
            replace(
                identity,
                universal=options.tokens,
                lockout=options.lockout,
                kubernetes=options.kubernetes,
            )
        )

    def _first_project(self, now: float) -> tuple[Project, Identity]:
        options = self.options
        project = projects.create(self.store, ORGANISATION, options.project_name, options.project_slug, now)
        for slug in options.environments:
            projects.add_environment(self.store, project.id, slug.capitalize(), slug, now)
        identity = self._as_optioned(identities.create(self.store, ORGANISATION, "sandbox"))
        identities.add_client_secret(self.store, identity, now, self.client_secret)
        rules = permissions.role(options.role, self.generation)
        identities.grant(self.store, identity, project.id, rules)
        self.store.settings.put(Setting("project-id", project.id))
        self.store.settings.put(Setting("identity-id", identity.id))
        self.database.commit()
        return project, identity
