"""A subscription whose workloads get their Secrets from other controllers, played by hand."""

import asyncio
from collections.abc import Mapping

from infisical_events.api import annotations
from infisical_events.api.resources import EXTERNAL_SECRET, SECRET_STORE, ResourceKind
from infisical_events.core.sync.secret_metadata import FieldManager
from support.harness import NAMESPACE, SubscriptionHarness
from support.virtual_time import virtual_now

DATA_HASH = "reconcile.external-secrets.io/data-hash"
VERSION = "secrets.infisical.com/version"
READY: Mapping[str, str] = {"type": "Ready", "status": "True", "message": "synced"}
REQUEST = annotations.resync_key("app")
EXTRACT = {"dataFrom": [{"extract": {"key": "/a"}}]}
"""Of the spec of an ExternalSecret: it reads the folder that changes."""


class ProviderHarness(SubscriptionHarness):
    """With the deeds of External Secrets, and of others that write Secrets."""

    syncs = 0

    # -- what providers do ----------------------------------------------------------------------------

    def external_secret(self, name: str = "app-env", **spec: object) -> None:
        """An ExternalSecret that has never synced; its Secret has its name."""
        self.cluster.put_source(NAMESPACE, EXTERNAL_SECRET, name, spec={**EXTRACT, **spec})

    def es_sync(self, name: str, content: str) -> None:
        """External Secrets writes the Secret and acknowledges the sync."""
        self.syncs += 1
        status = {"syncedResourceVersion": f"1-{self.syncs}", "conditions": [READY]}
        self.cluster.put_source(NAMESPACE, EXTERNAL_SECRET, name, status=status)
        self.write(name, {DATA_HASH: content})

    def es_fail(self, name: str) -> None:
        """External Secrets reports that it cannot sync."""
        failed = {"type": "Ready", "status": "False", "message": "could not get secret data from provider"}
        self.cluster.put_source(NAMESPACE, EXTERNAL_SECRET, name, status={"conditions": [failed]})

    def store(
        self, name: str, provider: str, config: object = None, kind: ResourceKind = SECRET_STORE
    ) -> None:
        """A SecretStore of this provider."""
        namespace = NAMESPACE if kind is SECRET_STORE else ""
        self.cluster.put_source(namespace, kind, name, spec={"provider": {provider: config or {}}})

    def write(self, name: str, marks: Mapping[str, str], by: str = "") -> None:
        """A controller writes the data of a Secret; `marks` are the annotations it leaves."""
        now = virtual_now().replace(microsecond=0)
        self.cluster.keep_secret(NAMESPACE, name, marks, written_at=now)
        if by:
            self.cluster.mark_secret(NAMESPACE, name, managers=(FieldManager(by, now, writes_data=True),))

    async def remove_requests(self, kind: ResourceKind, name: str, seconds: float) -> None:
        """An owner removes each sync request from the object, as long as this lasts."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            held = self.cluster.source_of(NAMESPACE, kind, name)["metadata"].get("annotations", {})
            if REQUEST in held:
                self.cluster.annotate_source(NAMESPACE, kind, name, {REQUEST: None})
            await asyncio.sleep(0.3)

    # -- what can be observed -------------------------------------------------------------------------

    def has_request(self, kind: ResourceKind, name: str) -> bool:
        """Whether the object has a sync request."""
        return REQUEST in self.cluster.source_of(NAMESPACE, kind, name)["metadata"].get("annotations", {})

    @property
    def restarts_reason(self) -> str:
        """The reason of condition RestartsComplete."""
        return self.condition("RestartsComplete")[1]

    def message(self, kind: str) -> str:
        """The message of a condition."""
        found = [each["message"] for each in self.status["conditions"] if each["type"] == kind]
        return str(found[0])

    @property
    def warnings(self) -> list[str]:
        """The notes of the Warnings on the subscription."""
        return [notice.note for notice in self.cluster.notices if notice.is_warning]

    @property
    def notes(self) -> str:
        """The notes of all Events."""
        return "\n".join(notice.note for notice in self.cluster.notices)
