"""`spec` of an InfisicalEventSubscription, parsed once at the edge into frozen values.

The CRD (`crds/`) rejects the same mistakes earlier, with the same messages. The rules are repeated here
because objects may have been stored under an older CRD. Unknown fields are rejected: a field of a newer
CRD that this version does not support must never be ignored silently.
"""

import re
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from infisical_events.api.resources import GROUP, MANAGED_BY, TOKEN_TYPES


class EventType(StrEnum):
    """The four event types of Infisical's Event Subscriptions, verbatim."""

    CREATE = "secret:create"
    UPDATE = "secret:update"
    DELETE = "secret:delete"
    IMPORT_MUTATION = "secret:import-mutation"


class Action(StrEnum):
    """The effect of a matching change on a workload."""

    RESTART = "Restart"
    RESYNC = "Resync"
    RESYNC_THEN_RESTART = "ResyncThenRestart"


class Grade(StrEnum):
    """The observation mode: changes are detected by versions, by values as well, or by events only."""

    VERSIONS = "Versions"
    VALUES = "Values"
    EVENTS = "Events"


class Mode(StrEnum):
    """Whether decisions are executed or only reported."""

    ENFORCE = "Enforce"
    DRY_RUN = "DryRun"


class OnTimeout(StrEnum):
    """The effect on a workload when a secret provider does not sync in time."""

    RESTART = "Restart"
    SKIP = "Skip"


class Order(StrEnum):
    """Whether rollouts follow the waves of the workloads."""

    PARALLEL = "Parallel"
    BY_WAVE = "ByWave"


class OnFailure(StrEnum):
    """Whether a failed rollout stops the restarts that have not started."""

    HALT = "Halt"
    CONTINUE = "Continue"


class OnReverted(StrEnum):
    """What happens to pods that keep the old template because another client took the restart back."""

    WARN = "Warn"
    DELETE_PODS = "DeletePods"


class CreationPolicy(StrEnum):
    """Ownership of a managed Secret.

    `OWNER`: garbage-collected with the subscription. `ORPHAN`: kept. `MERGE`: adds keys to an existing
    Secret.
    """

    OWNER = "Owner"
    ORPHAN = "Orphan"
    MERGE = "Merge"


_MAX_ERRORS = 20
"""Errors in one message: a condition or an Event has no room for ten thousand."""


class InvalidSpecError(ValueError):
    """The spec cannot be served; the message says what to change."""


class Model(BaseModel):
    """Frozen; camelCase in Kubernetes, snake_case here; an unknown field is an error."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")


_LABEL = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
"""A label of a host name."""

_PATTERN_MESSAGES = {
    (_OBJECT_NAME := r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"): (
        "use the name of an object, of lower-case letters, digits, '-' and '.'"
    ),
    (_DATA_KEY := r"^[-._a-zA-Z0-9]+$"): (
        "use a key that a Secret can have, of letters, digits, '-', '_' and '.'"
    ),
    (_SLUG := r"^[a-zA-Z0-9][a-zA-Z0-9_-]*$"): (
        "use the slug as Infisical shows it, of letters, digits, '-' and '_', beginning with a "
        "letter or digit"
    ),
    (_IDENTIFIER := r"^[a-zA-Z0-9-]+$"): ("use the id as Infisical shows it, of letters, digits and '-'"),
    (_PATH_GLOB := r"^/[\]\[a-zA-Z0-9_/@?+*(){}|,^-]*$"): (
        "begin the path with '/' and use letters, digits, '-', '_' and the characters of globs, such as "
        "/payments/**"
    ),
    (_FOLDER_PATH := r"^/[a-zA-Z0-9_/-]*$"): (
        "begin the path with '/' and write one folder, of letters, digits, '-' and '_', without a glob"
    ),
    (
        _KEY_PATTERN := r"^!?(\[\^?[A-Za-z0-9_-]+\]"
        r"|[^\]\[(){}!|,\\ \t\n\v\f\r])+$"
    ): "use plain characters, *, ?, [abc], [a-z] and [^abc], and one pattern for each alternative",
    (_METADATA_KEY := r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-zA-Z0-9]([-._a-zA-Z0-9]*[a-zA-Z0-9])?$"): (
        "use a key that labels and annotations can have, such as app.kubernetes.io/name"
    ),
    (
        _ADDRESS := rf"^https?://({_LABEL}(\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(:[0-9]{{1,5}})?/*$"
    ): "write the address as https://host or https://host:port, without a path, blanks or credentials",
}
"""The message for a text that does not match a pattern, as in the CRD."""


def _reject_token_type(secret_type: str) -> str:
    """Kubernetes fills such a Secret with a token, or accepts its content as one: a privilege escalation."""
    if secret_type in TOKEN_TYPES:
        raise ValueError(
            "the operator does not write Secrets of this type, which hold tokens for the API server: "
            "use another type"
        )
    return secret_type


def _reject_final_slash(path: str) -> str:
    if path.endswith("/") and path != "/":
        raise ValueError("remove the last '/': no event has a path that ends with it")
    return path


def _reject_empty_folder(path: str) -> str:
    if "//" in path:
        raise ValueError("write one '/' instead of two: a folder has a name")
    return path


def _reject_own_label(labels: dict[str, str]) -> dict[str, str]:
    if MANAGED_BY in labels:
        raise ValueError(f"remove {MANAGED_BY}: the operator writes it")
    return labels


def _reject_own_annotations(annotations: dict[str, str]) -> dict[str, str]:
    if any(key.startswith(f"{GROUP}/") for key in annotations):
        raise ValueError(f"remove the annotations of {GROUP}: the operator writes them")
    return annotations


# A name becomes a part of a path in the Kubernetes API: a name with '/' or '..' could change the path.
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=_OBJECT_NAME)]
DataKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=_DATA_KEY)]
Slug = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_SLUG)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_IDENTIFIER)]
PathGlobText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512, pattern=_PATH_GLOB),
    AfterValidator(_reject_final_slash),
    AfterValidator(_reject_empty_folder),
]
FolderPath = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512, pattern=_FOLDER_PATH),
    AfterValidator(_reject_final_slash),
    AfterValidator(_reject_empty_folder),
]
SecretType = Annotated[
    str, StringConstraints(min_length=1, max_length=253), AfterValidator(_reject_token_type)
]
LabelText = Annotated[str, StringConstraints(max_length=63)]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=317, pattern=_METADATA_KEY)]
AnnotationText = Annotated[str, StringConstraints(max_length=16384)]
TemplateText = Annotated[str, StringConstraints(max_length=16384)]
Address = Annotated[str, StringConstraints(max_length=256, pattern=_ADDRESS)]
Audience = Annotated[str, StringConstraints(min_length=1, max_length=256)]
KeyPattern = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=_KEY_PATTERN)]


class SecretKeyRef(Model):
    """One key of a Kubernetes Secret in the subscription's own namespace."""

    name: ObjectName
    key: DataKey


class UniversalAuth(Model):
    """Login with a client id and a client secret (Infisical: Universal Auth)."""

    client_id_ref: SecretKeyRef
    client_secret_ref: SecretKeyRef


class KubernetesAuth(Model):
    """Login with a token of a ServiceAccount in the subscription's own namespace."""

    identity_id: Identifier
    service_account_name: ObjectName
    audiences: Annotated[tuple[Audience, ...], Field(max_length=8)] = ()


class Authentication(Model):
    """Exactly one way to log in."""

    universal_auth: UniversalAuth | None = None
    kubernetes_auth: KubernetesAuth | None = None
    access_token_ref: SecretKeyRef | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = (self.universal_auth, self.kubernetes_auth, self.access_token_ref)
        if sum(method is not None for method in given) != 1:
            raise ValueError("set exactly one of universalAuth, kubernetesAuth or accessTokenRef")
        return self


class EventConditions(Model):
    """The location of a change; the operator matches `secretKeys` and never sends them to Infisical."""

    environment_slug: Slug
    secret_path: PathGlobText = "/"  # noqa: S105 - a folder, no secret
    secret_keys: Annotated[tuple[KeyPattern, ...], Field(max_length=100)] = ()


class EventEntry(Model):
    """One entry of the Events API's `register` array."""

    event: EventType
    conditions: EventConditions


class ManagedSecret(Model):
    """A Kubernetes Secret that the operator writes from one folder.

    Without a template it has the selected secrets under their own names. With a template it has exactly
    the keys of the template.
    """

    name: ObjectName
    environment_slug: Slug
    secret_path: FolderPath = "/"  # noqa: S105 - a folder, no secret
    secret_keys: Annotated[tuple[KeyPattern, ...], Field(max_length=100)] = ()
    template: dict[DataKey, TemplateText] = Field(default_factory=dict, max_length=256)
    type: SecretType = "Opaque"
    creation_policy: CreationPolicy = CreationPolicy.OWNER
    labels: Annotated[dict[MetadataKey, LabelText], AfterValidator(_reject_own_label)] = Field(
        default_factory=dict, max_length=64
    )
    annotations: Annotated[dict[MetadataKey, AnnotationText], AfterValidator(_reject_own_annotations)] = (
        Field(default_factory=dict, max_length=64)
    )

    @model_validator(mode="after")
    def _reject_type_of_merged(self) -> Self:
        if self.creation_policy is CreationPolicy.MERGE and self.type != "Opaque":
            raise ValueError("remove type: a Secret with creationPolicy Merge keeps its own type")
        return self


class Resync(Model):
    """How the operator syncs the Secrets of a workload before it restarts the workload."""

    timeout_seconds: Annotated[StrictInt, Field(ge=1, le=3600)] = 60
    on_timeout: OnTimeout = OnTimeout.RESTART
    secrets: Annotated[tuple[ManagedSecret, ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _reject_duplicate_names(self) -> Self:
        names = [secret.name for secret in self.secrets]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise ValueError(f"each name may occur only once: remove the second {', '.join(duplicates)}")
        return self


class Rollout(Model):
    """How many workloads roll out at the same time, in which order, and the effect of a failed rollout."""

    max_concurrent: Annotated[StrictInt, Field(ge=1, le=1000)] | None = None
    order: Order = Order.PARALLEL
    on_failure: OnFailure = OnFailure.CONTINUE
    on_reverted: OnReverted = OnReverted.WARN


class Spec(Model):
    """What a user declares."""

    address: Address | None = None
    authentication: Authentication
    project_id: Identifier | None = None
    project_slug: Slug | None = None
    events: Annotated[tuple[EventEntry, ...], Field(min_length=1, max_length=10)]
    action: Action = Action.RESYNC_THEN_RESTART
    resync: Resync = Field(default_factory=Resync)
    rollout: Rollout = Field(default_factory=Rollout)
    observe: Grade | None = None
    debounce_seconds: Annotated[StrictInt, Field(ge=0, le=300)] = 1
    cooldown_seconds: Annotated[StrictInt, Field(ge=0, le=86400)] = 30
    resync_interval_seconds: Annotated[StrictInt, Field(ge=10, le=86400)] = 300
    mode: Mode = Mode.ENFORCE
    suspend: StrictBool = False

    @model_validator(mode="after")
    def _exactly_one_project(self) -> Self:
        if (self.project_id is None) == (self.project_slug is None):
            raise ValueError("set exactly one of projectId or projectSlug")
        return self


def parse_spec(raw: object) -> Spec:
    """Parse `spec` of a stored object.

    Raises:
        InvalidSpecError: with one message per error, each with its field.
    """
    try:
        return Spec.model_validate(raw)
    except ValidationError as error:
        messages = [_message(dict(each)) for each in error.errors()]
        more = f"; and {len(messages) - _MAX_ERRORS} more" if len(messages) > _MAX_ERRORS else ""
        raise InvalidSpecError("; ".join(messages[:_MAX_ERRORS]) + more) from None


def _quoted(step: str) -> str:
    """The name of a field or the key of a map, escaped: a key may be any text."""
    return step if re.fullmatch(r"[\[\]\w./-]{1,64}", step, re.ASCII) else ascii(step[:64])


def _message(error: dict[str, Any]) -> str:
    """One pydantic error as `spec.a.b[0]: message`, never with the wrong value itself."""
    path = "spec"
    for step in error["loc"]:
        path += f"[{step}]" if isinstance(step, int) else f".{_quoted(step)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "this version does not support the field: remove it or upgrade the operator"
    if error["type"] == "string_pattern_mismatch":
        message = _PATTERN_MESSAGES[error["ctx"]["pattern"]]
    return f"{path}: {message}"
