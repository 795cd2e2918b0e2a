"""A port on loopback that redirects lead to: the operator must not follow them."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(slots=True)
class Trap:
    """The port, and how many connections it has received."""

    port: int
    caught: int = 0


@contextmanager
def trap() -> Iterator[Trap]:
    """Listen until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = Trap(listening.getsockname()[1])

        def catch() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    found.caught += 1
                    connection.close()

        thread = threading.Thread(target=catch, daemon=True)
        thread.start()
        yield found
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
