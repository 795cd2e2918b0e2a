"""The output of the demo and the result of its checks: colours in a terminal, plain lines elsewhere."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_INDENT = "  "


class Report:
    """Prints the demo line by line and keeps the failed checks."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._failures: list[str] = []
        self._checks = 0

    @property
    def failures(self) -> tuple[str, ...]:
        """One sentence per failed check."""
        return tuple(self._failures)

    @property
    def checks(self) -> int:
        """The number of checks so far, passed or failed."""
        return self._checks

    def heading(self, text: str) -> None:
        """Print the title of the next step."""
        self._print(Text(f"\n{text}", style="bold"))

    def note(self, text: str) -> None:
        """Print a remark."""
        self._print(Text(f"{_INDENT}{text}", style="dim"))

    def command(self, text: str) -> None:
        """Print a command as typed in a shell."""
        self._print(Text(f"{_INDENT}$ {text}", style="cyan"))

    def output(self, text: str) -> None:
        """Print the output of a command."""
        for line in text.rstrip().splitlines():
            self._print(Text(f"{_INDENT}{line}"))

    def timed(self, seconds: float, what: str, text: str) -> None:
        """Print an observation and its time in seconds since the change."""
        line = Text.assemble(
            (f"{_INDENT}{seconds:+8.3f} s  ", "dim"),
            (f"{what:<9}", "bold"),
            text,
        )
        self._print(line)

    def check(self, truth: bool, sentence: str, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Record a check: print `sentence` if it passed, `otherwise` if it failed."""
        if truth:
            self.pass_check(sentence)
        else:
            self.fail_check(otherwise)

    def pass_check(self, sentence: str) -> None:
        """Record and print a passed check."""
        self._checks += 1
        self._print(Text(f"{_INDENT}✓ {sentence}", style="green"))

    def fail_check(self, sentence: str) -> None:
        """Record and print a failed check."""
        self._checks += 1
        self._failures.append(sentence)
        self.repeat_failure(sentence)

    def repeat_failure(self, sentence: str) -> None:
        """Print a failed check, without recording it."""
        self._print(Text(f"{_INDENT}✗ {sentence}", style="bold red"))

    def table(self, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """Print a table."""
        table = Table(*headings, box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for row in rows:
            table.add_row(*row)
        self._console.print(Padding(table, (0, 0, 0, len(_INDENT))))

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show a spinner in a terminal while the context is open."""
        with self._console.status(f"{what} …"):
            yield

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)
