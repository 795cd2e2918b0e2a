"""How many subscriptions of one namespace are served at a time, so that one tenant cannot take all there is.

Each that is served costs memory, a stream, and a look at every interval.
"""

import asyncio
import sys
from weakref import WeakValueDictionary


class NamespaceSlots:
    """So many for each namespace; 0 is no bound."""

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self._slots = WeakValueDictionary[str, asyncio.Semaphore]()

    def for_namespace(self, namespace: str) -> asyncio.Semaphore:
        """Those of a namespace: to be entered for as long as one is served, first come, first served."""
        slots = self._slots.get(namespace)
        if slots is None:
            slots = self._slots[namespace] = asyncio.Semaphore(self.most or sys.maxsize)
        return slots
