"""The errors of the local control plane.

ClusterError            shown to the user as one message; exit code 1
├── Unavailable         a source cannot deliver a program: try the next source
└── ChecksumMismatch    a download differs from its published checksum: stop
"""


class ClusterError(Exception):
    """An operation of the local control plane failed; the message says why."""


class Unavailable(ClusterError):  # noqa: N818 - a state of the source
    """This source of programs cannot deliver; the next one may."""


class ChecksumMismatch(ClusterError):  # noqa: N818 - names the finding
    """The download differs from its published checksum. No other source is tried."""
