"""Whose certificates are trusted: one TLS context for all connections to Infisical.

The command line asks for it before anything begins: a mistake in SSL_CERT_FILE is one of the whole
process, and must not be met anew by each subscription.
"""

import functools
import ssl
from pathlib import Path

import httpx


class TrustError(Exception):
    """No authorities can be had; a sentence says which variable and file to mend."""


@functools.cache
def tls_context() -> ssl.SSLContext:
    """One context for all: building it costs 18 ms and 0.7 MiB; raises OSError."""
    return httpx.create_ssl_context()


def check_trust(file: str, folder: str) -> None:
    """See that there are authorities; `file` and `folder` are SSL_CERT_FILE and SSL_CERT_DIR, or empty.

    Raises:
        TrustError: they cannot be had from there.
    """
    tls_context.cache_clear()
    try:
        tls_context()
    except OSError as error:
        raise TrustError(f"SSL_CERT_FILE={file} {_cause(error)}") from None
    if folder and not file and not Path(folder).is_dir():
        raise TrustError(f"SSL_CERT_DIR={folder} is no folder: mount one with certificates there")


def _cause(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "has no certificate in PEM form: put those of the authorities to trust into it"
    why = (error.strerror or type(error).__name__).lower()
    return f"cannot be read ({why}): check the path, and what is mounted there"
