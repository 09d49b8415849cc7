"""What is measured of videos: with which tools, of one clip, and of whole sets."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from jaxtyping import Float

from jaxgesture.evaluation import comparison, gestures
from jaxgesture.evaluation.comparison import Scores
from jaxgesture.evaluation.landmark_distance import LandmarkDistance, MissingHands
from jaxgesture.evaluation.video_sets import Recording

# Kinds of features that sets are compared by.
VIDEO, POSE, MOTION = "video", "pose", "motion"
REFERENCE = "reference"
STRIDE = 10  # frames from a window for FGD to the next


class Features(Protocol):
    """Features of windows, and what they hang on."""

    @property
    def label(self) -> str:
        """Network, weights and hash."""
        ...

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """One row of features a window."""
        ...


@dataclasses.dataclass(frozen=True)
class Tools:
    """What is measured, and how.

    Attributes:
      size: side of the pictures that are compared, pixels.
      frames: pictures of each clip that are compared, evenly spread.
      video_windows: windows of each clip for FVD.
      metrics: of pictures.
      features: kind of features -> network; kinds that are missing are not compared.
    """

    size: int = 256
    frames: int = 50
    video_windows: int = 1
    metrics: Mapping[str, comparison.Metric] = dataclasses.field(
        default_factory=lambda: dict(comparison.METRICS)
    )
    features: Mapping[str, Features] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class ClipScores:
    """What was measured of a clip; what could not be is None or empty.

    Attributes:
      name: of the recording.
      speaker: folder that it lies in.
      regions: of pictures against the true ones, see `comparison`.
      distance: of landmarks from the true ones.
      hands: missing ones.
      joints: `ARMS` at `FPS`.
      in_sides: the joints are in sides of the picture; else in the unit of the landmarks file.
      beats: onsets of its speech, seconds.
      alignment: beat alignments, and beat response, with its own speech.
      other: the same with the speech of another clip.
      features: kind -> one row a window.
    """

    name: str
    speaker: str
    regions: dict[str, Scores] = dataclasses.field(default_factory=dict)
    distance: LandmarkDistance | None = None
    hands: MissingHands | None = None
    joints: Float[np.ndarray, "t 7 2"] | None = None
    in_sides: bool = True
    beats: Float[np.ndarray, "b"] | None = None
    alignment: dict[str, float] = dataclasses.field(default_factory=dict)
    other: dict[str, float] = dataclasses.field(default_factory=dict)
    features: dict[str, Float[np.ndarray, "n d"]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Measured:
    """All that was measured.

    Attributes:
      systems: label -> clips; `REFERENCE` are the true ones.
      pairs: label -> names that are in the reference too.
      recordings: label -> name -> files.
      problems: what could not be measured as it should, one line each, with their number.
      seconds: of work, by metric.
      scale: of the beat alignments; None where the reference has no joints.
    """

    systems: dict[str, dict[str, ClipScores]]
    pairs: dict[str, list[str]]
    recordings: dict[str, dict[str, Recording]]
    problems: collections.Counter[str]
    seconds: dict[str, float]
    scale: gestures.Scale | None
