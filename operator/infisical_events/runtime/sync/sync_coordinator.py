"""Making the Secrets of workloads fresh: who writes them is asked once, for all who wait, and heard out."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from infisical_events.api import annotations
from infisical_events.core.ledger.ledger import Debt, Ledger
from infisical_events.core.ledger.revisions import stamp_of
from infisical_events.core.restarts.restart_records import receipt_of
from infisical_events.core.restarts.workload_state import Standing
from infisical_events.core.restarts.workloads import Workload
from infisical_events.core.sync.secret_metadata import SecretMetadata
from infisical_events.core.sync.secret_providers import Source, content_of
from infisical_events.core.sync.sync_requests import Content, Known, Question, asking, sealed
from infisical_events.core.sync.sync_state import Freshness, freshness
from infisical_events.core.sync.value_digests import DigestKeySource
from infisical_events.core.sync.workload_sync_state import Answer, Fresh, combined
from infisical_events.infisical.infisical_errors import InfisicalError
from infisical_events.kube.kubernetes_errors import ConflictError, KubernetesError, UnknownOutcomeError
from infisical_events.kube.subscription_client import SubscriptionKey
from infisical_events.runtime.clock import Clock
from infisical_events.runtime.ports import Cluster
from infisical_events.runtime.sync.managed_secret_writer import Keeper

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class Freshener:
    """Freshens for one subscription."""

    cluster: Cluster
    key: SubscriptionKey
    timeout: timedelta
    clock: Clock
    digest_key: DigestKeySource
    keeper: Keeper | None = None

    async def begin(self, ledger: Ledger) -> "Round":
        """What the namespace's sources are now, for one round of settling; raises KubernetesError."""
        sources = await self.cluster.list_sources(self.key.namespace)
        by_uid = {source.uid: source for source in sources}
        return Round(freshener=self, reads=Reads(freshener=self), ledger=ledger, sources=by_uid)

    async def tokens(self, standings: tuple[Standing, ...]) -> dict[str, str]:
        """What the content of the Secrets is that these workloads use and somebody writes.

        Raises:
            KubernetesError: nothing can be said.
        """
        used = frozenset[str]().union(*(standing.secrets for standing in standings))
        sources = [s for s in await self.cluster.list_sources(self.key.namespace) if s.secrets & used]
        reads, found = Reads(freshener=self), {}
        for source in sources if sources and await self._has_key() else ():
            for name, content in (await reads.contents(source, used)).items():
                found[name] = content.token
        if self.keeper is not None:
            for name in self.keeper.names & used:
                found[name] = await reads.written_token(name)
        return {name: token for name, token in found.items() if token}

    async def _has_key(self) -> bool:
        try:
            await self.digest_key()
        except InfisicalError as error:
            log.warning("contents of Secrets are not compared with those of now: %s", error)
            return False
        return True

    async def sealed(self, source: Source, secret: SecretMetadata | None) -> str:
        """A token of a Secret's content that tells nothing of it; empty if there is none.

        Raises:
            KubernetesError: there is no key to make it with.
        """
        content = content_of(source, secret)
        if not content or secret is None:
            return ""
        try:
            key = await self.digest_key()
        except InfisicalError as error:
            raise KubernetesError(f"contents of Secrets cannot be compared: {error}") from None
        return sealed(key.id, key.digest(f"{self.key.namespace}/{secret.name}", content))


@dataclass(kw_only=True, slots=True)
class Reads:
    """The Secrets as they were when they were first asked for: each is read once."""

    freshener: Freshener
    secrets: dict[str, SecretMetadata | None] = field(default_factory=dict)

    async def contents(self, source: Source, used: frozenset[str]) -> dict[str, Content]:
        """The content of those of these Secrets that the source writes; raises KubernetesError."""
        return {name: await self._content(source, name) for name in sorted(source.secrets & used)}

    async def written_token(self, name: str) -> str:
        """What the operator wrote last into one of its own; empty if nothing."""
        secret = await self._secret(name)
        return secret.annotations.get(annotations.CONTENT, "") if secret else ""

    async def _secret(self, name: str) -> SecretMetadata | None:
        if name not in self.secrets:
            namespace = self.freshener.key.namespace
            self.secrets[name] = await self.freshener.cluster.secret_metadata(namespace, name)
        return self.secrets[name]

    async def _content(self, source: Source, name: str) -> Content:
        secret = await self._secret(name)
        return Content(await self.freshener.sealed(source, secret), secret.annotations if secret else {})


@dataclass(kw_only=True, slots=True)
class Round:
    """One round: each Secret is read once in it, and each source asked once at most."""

    freshener: Freshener
    reads: Reads
    ledger: Ledger
    sources: dict[str, Source]

    async def freshen(self, standing: Standing, debt: Debt) -> Fresh:
        """What can be said of the workload's Secrets; who was not asked yet for this debt is asked.

        Raises:
            KubernetesError: a Secret cannot be read.
        """
        known = self._known(standing.workload)
        answers, tokens = await self._kept(standing, known, debt)
        for source in list(self.sources.values()):
            contents = await self.reads.contents(source, standing.secrets)
            if not contents:
                continue
            tokens |= {name: content.token for name, content in contents.items()}
            answers.append(await self._answer(self._question(source, contents, known, debt), debt))
        return combined(answers, tokens, standing.unfollowed)

    async def _kept(
        self, standing: Standing, known: Known, debt: Debt
    ) -> tuple[list[Answer], dict[str, str]]:
        """What is said of the Secrets that are written here."""
        answers: list[Answer] = []
        tokens: dict[str, str] = {}
        freshener = self.freshener
        if freshener.keeper is None:
            return answers, tokens
        for name, kept in (await freshener.keeper.kept_for(standing.secrets, self.ledger)).items():
            is_late = not kept.is_held and freshener.clock() >= debt.since + freshener.timeout
            state = Freshness.OVERDUE if is_late else Freshness.WAITING
            if kept.secret is None:
                tokens[name] = await self.reads.written_token(name)
            else:
                self.reads.secrets[name] = kept.secret
                tokens[name] = kept.token
                has_changed = debt.is_requested or known.has_changed(name, kept.token)
                state = Freshness.CHANGED if has_changed else Freshness.SAME
            answers.append(Answer(f"Secret {name}", state, kept.trouble))
        return answers, tokens

    def _known(self, workload: Workload) -> Known:
        """What its pods have; of a workload made after the baseline nobody saw that content."""
        created, baseline = workload.created_at, self.ledger.baselined_at
        before = self.ledger.tokens if created is None or created <= baseline else {}
        return Known({**before, **receipt_of(workload).secrets})

    def _question(
        self, source: Source, contents: Mapping[str, Content], known: Known, debt: Debt
    ) -> Question:
        return Question(
            source=source,
            subscription=self.freshener.key.name,
            epoch=self.ledger.epoch,
            seq=debt.seq,
            changes=debt.changes,
            contents=contents,
            known=known,
            timeout=self.freshener.timeout,
            since=debt.since,
            is_requested=debt.is_requested,
            is_watched=debt.is_watched,
        )

    async def _answer(self, question: Question, debt: Debt) -> Answer:
        source, now = question.source, self.freshener.clock()
        state, trouble = freshness(question, now), source.unable or source.trouble or source.deaf
        if state is not Freshness.UNASKED:
            is_proven = source.answers or not debt.changes
            return Answer(str(source), state, trouble, source.hope, is_proven)
        try:
            await self._ask(source, question)
        except (ConflictError, UnknownOutcomeError):
            return Answer(str(source), Freshness.WAITING, trouble)  # read and asked anew
        except KubernetesError as error:
            is_late = now >= debt.since + question.timeout
            return Answer(str(source), Freshness.OVERDUE if is_late else Freshness.WAITING, str(error))
        return Answer(str(source), Freshness.WAITING, trouble)

    async def _ask(self, source: Source, question: Question) -> None:
        """For all debts of the ledger at once."""
        freshener = self.freshener
        stamp = stamp_of(self.ledger.epoch, self.ledger.seq)
        contents = await self.reads.contents(source, source.secrets)
        patch = asking(replace(question, contents=contents), stamp, freshener.clock())
        log.info("asking %s to sync", source, extra={"subscription": str(freshener.key)})
        asked = await freshener.cluster.ask_source(freshener.key.namespace, source, patch)
        self.sources[source.uid] = asked

    def written_at(self, names: frozenset[str]) -> datetime | None:
        """When the newest of these Secrets was written, by the API server's clock; None if unknown."""
        secrets = self.reads.secrets.items()
        read = [secret for name, secret in secrets if secret is not None and name in names]
        return max((secret.written_at for secret in read if secret.written_at), default=None)
