"""Secrets: the v3 raw and the v4 routes are the same operations in two spellings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from infisical_sandbox.server import clock
from infisical_sandbox.server.domain import (
    api_errors,
    changes,
    folders,
    projects,
    secret_reader,
    secrets,
)
from infisical_sandbox.server.domain.records import Approval, Draft
from infisical_sandbox.server.web import (
    authentication,
    go_port,
    json_views,
    request_bodies,
    request_parser,
    responses,
    secret_requests,
)
from infisical_sandbox.server.web.secret_requests import V3, V4, Dialect, WriteTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infisical_sandbox.server.domain.changes import Change
    from infisical_sandbox.server.web.request_bodies import Write


def routes() -> list[web.RouteDef]:
    """The routes of both dialects."""
    return [*_routes(V3), *_routes(V4)]


def _routes(dialect: Dialect) -> list[web.RouteDef]:
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
        authentication.identity_of(request)
        where, read = secret_requests.query(request, self.dialect)
        reader, place = secret_requests.reader(request, where, read)
        body = json_views.listing(*reader.listing(place))
        return responses.ok(go_port.without_empty(body) if go_port.serves(request) else body)

    async def get_one(self, request: web.Request) -> web.Response:
        authentication.identity_of(request)
        where, read = secret_requests.query(request, self.dialect)
        reader, place = secret_requests.reader(request, where, read)
        shown = reader.one(place, request.match_info["name"], read.version)
        return responses.ok({"secret": json_views.secret(shown.secret, shown.place, shown.value)})

    async def get_by_id(self, request: web.Request) -> web.Response:
        authentication.identity_of(request)
        read = request_parser.query(request, request_bodies.Read)
        store = authentication.instance_of(request).reading
        row = store.secrets.get(request.match_info["id"])
        place = row and folders.place_of(store, row.folder_id)
        if not row or not place:
            raise api_errors.not_found(f"Secret with ID '{request.match_info['id']}' not found")
        caller = authentication.in_project(request, place.project_id)
        shown = secret_reader.Reader(store, caller.ability, secret_requests.switches(read)).one(
            place, row.key
        )
        return responses.ok({"secret": json_views.secret(shown.secret, shown.place, shown.value)})

    async def create_one(self, request: web.Request) -> web.Response:
        target, write = await self._one(request, "create")
        draft = secret_requests.draft(request.match_info["name"], write)
        if write.type == "personal":
            return _done_one(target, _personal(target, draft))
        return _write(target, "creates", (draft,), _creating, _done_one)

    async def update_one(self, request: web.Request) -> web.Response:
        target, write = await self._one(request, "edit")
        draft = secret_requests.draft(request.match_info["name"], write)
        if write.type == "personal":
            return _done_one(target, _personal(target, draft))
        return _write(target, "updates", (draft,), _updating, _done_one)

    async def delete_one(self, request: web.Request) -> web.Response:
        target, write = await self._one(request, "delete")
        draft = secret_requests.draft(request.match_info["name"], write)
        if write.type == "personal":
            store = target.caller.instance.store
            gone = changes.delete_personal(store, target.place, draft.key, target.context)
            return _done_one(target, gone)
        return _write(target, "deletes", (draft,), _deleting, _done_one)

    async def create_batch(self, request: web.Request) -> web.Response:
        target, batch = await self._batch(request, "create")
        return _write(target, "creates", secret_requests.drafts(batch), _creating, _done_many)

    async def update_batch(self, request: web.Request) -> web.Response:
        target, batch = await self._batch(request, "edit")

        def updating(target: WriteTarget, drafts: Sequence[Draft]) -> Change:
            store = target.caller.instance.store
            return changes.update_batch(store, target.place, drafts, batch.mode, target.context)

        return _write(target, "updates", secret_requests.drafts(batch), updating, _done_many)

    async def delete_batch(self, request: web.Request) -> web.Response:
        target, batch = await self._batch(request, "delete")
        return _write(target, "deletes", secret_requests.drafts(batch), _deleting, _done_many)

    async def move(self, request: web.Request) -> web.Response:
        authentication.identity_of(request)
        body = await request_parser.read(request, request_bodies.Move)
        caller = authentication.in_project(request, body.project_id, body.project_slug)
        store, project_id = caller.instance.store, caller.project.id
        source = folders.at(store, project_id, body.source_environment, body.source_secret_path)
        goal = folders.at(store, project_id, body.destination_environment, body.destination_secret_path)
        rows = [row for row in secrets.shared(store, source.folder.id) if row.id in body.secret_ids]
        if len(rows) < len(set(body.secret_ids)):
            raise api_errors.not_found("One or more secrets not found in the source folder")
        secret_requests.require(caller, "delete", source, [row.key for row in rows])
        secret_requests.require(caller, "create", goal, [row.key for row in rows])
        context = changes.Context(clock.now().wall, caller.identity.id)
        switches = changes.Move(source, goal, tuple(rows), body.should_overwrite)
        caller.instance.apply(changes.move(store, switches, context))
        return responses.ok({"isSourceUpdated": True, "isDestinationUpdated": True})

    async def _one(self, request: web.Request, action: str) -> tuple[WriteTarget, Write]:
        authentication.identity_of(request)
        where, write = await request_parser.read_both(request, self.dialect.where, request_bodies.Write)
        target = secret_requests.target(request, where)
        secret_requests.require(target.caller, action, target.place, [request.match_info["name"]])
        return target, write

    async def _batch(self, request: web.Request, action: str) -> tuple[WriteTarget, request_bodies.Batch]:
        authentication.identity_of(request)
        where, batch = await request_parser.read_both(request, self.dialect.where, request_bodies.Batch)
        target = secret_requests.target(request, where)
        for item in batch.secrets:
            secret_requests.require_item(target, action, item)
            if batch.mode is changes.MissingMode.UPSERT:
                secret_requests.require_item(target, "create", item)
        return target, batch


def _creating(target: WriteTarget, drafts: Sequence[Draft]) -> Change:
    return changes.create(target.caller.instance.store, target.place, drafts, target.context)


def _updating(target: WriteTarget, drafts: Sequence[Draft]) -> Change:
    return changes.update(target.caller.instance.store, target.place, drafts[0], target.context)


def _deleting(target: WriteTarget, drafts: Sequence[Draft]) -> Change:
    keys = [draft.key for draft in drafts]
    return changes.delete(target.caller.instance.store, target.place, keys, target.context)


def _personal(target: WriteTarget, draft: Draft) -> Change:
    return changes.write_personal(target.caller.instance.store, target.place, draft, target.context)


def _write(
    target: WriteTarget,
    kind: str,
    drafts: tuple[Draft, ...],
    perform: Callable[[WriteTarget, Sequence[Draft]], Change],
    answer: Callable[[WriteTarget, Change], web.Response],
) -> web.Response:
    """Perform the write, or file it as a change request where a policy asks for review."""
    if target.caller.project.approvals:
        return responses.ok({"approval": _file_approval(target, kind, drafts)})
    return answer(target, perform(target, drafts))


def _file_approval(target: WriteTarget, kind: str, drafts: tuple[Draft, ...]) -> dict[str, object]:
    place = target.place
    filed: dict[str, tuple[Draft, ...]] = {kind: drafts}
    row = target.caller.instance.store.approvals.put(
        Approval(
            projects.new_id(),
            place.project_id,
            place.environment.slug,
            place.path,
            **filed,
        )
    )
    return {"id": row.id, "status": "open", "environment": row.environment}


def _done_one(target: WriteTarget, change: Change) -> web.Response:
    target.caller.instance.apply(change)
    row, place = change.secrets[0]
    return responses.ok({"secret": json_views.secret(row, place, row.value)})


def _done_many(target: WriteTarget, change: Change) -> web.Response:
    target.caller.instance.apply(change)
    return responses.ok(
        {"secrets": [json_views.secret(row, place, row.value) for row, place in change.secrets]}
    )
