"""The parts of a request for secrets: dialect, caller, folder, drafts and permissions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infisical_sandbox.server import clock
from infisical_sandbox.server.domain import api_errors, changes, folders, permissions, secret_reader
from infisical_sandbox.server.domain.records import Draft
from infisical_sandbox.server.web import authentication, go_port, request_bodies, request_parser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from infisical_sandbox.server.domain.changes import Context
    from infisical_sandbox.server.domain.folders import Place
    from infisical_sandbox.server.domain.generations import Generation
    from infisical_sandbox.server.web.authentication import Caller
    from infisical_sandbox.server.web.request_bodies import Item, Read, Where, Write


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where the routes are and how a project is named in them."""

    one: str
    batch: str
    move: str
    where: type[Where]


V3 = Dialect(
    "/api/v3/secrets/raw", "/api/v3/secrets/batch/raw", "/api/v3/secrets/move", request_bodies.WhereV3
)
V4 = Dialect("/api/v4/secrets", "/api/v4/secrets/batch", "/api/v4/secrets/move", request_bodies.WhereV4)


@dataclass(frozen=True, slots=True)
class WriteTarget:
    """The caller and the folder of one request, with the path's text as it came."""

    caller: Caller
    place: Place
    request_path: str

    @property
    def context(self) -> Context:
        """Author and time, for `changes`."""
        return changes.Context(clock.now().wall, self.caller.identity.id, request_path=self.request_path)


def query(request: web.Request, dialect: Dialect) -> tuple[Where, Read]:
    """The query; the older routes answer 400, not 422, for a missing environment."""
    if dialect is V3 and "environment" not in request.query:
        raise api_errors.bad_request("Missing environment")
    generation = authentication.instance_of(request).generation
    return request_parser.query_both(request, dialect.where, _shape(generation, dialect))


def _shape(generation: Generation, dialect: Dialect) -> type[Read]:
    camel = dialect is V4 and generation.import_switch == "includeImports"
    if generation.has_ported_reads:
        return request_bodies.ReadPortedCamel if camel else request_bodies.ReadPorted
    return request_bodies.ReadCamel if camel else request_bodies.Read


def reader(request: web.Request, where: Where, read: Read) -> tuple[secret_reader.Reader, Place]:
    """The reader of the caller, and the folder to read; 400, 403 or 404."""
    caller = authentication.in_project(request, where.project_id, where.project_slug)
    store = caller.instance.reading
    is_ported = go_port.serves(request)
    if is_ported and not folders.find(store, caller.project.id, where.environment, where.secret_path):
        raise go_port.missing_place(store, caller.project.id, where.environment)
    place = folders.at(store, caller.project.id, where.environment, where.secret_path)
    return secret_reader.Reader(store, caller.ability, switches(read, flat_imports=is_ported)), place


def switches(read: Read, *, flat_imports: bool = False) -> secret_reader.ReadSwitches:
    """The switches of the read."""
    return secret_reader.ReadSwitches(
        values=read.view_secret_value,
        expand=read.expand_secret_references,
        recursive=read.recursive,
        imports=read.include_imports,
        flat_imports=flat_imports,
    )


def target(request: web.Request, where: Where) -> WriteTarget:
    """The caller and the folder to write to; 400, 403 or 404."""
    caller = authentication.in_project(request, where.project_id, where.project_slug)
    store = caller.instance.store
    place = folders.at(store, caller.project.id, where.environment, where.secret_path)
    return WriteTarget(caller, place, where.secret_path)


def require(caller: Caller, action: str, place: Place, keys: Sequence[str]) -> None:
    """403 unless the caller may do this with all these secrets of the folder."""
    for key in keys:
        fields = {
            "environment": place.environment.slug,
            "secretPath": place.path,
            "secretName": key,
        }
        caller.ability.require(action, permissions.SECRETS, fields)


def require_item(target: WriteTarget, action: str, item: Item) -> None:
    """The same for one item of a batch, which may name a folder of its own."""
    path = item.secret_path
    store = target.caller.instance.store
    place = path and folders.find(store, target.place.project_id, target.place.environment.slug, path)
    require(target.caller, action, place or target.place, [item.secret_key])


def draft(key: str, write: Write) -> Draft:
    """The requested fields of one secret."""
    return Draft(
        key,
        write.secret_value,
        new_key=write.new_secret_name,
        comment=write.secret_comment,
        path=write.secret_path if isinstance(write, request_bodies.Item) else None,
        skip_multiline_encoding=write.skip_multiline_encoding,
        metadata=write.secret_metadata,
        tag_ids=write.tag_ids,
        reminder_note=write.secret_reminder_note,
        reminder_repeat_days=write.secret_reminder_repeat_days,
    )


def drafts(batch: request_bodies.Batch) -> tuple[Draft, ...]:
    """The requested fields of each secret of a batch."""
    return tuple(draft(item.secret_key, item) for item in batch.secrets)
