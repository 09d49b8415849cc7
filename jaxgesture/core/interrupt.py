"""SIGTERM and Ctrl-C as requests to stop after the current step."""

import os
import signal
import threading
from types import FrameType

import jax


class StopRequests:
    """Context manager that turns signals into `requested`; a second Ctrl-C stops at once.

    Outside the main thread, where Python takes no signal handlers, it requests nothing. With
    several processes SIGTERM is left to JAX, which tells every host of the same stopping step.
    """

    def __init__(self) -> None:
        self.requested: signal.Signals | None = None
        self._old: dict[signal.Signals, object] = {}

    def __enter__(self) -> "StopRequests":
        if threading.current_thread() is threading.main_thread():
            taken = [signal.SIGINT]
            if jax.process_count() == 1:
                taken.append(signal.SIGTERM)
            self._old = {number: signal.signal(number, self._handle) for number in taken}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = signal.Signals(number)
        # Several processes ask each other when they log.
        alone = jax.process_count() == 1
        when = b"after this step" if alone else b"at the next step that is logged"
        # Not `print`, which must not be called again while it is writing.
        os.write(2, b"\nstopping " + when + b"; Ctrl-C stops at once\n")
