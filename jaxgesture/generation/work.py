"""A job that is being worked on, and how it ended."""

import time
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError
from jaxgesture.generation.jobs import Job
from jaxgesture.generation.outputs import Output
from jaxgesture.generation.render import Renderer
from jaxgesture.generation.watermark import Watermark

PARTS = ("features", "motion", "render", "encode")


class Outcome(NamedTuple):
    """How a job ended.

    Attributes:
      job: which one.
      frames: written; 0 where it failed.
      seconds: time taken by each of `PARTS`; a batch's motion is shared out evenly.
      error: why it failed, or None.
    """

    job: Job
    frames: int
    seconds: dict[str, float]
    error: UserError | None


class Work:
    """A job that is being worked on.

    Args:
      job: which one.
      seconds: time taken so far by each of `PARTS`.
      mark: drawn into its frames, or None.

    Attributes:
      job: which one.
      seconds: time taken so far.
      renderer: draws the frames; None where none are wanted.
      outputs: opened for it.
      frames: that it will have.
      done: frames of the segments that were taken.
    """

    def __init__(self, job: Job, seconds: dict[str, float], mark: Watermark | None = None):
        self.job, self.seconds = job, seconds
        self.renderer: Renderer | None = None
        self.outputs: list[Output] = []
        self.frames = self.done = 0
        self._mark = mark

    def take(self, segment: Float[np.ndarray, "t d"], last: bool) -> None:
        """Draws and writes what a segment makes ready; completes the results after the last."""
        clock = time.monotonic()

        def spent(part: str) -> None:
            nonlocal clock
            now = time.monotonic()
            self.seconds[part] += now - clock
            clock = now

        for output in self.outputs:
            if not output.drawn:
                output.write(segment)
        if self.renderer is not None:
            for frames in self.renderer.draw(segment, last):
                marked = frames if self._mark is None else self._mark.draw(frames)
                spent("render")
                for output in self.outputs:
                    if output.drawn:
                        output.write(marked)
                spent("encode")
        if last:
            for output in self.outputs:
                output.close()
        spent("encode")

    def abort(self) -> None:
        """Removes what was written so far."""
        for output in self.outputs:
            output.abort()
