"""Prints results: tables and lines for people, JSON or YAML for programs.

Tables are aligned text, in colours where `rich` is installed and the output is a terminal. Names come from
servers and from users, so control characters in them are escaped: they could rewrite the terminal.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import click
import yaml
from pydantic import BaseModel

from infisical_events.api.statuses import rfc3339
from infisical_events.core.status.text import escaped

_LONGEST_CELL = 500
_GAP = "   "


class OutputFormat(StrEnum):
    """Values of `--output`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-o json|yaml`: the option of every command with a result."""
    return click.option(
        "-o",
        "--output",
        "output",
        type=click.Choice([each.value for each in OutputFormat]),
        default=OutputFormat.TABLE.value,
        show_default=True,
        help="Format of the output.",
        callback=lambda _, __, value: OutputFormat(value),
    )(command)


def plain(value: Any) -> Any:  # noqa: ANN401 - any frozen value
    """A frozen value as plain data: dataclasses and models as maps, times as RFC 3339, the rest as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {_camel(each.name): plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | frozenset):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def print_data(data: Any, output: OutputFormat) -> None:  # noqa: ANN401 - JSON
    """Print plain data as JSON or YAML."""
    if output is OutputFormat.JSON:
        click.echo(json.dumps(data, indent=2))
    else:
        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in aligned columns; cells are made safe and cut."""
    cells = [[escaped(cell, _LONGEST_CELL) for cell in row] for row in rows]
    if not (sys.stdout.isatty() and _print_rich(header, cells)):
        click.echo("\n".join(aligned([list(header), *cells])))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, their columns aligned as `kubectl get` does it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one per line; foreign characters are escaped, and long values cut."""
    width = max((len(name) for name, _ in facts), default=0) + 3
    for name, value in facts:
        click.echo(f"{name + ':':<{width}}{escaped(value, _LONGEST_CELL)}")


def age(moment: datetime | None, now: datetime) -> str:
    """`5s`, `3m`, `2h`, `4d`, as kubectl shows times; `-` for none."""
    if moment is None:
        return "-"
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _print_rich(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether `rich` is installed and has printed the table."""
    try:
        from rich.console import Console  # noqa: PLC0415 - a terminal alone needs it
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415
    except ModuleNotFoundError:
        return False
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console().print(table)
    return True


_STYLES = {
    "True": "green",
    "False": "red",
    "Failed": "red",
    "Held": "yellow",
    "Pending": "yellow",
    "Stalled": "red",
}
"""Colours of cells that say how something is."""
