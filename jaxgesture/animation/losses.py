"""Losses of the base model (arXiv 2409.17674, eqs. 8-10).

The reconstruction part needs no outside weights: the mean absolute difference of the images on an
anti-aliased pyramid,
    L_pixel = sum_s weight * mean |blur_s(generated) - blur_s(real)|,   s in scales.
More parts are not published and off by default; they shorten the time for which a model paints the
clip's average and ignores the driving frame: the read-out of `animation.read_out`, the squared
difference, and
    L_motion = mean (m / mean m) |generated - real|,   m = 5x5 mean of |source - real|,
the absolute difference where the driving frame differs from the source.

The perceptual (eqs. 8, 9) and adversarial (eq. 10) parts add terms to the same dictionary.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Array, Float
from jaxgesture.layers.resize import blur_downsample

MOTION_FLOOR = 0.01  # mean change per pixel below which a pair counts less


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; a weight of zero leaves the term out.

    Attributes:
      pixel: weight of the absolute difference at each level of the pyramid.
      squared: weight of the squared difference at full resolution.
      motion: weight of the absolute difference where source and driving frame differ.
      scales: levels of the pyramid, as factors of reduction.
      read_out: weight of the read-out of the decoded motion, all through the training.
      read_out_steps: so many steps at the start train extractor, motion decoder and read-out alone,
        under the optimiser's schedule over these steps; then it starts again, over the rest.
    """

    pixel: float = 1.0
    squared: float = 0.0
    motion: float = 0.0
    scales: tuple[int, ...] = (1, 2, 4, 8)
    read_out: float = 0.0
    read_out_steps: int = 0

    def __post_init__(self):
        if not 0 <= self.read_out < float("inf"):
            raise UserError(f"loss.read_out is {self.read_out}; choose a finite number, 0 for none")
        if self.read_out_steps < 0 or (self.read_out_steps and not self.read_out):
            raise UserError(
                f"loss.read_out_steps={self.read_out_steps} with loss.read_out={self.read_out}: "
                "steps that train the read-out alone need a weight; set loss.read_out, or 0 steps"
            )


def reconstruction_loss(
    generated: Float[Array, "b h w 3"],
    real: Float[Array, "b h w 3"],
    source: Float[Array, "b h w 3"],
    config: LossConfig,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The weighted sum and its unweighted terms; only `generated` carries a gradient.

    Args:
      generated: the source redrawn in the driving frame's pose, in [0, 1].
      real: the driving frame.
      source: the source image.
      config: weights.
    """
    real, source = jax.lax.stop_gradient((real, source))
    difference = generated - real
    terms = {}
    for scale in config.scales:
        # The blur is linear: one pyramid of the difference serves both images.
        terms[f"pixel_{scale}"] = jnp.abs(blur_downsample(difference, scale)).mean()
    terms["squared"] = (difference**2).mean()
    if config.motion:
        weight = motion_weight(real, source)
        terms["motion"] = (weight * jnp.abs(difference)).mean()
    total = config.pixel * sum(terms[f"pixel_{scale}"] for scale in config.scales)
    total += config.squared * terms["squared"] + config.motion * terms.get("motion", 0.0)
    return total, terms


def motion_weight(
    real: Float[Array, "b h w 3"], source: Float[Array, "b h w 3"]
) -> Float[Array, "b h w 1"]:
    """How much each pixel changes between source and driving frame; mean about 1 per image."""
    change = jnp.abs(real - source).mean(-1, keepdims=True)
    change = jax.lax.reduce_window(change, 0.0, jax.lax.add, (1, 5, 5, 1), (1, 1, 1, 1), "SAME")
    # The floor keeps two equal frames from being all weight.
    return change / jnp.maximum(change.mean((1, 2, 3), keepdims=True), 25 * MOTION_FLOOR)
