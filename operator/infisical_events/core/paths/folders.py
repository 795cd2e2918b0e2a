"""The folder that a secret is in, in the notation of Infisical."""

from dataclasses import dataclass
from urllib.parse import quote, unquote


@dataclass(frozen=True, slots=True, order=True)
class Folder:
    """A folder of one environment; `path` is canonical: `/` or `/a/b` without a trailing slash."""

    environment: str
    path: str

    def __str__(self) -> str:
        """`prod:/payments`, also the way it is stored.

        Characters that no folder name has (an event may contain anything) are percent-encoded, so that a
        name never contains a separator of the stored form.
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

    The server accepts `a/b` and `//a` in requests, and its events repeat the path of the request unchanged.
    """
    return "/" + "/".join(segment for segment in path.split("/") if segment)
