"""What a run does beside an attack, again and again."""

import threading
from typing import ClassVar, Self


class Repeated:
    """Takes a step again and again in a thread of its own, until the block ends."""

    pause: ClassVar[float]
    """Seconds before each step."""

    def __enter__(self) -> Self:
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._step_forever, name=type(self).__name__, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def step(self) -> None:
        """Take one step; an error ends the steps."""
        raise NotImplementedError

    def _step_forever(self) -> None:
        while not self._ending.wait(self.pause):
            self.step()
