"""Logins, renewal, revocation, and tokens of token auth."""

from __future__ import annotations

from aiohttp import web

from infisical_sandbox.server import clock, token_review
from infisical_sandbox.server.domain import api_errors, identities
from infisical_sandbox.server.web import authentication, request_bodies, request_parser, responses


def routes() -> list[web.RouteDef]:
    """The routes under `/api/v1/auth`."""
    return [
        web.post("/api/v1/auth/universal-auth/login", login_universal),
        web.post("/api/v1/auth/kubernetes-auth/login", login_kubernetes),
        web.post("/api/v1/auth/token/renew", renew),
        web.post("/api/v1/auth/token/revoke", revoke),
        web.post("/api/v1/auth/token-auth/identities/{id}/tokens", mint),
    ]


async def login_universal(request: web.Request) -> web.Response:
    """Log in by client id and client secret."""
    body = await request_parser.read(request, request_bodies.UniversalLogin)
    instance, now = authentication.instance_of(request), clock.now().wall
    identity, secret = identities.login(instance.store, body.client_id, body.client_secret, now)
    grant = instance.tokens.issue(identity, "universal-auth", identity.universal, now, secret.id)
    instance.journal.note("login", method="universal-auth", identityId=identity.id)
    return responses.ok(grant.as_json())


async def login_kubernetes(request: web.Request) -> web.Response:
    """Log in by a service account token, which the cluster reviews."""
    body = await request_parser.read(request, request_bodies.KubernetesLogin)
    instance = authentication.instance_of(request)
    identity = instance.store.identities.get(body.identity_id)
    if identity is None or identity.kubernetes is None:
        raise api_errors.not_found(
            "Kubernetes auth method not found for identity, did you configure kubernetes auth?"
        )
    await token_review.review(identity.kubernetes, body.jwt)
    now = clock.now().wall
    grant = instance.tokens.issue(identity, "kubernetes-auth", identity.kubernetes.tokens, now)
    instance.journal.note("login", method="kubernetes-auth", identityId=identity.id)
    return responses.ok(grant.as_json())


async def renew(request: web.Request) -> web.Response:
    """Renew a token."""
    body = await request_parser.read(request, request_bodies.Token)
    instance = authentication.instance_of(request)
    return responses.ok(instance.tokens.renew(body.access_token, clock.now().wall).as_json())


async def revoke(request: web.Request) -> web.Response:
    """Revoke a token and its renewals."""
    body = await request_parser.read(request, request_bodies.Token)
    authentication.instance_of(request).tokens.revoke(body.access_token, clock.now().wall)
    return responses.ok({"message": "Successfully revoked access token"})


async def mint(request: web.Request) -> web.Response:
    """Create a token of an identity of the caller's organisation."""
    caller, instance = authentication.identity_of(request), authentication.instance_of(request)
    await request_parser.read(request, request_bodies.TokenCreate)
    identity = instance.store.identities.get(request.match_info["id"])
    if identity is None or identity.org_id != caller.org_id:
        raise api_errors.not_found(f"Identity with ID '{request.match_info['id']}' not found")
    grant = instance.tokens.issue(identity, "token-auth", identity.universal, clock.now().wall)
    return responses.ok(grant.as_json())
