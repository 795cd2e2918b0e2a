"""Machine identities: universal-auth login with its lockout, and membership in projects."""

from __future__ import annotations

import hashlib
import secrets as randomness
from dataclasses import replace
from typing import TYPE_CHECKING

from infisical_sandbox.server.domain import api_errors, permissions, projects
from infisical_sandbox.server.domain.records import (
    ClientSecret,
    Identity,
    Lockout,
    Membership,
)

if TYPE_CHECKING:
    from infisical_sandbox.server.domain.data_store import Store
    from infisical_sandbox.server.domain.generations import Generation
    from infisical_sandbox.server.domain.records import LockoutSettings, Project, Rule

_INVALID = "Invalid credentials"
_LOCKED = "This identity auth method is temporarily locked, please try again later"


def create(store: Store, org_id: str, name: str) -> Identity:
    """An identity with universal auth and no client secret yet."""
    return store.identities.put(Identity(projects.new_id(), org_id, name, client_id=projects.new_id()))


def add_client_secret(
    store: Store,
    identity: Identity,
    now: float,
    text: str | None = None,
    limits: tuple[int, int] = (0, 0),
) -> str:
    """Create a client secret and return its text, which is not stored.

    `limits` are its lifetime in seconds and its number of uses; 0 for no limit.
    """
    text = text or randomness.token_hex(32)
    store.client_secrets.put(ClientSecret(projects.new_id(), identity.id, _digest(text), now, *limits))
    return text


def login(store: Store, client_id: str, text: str, now: float) -> tuple[Identity, ClientSecret]:
    """Return the identity of a client id and client secret.

    Raises: 401 if the identity is unknown or locked, or the secret is wrong, expired or used up.
    """
    identity = next((row for row in store.identities if row.client_id == client_id), None)
    if identity is None:
        raise api_errors.unauthorized(_INVALID)
    key = f"{identity.id}:universal-auth:{client_id}"
    lock = store.lockouts.get(key) or Lockout(key)
    if lock.locked_until > now:
        raise api_errors.unauthorized(_LOCKED)
    secret = _matching(store, identity, text)
    if secret is None:
        store.lockouts.put(failed(lock, identity.lockout, now))
        raise api_errors.unauthorized(_INVALID)
    _check_limits(secret, now)
    store.lockouts.remove(key)
    return identity, store.client_secrets.put(replace(secret, uses=secret.uses + 1))


def failed(lock: Lockout, settings: LockoutSettings, now: float) -> Lockout:
    """The lockout after one more failure; a failure long after the previous one counts as the first."""
    if not settings.enabled:
        return lock
    stale = now - lock.last_failure > settings.reset
    failures = 1 if stale else lock.failures + 1
    if failures >= settings.threshold:
        return replace(lock, failures=0, last_failure=now, locked_until=now + settings.duration)
    return replace(lock, failures=failures, last_failure=now)


def grant(store: Store, identity: Identity, project_id: str, rules: tuple[Rule, ...]) -> Membership:
    """Make the identity a member with exactly these rules."""
    key = f"{identity.id}:{project_id}"
    return store.memberships.put(Membership(key, identity.id, project_id, rules))


def ability(
    store: Store, identity: Identity, project: Project, generation: Generation
) -> permissions.Ability:
    """The permissions of the identity in the project; 403 for other organisations and non-members."""
    if project.org_id != identity.org_id:
        raise api_errors.forbidden("You are not allowed to access a project of another organization")
    membership = store.memberships.get(f"{identity.id}:{project.id}")
    if membership is None:
        raise api_errors.forbidden("You are not a member of this project", generation.not_a_member)
    return permissions.Ability(membership.rules)


def knows_secret(store: Store, identity: Identity, text: str) -> bool:
    """Whether this is one of the identity's client secrets."""
    return _matching(store, identity, text) is not None


def _matching(store: Store, identity: Identity, text: str) -> ClientSecret | None:
    rows = store.client_secrets.of(identity.id)
    return next((row for row in rows if randomness.compare_digest(row.digest, _digest(text))), None)


def _check_limits(secret: ClientSecret, now: float) -> None:
    if secret.ttl and now > secret.created_at + secret.ttl:
        raise api_errors.unauthorized("Access denied due to expired client secret")
    if secret.uses_limit and secret.uses >= secret.uses_limit:
        raise api_errors.unauthorized("Access denied due to client secret usage limit reached")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
