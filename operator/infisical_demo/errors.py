"""Errors that end a demo or one of its steps."""


class DemoError(Exception):
    """The demo cannot run; the message says why and what to do."""


class NotSeenError(Exception):
    """An expected observation was not made in time; the message names it."""
