"""The HTTP client of `infisical-sandbox secrets`.

It works with every Infisical that the identity may log in to, not only with the local one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

_TIMEOUT = 10.0
_ERROR_LIMIT = 300


class CallError(Exception):
    """The server returned an error or cannot be reached; the text says which."""


@dataclass(frozen=True, slots=True)
class Address:
    """The url of a server, the credentials of an identity, and a project."""

    url: str
    client_id: str
    client_secret: str
    project_id: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of an environment."""

    environment: str
    path: str = "/"


class Client:
    """A logged-in client for one project; a context manager."""

    def __init__(self, address: Address) -> None:
        """Log in; CallError when that fails."""
        self._http = httpx.Client(base_url=address.url, timeout=_TIMEOUT, trust_env=False)
        self._project_id = address.project_id
        credentials = {"clientId": address.client_id, "clientSecret": address.client_secret}
        try:
            login = self._call("POST", "/api/v1/auth/universal-auth/login", credentials)
        except CallError:
            self._http.close()
            raise
        self._http.headers["Authorization"] = f"Bearer {login['accessToken']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def list_secrets(
        self, folder: Folder, *, values: bool = False, recursive: bool = False, imports: bool = False
    ) -> dict[str, Any]:
        """The server's response: an object with `secrets` and `imports`."""
        switches = {
            "secretPath": folder.path,
            "viewSecretValue": str(values).lower(),
            "recursive": str(recursive).lower(),
            "includeImports": str(imports).lower(),
            "include_imports": str(imports).lower(),
            "expandSecretReferences": "false",
        }
        return self._call("GET", "/api/v4/secrets", self._scope(folder) | switches)

    def set_secrets(self, folder: Folder, values: Mapping[str, str]) -> tuple[int, int]:
        """Create new keys and update existing ones, one request each; the number of both."""
        known = {row["secretKey"] for row in self.list_secrets(folder)["secrets"]}
        new = {key: value for key, value in values.items() if key not in known}
        old = {key: value for key, value in values.items() if key in known}
        for method, part in (("POST", new), ("PATCH", old)):
            if part:
                self._write(method, folder, part)
        return len(new), len(old)

    def delete_secrets(self, folder: Folder, keys: Sequence[str]) -> None:
        """Delete secrets in one request."""
        items = [{"secretKey": key} for key in keys]
        body = self._scope(folder) | {"secretPath": folder.path, "secrets": items}
        self._call("DELETE", "/api/v4/secrets/batch", body)

    def list_folders(self, folder: Folder, *, recursive: bool = False) -> list[dict[str, Any]]:
        """The folders inside one."""
        query = self._scope(folder) | {"path": folder.path, "recursive": str(recursive).lower()}
        return list(self._call("GET", "/api/v2/folders", query)["folders"])

    def create_folder(self, folder: Folder) -> None:
        """Create the folder and its missing parents; an existing folder is no error."""
        parent = Folder(folder.environment)
        for name in filter(None, folder.path.split("/")):
            inside = {row["name"] for row in self.list_folders(parent)}
            if name not in inside:
                body = self._scope(parent) | {"path": parent.path, "name": name}
                self._call("POST", "/api/v2/folders", body)
            parent = Folder(parent.environment, f"{parent.path.rstrip('/')}/{name}")

    def list_imports(self, folder: Folder) -> list[dict[str, Any]]:
        """The import entries of a folder."""
        query = self._scope(folder) | {"path": folder.path}
        return list(self._call("GET", "/api/v2/secret-imports", query)["secretImports"])

    def add_import(self, folder: Folder, source: Folder) -> None:
        """Add an import of `source` to a folder."""
        entry = {"environment": source.environment, "path": source.path}
        body = self._scope(folder) | {"path": folder.path, "import": entry}
        self._call("POST", "/api/v2/secret-imports", body)

    def remove_import(self, folder: Folder, import_id: str) -> None:
        """Remove an import."""
        body = self._scope(folder) | {"path": folder.path}
        self._call("DELETE", f"/api/v2/secret-imports/{import_id}", body)

    def _write(self, method: str, folder: Folder, values: Mapping[str, str]) -> None:
        where = self._scope(folder) | {"secretPath": folder.path}
        if len(values) == 1:
            [(key, value)] = values.items()
            self._call(method, f"/api/v4/secrets/{key}", where | {"secretValue": value})
            return
        items = [{"secretKey": key, "secretValue": value} for key, value in values.items()]
        self._call(method, "/api/v4/secrets/batch", where | {"secrets": items})

    def _scope(self, folder: Folder) -> dict[str, Any]:
        return {"projectId": self._project_id, "environment": folder.environment}

    def _call(self, method: str, path: str, data: Mapping[str, Any]) -> dict[str, Any]:
        try:
            response = self._http.request(
                method,
                path,
                params=dict(data) if method == "GET" else None,
                json=None if method == "GET" else dict(data),
            )
            body = response.json()
        except httpx.HTTPError as error:
            raise CallError(f"{self._http.base_url} cannot be reached: {error}") from error
        except ValueError as error:
            raise CallError(f"{path} returned no JSON; check that the url is an Infisical") from error
        if response.is_error:
            message = body.get("message", "no message") if isinstance(body, dict) else "no message"
            raise CallError(f"{response.status_code}: {str(message)[:_ERROR_LIMIT]}")
        return dict(body)
