"""The sources of a slot's Secrets: how they fail, and the content that they are expected to write.

Three are fake controllers, whose Infisical is a mapping that changes just before the real one. The fourth
is the operator itself, whose reads of the local Infisical are made to fail.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from infisical_sandbox.server import Controls, ResponseFault, Sandbox
from infisical_sandbox.server.domain import permissions
from infisical_sandbox.server.domain.records import Rule
from support.fake_controllers import manifests
from support.fake_controllers.controller import Controller
from support.fake_controllers.controller_runner import ControllerRunner
from support.fake_controllers.external_secrets import ExternalSecrets
from support.fake_controllers.infisical_secrets import InfisicalSecrets
from support.fake_controllers.options import Options, holding
from support.fake_controllers.static_secrets import StaticSecrets
from support.manifests import Manifest

FOREIGN: Mapping[str, tuple[type[Controller], Callable[..., Manifest]]] = {
    "InfisicalSecret": (InfisicalSecrets, manifests.infisical_secret),
    "InfisicalStaticSecret": (StaticSecrets, manifests.static_secret),
    "ExternalSecret": (ExternalSecrets, manifests.external_secret),
}
NATIVE = "native"
KINDS = (NATIVE, *FOREIGN)

UNSEEN = "OTHER"
"""A key in each folder that no Secret has: its change does not affect a Secret."""

_READS = "GET /api/v4/secrets*"
_MANY = 1_000_000


class Variant(StrEnum):
    """How a source reacts to a sync request."""

    PROMPT = "prompt"
    SLOW = "slow"
    FAILING = "failing"
    """Its first attempts fail."""
    SILENT = "silent"
    """It does nothing until it recovers."""
    SAME = "same"
    """It finds unchanged data."""


class Source(Protocol):
    """The writer of a slot's Secrets; `folders` has the folder in Infisical of each Secret."""

    folders: Mapping[str, str]

    def manifests(self) -> Iterable[Manifest]:
        """The objects that request the Secrets; none if the subscription does."""

    def resync(self) -> dict[str, object]:
        """The fields of `spec.resync` for it."""

    def update_upstream(self, path: str, values: Mapping[str, str]) -> None:
        """Receive values before Infisical has them."""

    def configure(self, variant: Variant, rng: random.Random) -> None:
        """Set the behaviour."""

    def recover(self) -> None:
        """Behave normally again and sync at once."""

    def expected_content(self, values: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        """The content of each Secret when Infisical's folders have these values."""


@dataclass(slots=True)
class ForeignSource:
    """A fake controller; each of its Secrets has the keys of all folders."""

    folders: Mapping[str, str]
    namespace: str
    manifest: Callable[..., Manifest]
    controller: Controller
    upstream: dict[str, str]
    runner: ControllerRunner

    @classmethod
    def started(
        cls, runner: ControllerRunner, kind: str, namespace: str, folders: Mapping[str, str]
    ) -> "ForeignSource":
        """Start one."""
        made, manifest = FOREIGN[kind]
        upstream: dict[str, str] = {}
        controller = runner.start(lambda api: made(api, namespace, holding(upstream), Options()))
        return cls(folders, namespace, manifest, controller, upstream, runner)

    def manifests(self) -> Iterable[Manifest]:
        """One object for each Secret."""
        return [self.manifest(f"of-{name}", self.namespace, name) for name in self.folders]

    def resync(self) -> dict[str, object]:
        """None: the operator discovers the controller."""
        return {}

    def update_upstream(self, path: str, values: Mapping[str, str]) -> None:  # noqa: ARG002 - it has one folder only
        """Update the mapping that stands for its Infisical."""
        self.upstream.update({key: text for key, text in values.items() if key != UNSEEN})

    def configure(self, variant: Variant, rng: random.Random) -> None:
        """Set the options of the fake controller."""
        options = {
            Variant.SLOW: lambda: Options(delay=(0.0, rng.uniform(0.2, 2.0))),
            Variant.FAILING: lambda: Options(failing=rng.randint(1, 3)),
            Variant.SILENT: lambda: Options(silent=True),
        }
        self.controller.configure(options.get(variant, Options)())

    def recover(self) -> None:
        """Sync at once, as by its own interval."""
        self.controller.configure(Options())
        self.runner.run(self.controller.sync_now())

    def expected_content(self, values: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        """All keys in each Secret."""
        every = {key: text for held in values.values() for key, text in held.items() if key != UNSEEN}
        return dict.fromkeys(self.folders, every)


@dataclass(slots=True)
class NativeSource:
    """The operator itself, by `spec.resync.secrets`; its reads of Infisical can fail."""

    folders: Mapping[str, str]
    sandbox: Sandbox

    def manifests(self) -> Iterable[Manifest]:
        """None."""
        return []

    def resync(self) -> dict[str, object]:
        """One entry for each Secret, with all keys except UNSEEN."""
        entries = [
            {"name": name, "environmentSlug": "prod", "secretPath": path, "secretKeys": ["*", f"!{UNSEEN}"]}
            for name, path in self.folders.items()
        ]
        return {"secrets": entries}

    def update_upstream(self, path: str, values: Mapping[str, str]) -> None:
        """Do nothing: it reads Infisical itself."""

    def configure(self, variant: Variant, rng: random.Random) -> None:
        """Let reads be late, fail, or be forbidden for values only."""
        self.sandbox.do_blocking(Controls.reset_faults)
        faults = {
            Variant.SLOW: lambda: ResponseFault(_READS, _MANY, delay=rng.uniform(0.1, 1.0)),
            Variant.FAILING: lambda: ResponseFault(_READS, rng.randint(1, 3), status=500),
        }
        if variant in faults:
            self.sandbox.do_blocking(Controls.fail_requests, faults[variant]())
        if variant is Variant.SILENT:
            usual = permissions.role("admin", self.sandbox.controls.instance.generation)
            blind = Rule(permissions.SECRETS, ("read", "readValue"), inverted=True)
            self.sandbox.do_blocking(Controls.permit, (*usual, blind))

    def recover(self) -> None:
        """Allow all reads again."""
        self.sandbox.do_blocking(Controls.reset_faults)
        self.sandbox.do_blocking(Controls.assign_role, "admin")

    def expected_content(self, values: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        """The keys of its folder in each Secret."""
        return {
            name: {key: text for key, text in values[path].items() if key != UNSEEN}
            for name, path in self.folders.items()
        }


def make_source(
    runner: ControllerRunner, sandbox: Sandbox, kind: str, namespace: str, folders: Mapping[str, str]
) -> Source:
    """Return the source of these Secrets, started."""
    if kind == NATIVE:
        return NativeSource(folders, sandbox)
    return ForeignSource.started(runner, kind, namespace, folders)
