"""Other tools that restart a workload when one of its Secrets changes, by the rules of each tool.

A mark on a workload is not a restart: each tool acts on some Secrets only. `decisions` leaves a restart to
another tool where that tool acts on every Secret that may carry the change.

Sources of the rules:

* Stakater Reloader 1.4, `ShouldReload` in `pkg/common` and the strategies in `internal/pkg/handler`. Its
  option `--auto-reload-all` is on no object that this operator may read, so it is not known here.
* Wave 0.9, `hasRequiredAnnotation` and the children of a pod template in `pkg/core`.
* Infisical's operator 0.11, `listWorkloadsConsumingTarget` in `internal/services`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from infisical_events.core.paths.name_patterns import matches_anchored
from infisical_events.core.status.text import object_name, preview
from infisical_events.core.workloads.workload_state import WorkloadState

_RELOADER = "reloader.stakater.com"
_AUTO = f"{_RELOADER}/auto"
_SECRET_AUTO = f"secret.{_RELOADER}/auto"
_SEARCH = f"{_RELOADER}/search"
_RELOAD = f"secret.{_RELOADER}/reload"
_EXCLUDE = f"secrets.exclude.{_RELOADER}/reload"
_MATCH = f"{_RELOADER}/match"
_IGNORE = f"{_RELOADER}/ignore"

_WAVE = "wave.pusher.com/update-on-config-change"
_INFISICAL = "secrets.infisical.com/auto-reload"

_TOOLS = {
    _INFISICAL: "the Infisical operator",
    _WAVE: "Wave",
    _AUTO: "Stakater Reloader",
    _SECRET_AUTO: "Stakater Reloader",
    _SEARCH: "Stakater Reloader",
    _RELOAD: "Stakater Reloader",
}
"""The tool that acts on an annotation of a workload."""

_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
"""What Go's `strconv.ParseBool` takes for true."""

_MAX_PATTERNS = 100
"""Values of a list that are compared: an annotation may be 256 KiB long."""

_MAX_NAMED = 3
"""Secrets that one message names."""

_BUILTIN = {"Deployment", "StatefulSet", "DaemonSet"}
"""The kinds that Wave and the Infisical operator restart."""

Annotations = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReadSecret:
    """A Secret that the pods of a workload read, as other tools see it."""

    name: str
    annotations: Annotations = field(default_factory=dict)
    is_from_infisical: bool = False
    """Whether an object of the Infisical operator writes it."""


@dataclass(frozen=True, slots=True)
class OtherReloader:
    """Another tool that restarts a workload for all Secrets in question, and by which annotation."""

    annotation: str
    secrets: tuple[str, ...]

    def __str__(self) -> str:
        """`annotation wave.pusher.com/update-on-config-change, on which Wave acts for secret/env`."""
        secrets = preview([object_name("Secret", name) for name in self.secrets], _MAX_NAMED)
        return f"annotation {self.annotation}, on which {_TOOLS[self.annotation]} acts for {secrets}"


def is_marked(state: WorkloadState) -> bool:
    """Whether some other tool may restart the workload, so that its Secrets have to be read."""
    return any(key in marks for marks in _marks(state) for key in _TOOLS)


def is_marked_for_infisical(state: WorkloadState) -> bool:
    """Whether it matters which Secrets the Infisical operator writes."""
    return _INFISICAL in state.workload.annotations


def other_reloader(state: WorkloadState, secrets: Iterable[ReadSecret]) -> OtherReloader | None:
    """The tool that restarts the workload for each of these Secrets; None if one of them has none.

    A change that no Secret carries has no other tool either.
    """
    by_secret = {secret.name: acting_annotation(state, secret) for secret in secrets}
    if not by_secret or not all(by_secret.values()):
        return None
    return OtherReloader(next(iter(by_secret.values())), tuple(sorted(by_secret)))


def acting_annotation(state: WorkloadState, secret: ReadSecret) -> str:
    """The annotation by which another tool restarts the workload for this Secret; empty if none does."""
    own, kind = state.workload.annotations, state.workload.kind.kind
    if kind in _BUILTIN and own.get(_INFISICAL) == "true" and secret.is_from_infisical:
        return _INFISICAL
    if kind in _BUILTIN and own.get(_WAVE) == "true":
        return _WAVE
    return _reloader_annotation(own, state.template_annotations, secret)


def _marks(state: WorkloadState) -> tuple[Annotations, Annotations]:
    return state.workload.annotations, state.template_annotations


def _reloader_annotation(own: Annotations, template: Annotations, secret: ReadSecret) -> str:
    """One of its annotations on the workload hides all those of the pod template, even if it is "false"."""
    if secret.annotations.get(_IGNORE) == "true" or secret.name in _listed(own, _EXCLUDE):
        return ""
    marks = own if any(key in own for key in (_AUTO, _SECRET_AUTO, _SEARCH, _RELOAD)) else template
    if any(matches_anchored(value, secret.name) for value in _listed(marks, _RELOAD)):
        return _RELOAD
    if marks.get(_SEARCH) == "true" and secret.annotations.get(_MATCH) == "true":
        return _SEARCH
    return next((key for key in (_AUTO, _SECRET_AUTO) if marks.get(key) in _TRUE), "")


def _listed(marks: Annotations, key: str) -> tuple[str, ...]:
    values = (value.strip() for value in marks.get(key, "").split(",", _MAX_PATTERNS)[:_MAX_PATTERNS])
    return tuple(value for value in values if value)
