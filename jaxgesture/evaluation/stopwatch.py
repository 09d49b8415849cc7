"""What takes how long."""

import contextlib
import time
from collections.abc import Iterator


class Stopwatch:
    """Seconds by name, added up.

    Attributes:
      seconds: name -> seconds of work so far, in the order of first use.
    """

    def __init__(self) -> None:
        """Nothing has been done yet."""
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Adds the time of a block, also where it fails."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun
