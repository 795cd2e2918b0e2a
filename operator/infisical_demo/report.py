"""What the demo tells, and whether all of it was true: colours in a terminal, plain lines elsewhere."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_INDENT = "  "


class Story:
    """Tells the demo line by line and remembers what turned out to be false."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._failures: list[str] = []
        self._checks = 0

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each expectation that was not met."""
        return tuple(self._failures)

    @property
    def checks(self) -> int:
        """How many expectations were looked at."""
        return self._checks

    def heading(self, text: str) -> None:
        """What comes next."""
        self._print(Text(f"\n{text}", style="bold"))

    def note(self, text: str) -> None:
        """Something said beside."""
        self._print(Text(f"{_INDENT}{text}", style="dim"))

    def command(self, text: str) -> None:
        """A command as a person would type it."""
        self._print(Text(f"{_INDENT}$ {text}", style="cyan"))

    def quote(self, text: str) -> None:
        """The output of a command."""
        for line in text.rstrip().splitlines():
            self._print(Text(f"{_INDENT}{line}"))

    def happened(self, seconds: float, what: str, text: str) -> None:
        """Something was seen, so many seconds after the change."""
        line = Text.assemble(
            (f"{_INDENT}{seconds:+8.3f} s  ", "dim"),
            (f"{what:<9}", "bold"),
            text,
        )
        self._print(line)

    def check(self, truth: bool, sentence: str, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Tell a fact that was measured, or what was found in its place."""
        if truth:
            self.meet(sentence)
        else:
            self.fail(otherwise)

    def meet(self, sentence: str) -> None:
        """An expectation was met."""
        self._checks += 1
        self._print(Text(f"{_INDENT}✓ {sentence}", style="green"))

    def fail(self, sentence: str) -> None:
        """An expectation was not met."""
        self._checks += 1
        self._failures.append(sentence)
        self.fail_again(sentence)

    def fail_again(self, sentence: str) -> None:
        """Repeat in the end what went wrong."""
        self._print(Text(f"{_INDENT}✗ {sentence}", style="bold red"))

    def table(self, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """Figures."""
        table = Table(*headings, box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for row in rows:
            table.add_row(*row)
        self._console.print(Padding(table, (0, 0, 0, len(_INDENT))))

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show in a terminal that something is waited for."""
        with self._console.status(f"{what} …"):
            yield

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)
