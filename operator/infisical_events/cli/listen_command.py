"""`infisical-events listen`: the events of Infisical as they arrive, with what the spec selects."""

import asyncio
import json
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import click

from infisical_events.api.specs import EventEntry, EventType, Spec
from infisical_events.cli.cluster_access import ClusterOptions, cluster_options, run_async
from infisical_events.cli.exit_codes import ExitCode
from infisical_events.cli.infisical_access import (
    InfisicalOptions,
    SessionOpener,
    infisical_options,
    opened_subject,
)
from infisical_events.core.diagnosis.event_lines import EventLine, event_line, unrecognized_line
from infisical_events.core.diagnosis.network_remedies import local_remedy_for
from infisical_events.core.snapshots.events import UnrecognizedFrame
from infisical_events.core.snapshots.selectors import Selector
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted, escaped
from infisical_events.core.validation.serving_spec import NotServable
from infisical_events.infisical.event_stream import StreamItem
from infisical_events.infisical.infisical_errors import InfisicalError, StreamEndedError
from infisical_events.infisical.session import Session
from infisical_events.runtime.backoff import Backoff, is_user_error
from infisical_events.runtime.clock import utc_now
from infisical_events.runtime.tasks import race, wait_at_most

_HEALTHY_SECONDS = 5.0
"""Seconds after which the end of a stream is no failure."""
_AWAY = {Reason.UNREACHABLE, Reason.NAME_NOT_RESOLVED, Reason.SERVER_ERROR, Reason.RATE_LIMITED}
"""Reasons with which Infisical could not be asked, rather than refused."""
_MAX_ENTRIES = 10
"""Entries of one stream, as of a spec."""
_TEXT, _JSON = "text", "json"


@click.command()
@click.option("--subscription", metavar="NAME", help="Subscription of the cluster, with its own credentials.")
@infisical_options
@cluster_options
@click.option("--wide", is_flag=True, help="Receive all events of the environments, also those not selected.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many events.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="End after so many seconds.")
@click.option(
    "-o", "--output", type=click.Choice([_TEXT, _JSON]), default=_TEXT, help="One line or object per event."
)
@run_async
async def listen(  # noqa: PLR0913 - one per option
    *,
    subscription: str | None,
    infisical: InfisicalOptions,
    cluster: ClusterOptions,
    wide: bool,
    count: int | None,
    timeout: float | None,  # noqa: ASYNC109 - of the command line
    output: str,
) -> ExitCode:
    r"""Print the events of Infisical as they arrive, and whether the spec selects each. No cluster is needed.

    An open stream counts against the project's limit of 100. Ctrl-C ends it. Exit code 1: a rejection, or
    fewer events than --count until --timeout.

    \b
    Credentials without a subscription of the cluster: INFISICAL_TOKEN, or
    INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET, or files.

    \b
    Examples:
      infisical-events listen --subscription payments -n shop
      infisical-events listen --file subscription.yaml --wide
      infisical-events listen --project-id 7f4d1c2b --env prod --path '/payments/**' --count 1 -o json
    """
    async with opened_subject(cluster, subscription, infisical) as subject:
        serving = subject.serving()
        if isinstance(serving, NotServable):
            _note(f"{serving.reason}: {serving.message}")
            return ExitCode.FOUND
        spec = _widened(serving.spec) if wide else serving.spec
        opener = SessionOpener(serving.address, subject.credentials(serving))
        async with opener.open(spec) as session:
            listener = EventListener(session, serving.selectors, _printer(output), count)
            return await _bounded(listener, timeout)


@dataclass(slots=True)
class EventListener:
    """Prints the events of one session, and opens the stream again when it ends."""

    session: Session
    selectors: tuple[Selector, ...]
    show: Callable[[EventLine], None]
    wanted: int | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(first=1.0, longest=30.0))
    received: int = 0
    has_connected: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether all wanted events were received."""
        return self.wanted is not None and self.received >= self.wanted

    async def run(self) -> None:
        """Listen until all wanted events are printed.

        Raises:
            InfisicalError: the first stream cannot be opened, or no retry can help.
        """
        while not self.is_complete:
            try:
                await self._listen()
            except InfisicalError as error:
                if not self._may_retry(error):
                    raise
                pause = self.backoff.pause(error.reason, error.retry_after)
                lost = "events until then are lost, Infisical does not repeat them"
                _note(f"{str(error).removesuffix(' Reconnecting.')} Reconnecting in {pause:.1f} s; {lost}.")
                await asyncio.sleep(pause)

    async def _listen(self) -> None:
        opened = asyncio.get_running_loop().time()
        async with self.session.stream() as items:
            _note("connected again" if self.has_connected else "connected, waiting for events")
            self.has_connected = True
            try:
                async for item in items:
                    self._receive(item)
                    if self.is_complete:
                        return
            finally:
                if asyncio.get_running_loop().time() - opened >= _HEALTHY_SECONDS:
                    self.backoff.reset()

    def _receive(self, item: StreamItem) -> None:
        now = utc_now()
        if isinstance(item, UnrecognizedFrame):
            self.show(unrecognized_line(item, now))
        else:
            self.show(event_line(item, self.selectors, now))
        self.received += 1

    def _may_retry(self, error: InfisicalError) -> bool:
        if isinstance(error, StreamEndedError):
            return True
        is_final = is_user_error(error.reason) or error.reason is Reason.TOKEN_REJECTED
        return self.has_connected and not is_final


async def _bounded(listener: EventListener, seconds: float | None) -> ExitCode:
    """Listen until a signal, the time-out, or all wanted events."""
    stop = asyncio.Event()
    _stop_by_signals(stop)
    try:
        await race(listener.run(), _stopped(stop, seconds))
    except InfisicalError as error:
        _note(
            " ".join(filter(None, (f"{error.reason}: {error}", local_remedy_for(error.reason, str(error)))))
        )
        return ExitCode.UNANSWERED if error.reason in _AWAY else ExitCode.FOUND
    _note(f"ended after {counted(listener.received, 'event')}")
    is_short = listener.wanted is not None and not listener.is_complete and not stop.is_set()
    return ExitCode.FOUND if is_short else ExitCode.OK


async def _stopped(stop: asyncio.Event, seconds: float | None) -> None:
    await (stop.wait() if seconds is None else wait_at_most(stop, seconds))


def _stop_by_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    with suppress(RuntimeError, NotImplementedError):  # not in the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)


def _widened(spec: Spec) -> Spec:
    """The spec with all types and folders of its environments.

    Raises:
        click.UsageError: one stream cannot have so many entries.
    """
    environments = dict.fromkeys(entry.conditions.environment_slug for entry in spec.events)
    raw = [
        {"event": event.value, "conditions": {"environmentSlug": environment, "secretPath": "/**"}}
        for environment in environments
        for event in EventType
    ]
    if len(raw) > _MAX_ENTRIES:
        raise click.UsageError("--wide is possible for two environments at most")
    return spec.model_copy(update={"events": tuple(map(EventEntry.model_validate, raw))})


def _printer(output: str) -> Callable[[EventLine], None]:
    if output == _JSON:
        return lambda line: click.echo(json.dumps(line.as_data()))
    return lambda line: click.echo(line.as_text())


def _note(text: str) -> None:
    """What is no event goes to the error output, so that scripts read events alone."""
    click.echo(f"# {escaped(text)}", err=True)
