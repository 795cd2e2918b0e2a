"""Where secrets live: a folder of an environment, named as Infisical names it."""

from dataclasses import dataclass
from urllib.parse import quote, unquote


@dataclass(frozen=True, slots=True, order=True)
class Folder:
    """A folder of one environment; `path` is canonical: `/` or `/a/b` without a trailing slash."""

    environment: str
    path: str

    def __str__(self) -> str:
        """`prod:/payments`, also the way it is stored.

        What a folder cannot be called (an event may say anything) is escaped as in a URL, so that
        nothing in a name is taken for what separates names where they are stored.
        """
        return ":".join(quote(name, errors="surrogatepass") for name in (self.environment, self.path))

    @classmethod
    def parse(cls, text: str) -> "Folder":
        """The inverse of `str()`; raises ValueError when there is no colon."""
        environment, colon, path = text.partition(":")
        if not colon:
            raise ValueError("a folder is written as environment:/path")
        return cls(*(unquote(name, errors="surrogatepass") for name in (environment, path)))


def canonical(path: str) -> str:
    """A path with one leading slash, no empty segments and no trailing slash.

    The server tolerates `a/b` and `//a` in requests and repeats the text of the request in its events.
    """
    return "/" + "/".join(segment for segment in path.split("/") if segment)
