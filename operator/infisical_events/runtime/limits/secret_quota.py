"""How many secrets the process keeps the state of, in all and of one namespace.

A secret's state takes about 250 bytes. A namespace with very large projects must not take the memory of all
others; a small part is left to every namespace, whatever the others keep.
"""

from collections import Counter
from dataclasses import dataclass, field

_MAX_TOTAL = 500_000
_MAX_OF_NAMESPACE = 250_000
_ALWAYS_ADMITTED = 10_000
"""Secrets of a namespace that are admitted although the process keeps too many."""


@dataclass(slots=True)
class SecretQuota:
    """The numbers of kept secrets, by namespace and owner."""

    max_total: int = _MAX_TOTAL
    max_of_namespace: int = _MAX_OF_NAMESPACE
    always_admitted: int = _ALWAYS_ADMITTED
    _kept: dict[str, Counter[int]] = field(default_factory=dict)
    _total: int = 0

    def keep(self, namespace: str, owner: int, count: int) -> bool:
        """Whether this owner may keep so many secrets instead of those that it kept; 0 forgets the owner."""
        of_owner = self._kept.get(namespace, Counter())
        before = of_owner[owner]
        of_namespace, total = of_owner.total() - before + count, self._total - before + count
        is_within = of_namespace <= self.max_of_namespace and total <= self.max_total
        if count > before and not is_within and of_namespace > self.always_admitted:
            return False
        self._total = total
        of_owner[owner] = count
        self._kept[namespace] = +of_owner  # without owners that keep none
        if not self._kept[namespace]:
            del self._kept[namespace]
        return True
