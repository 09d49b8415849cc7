"""Reconstruction of driving frames against the controls that any honest table carries.

A model that paints the clip's average and ignores the driving frame beats an unchanged source; it
does not beat the mean frame, nor itself driven by a wrong frame.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.pixels import to_pixels
from jaxgesture.evaluation.image import psnr

Redraw = Callable[[np.ndarray, np.ndarray], np.ndarray]
MODEL, WRONG_DRIVING = "model", "wrong_driving"


class Clip(NamedTuple):
    """One clip to reconstruct.

    Attributes:
      source: the source image, uint8 (h, w, 3).
      frames: the driving frames, which are also the truth, uint8 (t, h, w, 3).
      mean: the mean frame of a training part, a control, float (h, w, 3) in [0, 1]; None without.
      boxes: of left hand, right hand, face and lips in each frame, float32 (t, 4, 4): x0, y0, x1,
        y1 as fractions, NaN for what is not there; None where nobody knows.
    """

    source: UInt8[np.ndarray, "h w 3"]
    frames: UInt8[np.ndarray, "t h w 3"]
    mean: Float[np.ndarray, "h w 3"] | None
    boxes: Float[np.ndarray, "t 4 4"] | None = None


class Reconstruction(NamedTuple):
    """A clip redrawn: by its true driving frames, and by wrong ones; float (t, h, w, 3)."""

    clip: Clip
    generated: np.ndarray
    wrong: np.ndarray

    @property
    def truth(self) -> Float[np.ndarray, "t h w 3"]:
        """The driving frames in [0, 1]."""
        return self.clip.frames.astype(np.float32) / 255.0

    def candidates(self) -> dict[str, np.ndarray]:
        """What is held against the driving frames: the model's pictures, and the controls.

        Returns:
          pictures in [0, 1] by name: float (t, h, w, 3), or (1, h, w, 3) where all are alike.
        """
        source = self.clip.source.astype(np.float32) / 255.0
        return {
            MODEL: self.generated,
            "source_unchanged": source[None],
            **({} if self.clip.mean is None else {"mean_frame": self.clip.mean[None]}),
            "own_mean_frame": self.truth.mean(0)[None],
            WRONG_DRIVING: self.wrong,
        }

    def scores(self) -> dict[str, float]:
        """Mean PSNR over the frames in dB, of the model and of the controls."""
        return {
            "psnr" if name == MODEL else f"psnr_{name}": float(psnr(images, self.truth).mean())
            for name, images in self.candidates().items()
        }


def reconstruct(redraw: Redraw, clip: Clip) -> Reconstruction:
    """Redraws a clip twice: driven by each frame, and by the frame half the clip away.

    Args:
      redraw: (source uint8 (h, w, 3), driving uint8 (t, h, w, 3)) -> float (t, h, w, 3) in [0, 1].
      clip: the clip.
    """
    count = len(clip.frames)
    generated = np.asarray(redraw(clip.source, clip.frames))
    # The model is the same, so a wrong driving frame gives the picture it gave at that frame.
    return Reconstruction(clip, generated, np.roll(generated, count // 2, axis=0))


def mean_scores(reconstructions: Sequence[Reconstruction]) -> dict[str, float]:
    """The scores averaged over clips, with the margins that show what was learned, in dB.

    `psnr_mean_frame` is of the mean of the training part of the same file where there is one, else
    of the clip itself; `psnr_own_mean_frame` always of the clip itself, which is harder to beat.
    """
    scores = [item.scores() for item in reconstructions]
    mean = {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}
    mean["above_mean_frame"] = mean["psnr"] - mean["psnr_mean_frame"]
    mean["above_own_mean_frame"] = mean["psnr"] - mean["psnr_own_mean_frame"]
    mean["above_wrong_driving"] = mean["psnr"] - mean["psnr_wrong_driving"]
    return mean


def strip(item: Reconstruction, columns: int = 8) -> UInt8[np.ndarray, "3*h columns*w 3"]:
    """Rows: true frames, the source redrawn by them, and by wrong frames; evenly spread."""
    picks = np.linspace(0, len(item.clip.frames) - 1, columns).round().astype(int)
    rows = (item.clip.frames, to_pixels(item.generated), to_pixels(item.wrong))
    return np.concatenate([np.concatenate(list(row[picks]), axis=1) for row in rows], axis=0)
