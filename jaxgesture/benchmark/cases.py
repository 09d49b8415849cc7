"""What is measured, and on which inputs."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxgesture.core.types import Float, NumpyBatch

ENCODE, EXTRACT, ANIMATE, TRAIN = "encode_source", "extract_motion", "animate", "train_step"
PRECISIONS = {
    "float32": "all in float32, TF32 off",
    "tf32": "float32 with TF32 products; on an NVIDIA GPU",
    "bfloat16": "convolutions in bfloat16, statistics and places of the warp in float32",
}
SOURCE_SEED, DRIVING_SEED = 0, 1
# Names of a training step's metrics that begin so: the gradient of the warp jumps from cell to
# cell, so that rounding alone moves its norm.
NOT_COMPARED = ("grad_norm",)
WAVES = ((1, 0), (0, 1), (1, 1), (2, 1), (1, 3), (4, 2))  # periods across the image


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
      task: "encode_source", "extract_motion", "animate" (one source in `batch` poses), or
        "train_step".
      batch: images, poses or training pairs of one call.
      precision: a key of `PRECISIONS`.
    """

    task: str
    batch: int
    precision: str

    def __str__(self) -> str:
        """For messages."""
        return f"{self.task} x {self.batch}, {self.precision}"


def make_cases(batches: Sequence[int], train_batch: int, precisions: Sequence[str]) -> list[Case]:
    """The three functions at each batch, then the training step, in each precision."""
    return [
        Case(task, batch, precision)
        for precision in precisions
        for task, sizes in (
            (ENCODE, batches), (EXTRACT, batches), (ANIMATE, batches), (TRAIN, (train_batch,)),
        )
        for batch in sizes
    ]  # fmt: skip


def images(count: int, size: int, seed: int) -> Float[np.ndarray, "b h w 3"]:
    """Smooth pictures in [0, 1], float32; the first are the same whatever the count.

    Args:
      count: of pictures.
      size: side in pixels.
      seed: of their colours and waves.
    """
    y, x = np.mgrid[:size, :size] / size
    pictures = []
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        phases = rng.uniform(0, 2 * np.pi, (len(WAVES), 3))
        weights = rng.dirichlet(np.ones(len(WAVES)), 3).T
        waves = [
            weight * np.sin(2 * np.pi * (fx * x + fy * y)[..., None] + phase)
            for (fx, fy), phase, weight in zip(WAVES, phases, weights, strict=True)
        ]
        pictures.append(0.5 + 0.5 * np.sum(waves, 0))
    return np.stack(pictures).astype(np.float32)


def training_batch(batch: int, size: int, boxes: bool) -> NumpyBatch:
    """Pairs as the training step takes them.

    Args:
      batch: of pairs.
      size: side in pixels.
      boxes: with boxes of two hands, a face and lips, of a sixth to a third of the side.

    Returns:
      "source" and "driving", uint8 (b, h, w, 3), and perhaps "boxes", x0, y0, x1, y1 as fractions
      of the side, float32 (b, 4, 4).
    """
    pixels = {
        name: (255 * images(batch, size, seed)).round().astype(np.uint8)
        for name, seed in (("source", SOURCE_SEED), ("driving", DRIVING_SEED))
    }
    if not boxes:
        return pixels
    rng = np.random.default_rng(DRIVING_SEED)
    side = rng.uniform(1 / 6, 1 / 3, (batch, 4, 1))
    corner = rng.uniform(0, 1 - side, (batch, 4, 2))
    return {**pixels, "boxes": np.concatenate((corner, corner + side), -1).astype(np.float32)}
