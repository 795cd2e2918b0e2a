"""What is wrong with the annotations of a workload, by the functions that the operator itself uses."""

from collections.abc import Iterator, Mapping
from typing import Any

from infisical_events.api.resources import GROUP, WORKLOAD_KINDS, WorkloadKind
from infisical_events.api.specs import Spec
from infisical_events.core.interruptible import run_to_end
from infisical_events.core.validation.findings import Finding, Place, error, warning
from infisical_events.core.validation.manifest_metadata import metadata_findings, texts_of
from infisical_events.core.workloads.annotation_checks import (
    AnnotatedWorkload,
    annotation_mistakes,
    is_opted_in,
    missing_subscriptions,
    placement_mistakes,
    unmatched_names,
    watched_secrets,
)
from infisical_events.core.workloads.workload_state import template_annotations_of
from infisical_events.core.workloads.workloads import Workload, template_owner_of


def workload_kind_of(manifest: Mapping[str, Any]) -> WorkloadKind | None:
    """The kind of a workload, in any version of its group; None for other objects."""
    group = str(manifest.get("apiVersion")).partition("/")[0]
    return next((k for k in WORKLOAD_KINDS if (k.kind, k.group) == (manifest.get("kind"), group)), None)


def annotated_workload_of(
    kind: WorkloadKind, manifest: Mapping[str, Any], namespace: str
) -> AnnotatedWorkload:
    """The workload as the operator would see it; what is no text is left out."""
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else ""
    workload = Workload(
        uid="",
        kind=kind,
        name=str(name or ""),
        resource_version="",
        annotations=texts_of(metadata, "annotations"),
        template_owner=_template_owner(manifest),
    )
    template = _template_annotations(kind, manifest)
    return AnnotatedWorkload(namespace, workload, texts_of(metadata, "labels"), template)


def _template_owner(manifest: Mapping[str, Any]) -> str:
    try:
        return template_owner_of(manifest)
    except AttributeError:  # a part of the manifest is no map, which is for kubectl to say
        return ""


def _template_annotations(kind: WorkloadKind, manifest: Mapping[str, Any]) -> dict[str, str]:
    try:
        return texts_of({"annotations": template_annotations_of(kind, manifest)}, "annotations")
    except (AttributeError, KeyError, TypeError):
        return {}


def workload_findings(
    found: AnnotatedWorkload, manifest: Mapping[str, Any], specs: Mapping[str, Spec | None]
) -> Iterator[Finding]:
    """All mistakes in a workload; `specs` has the given subscriptions of its namespace by name.

    What depends on the subscriptions is a warning: the cluster may have others.
    """
    yield from metadata_findings(dict(manifest))
    own = found.workload.annotations
    for message in annotation_mistakes(found.workload):
        yield error(_place_of(message, own), message)
    for message in placement_mistakes(found):
        yield error(_misplaced(message, found), message)
    if specs and is_opted_in(found.workload):
        for message in missing_subscriptions(found, specs):
            yield warning(_place_of(message, own), message)
        yield from _unmatched(found, specs)


def _unmatched(found: AnnotatedWorkload, specs: Mapping[str, Spec | None]) -> Iterator[Finding]:
    """Filters that match nothing of what the given subscriptions select, if all that matter are given."""
    workload = found.workload
    known = {name: spec for name, spec in specs.items() if spec is not None}
    if len(known) < len(specs) or not workload.subscriptions or not known.keys() >= {*workload.subscriptions}:
        return
    try:
        watched = [watched_secrets(name, spec, None) for name, spec in known.items()]
    except ValueError:  # a glob is invalid, which is reported at the subscription
        return
    for message in run_to_end(unmatched_names(workload, watched)):
        yield warning(_place_of(message, workload.annotations), message)


def _place_of(message: str, own: Mapping[str, str]) -> Place:
    """The annotation that a message is about: the first one that it names."""
    named = [key for key in own if key in message]
    first = min(named, key=lambda key: (message.index(key), -len(key)), default="")
    return ("metadata", "annotations", first) if first else ("metadata", "annotations")


def _misplaced(message: str, found: AnnotatedWorkload) -> Place:
    """The place of an annotation that the operator does not read there."""
    if message.startswith("label "):
        key = next((key for key in found.labels if key in message), "")
        return ("metadata", "labels", key)
    if "pod template" in message:
        key = next((key for key in found.template_annotations if key in message), "")
        job: Place = ("jobTemplate", "spec") if found.workload.kind.kind == "CronJob" else ()
        return ("spec", *job, "template", "metadata", "annotations", key)
    filters = (key for key in found.workload.annotations if key.startswith(f"{GROUP}/"))
    return ("metadata", "annotations", next(filters, ""))
