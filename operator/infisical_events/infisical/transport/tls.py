"""The trusted certificate authorities: one TLS context for all connections to Infisical.

The command line checks it at the start: a wrong SSL_CERT_FILE affects the whole process, and must not become
an error of each subscription.
"""

import functools
import ssl
from pathlib import Path

import httpx


class TrustError(Exception):
    """There are no usable certificate authorities; the message has the variable and the file to change."""


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The shared TLS context: building one takes 18 ms and 0.7 MiB; raises OSError."""
    return httpx.create_ssl_context()


def check_trust(file: str, folder: str) -> None:
    """Check the certificate authorities; `file` and `folder` are SSL_CERT_FILE and SSL_CERT_DIR, or empty.

    Raises:
        TrustError: these settings provide no usable authorities.
    """
    tls_context.cache_clear()
    try:
        tls_context()
    except OSError as error:
        raise TrustError(f"SSL_CERT_FILE={file} {_cause(error)}") from None
    if folder and not file and not Path(folder).is_dir():
        raise TrustError(f"SSL_CERT_DIR={folder} is not a directory: mount one with certificates there")


def _cause(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "has no certificate in PEM format: add those of the trusted authorities"
    why = (error.strerror or type(error).__name__).lower()
    return f"cannot be read ({why}): check the path and the volume mount"
