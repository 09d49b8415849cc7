"""Features of clips for the Frechet Video Distance (arXiv 1812.01717): I3D's scores of 400 classes.

A clip is looked at in windows of 16 frames. From a clip of T frames n windows are taken, as many as
are asked for and fit without overlap, each in the middle of one of n equal parts,
    start_i = floor((i + 1/2) T / n - 8).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxgesture.core.types import Array
from jaxgesture.evaluation.batched import in_batches
from jaxgesture.perceptual import i3d, weights
from jaxgesture.perceptual.weights import Weights

FRAMES = 16  # of a window
BATCH = 1  # 0.55 s a window on two CPU cores, in batches of two or four as well; none is filled up


def clip_windows(frames: int, count: int, size: int = FRAMES) -> Int[np.ndarray, "n"]:
    """The first frames of at most `count` windows, evenly spread and without overlap.

    Args:
      frames: of the clip.
      count: windows wanted, at least 1; fewer are returned if no more fit, and none if the clip is
        shorter than a window.
      size: frames of a window.

    Raises:
      ValueError: if `count` or `size` is not positive.
    """
    if min(count, size) < 1:
        raise ValueError(f"{count} windows of {size} frames; ask for at least one of each")
    fit = min(count, frames // size)
    return ((2 * np.arange(fit) + 1) * frames - fit * size) // (2 * max(fit, 1))


@jax.jit
def _scores(
    params: Mapping[str, Any], windows: UInt8[Array, "b 16 h w 3"]
) -> Float[Array, "b 400"]:
    return i3d.logits(params, i3d.preprocess(windows))


@dataclasses.dataclass(frozen=True)
class VideoFeatures:
    """The network with its weights.

    Attributes:
      weights: `weights.load("i3d", ...)`.
    """

    weights: Weights

    def __post_init__(self):
        """Refuses the weights of another network."""
        if self.weights.name != "i3d":
            raise ValueError(f"weights of {self.weights.name}; load those of i3d")

    @property
    def label(self) -> str:
        """The network, and where its weights come from."""
        loaded = self.weights
        if loaded.source == weights.RANDOM:
            return "I3D, random weights: comparable with nothing published"
        return f"I3D, 400 scores of Kinetics ({loaded.source}, sha256 {loaded.sha256[:12]})"

    def __call__(self, windows: UInt8[np.ndarray, "n 16 h w 3"]) -> Float[np.ndarray, "n 400"]:
        """The scores of each window, in float64 for the sums that follow; computed in float32.

        Args:
          windows: RGB in [0, 255], of any size; there may be none.

        Raises:
          ValueError: windows of another length or type.
        """
        if windows.shape[1] != FRAMES:
            raise ValueError(f"windows of {windows.shape[1]} frames; cut them to {FRAMES}")
        if not len(windows):
            return np.zeros((0, i3d.CLASSES))
        params = jax.device_put(self.weights.params)
        with jax.default_matmul_precision("highest"):
            scores = in_batches(lambda rows: _scores(params, rows), BATCH, windows)
        return scores.astype(np.float64)


def load_video_features(path: str) -> VideoFeatures:
    """Loads the network's weights, or makes random ones.

    Args:
      path: file with the arrays of i3d_pretrained_400.pt, or "random".

    Raises:
      UserError: see `perceptual.weights.load`.
    """
    return VideoFeatures(weights.load("i3d", path))
