"""Broken HTTP of a hostile Infisical: bombs, floods, drips, headers, redirects, resets, TLS."""

import zlib
from collections.abc import Mapping
from functools import partial

from hostile.attack import Attack, Tenant, many
from hostile.hostile_server import Exchange
from hostile.replies import (
    JSON_TYPE,
    LIST,
    SSE_TYPE,
    answers,
    chunk,
    compressed_zeros,
    frame,
    head,
    payload,
    sends,
    server,
    silence,
    then_closes,
    then_repeats,
    then_resets,
    update,
    whole,
    zipped,
)
from support.manifests import Manifest

_MIB = 1024 * 1024
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHUNKED = {"Transfer-Encoding": "chunked"}
_FOUND = head(200, JSON_TYPE | _CHUNKED)


def _redirected(exchange: Exchange) -> Mapping[str, str]:
    trap = exchange.target.trap
    places = ("http://127.0.0.1:{}/a", "//127.0.0.1:{}/b", "http://localhost:{}/c", "http://[::1]:{}/d")
    return {"Location": places[exchange.number % len(places)].format(trap)}


def _waiting(exchange: Exchange) -> Mapping[str, str]:
    waits = ("9" * 5_000, "-1", "soon", "1e308", "\u00b2", "Fri, 31 Dec 9999 23:59:59 GMT", "0", "NaN")
    return {"Retry-After": waits[exchange.number % len(waits)]}


_ETAG_8BIT = {"ETag": '"\xff\xfe\x80"'}

ATTACKS = (
    Attack(
        "gzip-bomb",
        server(lists=payload(headers={"Content-Encoding": "gzip"}), payload=partial(compressed_zeros, 256)),
    ),
    Attack(
        "gzip-of-60mib-of-spaces",
        server(
            lists=payload(headers={"Content-Encoding": "gzip"}),
            payload=lambda: zipped(LIST + b" " * 60 * _MIB),
        ),
    ),
    Attack(
        "gzip-twice",
        server(
            lists=payload(headers={"Content-Encoding": "gzip, gzip"}),
            payload=lambda: zipped(compressed_zeros(256)),
        ),
    ),
    Attack(
        "deflate-bomb",
        server(
            lists=payload(headers={"Content-Encoding": "deflate"}),
            payload=partial(compressed_zeros, 256, zlib.MAX_WBITS),
        ),
    ),
    Attack(
        "brotli-bomb",
        server(
            lists=payload(headers={"Content-Encoding": "br"}),
            payload=lambda: b"\x5b\xff\xff\x0f\x00" * 2 * _MIB,
        ),
    ),
    Attack(
        "error-gzip-bomb",
        server(lists=payload(500, {"Content-Encoding": "gzip"}), payload=partial(compressed_zeros, 256)),
    ),
    Attack(
        "stream-gzip-bomb",
        server(
            stream=payload(headers=SSE_TYPE | {"Content-Encoding": "gzip"}),
            payload=partial(compressed_zeros, 256, letter=b"\n"),
        ),
    ),
    Attack("list-drips", server(lists=then_repeats(_FOUND, chunk(b" "), 0.2)), many(20)),
    Attack("list-endless", server(lists=then_repeats(_FOUND, chunk(b" " * 65_536)))),
    Attack("chunks-of-1-byte", server(lists=then_repeats(_FOUND, chunk(b" ") * 10_000)), many(5)),
    Attack(
        "half-a-list",
        server(lists=then_closes(head(200, JSON_TYPE | {"Content-Length": "1000"}) + LIST)),
        many(10),
    ),
    Attack(
        "half-a-list-reset",
        server(lists=then_resets(head(200, JSON_TYPE | {"Content-Length": "1000"}) + LIST)),
        many(10),
    ),
    Attack(
        "content-length-too-short", server(lists=sends(whole(LIST * 3, headers={"Content-Length": "20"})))
    ),
    Attack(
        "content-length-absurd",
        server(lists=then_repeats(head(200, JSON_TYPE | {"Content-Length": "9" * 30}), b" " * 65_536, 0.01)),
    ),
    Attack("content-length-negative", server(lists=sends(whole(LIST, headers={"Content-Length": "-1"})))),
    Attack("two-responses-at-once", server(lists=sends(whole(LIST) * 500))),
    Attack(
        "content-type-html",
        server(
            lists=payload(headers={"Content-Type": "text/html"}),
            payload=lambda: b"<title>" + b"<title" * 10 * _MIB,
        ),
    ),
    Attack(
        "error-page-of-titles",
        server(lists=answers(b"<title" * 10_000, 502, {"Content-Type": "text/html" + ";" * 60_000})),
    ),
    Attack(
        "stream-content-type",
        server(stream=then_repeats(head(200, JSON_TYPE | _CHUNKED), chunk(b"{" * 1_000))),
    ),
    Attack(
        "redirect-inward",
        server(
            login=answers(b"", 307, _redirected),
            lists=answers(b"", 302, _redirected),
            stream=answers(b"", 308, _redirected),
        ),
        many(4),
    ),
    Attack(
        "redirect-list-inward",
        server(lists=answers(b"", 301, _redirected), stream=answers(b"", 307, _redirected)),
        many(4),
    ),
    Attack("etag-8bit", server(lists=answers(LIST, headers=_ETAG_8BIT))),
    Attack("etag-60kb", server(lists=answers(LIST, headers={"ETag": '"' + "e" * 60_000 + '"'}))),
    Attack("not-modified-unasked", server(lists=sends(head(304)))),
    Attack("retry-after-absurd", server(lists=answers(b"{}", 503, _waiting)), many(8)),
    Attack(
        "429-storm",
        server(
            login=answers(b'{"error":"RateLimitExceeded"}', 429, {"Retry-After": "0"}),
            lists=answers(b'{"error":"RateLimitExceeded"}', 429, {"Retry-After": "0"}),
        ),
        many(50),
    ),
    Attack(
        "429-storm-of-streams",
        server(stream=answers(b'{"error":"RateLimitExceeded"}', 429, {"Retry-After": "0"})),
        many(50),
    ),
    Attack(
        "resets", server(login=then_resets(b""), lists=then_resets(b""), stream=then_resets(b"")), many(20)
    ),
    Attack(
        "stream-ends-at-once",
        server(stream=then_closes(head(200, SSE_TYPE | _CHUNKED) + chunk(frame(update())) + b"0\r\n\r\n")),
        many(20),
    ),
    Attack("100-continue-endless", server(lists=then_repeats(b"", head(100) * 1_000))),
    Attack(
        "103-early-hints-endless",
        server(lists=then_repeats(b"", head(103, {f"Link-{n}": "x" * 500 for n in range(30)}) * 20)),
    ),
    Attack("headers-endless", server(lists=then_repeats(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1_000))),
    Attack("header-endless", server(lists=then_repeats(b"HTTP/1.1 200 OK\r\nX-A: ", b"b" * 65_536))),
    Attack("header-bomb", server(lists=answers(LIST, headers={f"X-{n}": "y" for n in range(9_000)}))),
    Attack("status-line-endless", server(lists=then_repeats(b"HTTP/1.1 200 ", b"o" * 65_536))),
    Attack("chunk-extensions-endless", server(lists=then_repeats(_FOUND + b"5;", b"e=f;" * 1_000))),
    Attack("chunk-extensions", server(lists=then_repeats(_FOUND, b"1;" + b"e" * 15_000 + b"\r\n \r\n"))),
    Attack(
        "chunk-size-absurd", server(lists=then_repeats(_FOUND + b"F" * 15 + b"\r\n", b" " * 65_536, 0.01))
    ),
    Attack(
        "trailers-endless", server(lists=then_repeats(_FOUND + chunk(LIST) + b"0\r\n", b"X-A: b\r\n" * 1_000))
    ),
    Attack("silence-at-each-route", server(login=silence, lists=silence, stream=silence), many(40)),
    Attack("tls-silence", server(greeting=silence), lambda tenant: _over_tls(tenant, 40)),
    Attack(
        "tls-garbage",
        server(greeting=then_repeats(b"", b"\x16\x03\x03\x40\x00" + b"\x0b" * 16_384)),
        lambda tenant: _over_tls(tenant, 10),
    ),
)


def _over_tls(tenant: Tenant, number: int) -> list[Manifest]:
    return list(many(number, address=tenant.url.replace("http:", "https:"))(tenant))
