"""The checks of an Infisical: from its address to the rights for each entry of a spec."""

from dataclasses import dataclass, field
from functools import partial

from infisical_events.api.specs import EventEntry
from infisical_events.cli.doctor.checklist import Checklist, FaultFoundError
from infisical_events.cli.infisical_access import SessionOpener, Subject
from infisical_events.core.diagnosis.check_results import failed, passed
from infisical_events.core.diagnosis.network_remedies import local_remedy_for
from infisical_events.core.diagnosis.stream_checks import (
    PERMISSION,
    STREAM_CHECKS,
    opened_stream_checks,
    refused_stream_checks,
)
from infisical_events.core.egress.address_allowlist import DEFAULT_ALLOWED
from infisical_events.core.paths.scopes import Scope, scopes_of
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted, preview
from infisical_events.core.validation.serving_spec import NotServable, ServingSpec
from infisical_events.infisical.connection_probe import ConnectionProbe
from infisical_events.infisical.infisical_errors import (
    InfisicalError,
    NoProjectAccessError,
    TokenRejectedError,
)
from infisical_events.infisical.session import Session

_MAX_NAMED = 20
"""Environments that one line names."""


@dataclass(slots=True)
class InfisicalChecks:
    """All checks of one subject, in the order in which a request meets its obstacles."""

    checks: Checklist
    subject: Subject
    environments: frozenset[str] | None = field(default=None, init=False)
    """None where the identity may not read them."""

    async def run(self) -> None:
        """Make all checks; at most one stream is opened, and closed at once."""
        serving = self.subject.serving()
        if not await self.checks.run("Spec", partial(_spec, serving)) or isinstance(serving, NotServable):
            return
        await self.checks.run("Address", partial(_address, serving.address))
        await self._connection(ConnectionProbe(serving.address))
        opener = SessionOpener(serving.address, self.subject.credentials(serving))
        async with opener.open(serving.spec) as session:
            await self.checks.run("Login", partial(self._login, session))
            await self.checks.run("Project", partial(self._project, session))
            await self._environments(serving)
            for scope in scopes_of(serving.spec):
                await self._read(session, scope)
            await self._stream(session, serving, opener)

    async def _connection(self, probe: ConnectionProbe) -> None:
        if probe.has_proxy:
            for name in ("DNS", "TCP", "TLS"):
                self.checks.skip(name, "a proxy of the environment connects (HTTPS_PROXY, HTTP_PROXY)")
            return
        await self.checks.run("DNS", partial(_resolved, probe))
        await self.checks.run("TCP", partial(_connected, probe))
        if probe.is_tls:
            await self.checks.run("TLS", partial(_secured, probe))
        else:
            self.checks.skip("TLS", "the address is plain http: tokens are sent in clear text")

    async def _login(self, session: Session) -> str:
        """Log in; a token that was made by hand is tried, because nothing checks it before."""
        await session.login()
        if not self.subject.has_static_token:
            return "logged in"
        try:
            await session.environments()
        except TokenRejectedError:
            raise
        except InfisicalError:
            return "the access token is not rejected"
        return "the access token is accepted"

    async def _project(self, session: Session) -> str:
        project = await session.project_id()
        try:
            self.environments = await session.environments()
        except NoProjectAccessError:
            raise
        except InfisicalError as error:
            if error.reason is not Reason.PERMISSION_DENIED:
                raise
            return f"{project}; the identity may not read its environments"
        return f"{project}, with {counted(len(self.environments), 'environment')}"

    async def _environments(self, serving: ServingSpec) -> None:
        wanted = dict.fromkeys(entry.conditions.environment_slug for entry in serving.spec.events)
        for slug in wanted:
            name = f"Environment {slug}"
            if self.environments is None and not self.checks.blocked_by:
                self.checks.skip(name, "the identity may not read the environments of the project")
            else:
                await self.checks.run(name, partial(self._environment, slug), is_essential=False)

    async def _environment(self, slug: str) -> str:
        known = self.environments or frozenset()
        if slug in known:
            return "exists"
        reason = Reason.ENVIRONMENT_NOT_FOUND
        found = f"the project has no environment {slug}, only {preview(sorted(known), _MAX_NAMED) or 'none'}"
        raise FaultFoundError(reason, found, local_remedy_for(reason))

    async def _read(self, session: Session, scope: Scope) -> None:
        name = f"Secrets {scope.folder}{' and below' if scope.recursive else ''}"
        slug = scope.folder.environment
        if self.environments is not None and slug not in self.environments and not self.checks.blocked_by:
            self.checks.skip(name, f"Environment {slug} failed")
            return
        await self.checks.run(name, partial(_readable, session, scope), is_essential=False)

    async def _stream(self, session: Session, serving: ServingSpec, opener: SessionOpener) -> None:
        """Open the stream once; if its permission is refused, find the entries, up to one that opens."""
        if self.checks.blocked_by:
            for name in STREAM_CHECKS:
                self.checks.skip(name, f"{self.checks.blocked_by} failed")
            return
        refusal = await _refusal(session)
        entries = serving.spec.events
        if refusal is None:
            self.checks.results += opened_stream_checks(len(entries))
            return
        self.checks.results += refused_stream_checks(refusal.reason, str(refusal))
        if refusal.reason is Reason.PERMISSION_DENIED and len(entries) > 1:
            await self._refused_entries(serving, opener)

    async def _refused_entries(self, serving: ServingSpec, opener: SessionOpener) -> None:
        has_opened = False
        for entry in serving.spec.events:
            name = f"{PERMISSION}: {_described(entry)}"
            if has_opened:
                self.checks.skip(name, "not tried, because at most one stream is opened")
                continue
            async with opener.open(serving.spec.model_copy(update={"events": (entry,)})) as session:
                refusal = await _refusal(session)
            has_opened = refusal is None
            self.checks.results.append(
                passed(name, "may be subscribed to")
                if refusal is None
                else failed(
                    name, str(refusal), refusal.reason, local_remedy_for(refusal.reason, str(refusal))
                )
            )


def _described(entry: EventEntry) -> str:
    conditions = entry.conditions
    return f"{entry.event} in {conditions.environment_slug}:{conditions.secret_path}"


async def _spec(serving: ServingSpec | NotServable) -> str:
    if isinstance(serving, NotServable):
        raise FaultFoundError(serving.reason, serving.message, local_remedy_for(serving.reason))
    return counted(len(serving.spec.events), "entry") + " in spec.events"


async def _address(origin: str) -> str:
    """What the operator's administrator has to allow; whether it is, the operator's status says."""
    if origin in DEFAULT_ALLOWED:
        return origin
    return f"{origin}; the operator needs --allowed-address {origin}"


async def _resolved(probe: ConnectionProbe) -> str:
    return preview(await probe.resolve(), _MAX_NAMED)


async def _connected(probe: ConnectionProbe) -> str:
    await probe.connect()
    return f"port {probe.port} accepts connections"


async def _secured(probe: ConnectionProbe) -> str:
    await probe.handshake()
    return "the certificate is trusted and names the host"


async def _readable(session: Session, scope: Scope) -> str:
    """Read the folders without values."""
    snapshot = await session.read_versions((scope,))
    if snapshot.missing:
        reason = Reason.FOLDER_NOT_FOUND
        raise FaultFoundError(reason, f"there is no folder {scope.folder}", local_remedy_for(reason))
    count = sum(len(state.versions) for state in snapshot.partitions.values())
    return f"may be described: {counted(count, 'key')}"


async def _refusal(session: Session) -> InfisicalError | None:
    """Why the stream cannot be opened; None if it can: then it is closed at once."""
    try:
        async with session.stream():
            return None
    except InfisicalError as error:
        return error
