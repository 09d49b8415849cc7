"""Losses of the base model (arXiv 2409.17674, eqs. 8-10).

The reconstruction part needs no outside weights: the mean absolute difference of the images on an
anti-aliased pyramid,
    L_pixel = sum_s weight * mean |blur_s(generated) - blur_s(real)|,   s in scales.
The perceptual (eqs. 8, 9) and adversarial (eq. 10) parts add terms to the same dictionary.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxgesture.core.types import Array, Float
from jaxgesture.layers.resize import blur_downsample


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; a weight of zero leaves the term out.

    Attributes:
      pixel: weight of the absolute difference at each level of the pyramid.
      squared: weight of the squared difference at full resolution; it pulls towards what moves
        (an absolute difference alone is long content with the clip's average).
      scales: levels of the pyramid, as factors of reduction.
    """

    pixel: float = 1.0
    squared: float = 0.0
    scales: tuple[int, ...] = (1, 2, 4)


def reconstruction_loss(
    generated: Float[Array, "b h w 3"], real: Float[Array, "b h w 3"], config: LossConfig
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The weighted sum and its unweighted terms; images in [0, 1], `real` carries no gradient."""
    real = jax.lax.stop_gradient(real)
    difference = generated - real
    terms = {}
    for scale in config.scales:
        # The blur is linear: one pyramid of the difference serves both images.
        terms[f"pixel_{scale}"] = jnp.abs(blur_downsample(difference, scale)).mean()
    terms["squared"] = (difference**2).mean()
    total = config.pixel * sum(terms[f"pixel_{scale}"] for scale in config.scales)
    return total + config.squared * terms["squared"], terms
