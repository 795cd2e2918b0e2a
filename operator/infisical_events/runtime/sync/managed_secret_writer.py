"""Writes the Secrets of `spec.resync.secrets` from the accepted state of Infisical.

A Secret is written only from a read that shows the accepted state: a newer state is accepted and recorded
first, an older one is read again.
"""

import logging
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from infisical_events.api.specs import ManagedSecret
from infisical_events.api.statuses import ConditionType
from infisical_events.core.ledger.ledger import Ledger
from infisical_events.core.paths.scopes import Folder
from infisical_events.core.status.reasons import Reason
from infisical_events.core.status.text import counted, object_name, preview
from infisical_events.core.sync.managed_secret_content import (
    ContentError,
    folder_of,
    managed_secret_content_of,
    matches_accepted,
    may_lack_import,
)
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.server_wait import NO_SERVER_WAIT, ServerWait
from infisical_events.core.sync.value_digests import DigestKeySource
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import KubernetesError, SecretOwnedError, SecretRejectedError
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster, Infisical
from infisical_events.runtime.status.reporter import Reporter
from infisical_events.runtime.triggers import TriggerQueue

log = logging.getLogger(__name__)

_NOT_ACCEPTED_YET = "Infisical shows a newer state: all scopes are read again first"
_MAY_LACK_IMPORT = "a changed import may belong to this folder: it is read again for up to 60s"
_TRANSIENT = {_NOT_ACCEPTED_YET, _MAY_LACK_IMPORT}
_SAID_AFTER = timedelta(seconds=8)
"""How long a transient problem has to last until the condition says it."""

_FINAL_REASONS = {Reason.ENVIRONMENT_NOT_FOUND, Reason.FOLDER_NOT_FOUND, Reason.PERMISSION_DENIED}
"""Errors of Infisical that only a person can correct."""

_READ_AGAIN_PAUSE = timedelta(seconds=5)
"""Between two reads of all scopes because one folder does not show the accepted state."""

_MOST_NAMED = 5
"""Secrets that the condition names."""

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The result for one Secret under one revision of the ledger.

    Attributes:
        seq: The revision of the ledger.
        secret: The Secret as it was written; None where there is an error.
        fingerprint: Of its content.
        error_message: Why it was not written.
        is_waiting_for_import: Whether it is read again until it lacks no import, which ends by itself.
        server_wait: How long the server has demanded that requests wait, under this revision.
        is_rejected: Whether only a person can correct the error.
        is_owned: Whether the error is that it has another owner, which the metadata show.
        is_read_refused: Whether Infisical refuses the read, which a person corrects there without a trace.
        version: The resourceVersion of the Secret that was rejected; empty if there is none.
        omission: Which keys it was written without, as a clause.
        transient_since: Since when a problem that ends by itself has lasted; None without one.
    """

    seq: int
    secret: SecretMetadata | None = None
    fingerprint: str = ""
    error_message: str = ""
    is_waiting_for_import: bool = False
    server_wait: ServerWait = NO_SERVER_WAIT
    is_rejected: bool = False
    is_owned: bool = False
    is_read_refused: bool = False
    version: str = ""
    omission: str = ""
    transient_since: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether another attempt under the same ledger has the same result."""
        return self.secret is not None or self.is_rejected


@dataclass(kw_only=True, slots=True)
class ManagedSecretWriter:
    """Writes the Secrets of one subscription.

    Attributes:
        results: The newest result of each Secret, by name.
        reported: The problem of each Secret that was reported last.
        read_again_at: When a read of all scopes was last demanded.
    """

    secrets: tuple[ManagedSecret, ...]
    infisical: Infisical
    cluster: Cluster
    reporter: Reporter
    triggers: TriggerQueue
    clock: Clock
    digest_key: DigestKeySource
    results: dict[str, WriteResult] = field(default_factory=dict)
    reported: dict[str, str] = field(default_factory=dict)
    read_again_at: datetime | None = None

    @property
    def names(self) -> frozenset[str]:
        """Of the Secrets."""
        return frozenset(managed.name for managed in self.secrets)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the content of the Secrets that are written, by name."""
        return {name: result.fingerprint for name, result in self.results.items() if result.secret}

    @property
    def is_behind(self) -> bool:
        """Whether some Secret is not written because its read did not show the accepted state."""
        return any(result.error_message == _NOT_ACCEPTED_YET for result in self.results.values())

    def folder_of(self, name: str) -> Folder:
        """The folder that the Secret of this name is made from."""
        return next(folder_of(managed) for managed in self.secrets if managed.name == name)

    async def results_for(self, names: frozenset[str], ledger: Ledger) -> dict[str, WriteResult]:
        """The Secrets with these names, brought up to date for everything that is pending."""
        answers = {}
        for managed in self.secrets:
            if managed.name not in names:
                continue
            known = self.results.get(managed.name)
            is_fresh = known is not None and known.is_final and known.seq >= ledger.seq
            answers[managed.name] = known if known and is_fresh else await self.write(managed, ledger)
        return answers

    async def write(self, managed: ManagedSecret, ledger: Ledger) -> WriteResult:
        """Write a Secret if it differs; an error is reported, and the next full read tries again."""
        before = self.results.get(managed.name)
        try:
            result = await self._write(managed, ledger)
            if result.secret is None:
                since = (before.transient_since if before else None) or self.clock()
                wait = self._server_wait(before, ledger)
                result = replace(result, server_wait=wait, transient_since=since)
        except (InfisicalError, ContentError) as error:
            is_read_refused = isinstance(error, InfisicalError) and error.reason in _FINAL_REASONS
            result = WriteResult(
                ledger.seq,
                error_message=str(error),
                is_rejected=is_read_refused or isinstance(error, ContentError),
                is_read_refused=is_read_refused,
                server_wait=self._server_wait(before, ledger, error),
            )
        except SecretRejectedError as error:
            result = await self._rejected(managed, ledger, error)
        except KubernetesError as error:
            result = WriteResult(
                ledger.seq, error_message=str(error), server_wait=self._server_wait(before, ledger, error)
            )
        self.results[managed.name] = result
        self._update_condition()
        await self._report(managed, before, result)
        return result

    def _update_condition(self) -> None:
        """While a Secret is not up to date, the condition says so: an Event is gone after an hour."""
        said = {name: result for name, result in self.results.items() if self._is_said(result)}
        problems = [f"{object_name('Secret', name)}: {result.error_message}" for name, result in said.items()]
        is_transient = all(result.transient_since for result in said.values())
        if problems:
            message = f"Not up to date: {preview(problems, _MOST_NAMED, '; ')}"
        elif all(name in self.results and self.results[name].secret for name in self.names):
            message = f"{counted(len(self.names), 'Secret')} written from the accepted state."
        else:
            return
        refused = Reason.RESYNCING if is_transient else Reason.SECRET_REJECTED
        reason = refused if problems else Reason.SECRET_SYNCED
        self.reporter.update_condition(
            ConditionType.SECRETS_SYNCED, ok=not problems, reason=reason, message=message
        )

    def _is_said(self, result: WriteResult) -> bool:
        """Whether the condition says why the Secret is not written."""
        since = result.transient_since
        return bool(result.error_message) and (since is None or self.clock() - since >= _SAID_AFTER)

    async def _write(self, managed: ManagedSecret, ledger: Ledger) -> WriteResult:
        folder_values = await self.infisical.read_values(folder_of(managed))
        if not matches_accepted(folder_values, {part: held.state for part, held in ledger.accepted.items()}):
            self._read_again(self.clock())
            return WriteResult(ledger.seq, error_message=_NOT_ACCEPTED_YET)
        if may_lack_import(folder_values, ledger, self.clock()):
            return WriteResult(ledger.seq, error_message=_MAY_LACK_IMPORT, is_waiting_for_import=True)
        key, digest_key = self.reporter.key, await self.digest_key()
        content = managed_secret_content_of(folder_values, managed, key.namespace, digest_key)
        secret = await self.cluster.apply_secret(key, managed, content.data, content.fingerprint)
        return WriteResult(ledger.seq, secret, content.fingerprint, omission=content.omission)

    def _read_again(self, now: datetime) -> None:
        """Demand a read of all scopes: it accepts a newer state, and is of no use while reads lag."""
        last = self.read_again_at
        if last is None or not last <= now < last + _READ_AGAIN_PAUSE:
            self.read_again_at = now
            self.triggers.add()

    def _server_wait(
        self, before: WriteResult | None, ledger: Ledger, error: Exception | None = None
    ) -> ServerWait:
        known = before.server_wait if before and before.seq == ledger.seq else NO_SERVER_WAIT
        is_demanded = isinstance(error, InfisicalError) and error.is_backoff
        return known.continued(self.clock(), is_demanded=is_demanded)

    async def _rejected(
        self, managed: ManagedSecret, ledger: Ledger, error: SecretRejectedError
    ) -> WriteResult:
        """A rejection, with the version of the Secret that it is about."""
        found = None
        with suppress(KubernetesError):
            found = await self.cluster.secret_metadata(self.reporter.key.namespace, managed.name)
        return WriteResult(
            ledger.seq,
            error_message=str(error),
            is_rejected=True,
            is_owned=isinstance(error, SecretOwnedError),
            version=found.resource_version if found else "",
        )

    async def _report(self, managed: ManagedSecret, before: WriteResult | None, result: WriteResult) -> None:
        if before is None or not (before.server_wait.is_demanded and result.server_wait.is_demanded):
            await self._report_problem(managed.name, result)
        is_known = before is not None and before.fingerprint == result.fingerprint
        if result.secret is None or is_known:
            return
        name = object_name("Secret", managed.name)
        fields = self.reporter.extra | {"secret": name, "folder": str(folder_of(managed))}
        log.info("Secret synced", extra=fields)
        if before is not None:
            await self.reporter.emit_event(Reason.SECRET_SYNCED, f"Synced {name} with new content.")

    async def _report_problem(self, secret: str, result: WriteResult) -> None:
        """Say once why a Secret is not written, or which keys it is written without."""
        problem, name = result.error_message or result.omission, object_name("Secret", secret)
        if problem in _TRANSIENT:
            return
        is_news = problem and _without_numbers(problem) != _without_numbers(self.reported.get(secret, ""))
        self.reported[secret] = problem
        if not is_news:
            return
        text = "Secret not written" if result.error_message else "Secret written in part"
        log.warning(text, extra=self.reporter.extra | {"secret": name, "error": problem})
        message = f"Failed to write {name}: {problem}" if result.error_message else f"{name}: {problem}."
        await self.reporter.emit_event(Reason.SECRET_REJECTED, message, is_warning=True)


def _without_numbers(message: str) -> str:
    """Sizes and times in a message differ with every attempt, which is no news."""
    return _NUMBER.sub("", message)
