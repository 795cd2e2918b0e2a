"""What is still there without anybody who needs it: it waits for the garbage collector.

An error has the frames that it came through. Who keeps the error and is in one of them is in a circle, with
all that those frames have: that of hundreds of streams at once is memory that a process never gives back.

What is counted is the whole process. Errors that other tests raise again and again, as their parameters, keep
all that they came through: so a test compares with what was there before.
"""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is collected meanwhile, and none is there at first."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def errors() -> Counter[str]:
    """The errors of the operator that are there, by the names of their classes."""
    return Counter(_name(one) for one in gc.get_objects() if _is_ours(one) and isinstance(one, Exception))


def objects() -> Counter[str]:
    """All objects of the operator's classes that are there, by the names of their classes."""
    return Counter(_name(one) for one in gc.get_objects() if _is_ours(one))


def _name(one: object) -> str:
    return type(one).__qualname__


def _is_ours(one: object) -> bool:
    return str(type(one).__module__).startswith("infisical_events.")
