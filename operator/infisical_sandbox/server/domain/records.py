"""The stored values of Infisical, one frozen record per row of its database.

Times are seconds since the epoch. Ids are UUID texts. `data_store` has the records in memory, `database`
writes them to disk under the names of these classes and fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Project:
    """A secret-manager project of one organisation."""

    id: str
    org_id: str
    name: str
    slug: str
    created_at: float
    approvals: bool = False
    """Whether a change policy turns writes into approval requests."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment (`dev`, `prod`, …) of a project."""

    id: str
    project_id: str
    name: str
    slug: str
    position: int


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder; the root of an environment has no parent and the name `root`."""

    id: str
    environment_id: str
    parent_id: str | None
    name: str
    created_at: float
    updated_at: float
    version: int = 1
    description: str | None = None
    last_secret_modified: float | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """The newest version of a secret. `owner_id` is set for a personal override only."""

    id: str
    folder_id: str
    key: str
    value: str = field(repr=False)
    created_at: float
    updated_at: float
    comment: str = field(default="", repr=False)
    version: int = 1
    owner_id: str | None = None
    actor_id: str | None = None
    skip_multiline_encoding: bool | None = None
    metadata: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    tag_ids: tuple[str, ...] = ()
    reminder_note: str | None = None
    reminder_repeat_days: float | None = None
    rotation_id: str | None = None


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """One version of a secret. The id is `<secret id>:<version>`."""

    id: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class SecretImport:
    """One entry of a folder's import list; higher positions win."""

    id: str
    folder_id: str
    environment_id: str
    path: str
    position: int
    created_at: float
    updated_at: float
    version: int = 1
    is_replication: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """The requested fields of a secret; None leaves a field unchanged (or at its default)."""

    key: str
    value: str | None = field(default=None, repr=False)
    new_key: str | None = None
    comment: str | None = field(default=None, repr=False)
    path: str | None = None
    skip_multiline_encoding: bool | None = None
    metadata: tuple[dict[str, Any], ...] | None = field(default=None, repr=False)
    tag_ids: tuple[str, ...] | None = None
    reminder_note: str | None = None
    reminder_repeat_days: float | None = None


@dataclass(frozen=True, slots=True)
class Author:
    """Author and time of a write. `owner_id` is set for a personal override."""

    now: float
    actor_id: str | None = None
    owner_id: str | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """Writes of one folder that wait for a reviewer."""

    id: str
    project_id: str
    environment: str
    path: str
    creates: tuple[Draft, ...] = ()
    updates: tuple[Draft, ...] = ()
    deletes: tuple[Draft, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """How long and how often the tokens of one auth method may be used (seconds; 0 = no limit)."""

    ttl: int = 2_592_000
    max_ttl: int = 2_592_000
    uses_limit: int = 0
    period: int = 0


@dataclass(frozen=True, slots=True)
class LockoutSettings:
    """When failed logins lock the method: `threshold` failures within `reset` seconds each."""

    enabled: bool = True
    threshold: int = 3
    duration: int = 300
    reset: int = 30


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """The review of service account tokens, and the allowed accounts (empty = all)."""

    api_url: str
    ca: str = ""
    reviewer_token: str = field(default="", repr=False)
    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    audience: str = ""
    tokens: TokenSettings = TokenSettings()


@dataclass(frozen=True, slots=True)
class Identity:
    """A machine identity and its auth methods."""

    id: str
    org_id: str
    name: str
    client_id: str | None = None
    universal: TokenSettings = TokenSettings()
    lockout: LockoutSettings = LockoutSettings()
    kubernetes: KubernetesSettings | None = None


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A secret of an identity's universal auth; only its SHA-256 is kept."""

    id: str
    identity_id: str
    digest: str = field(repr=False)
    created_at: float = 0.0
    ttl: int = 0
    uses_limit: int = 0
    uses: int = 0


@dataclass(frozen=True, slots=True)
class Lockout:
    """Failed logins of identity + method + client. The id joins the three with `:`."""

    id: str
    failures: int = 0
    last_failure: float = 0.0
    locked_until: float = 0.0


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The record of a signed token and its renewals."""

    id: str
    identity_id: str
    method: str
    settings: TokenSettings
    created_at: float
    client_secret_id: str = ""
    renewed_at: float | None = None
    uses: int = 0
    revoked: bool = False
    expired: bool = False
    """Set by the fault switch only: behave as if `exp` had passed."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One permission rule as the role editor stores it."""

    subject: str
    actions: tuple[str, ...]
    conditions: dict[str, Any] | None = None
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Membership:
    """The membership of an identity in a project. The id is `<identity id>:<project id>`."""

    id: str
    identity_id: str
    project_id: str
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """A value of the instance itself (signing key, ids of the ready-made project)."""

    id: str
    value: str = field(repr=False)
