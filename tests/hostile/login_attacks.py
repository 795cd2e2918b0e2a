"""Logins of a hostile Infisical, and errors that repeat the credentials that it got."""

import json

from hostile.attack import Attack, Tenant, many
from hostile.disguises import DISGUISES
from hostile.hostile_server import Exchange
from hostile.replies import (
    JSON_TYPE,
    answers,
    chunk,
    head,
    payload,
    server,
    then_repeats,
    whole,
)
from support.manifests import Manifest, credentials, subscription, workload

_MIB = 1024 * 1024
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHUNKED = {"Transfer-Encoding": "chunked"}
_FOUND = head(200, JSON_TYPE | _CHUNKED)


def _token(text: str, expires: str = "7200") -> bytes:
    return f'{{"accessToken":{json.dumps(text)},"expiresIn":{expires}}}'.encode()


def _token_in_turn(exchange: Exchange) -> bytes:
    texts = ("a\r\nX-Evil: 1", "\u202e", "a\x00b", "", "\ud800", "a b")
    return _token(texts[exchange.number % len(texts)])


def _expiring(exchange: Exchange) -> bytes:
    times = ("1e308", "-1", "NaN", "9" * 400, "0.000001", '"soon"', "null", "[]", "-Infinity")
    return _token(exchange.target.token, times[exchange.number % len(times)])


LOGINS = (
    Attack("login-of-64mib", server(login=payload(), payload=lambda: _token("t" * 64 * _MIB)), many(5)),
    Attack("login-drips", server(login=then_repeats(_FOUND, chunk(b" "), 0.1)), many(20)),
    Attack("login-token-of-1mb", server(login=answers(_token("t" * 1_000_000)))),
    Attack("login-token-of-60kb", server(login=answers(_token("t" * 60_000))), many(20)),
    Attack("login-token-odd", server(login=answers(_token_in_turn)), many(12)),
    Attack("login-expires-odd", server(login=answers(_expiring)), many(9)),
    Attack("login-nested", server(login=answers(b"[" * 60_000)), many(5)),
    Attack(
        "login-then-401",
        server(
            lists=answers(b'{"statusCode":401,"error":"TokenError","message":"no"}', 401),
            stream=answers(b'{"statusCode":401,"error":"TokenError","message":"no"}', 401),
        ),
        many(20),
    ),
    Attack(
        "errors-of-60kb",
        server(
            lists=answers(
                lambda exchange: json.dumps(
                    {
                        "statusCode": 400,
                        "error": "BadRequest",
                        "message": f"{exchange.number} \u202e\x1b[2J" + "\U0001f511" * 15_000,
                    }
                ).encode(),
                400,
            )
        ),
        many(20),
    ),
)


_PLACES = ("message", "error", "issues", "title", "line", "type", "location")


def _disguised(exchange: Exchange) -> str:
    """The credentials of the request; a login in the form that its client id names, else in each form."""
    names = list(DISGUISES)
    own = exchange.client_id if exchange.path.endswith("/login") else names[exchange.number % len(names)]
    return DISGUISES.get(own, str)(exchange.credentials)


def _echoed(exchange: Exchange) -> bytes:
    """An error that repeats the credentials, at another place each time."""
    text, place = _disguised(exchange), _PLACES[exchange.number % len(_PLACES)]
    error = {"statusCode": 400, "error": "BadRequest", "message": "no"}
    if place in {"message", "error"}:
        return whole(json.dumps(error | {place: f"wrong: {text}"}).encode(), 400)
    if place == "issues":
        return whole(json.dumps(error | {"statusCode": 422, "message": [{"message": text}]}).encode(), 422)
    if place == "title":
        return whole(f"<title>{text}</title>".encode(), 502, {"Content-Type": "text/html"})
    if place == "line":
        return whole(text.encode(), 500, {"Content-Type": "text/plain"})
    header = "".join(letter for letter in text if 32 < ord(letter) < 127)
    if place == "type":
        return whole(b"no", 502, {"Content-Type": f"text/{header}"})
    return whole(b"", 302, {"Location": f"http://{header}.example/"})


async def _echoes(exchange: Exchange) -> None:
    await exchange.send(_echoed(exchange))


def _one_per_disguise(tenant: Tenant) -> list[Manifest]:
    """A subscription for each form, whose client id is the name of the form."""
    found: list[Manifest] = [workload()]
    for name in DISGUISES:
        own = credentials(tenant, clientId=name)
        own["metadata"]["name"] = name
        refs = {
            "clientIdRef": {"name": name, "key": "clientId"},
            "clientSecretRef": {"name": name, "key": "clientSecret"},
        }
        found += [own, subscription(tenant, name, authentication={"universalAuth": refs})]
    return found


ECHOES = (
    Attack("echo-of-client-secrets", server(login=_echoes), _one_per_disguise, seconds=12),
    Attack("echo-of-tokens-in-lists", server(lists=_echoes), many(24), seconds=12),
    Attack("echo-of-tokens-in-streams", server(stream=_echoes), many(24), seconds=12),
)

ATTACKS = (*LOGINS, *ECHOES)
