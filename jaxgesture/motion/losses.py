"""The training loss (arXiv 2409.17674, eq. 11).

Mean squared error of the motion, of its first difference (implicit velocity) and of its second
(implicit acceleration), each the mean over all its elements. Where the true history is known to the
network, the differences also span the seam to its last two frames.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp

from jaxgesture.core.types import Array, Bool, Float


@dataclasses.dataclass(frozen=True)
class MotionLossConfig:
    """Weights of the three parts.

    Attributes:
      position: of the motion itself.
      velocity: of its first difference.
      acceleration: of its second difference.
    """

    position: float = 1.0
    velocity: float = 1.0
    acceleration: float = 1.0


# Name of a part -> its sum over the rows of each example, and the number of rows, both (b,).
Parts = dict[str, tuple[Array, Array]]


def loss_parts(
    prediction: Float[Array, "b t d"],
    target: Float[Array, "b t d"],
    *,
    history: Float[Array, "b h d"] | None = None,
    history_mask: Bool[Array, " b"] | None = None,
) -> Parts:
    """The parts "position", "velocity", "acceleration" of each example.

    Args:
      prediction: predicted clean motion.
      target: clean motion.
      history: clean motion before the segment; None compares inside the segment alone.
      history_mask: False for examples without history, whose seam does not count.
    """
    # In float32 or wider, whatever the network computes in.
    wide = jnp.promote_types(target.dtype, jnp.float32)
    error = prediction.astype(wide) - target.astype(wide)
    parts: Parts = {}
    for order, name in enumerate(("position", "velocity", "acceleration")):
        seam = 0 if history is None else min(order, history.shape[1])
        # The history is the same on both sides, so its own error is zero.
        rows = jnp.diff(jnp.pad(error, ((0, 0), (seam, 0), (0, 0))), n=order, axis=1)
        weight = jnp.ones(rows.shape[:2], wide)
        if history_mask is not None:
            crosses = jnp.arange(rows.shape[1]) < seam
            weight = jnp.where(crosses[None] & ~history_mask[:, None], 0, weight)
        total = (jnp.square(rows).mean(axis=-1) * weight).sum(axis=-1)
        parts[name] = total, weight.sum(axis=-1)
    return parts


def mean_losses(
    parts: Parts, config: MotionLossConfig, counts: Mapping[str, Array] | None = None
) -> dict[str, Float[Array, ""]]:
    """The weighted sum "loss" and its unweighted parts, means over all rows of the batch.

    Args:
      parts: of the batch.
      config: weights.
      counts: numbers of rows to divide by, where they are not those of `parts`.
    """
    if counts is None:
        counts = {name: count.sum() for name, (_, count) in parts.items()}
    return _weighed({name: rows.sum() / counts[name] for name, (rows, _) in parts.items()}, config)


def example_losses(parts: Parts, config: MotionLossConfig) -> dict[str, Float[Array, " b"]]:
    """As `mean_losses`, of each example alone."""
    return _weighed({name: rows / count for name, (rows, count) in parts.items()}, config)


def _weighed(parts: dict[str, Array], config: MotionLossConfig) -> dict[str, Array]:
    loss = sum(getattr(config, name) * value for name, value in parts.items())
    return {"loss": jnp.asarray(loss), **parts}


def motion_losses(
    prediction: Float[Array, "b t d"],
    target: Float[Array, "b t d"],
    config: MotionLossConfig,
    *,
    history: Float[Array, "b h d"] | None = None,
    history_mask: Bool[Array, " b"] | None = None,
) -> dict[str, Float[Array, ""]]:
    """`mean_losses` of `loss_parts`."""
    parts = loss_parts(prediction, target, history=history, history_mask=history_mask)
    return mean_losses(parts, config)
