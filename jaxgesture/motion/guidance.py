"""Classifier-free guidance (arXiv 2207.12598): u + w (c - u), both branches in one batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgesture.core.types import Array, Bool, Float, Int, PyTree

Branch = Callable[[Array, Array, Array], Array]


def double(tree: PyTree) -> PyTree:
    """Every array twice along the batch: the conditional half, then the unconditional."""
    return jax.tree.map(lambda x: jnp.concatenate((x, x)), tree)


def guided(
    predict: Branch,
    x_t: Float[Array, "b t d"],
    t: Int[Array, " b"],
    weight: Float[Array, ""] | float,
) -> Float[Array, "b t d"]:
    """The guided prediction.

    Args:
      predict: (x_t, t, keep) -> prediction, for a batch of 2 b whose other inputs are `double`d;
        keep is False in the half without audio.
      x_t: noised motion.
      t: diffusion steps.
      weight: 0 unconditional, 1 conditional, above 1 exaggerates the audio.
    """
    keep: Bool[Array, " 2*b"] = jnp.arange(2 * len(x_t)) < len(x_t)
    conditional, unconditional = jnp.split(predict(double(x_t), double(t), keep), 2)
    return unconditional + weight * (conditional - unconditional)
