"""The JSON of records and reads, field by field as clients parse them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infisical_sandbox.server import clock
from infisical_sandbox.server.domain import projects, secret_reader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infisical_sandbox.server.domain.data_store import Store
    from infisical_sandbox.server.domain.folders import Place
    from infisical_sandbox.server.domain.records import Project, Secret, SecretImport
    from infisical_sandbox.server.domain.secret_reader import Shown, ShownImport

Json = dict[str, object]


def listing(own: Iterable[Shown], brought: Iterable[ShownImport]) -> Json:
    """The body of a list of secrets."""
    return {
        "secrets": [secret(shown.secret, shown.place, shown.value) for shown in own],
        "imports": [_import_entry(entry) for entry in brought],
    }


def secret(row: Secret, place: Place, value: str | None) -> Json:
    """One secret; a value of None is shown as hidden."""
    return {
        "id": row.id,
        "_id": row.id,
        "workspace": place.project_id,
        "environment": place.environment.slug,
        "version": row.version,
        "type": "personal" if row.owner_id else "shared",
        "secretKey": row.key,
        "secretValue": secret_reader.HIDDEN if value is None else value,
        "secretValueHidden": value is None,
        "secretComment": row.comment,
        "secretPath": place.path,
        "secretReminderNote": row.reminder_note,
        "secretReminderRepeatDays": row.reminder_repeat_days,
        "skipMultilineEncoding": row.skip_multiline_encoding,
        "secretMetadata": list(row.metadata),
        "tags": [],
        "actor": {"actorId": row.actor_id, "actorType": "identity"} if row.actor_id else None,
        "isRotatedSecret": row.rotation_id is not None,
        "rotationId": row.rotation_id,
        "createdAt": clock.iso(row.created_at),
        "updatedAt": clock.iso(row.updated_at),
    }


def folder(place: Place, *, relative_to: str | None = None) -> Json:
    """One folder; with `relative_to` also its path below that one."""
    row = place.folder
    touched = row.last_secret_modified
    body: Json = {
        "id": row.id,
        "name": row.name,
        "version": row.version,
        "createdAt": clock.iso(row.created_at),
        "updatedAt": clock.iso(row.updated_at),
        "envId": row.environment_id,
        "parentId": row.parent_id,
        "isReserved": False,
        "description": row.description,
        "lastSecretModified": None if touched is None else clock.iso(touched),
        "path": place.path,
    }
    if relative_to is None:
        return body
    return body | {"relativePath": place.path.removeprefix(relative_to.rstrip("/")).lstrip("/")}


def secret_import(store: Store, row: SecretImport) -> Json:
    """One entry of an import list."""
    source = store.environments.get(row.environment_id)
    return {
        "id": row.id,
        "version": row.version,
        "folderId": row.folder_id,
        "importPath": row.path,
        "importEnv": {"id": source.id, "name": source.name, "slug": source.slug} if source else None,
        "position": row.position,
        "isReplication": row.is_replication,
        "isReplicationSuccess": None,
        "replicationStatus": None,
        "lastReplicated": None,
        "isReserved": False,
        "createdAt": clock.iso(row.created_at),
        "updatedAt": clock.iso(row.updated_at),
    }


def project(store: Store, row: Project) -> Json:
    """A project with its environments."""
    return {
        "id": row.id,
        "_id": row.id,
        "name": row.name,
        "slug": row.slug,
        "orgId": row.org_id,
        "type": "secret-manager",
        "autoCapitalization": False,
        "createdAt": clock.iso(row.created_at),
        "updatedAt": clock.iso(row.created_at),
        "version": 3,
        "environments": [
            {"id": env.id, "name": env.name, "slug": env.slug} for env in projects.environments(store, row.id)
        ],
    }


def _import_entry(entry: ShownImport) -> Json:
    secrets = [secret(shown.secret, shown.place, shown.value) for shown in entry.secrets]
    return {
        "secretPath": entry.place.path,
        "environment": entry.place.environment.slug,
        "folderId": entry.place.folder.id,
        "secrets": [
            {name: value for name, value in body.items() if name not in {"createdAt", "updatedAt"}}
            for body in secrets
        ],
    }
