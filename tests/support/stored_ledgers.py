"""The stored ledger, taken apart and put together again: most of it is in one compressed field."""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

READABLE = ("format", "epoch", "seq", "debts", "rollouts", "unlisted")


def opened(stored: Mapping[str, Any]) -> dict[str, Any]:
    """All fields in one object, as every format before the fourth has them."""
    fields = {name: value for name, value in stored.items() if value is not None}
    data = fields.pop("data", None)
    return fields | (json.loads(zlib.decompress(base64.b64decode(data))) if data is not None else {})


def sealed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse, in the fourth format."""
    inner = {name: value for name, value in fields.items() if name not in READABLE}
    data = base64.b64encode(zlib.compress(json.dumps(inner).encode())).decode()
    return {name: value for name, value in fields.items() if name in READABLE} | {"data": data}
