"""Who writes the Secrets of a lane, how it is made to misbehave, and what it is expected to write.

Three are stand-ins of foreign controllers, whose Infisical is a mapping that is changed a moment before the
real one; the fourth is the operator itself, whose reads of the local Infisical are made to go wrong.
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
from support.fake_controllers.controllers import Controller
from support.fake_controllers.external_secrets import ExternalSecrets
from support.fake_controllers.infisical_secrets import InfisicalSecrets
from support.fake_controllers.options import Options, holding
from support.fake_controllers.playing import Stage
from support.fake_controllers.static_secrets import StaticSecrets
from support.operator_process import Manifest

FOREIGN: Mapping[str, tuple[type[Controller], Callable[..., Manifest]]] = {
    "InfisicalSecret": (InfisicalSecrets, manifests.infisical_secret),
    "InfisicalStaticSecret": (StaticSecrets, manifests.static_secret),
    "ExternalSecret": (ExternalSecrets, manifests.external_secret),
}
NATIVE = "native"
KINDS = (NATIVE, *FOREIGN)

UNSEEN = "OTHER"
"""A key of each folder that no Secret has: its change is one of Infisical, and none of any content."""

_READS = "GET /api/v4/secrets*"
_MANY = 1_000_000


class Variant(StrEnum):
    """How a source behaves when it is asked."""

    PROMPT = "prompt"
    SLOW = "slow"
    FAILING = "failing"
    """Its first tries fail."""
    SILENT = "silent"
    """It does nothing until it is mended."""
    SAME = "same"
    """It finds the data that it had."""


class Source(Protocol):
    """What lanes do with it; `folders` are Infisical's, by the Secret that is made of each."""

    folders: Mapping[str, str]

    def manifests(self) -> Iterable[Manifest]:
        """The objects that call for the Secrets; none if the subscription does."""

    def resync(self) -> dict[str, object]:
        """What `spec.resync` needs for it."""

    def see(self, path: str, values: Mapping[str, str]) -> None:
        """Hear of values before Infisical has them."""

    def become(self, variant: Variant, rng: random.Random) -> None:
        """Behave so from now on."""

    def mend(self) -> None:
        """Behave well, and sync what it has not."""

    def written(self, values: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        """What each Secret holds when Infisical's folders hold these values."""


@dataclass(slots=True)
class Foreign:
    """A controller that is stood in for; each of its Secrets has the keys of all folders."""

    folders: Mapping[str, str]
    namespace: str
    manifest: Callable[..., Manifest]
    controller: Controller
    upstream: dict[str, str]
    stage: Stage

    @classmethod
    def playing(cls, stage: Stage, kind: str, namespace: str, folders: Mapping[str, str]) -> "Foreign":
        """One that has begun."""
        made, manifest = FOREIGN[kind]
        upstream: dict[str, str] = {}
        controller = stage.play(lambda api: made(api, namespace, holding(upstream), Options()))
        return cls(folders, namespace, manifest, controller, upstream, stage)

    def manifests(self) -> Iterable[Manifest]:
        """One for each Secret."""
        return [self.manifest(f"of-{name}", self.namespace, name) for name in self.folders]

    def resync(self) -> dict[str, object]:
        """Nothing: it is found."""
        return {}

    def see(self, path: str, values: Mapping[str, str]) -> None:  # noqa: ARG002 - it has but one Infisical
        """Its Infisical is another mapping."""
        self.upstream.update({key: text for key, text in values.items() if key != UNSEEN})

    def become(self, variant: Variant, rng: random.Random) -> None:
        """By the stand-in's own options."""
        options = {
            Variant.SLOW: lambda: Options(delay=(0.0, rng.uniform(0.2, 2.0))),
            Variant.FAILING: lambda: Options(failing=rng.randint(1, 3)),
            Variant.SILENT: lambda: Options(silent=True),
        }
        self.controller.become(options.get(variant, Options)())

    def mend(self) -> None:
        """At once, as its own interval would have it."""
        self.controller.become(Options())
        self.stage.do(self.controller.sync_now())

    def written(self, values: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        """All keys in each."""
        every = {key: text for held in values.values() for key, text in held.items() if key != UNSEEN}
        return dict.fromkeys(self.folders, every)


@dataclass(slots=True)
class Native:
    """The operator, by `spec.resync.secrets`; what goes wrong is its reading of Infisical."""

    folders: Mapping[str, str]
    sandbox: Sandbox

    def manifests(self) -> Iterable[Manifest]:
        """None."""
        return []

    def resync(self) -> dict[str, object]:
        """An entry for each Secret, with all keys but the one."""
        entries = [
            {"name": name, "environmentSlug": "prod", "secretPath": path, "secretKeys": ["*", f"!{UNSEEN}"]}
            for name, path in self.folders.items()
        ]
        return {"secrets": entries}

    def see(self, path: str, values: Mapping[str, str]) -> None:
        """It reads Infisical itself."""

    def become(self, variant: Variant, rng: random.Random) -> None:
        """Answers that are late, or errors, or refusals of values alone."""
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

    def mend(self) -> None:
        """All may be read again."""
        self.sandbox.do_blocking(Controls.reset_faults)
        self.sandbox.do_blocking(Controls.assign_role, "admin")

    def written(self, values: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        """The keys of its own folder in each."""
        return {
            name: {key: text for key, text in values[path].items() if key != UNSEEN}
            for name, path in self.folders.items()
        }


def sourced(stage: Stage, sandbox: Sandbox, kind: str, namespace: str, folders: Mapping[str, str]) -> Source:
    """Who writes these Secrets, ready to."""
    if kind == NATIVE:
        return Native(folders, sandbox)
    return Foreign.playing(stage, kind, namespace, folders)
