"""What can go wrong with the local control plane, as far as somebody tells it apart.

ClusterError            shown to the user as one sentence; exit code 1
├── Unavailable         a source has no such program now: ask the next source
└── ChecksumMismatch    a download is not what its publisher announced: stop
"""


class ClusterError(Exception):
    """The local control plane cannot do what was asked; the message says what to do about it."""


class Unavailable(ClusterError):  # noqa: N818 - a state of the source, not a mistake of anybody
    """This source of programs cannot deliver here and now; another one may."""


class ChecksumMismatch(ClusterError):  # noqa: N818 - names what was seen
    """Downloaded bytes differ from the announced ones. Never falls through to another source."""
