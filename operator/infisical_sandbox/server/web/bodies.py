"""What clients send: the shapes of bodies and queries, and the 422 when something does not fit.

Unknown keys are dropped silently, as the server does. Broken JSON, a missing body and a wrong content
type are not validation failures there but fall through to a 500.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from infisical_sandbox.server.domain import refusals
from infisical_sandbox.server.domain.changes import MissingMode
from infisical_sandbox.server.domain.generations import EventType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

B = TypeVar("B", bound="Body")
C = TypeVar("C", bound="Body")
Issues = list[dict[str, object]]


def _flag(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Flag = Annotated[bool, BeforeValidator(_flag)]
"""A query switch: exactly `true` or `false`."""
_ROOT = "/"
Text = Annotated[str, Field(min_length=1)]


class Body(BaseModel):
    """A frozen shape with camelCase names; strict, so a number is no text."""

    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel, populate_by_name=False)


class Where(Body):
    """Which folder a secrets request is about. Either spelling of the project may be absent."""

    project_id: str | None = None
    project_slug: str | None = None
    environment: str
    secret_path: str = _ROOT


class WhereV3(Where):
    """The older spelling: `workspaceId` or a slug; the environment is checked by hand."""

    project_id: str | None = Field(None, validation_alias=AliasChoices("workspaceId", "projectId"))
    project_slug: str | None = Field(None, validation_alias=AliasChoices("workspaceSlug", "projectSlug"))


class WhereV4(Where):
    """The newer spelling: `projectId`, no slug."""

    project_id: Text


class Read(Body):
    """The switches of a read, with the older spelling of the import switch."""

    view_secret_value: Flag = True
    expand_secret_references: Flag = False
    recursive: Flag = False
    include_imports: Flag = Field(default=False, alias="include_imports")
    tag_slugs: str = ""
    version: Annotated[int, Field(strict=False)] | None = None
    type: Literal["shared", "personal"] = "shared"


class ReadCamel(Read):
    """The same with the newer spelling; a wrong spelling means no imports, not an error."""

    include_imports: Flag = Field(default=False, alias="includeImports")


class Write(Body):
    """The fields of one secret, all optional: create and update need different ones."""

    secret_value: str | None = Field(None, repr=False)
    secret_comment: str | None = Field(None, repr=False)
    new_secret_name: str | None = None
    skip_multiline_encoding: bool | None = None
    type: Literal["shared", "personal"] = "shared"
    tag_ids: tuple[str, ...] | None = Field(None, strict=False)
    secret_metadata: tuple[dict[str, Any], ...] | None = Field(None, strict=False, repr=False)
    secret_reminder_note: str | None = None
    secret_reminder_repeat_days: float | None = Field(None, strict=False)


class Item(Write):
    """One secret of a batch."""

    secret_key: Text
    secret_path: str | None = None


class Batch(Body):
    """A batch: at least one item, no upper bound."""

    secrets: tuple[Item, ...] = Field(min_length=1, strict=False)
    mode: Annotated[MissingMode, Field(strict=False)] = MissingMode.FAIL


class Move(Body):
    """Secrets by id from one folder to another."""

    project_id: str | None = Field(None, validation_alias=AliasChoices("projectId", "workspaceId"))
    project_slug: str | None = None
    source_environment: Text
    source_secret_path: str = _ROOT
    destination_environment: Text
    destination_secret_path: str = _ROOT
    secret_ids: tuple[str, ...] = Field(min_length=1, strict=False)
    should_overwrite: bool = False


class Folder(Body):
    """A folder to make or to change."""

    project_id: Text = Field(validation_alias=AliasChoices("projectId", "workspaceId"))
    environment: Text
    name: Text
    path: str = Field("/", validation_alias=AliasChoices("path", "directory"))
    description: str | None = None


class FolderDelete(Body):
    """Which folder goes."""

    project_id: Text = Field(validation_alias=AliasChoices("projectId", "workspaceId"))
    environment: Text
    path: str = Field("/", validation_alias=AliasChoices("path", "directory"))
    force_delete: bool = False


class FolderList(Body):
    """Which folders to list; booleans accept other forms here."""

    project_id: Text = Field(validation_alias=AliasChoices("projectId", "workspaceId"))
    environment: Text
    path: str = Field("/", validation_alias=AliasChoices("path", "directory"))
    recursive: bool = Field(default=False, strict=False)
    last_secret_modified: str | None = None


class FolderRename(Body):
    """One item of a folder batch."""

    id: Text
    name: Text
    path: str = "/"
    environment: Text
    description: str | None = None


class FolderBatch(Body):
    """Several folders to rename at once."""

    project_id: Text = Field(validation_alias=AliasChoices("projectId", "workspaceId"))
    folders: tuple[FolderRename, ...] = Field(min_length=1, strict=False)


class Source(Body):
    """The folder an import points to."""

    environment: Text
    path: str = "/"


class ImportCreate(Body):
    """A new import at `path`."""

    project_id: Text = Field(validation_alias=AliasChoices("projectId", "workspaceId"))
    environment: Text
    path: str = "/"
    source: Source = Field(alias="import")
    is_replication: bool = False


class ImportEdit(Body):
    """What may change about an import."""

    environment: str | None = None
    path: str | None = None
    position: int | None = None


class ImportUpdate(Body):
    """A changed import of the folder `path`."""

    project_id: Text = Field(validation_alias=AliasChoices("projectId", "workspaceId"))
    environment: Text
    path: str = "/"
    edit: ImportEdit = Field(alias="import")


class ImportFolder(Body):
    """The folder whose imports are meant (list, delete)."""

    project_id: Text = Field(validation_alias=AliasChoices("projectId", "workspaceId"))
    environment: Text
    path: str = "/"


class ProjectCreate(Body):
    """A new project."""

    project_name: Text
    slug: str | None = None
    should_create_default_envs: bool = True


class EnvironmentCreate(Body):
    """A new environment."""

    name: Text
    slug: Text


class UniversalLogin(Body):
    """Login by client id and secret."""

    client_id: str
    client_secret: str = Field(repr=False)


class KubernetesLogin(Body):
    """Login by a service account token."""

    identity_id: str
    jwt: str = Field(repr=False)


class Token(Body):
    """Renewal and revocation."""

    access_token: str = Field(repr=False)


class TokenCreate(Body):
    """A token handed out by hand."""

    name: str | None = None


class Conditions(Body):
    """Where an event must happen; the path defaults to the root folder."""

    environment_slug: str
    secret_path: str = _ROOT


class Registration(Body):
    """One entry of `register`."""

    event: Annotated[EventType, Field(strict=False)]
    conditions: Conditions | None = None


class Subscription(Body):
    """The body of the event subscription."""

    project_id: str
    register_: tuple[Registration, ...] = Field(alias="register", min_length=1, max_length=10, strict=False)


async def read(request: web.Request, shape: type[B]) -> B:
    """The request's JSON in this shape; 422 with all issues, 500 for what is no JSON."""
    return parse(await data_of(request), shape)


async def read_both(request: web.Request, first: type[B], second: type[C]) -> tuple[B, C]:
    """The request's JSON in two shapes at once; 422 with the issues of both."""
    return parse_both(await data_of(request), first, second)


async def data_of(request: web.Request) -> Mapping[str, object]:
    """The JSON object of the body."""
    raw = await request.read()
    if request.content_type != "application/json" or not raw:
        raise _broken()
    try:
        data = json.loads(raw)
    except ValueError as error:
        raise _broken() from error
    return data if isinstance(data, dict) else {"": data}


def query(request: web.Request, shape: type[B]) -> B:
    """The query in this shape; 422 with all issues."""
    return parse(dict(request.query), shape)


def query_both(request: web.Request, first: type[B], second: type[C]) -> tuple[B, C]:
    """The query in two shapes at once; 422 with the issues of both."""
    return parse_both(dict(request.query), first, second)


def parse(data: Mapping[str, object], shape: type[B]) -> B:
    """The data in this shape; 422 with all issues."""
    body, issues = _checked(data, shape)
    if body is None:
        raise refusals.invalid(issues)
    return body


def parse_both(data: Mapping[str, object], first: type[B], second: type[C]) -> tuple[B, C]:
    """The data in two shapes; 422 with the issues of both."""
    (one, issues), (other, more) = _checked(data, first), _checked(data, second)
    if one is None or other is None:
        raise refusals.invalid(issues + more)
    return one, other


def _checked(data: Mapping[str, object], shape: type[B]) -> tuple[B | None, Issues]:
    try:
        return shape.model_validate(data), []
    except ValidationError as error:
        return None, [_issue(dict(detail)) for detail in error.errors(include_url=False)]


def _issue(detail: dict[str, Any]) -> dict[str, object]:
    """A problem in the wording of the server's schema library."""
    path = list(detail["loc"])
    kind = detail["type"]
    if kind == "missing":
        return _typed("undefined", path, "Required")
    if kind in {"enum", "literal_error"}:
        return {"code": "invalid_enum_value", "path": path, "message": "Invalid enum value"}
    if kind in {"too_short", "string_too_short", "too_long"}:
        code = "too_big" if kind == "too_long" else "too_small"
        return {"code": code, "path": path, "message": detail["msg"]}
    if kind.endswith("_type"):
        return _typed(type(detail["input"]).__name__, path, detail["msg"])
    return {"code": "custom", "path": path, "message": detail["msg"]}


def _typed(received: str, path: list[object], message: str) -> dict[str, object]:
    return {"code": "invalid_type", "received": received, "path": path, "message": message}


def _broken() -> refusals.Refusal:
    return refusals.Refusal(500, "InternalServerError", "Something went wrong")
