"""Ctrl-C while Julia runs."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupts:
    """Remembers a Ctrl-C that arrives where raising would lose it.

    Python runs a pending signal handler at the first instruction of the next Python function. During a solve that
    function is one that Julia called through C, and an exception raised before its first line cannot be caught there.
    So outside the body of such a function Ctrl-C is only noted; inside (`allowed`), in the user's own code, it is
    raised at once, as ever.

    Attributes:
        requested: whether Ctrl-C is waiting.
        allowed: whether the running code can take a KeyboardInterrupt.
    """

    def __init__(self, original: Callable[[int, FrameType | None], Any]) -> None:
        self.requested = False
        self.allowed = False
        self._original = original

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self.allowed:
            self._original(number, frame)
        else:
            self.requested = True

    def deliver(self) -> None:
        """Run what would have run at Ctrl-C, which raises KeyboardInterrupt unless the user chose otherwise."""
        self.requested = False
        self._original(signal.SIGINT, None)


@contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """Hold Ctrl-C back for a call of Julia, and deliver it at the end."""
    original = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(original):
        yield Interrupts(lambda number, frame: None)
        return
    interrupts = Interrupts(original)
    signal.signal(signal.SIGINT, interrupts.handle)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, original)
        if interrupts.requested:
            interrupts.deliver()
