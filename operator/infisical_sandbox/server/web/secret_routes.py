"""Secrets: the v3 raw and the v4 routes are the same operations in two spellings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from infisical_sandbox.server import clocks
from infisical_sandbox.server.domain import (
    changes,
    folders,
    permissions,
    projects,
    reading,
    refusals,
    secrets,
)
from infisical_sandbox.server.domain.records import Approval, Draft
from infisical_sandbox.server.web import answers, bodies, callers, views

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infisical_sandbox.server.domain.changes import Change, Context
    from infisical_sandbox.server.domain.folders import Place
    from infisical_sandbox.server.web.bodies import Item, Read, Where, Write
    from infisical_sandbox.server.web.callers import Caller


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where the routes are and how a project is named in them."""

    one: str
    batch: str
    move: str
    where: type[Where]


V3 = Dialect("/api/v3/secrets/raw", "/api/v3/secrets/batch/raw", "/api/v3/secrets/move", bodies.WhereV3)
V4 = Dialect("/api/v4/secrets", "/api/v4/secrets/batch", "/api/v4/secrets/move", bodies.WhereV4)


@dataclass(frozen=True, slots=True)
class Spot:
    """The caller and the folder of one request, with the path's text as it came."""

    caller: Caller
    place: Place
    request_path: str

    @property
    def context(self) -> Context:
        """Who changes what now, for `changes`."""
        return changes.Context(clocks.now().wall, self.caller.identity.id, request_path=self.request_path)


def routes(dialect: Dialect) -> list[web.RouteDef]:
    """The routes of one dialect."""
    handlers = _Handlers(dialect)
    return [
        web.get(dialect.one, handlers.list_all),
        web.post(dialect.move, handlers.move),
        web.post(dialect.batch, handlers.create_batch),
        web.patch(dialect.batch, handlers.update_batch),
        web.delete(dialect.batch, handlers.delete_batch),
        web.get(dialect.one + "/id/{id}", handlers.get_by_id),
        web.get(dialect.one + "/{name}", handlers.get_one),
        web.post(dialect.one + "/{name}", handlers.create_one),
        web.patch(dialect.one + "/{name}", handlers.update_one),
        web.delete(dialect.one + "/{name}", handlers.delete_one),
    ]


@dataclass(frozen=True, slots=True)
class _Handlers:
    dialect: Dialect

    async def list_all(self, request: web.Request) -> web.Response:
        callers.identity_of(request)
        where, read = _query(request, self.dialect)
        reader, place = _reader(request, where, read)
        return answers.ok(views.listing(*reader.listing(place)))

    async def get_one(self, request: web.Request) -> web.Response:
        callers.identity_of(request)
        where, read = _query(request, self.dialect)
        reader, place = _reader(request, where, read)
        shown = reader.one(place, request.match_info["name"], read.version)
        return answers.ok({"secret": views.secret(shown.secret, shown.place, shown.value)})

    async def get_by_id(self, request: web.Request) -> web.Response:
        callers.identity_of(request)
        read = bodies.query(request, bodies.Read)
        store = callers.instance_of(request).reading
        row = store.secrets.get(request.match_info["id"])
        place = row and folders.place_of(store, row.folder_id)
        if not row or not place:
            raise refusals.not_found(f"Secret with ID '{request.match_info['id']}' not found")
        caller = callers.in_project(request, place.project_id)
        shown = reading.Reader(store, caller.ability, _wish(read)).one(place, row.key)
        return answers.ok({"secret": views.secret(shown.secret, shown.place, shown.value)})

    async def create_one(self, request: web.Request) -> web.Response:
        spot, write = await self._one(request, "create")
        draft = _draft(request.match_info["name"], write)
        if write.type == "personal":
            return _done_one(spot, _personal(spot, draft))
        return _write(spot, "creates", (draft,), _creating, _done_one)

    async def update_one(self, request: web.Request) -> web.Response:
        spot, write = await self._one(request, "edit")
        draft = _draft(request.match_info["name"], write)
        if write.type == "personal":
            return _done_one(spot, _personal(spot, draft))
        return _write(spot, "updates", (draft,), _updating, _done_one)

    async def delete_one(self, request: web.Request) -> web.Response:
        spot, write = await self._one(request, "delete")
        draft = _draft(request.match_info["name"], write)
        if write.type == "personal":
            store = spot.caller.instance.store
            gone = changes.delete_personal(store, spot.place, draft.key, spot.context)
            return _done_one(spot, gone)
        return _write(spot, "deletes", (draft,), _deleting, _done_one)

    async def create_batch(self, request: web.Request) -> web.Response:
        spot, batch = await self._batch(request, "create")
        return _write(spot, "creates", _drafts(batch), _creating, _done_many)

    async def update_batch(self, request: web.Request) -> web.Response:
        spot, batch = await self._batch(request, "edit")

        def updating(spot: Spot, drafts: Sequence[Draft]) -> Change:
            store = spot.caller.instance.store
            return changes.update_batch(store, spot.place, drafts, batch.mode, spot.context)

        return _write(spot, "updates", _drafts(batch), updating, _done_many)

    async def delete_batch(self, request: web.Request) -> web.Response:
        spot, batch = await self._batch(request, "delete")
        return _write(spot, "deletes", _drafts(batch), _deleting, _done_many)

    async def move(self, request: web.Request) -> web.Response:
        callers.identity_of(request)
        body = await bodies.read(request, bodies.Move)
        caller = callers.in_project(request, body.project_id, body.project_slug)
        store, project_id = caller.instance.store, caller.project.id
        source = folders.at(store, project_id, body.source_environment, body.source_secret_path)
        goal = folders.at(store, project_id, body.destination_environment, body.destination_secret_path)
        rows = [row for row in secrets.shared(store, source.folder.id) if row.id in body.secret_ids]
        if len(rows) < len(set(body.secret_ids)):
            raise refusals.not_found("One or more secrets not found in the source folder")
        _require(caller, "delete", source, [row.key for row in rows])
        _require(caller, "create", goal, [row.key for row in rows])
        context = changes.Context(clocks.now().wall, caller.identity.id)
        wish = changes.Move(source, goal, tuple(rows), body.should_overwrite)
        caller.instance.apply(changes.move(store, wish, context))
        return answers.ok({"isSourceUpdated": True, "isDestinationUpdated": True})

    async def _one(self, request: web.Request, action: str) -> tuple[Spot, Write]:
        callers.identity_of(request)
        where, write = await bodies.read_both(request, self.dialect.where, bodies.Write)
        spot = _spot(request, where)
        _require(spot.caller, action, spot.place, [request.match_info["name"]])
        return spot, write

    async def _batch(self, request: web.Request, action: str) -> tuple[Spot, bodies.Batch]:
        callers.identity_of(request)
        where, batch = await bodies.read_both(request, self.dialect.where, bodies.Batch)
        spot = _spot(request, where)
        for item in batch.secrets:
            _require_item(spot, action, item)
            if batch.mode is changes.MissingMode.UPSERT:
                _require_item(spot, "create", item)
        return spot, batch


def _query(request: web.Request, dialect: Dialect) -> tuple[Where, Read]:
    """The query; the older routes answer 400, not 422, for a missing environment."""
    if dialect is V3 and "environment" not in request.query:
        raise refusals.bad_request("Missing environment")
    generation = callers.instance_of(request).generation
    camel = dialect is V4 and generation.import_switch == "includeImports"
    shape = bodies.ReadCamel if camel else bodies.Read
    return bodies.query_both(request, dialect.where, shape)


def _reader(request: web.Request, where: Where, read: Read) -> tuple[reading.Reader, Place]:
    caller = callers.in_project(request, where.project_id, where.project_slug)
    store = caller.instance.reading
    place = folders.at(store, caller.project.id, where.environment, where.secret_path)
    return reading.Reader(store, caller.ability, _wish(read)), place


def _wish(read: Read) -> reading.Wish:
    return reading.Wish(
        values=read.view_secret_value,
        expand=read.expand_secret_references,
        recursive=read.recursive,
        imports=read.include_imports,
    )


def _spot(request: web.Request, where: Where) -> Spot:
    caller = callers.in_project(request, where.project_id, where.project_slug)
    store = caller.instance.store
    place = folders.at(store, caller.project.id, where.environment, where.secret_path)
    return Spot(caller, place, where.secret_path)


def _require(caller: Caller, action: str, place: Place, keys: Sequence[str]) -> None:
    for key in keys:
        fields = {
            "environment": place.environment.slug,
            "secretPath": place.path,
            "secretName": key,
        }
        caller.ability.require(action, permissions.SECRETS, fields)


def _require_item(spot: Spot, action: str, item: Item) -> None:
    path = item.secret_path
    store = spot.caller.instance.store
    place = path and folders.find(store, spot.place.project_id, spot.place.environment.slug, path)
    _require(spot.caller, action, place or spot.place, [item.secret_key])


def _draft(key: str, write: Write) -> Draft:
    return Draft(
        key,
        write.secret_value,
        new_key=write.new_secret_name,
        comment=write.secret_comment,
        path=write.secret_path if isinstance(write, bodies.Item) else None,
        skip_multiline_encoding=write.skip_multiline_encoding,
        metadata=write.secret_metadata,
        tag_ids=write.tag_ids,
        reminder_note=write.secret_reminder_note,
        reminder_repeat_days=write.secret_reminder_repeat_days,
    )


def _drafts(batch: bodies.Batch) -> tuple[Draft, ...]:
    return tuple(_draft(item.secret_key, item) for item in batch.secrets)


def _creating(spot: Spot, drafts: Sequence[Draft]) -> Change:
    return changes.create(spot.caller.instance.store, spot.place, drafts, spot.context)


def _updating(spot: Spot, drafts: Sequence[Draft]) -> Change:
    return changes.update(spot.caller.instance.store, spot.place, drafts[0], spot.context)


def _deleting(spot: Spot, drafts: Sequence[Draft]) -> Change:
    keys = [draft.key for draft in drafts]
    return changes.delete(spot.caller.instance.store, spot.place, keys, spot.context)


def _personal(spot: Spot, draft: Draft) -> Change:
    return changes.write_personal(spot.caller.instance.store, spot.place, draft, spot.context)


def _write(
    spot: Spot,
    kind: str,
    drafts: tuple[Draft, ...],
    perform: Callable[[Spot, Sequence[Draft]], Change],
    answer: Callable[[Spot, Change], web.Response],
) -> web.Response:
    """Perform the write, or file it as a change request where a policy asks for review."""
    if spot.caller.project.approvals:
        return answers.ok({"approval": _file_approval(spot, kind, drafts)})
    return answer(spot, perform(spot, drafts))


def _file_approval(spot: Spot, kind: str, drafts: tuple[Draft, ...]) -> dict[str, object]:
    place = spot.place
    filed: dict[str, tuple[Draft, ...]] = {kind: drafts}
    row = spot.caller.instance.store.approvals.put(
        Approval(
            projects.new_id(),
            place.project_id,
            place.environment.slug,
            place.path,
            **filed,
        )
    )
    return {"id": row.id, "status": "open", "environment": row.environment}


def _done_one(spot: Spot, change: Change) -> web.Response:
    spot.caller.instance.apply(change)
    row, place = change.secrets[0]
    return answers.ok({"secret": views.secret(row, place, row.value)})


def _done_many(spot: Spot, change: Change) -> web.Response:
    spot.caller.instance.apply(change)
    return answers.ok({"secrets": [views.secret(row, place, row.value) for row, place in change.secrets]})
