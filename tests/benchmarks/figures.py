"""What is measured, its bounds, and the table: pure functions of numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from e2e.faults.results import aligned

_HEAD = ("figure", "value", "floor", "ratio", "bound", "verdict")
_WHOLE = 100.0
"""Numbers from this one on are shown without decimals."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number, a row of the table.

    Attributes:
        name: What it is, with what it depends on.
        value: The number.
        unit: Its unit; empty for a count.
        floor: The same of the least that any program must do, measured in the same run; None without one.
        most: The bound of the value; None without one.
        most_ratio: The bound of the ratio of value and floor; None without one.
    """

    name: str
    value: float
    unit: str = ""
    floor: float | None = None
    most: float | None = None
    most_ratio: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the floor the value is; None without a floor."""
        return self.value / self.floor if self.floor else None

    @property
    def holds(self) -> bool | None:
        """Whether all bounds hold; None without a bound."""
        kept = [self.value <= self.most] if self.most is not None else []
        if self.most_ratio is not None:
            kept.append(self.ratio is not None and self.ratio <= self.most_ratio)
        return all(kept) if kept else None

    @property
    def verdict(self) -> str:
        """`holds`, `BROKEN`, or nothing for a figure without a bound."""
        return {None: "", True: "holds", False: "BROKEN"}[self.holds]

    def as_json(self) -> dict[str, Any]:
        """The figure for a file."""
        return {
            "figure": self.name,
            "value": self.value,
            "unit": self.unit,
            "floor": self.floor,
            "ratio": self.ratio,
            "bound": self.most,
            "boundOfRatio": self.most_ratio,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of one part, and `details` that a table has no room for, as JSON."""

    figures: Sequence[Figure]
    details: Mapping[str, Any] = field(default_factory=dict)


def table(figures: Iterable[Figure]) -> str:
    """Format the figures as text."""
    return aligned([_HEAD, *(_cells(figure) for figure in figures)])


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which this share of the values is; 0 of no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _cells(figure: Figure) -> tuple[str, ...]:
    bounds = (
        f"<= {_number(figure.most)} {figure.unit}".rstrip() if figure.most is not None else "",
        f"<= {_number(figure.most_ratio)}x" if figure.most_ratio is not None else "",
    )
    return (
        figure.name,
        f"{_number(figure.value)} {figure.unit}".rstrip(),
        f"{_number(figure.floor)} {figure.unit}".rstrip() if figure.floor is not None else "",
        f"{figure.ratio:.1f}x" if figure.ratio is not None else "",
        ", ".join(filter(None, bounds)),
        figure.verdict,
    )


def _number(value: float) -> str:
    """A number with as many decimals as it needs."""
    return f"{value:.0f}" if float(value).is_integer() or value >= _WHOLE else f"{value:.3g}"
