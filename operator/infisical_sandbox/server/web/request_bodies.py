"""The models of request bodies and queries. Unknown keys are ignored, as by the real server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from infisical_sandbox.server.domain.changes import MissingMode
from infisical_sandbox.server.domain.generations import EventType


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


class ReadPorted(Read):
    """The switches with the defaults of the Go port."""

    expand_secret_references: Flag = True
    include_imports: Flag = Field(default=True, alias="include_imports")


class ReadPortedCamel(ReadPorted):
    """The same with the newer spelling."""

    include_imports: Flag = Field(default=True, alias="includeImports")


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
    """The folder to delete."""

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
    """The changeable fields of an import."""

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


class EnvironmentUpdate(Body):
    """Another name or slug of an environment."""

    name: Text | None = None
    slug: Text | None = None


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
    """A new token by token auth."""

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
