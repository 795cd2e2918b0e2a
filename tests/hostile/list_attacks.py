"""Lists of secrets of a hostile Infisical: vast, odd, expensive to parse."""

import json
from functools import partial

from hostile.attack import Attack
from hostile.replies import (
    JSON_TYPE,
    answers,
    different_names,
    head,
    listed,
    payload,
    secret,
    server,
)

_MIB = 1024 * 1024
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHUNKED = {"Transfer-Encoding": "chunked"}
_FOUND = head(200, JSON_TYPE | _CHUNKED)


def _in_as_many_folders(number: int) -> bytes:
    template = '{"id":"a","secretKey":"A","version":1,"secretPath":"/payments/%s"}'
    items = ",".join(template % name for name in different_names(_LETTERS, 4, number))
    return f'{{"secrets":[{items}]}}'.encode()


def _of_one_folder(number: int) -> bytes:
    template = '{"id":"%s","secretKey":"%s","version":1,"secretPath":"/payments"}'
    items = ",".join(template % (name, name) for name in different_names(_LETTERS, 4, number))
    return f'{{"secrets":[{items}]}}'.encode()


def _in_imports(number: int) -> bytes:
    one_import = '{"environment":"prod","secretPath":"/%s","secrets":[%s]}'
    key = '{"id":"a","secretKey":"A","version":1}'
    items = ",".join(one_import % (name, key) for name in different_names(_LETTERS, 4, number))
    return f'{{"secrets":[],"imports":[{items}]}}'.encode()


def _with(**fields: object) -> bytes:
    return listed(secret(**fields))  # type: ignore[arg-type]


def _padded(letter: str, characters: int) -> bytes:
    return f'{{"secrets":[],"imports":[],"comment":"{letter}{"a" * characters}"}}'.encode()


def _long_numbers(number: int, digits: int = 4_290) -> bytes:
    return f'{{"secrets":[],"numbers":[{",".join(["9" * digits] * number)}]}}'.encode()


def _different_members(number: int) -> bytes:
    return (
        f"{{{','.join(f'{json.dumps(name)}:1' for name in different_names(_LETTERS, 4, number))}}}".encode()
    )


ATTACKS = (
    Attack("list-590k-folders", server(lists=payload(), payload=partial(_in_as_many_folders, 590_000))),
    Attack("list-100k-secrets", server(lists=payload(), payload=partial(_of_one_folder, 100_000))),
    Attack("list-100k-imports", server(lists=payload(), payload=partial(_in_imports, 100_000))),
    Attack(
        "list-empty-objects",
        server(lists=payload(), payload=lambda: b'{"secrets":[' + b"{}," * 1_490_000 + b"{}]}"),
    ),
    Attack(
        "list-beyond-the-limit-of-values",
        server(lists=payload(), payload=lambda: b'{"secrets":[' + b"{}," * 20_000_000 + b"{}]}"),
    ),
    Attack("list-nested", server(lists=answers(b'{"secrets":' + b"[" * 2_000_000))),
    Attack(
        "list-nested-within-limits",
        server(
            lists=payload(),
            payload=lambda: b'{"secrets":[' + b",".join([b"[" * 900 + b"]" * 900] * 3_000) + b"]}",
        ),
    ),
    Attack("list-astral", server(lists=payload(), payload=partial(_padded, "\U0001f511", 60 * _MIB))),
    Attack("list-text-60mib", server(lists=payload(), payload=partial(_padded, "a", 60 * _MIB))),
    Attack("list-id-60mib", server(lists=payload(), payload=lambda: _with(id="i" * 60 * _MIB))),
    Attack("list-key-60mib", server(lists=payload(), payload=lambda: _with(key="k" * 60 * _MIB, id="i"))),
    Attack(
        "list-path-60mib", server(lists=payload(), payload=lambda: _with(path="/payments" + "/p" * 30 * _MIB))
    ),
    Attack("list-numbers-of-4290-digits", server(lists=payload(), payload=partial(_long_numbers, 15_000))),
    Attack("list-700k-members", server(lists=payload(), payload=partial(_different_members, 700_000))),
    Attack(
        "list-escapes-60mib",
        server(lists=payload(), payload=lambda: b'{"secrets":[],"a":"' + b"\\ud83d" * 10 * _MIB + b'"}'),
    ),
    Attack(
        "list-surrogates",
        server(
            lists=answers(
                b'{"secrets":[{"id":"\\ud800","secretKey":"\\udfff","version":1,"secretPath":"/payments/\\ud800"}]}'
            )
        ),
    ),
    Attack(
        "list-nan",
        server(
            lists=answers(
                b'{"secrets":[{"id":NaN,"secretKey":"A","version":NaN,"secretPath":"/payments"},'
                b'{"id":"b","secretKey":"B","version":Infinity,"secretPath":"/payments"}]}'
            )
        ),
    ),
    Attack(
        "list-version-1e308",
        server(
            lists=answers(
                b'{"secrets":[{"id":"a","secretKey":"A","version":1e308,"secretPath":"/payments"},'
                b'{"id":"b","secretKey":"B","version":-' + b"9" * 4_000 + b',"secretPath":"/payments"}]}'
            )
        ),
    ),
    Attack(
        "list-duplicate-members",
        server(lists=payload(), payload=lambda: b"{" + b'"secrets":[],' * 900_000 + b'"secrets":[]}'),
    ),
    Attack(
        "list-year-9999",
        server(
            lists=answers(
                listed(
                    secret(createdAt="9999-12-31T23:59:60.999999999999Z", updatedAt="-9999-01-01T00:00:00Z")
                )
            )
        ),
    ),
    Attack(
        "list-version-alternates",
        server(
            lists=answers(
                lambda exchange: listed(*(secret(f"KEY_{n}", version=exchange.number) for n in range(3_000)))
            )
        ),
    ),
)
