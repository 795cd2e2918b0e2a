"""Bounds the subscriptions of one namespace that are served at a time, so that one tenant cannot use up all.

Each served subscription costs memory, a stream, and a full read at every interval.
"""

import asyncio
import sys
from weakref import WeakValueDictionary


class NamespaceSlots:
    """At most `most` slots for each namespace; 0 is no bound."""

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self._slots = WeakValueDictionary[str, asyncio.Semaphore]()

    def for_namespace(self, namespace: str) -> asyncio.Semaphore:
        """The slots of a namespace: a task enters this semaphore for as long as it serves a subscription."""
        slots = self._slots.get(namespace)
        if slots is None:
            slots = self._slots[namespace] = asyncio.Semaphore(self.most or sys.maxsize)
        return slots
