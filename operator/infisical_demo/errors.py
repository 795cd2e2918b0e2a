"""What ends a demo before its time."""


class DemoError(Exception):
    """The demo cannot be shown; the message is a sentence that says what to do about it."""


class NotSeenError(Exception):
    """Something that had to happen was not seen in time; the message says what."""
