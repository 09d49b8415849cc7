"""What clips are made to: size, rate and format of the frames, audio features, and the work."""

import dataclasses
from typing import Any, TypedDict

from jaxgesture.data import audio
from jaxgesture.data.audio import Extractor
from jaxgesture.data.cuts import Grid
from jaxgesture.data.frame_writer import frame_settings

# The audio features come at this rate; frames at any other one cannot be paired with them.
AUDIO_FPS = float(audio.FRAME_RATE)


@dataclasses.dataclass(frozen=True)
class FrameForm:
    """What clips of videos are made to, and how the work is done.

    Attributes:
        size: side of the square frames, pixels.
        fps: frames a second. Audio features exist for 25 only.
        extractor: of the audio features; None for the 35 hand-crafted ones.
        image_format: "jpeg" or "png".
        quality: of JPEG, 1 to 100.
        workers: processes; 0 does the work in this one.
        progress: show progress bars.
    """

    size: int = 256
    fps: float = AUDIO_FPS
    extractor: Extractor | None = None
    image_format: str = "jpeg"
    quality: int = 95
    workers: int = 0
    progress: bool = True

    @property
    def _audio(self) -> Extractor:
        return self.extractor or audio.Baseline()

    def settings(self) -> dict[str, Any]:
        """The settings that the frame dataset records.

        Raises:
            UserError: one is out of range.
        """
        return frame_settings(
            self.size, self.fps, self._audio.size, self.image_format, self.quality, self._audio.name
        )

    def grid(self) -> Grid:
        """What the clips of a file are made to."""
        return Grid(self.size, self.fps, self._audio if self.fps == AUDIO_FPS else None)


class FormKeywords(TypedDict, total=False):
    """`FrameForm` as keywords of a call; what is left out has the default."""

    size: int
    fps: float
    extractor: Extractor | None
    image_format: str
    quality: int
    workers: int
    progress: bool
