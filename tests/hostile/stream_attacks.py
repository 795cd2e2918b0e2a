"""Event streams of a hostile Infisical: floods, and vast or odd events."""

import json
from functools import partial

from hostile.attack import Attack, many
from hostile.replies import (
    JSON_TYPE,
    SSE_TYPE,
    answers,
    chunk,
    different_names,
    floods,
    frame,
    head,
    server,
    streams,
    streams_payload,
    then_repeats,
    update,
)

_MIB = 1024 * 1024
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHUNKED = {"Transfer-Encoding": "chunked"}
_FOUND = head(200, JSON_TYPE | _CHUNKED)
_EVENT = 1_048_000
"""Characters of the largest event that the operator reads, about."""
_IDEOGRAPHS = "".join(map(chr, range(0x4E00, 0x4E00 + 500)))


def _event_of_keys(number: int, letters: str = _IDEOGRAPHS) -> bytes:
    keys = ",".join(f'"{name}"' for name in different_names(letters, 2, number))
    place = '"environment":"prod","secretPath":"/payments"'
    body = f'{{"data":{{"eventType":"secret:update","payload":[{{{place},"secretKeys":[{keys}]}}]}}}}'
    return f"event: secret:update\ndata: {body}\n\n".encode()


def _event_of_folders(number: int) -> bytes:
    items = (
        {"environment": "prod", "secretPath": f"/payments/{name}", "secretKey": "A"}
        for name in different_names(_LETTERS, 3, number)
    )
    body = json.dumps(update(*items), separators=(",", ":"))
    return f"event: secret:update\ndata: {body}\n\n".encode()


def _event(text: str, name: str = "secret:update") -> bytes:
    return f"event: {name}\ndata: {text}\n\n".encode(errors="surrogatepass")


_ODD_EVENTS = (
    _event('{"data":{"eventType":NaN,"payload":[Infinity]}}'),
    _event(
        '{"data":{"eventType":"secret:update","payload":[{"environment":"\\ud800","secretPath":"/\\udfff"}]}}'
    ),
    _event(
        '{"data":{"eventType":"secret:update","payload":[{"environment":"prod","secretPath":"/payments",'
        '"secretKey":"\\ud800\\u0000\\u202e","createdAt":"9999-12-31T23:59:60Z"}]}}'
    ),
    _event('{"data":{"data":{},"eventType":"secret:update","eventType":"secret:delete","payload":[]}}'),
    _event("9" * 4_000),
    _event("-" + "9" * 5_000),
    _event("1e9999"),
    _event("[" * 5_000),
    _event('"' + "\U0001f511" * 9_000 + '"'),
    b"\xff\xfe\x00data: x\n\n",
    b"id: \x00\nretry: 0\n\n",
    b"retry: " + b"9" * 5_000 + b"\n\n",
    b":" * 9_000 + b"\n\n",
    b"\r\r\r\n\n\r",
    b"1" * 9_000 + b"data: {}\n\n",
)

ATTACKS = (
    Attack("flood-of-data-lines", server(stream=floods(b"data:x\n"))),
    Attack("flood-of-short-events", server(stream=floods(b"data:x\n\n")), many(5)),
    Attack("flood-of-comments", server(stream=floods(b":\n\n")), many(5)),
    Attack("flood-of-long-comments", server(stream=floods(b":" + b"c" * 60_000 + b"\n\n")), many(5)),
    Attack("flood-of-blank-lines", server(stream=floods(b"\n")), many(5)),
    Attack("flood-of-matching-events", server(stream=floods(frame(update()))), many(5)),
    Attack(
        "flood-of-other-events",
        server(
            stream=floods(frame(update({"environment": "prod", "secretPath": "/other", "secretKey": "K"})))
        ),
        many(5),
    ),
    Attack("flood-of-error-events", server(stream=floods(b"event: error\n\n")), many(5)),
    Attack(
        "flood-of-bytes",
        server(stream=then_repeats(head(200, SSE_TYPE | _CHUNKED), chunk(b":") * 10_000)),
        many(5),
    ),
    Attack("flood-of-names", server(stream=floods(b"event: " + b"n" * 500_000 + b"\ndata: {}\n\n"))),
    Attack("flood-of-ids", server(stream=floods(b"id: " + b"i" * 500_000 + b"\n\n"))),
    Attack(
        "event-of-15mib",
        server(
            stream=streams_payload(1.0),
            payload=lambda: _event_of_keys(2_300_000, "".join(map(chr, range(0x4E00, 0x4E00 + 1_600)))),
        ),
    ),
    Attack(
        "events-of-200k-keys",
        server(lists=answers(b"{}", 500), stream=streams_payload(), payload=partial(_event_of_keys, 200_000)),
    ),
    Attack(
        "events-of-200k-keys-read",
        server(stream=streams_payload(), payload=partial(_event_of_keys, 200_000)),
        many(3),
    ),
    Attack(
        "events-of-15k-folders", server(stream=streams_payload(), payload=partial(_event_of_folders, 13_000))
    ),
    Attack(
        "events-of-15k-folders-fail",
        server(
            lists=answers(b"{}", 500), stream=streams_payload(), payload=partial(_event_of_folders, 13_000)
        ),
    ),
    Attack(
        "events-of-empty-objects",
        server(stream=streams_payload(), payload=lambda: _event("[" + "{}," * (_EVENT // 3) + "{}]")),
    ),
    Attack(
        "events-of-empty-items",
        server(
            stream=streams_payload(),
            payload=lambda: _event(
                '{"data":{"eventType":"secret:update","payload":[' + "{}," * (_EVENT // 3 - 30) + "{}]}}"
            ),
        ),
    ),
    Attack("events-nested", server(stream=streams_payload(), payload=lambda: _event("[" * (_EVENT - 100)))),
    Attack(
        "events-astral",
        server(stream=streams_payload(), payload=lambda: _event('"' + "\U0001f511" * (_EVENT - 100) + '"')),
        many(3),
    ),
    Attack(
        "events-of-1mib-in-lines",
        server(stream=streams_payload(), payload=lambda: b"data:x\n" * 15_000 + b"\n"),
        many(3),
    ),
    Attack("events-odd", server(stream=streams(*_ODD_EVENTS, pause=0.05)), many(3)),
    Attack(
        "event-never-ends",
        server(stream=then_repeats(head(200, SSE_TYPE | _CHUNKED), chunk(b"data: x"), 0.01)),
        many(20),
    ),
    Attack(
        "stream-drips",
        server(stream=then_repeats(head(200, SSE_TYPE | _CHUNKED), chunk(b"\n"), 0.01)),
        many(20),
    ),
)
