"""The training loss (arXiv 2409.17674, eq. 11).

Mean squared error of the motion, of its first difference (implicit velocity) and of its second
(implicit acceleration), each the mean over all its elements. Where the true history is known to the
network, the differences also span the seam to its last two frames.
"""

import dataclasses

import jax.numpy as jnp

from jaxgesture.core.types import Array, Bool, Float, Metrics


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


def motion_losses(
    prediction: Float[Array, "b t d"],
    target: Float[Array, "b t d"],
    config: MotionLossConfig,
    *,
    history: Float[Array, "b h d"] | None = None,
    history_mask: Bool[Array, " b"] | None = None,
) -> Metrics:
    """The weighted sum "loss" and its unweighted parts "position", "velocity", "acceleration".

    Args:
      prediction: predicted clean motion.
      target: clean motion.
      config: weights.
      history: clean motion before the segment; None compares inside the segment alone.
      history_mask: False for examples without history, whose seam does not count.
    """
    # In float32 or wider, whatever the network computes in.
    wide = jnp.promote_types(target.dtype, jnp.float32)
    error = prediction.astype(wide) - target.astype(wide)
    parts = {"position": jnp.square(error).mean()}
    for order, name in enumerate(("velocity", "acceleration"), start=1):
        seam = 0 if history is None else min(order, history.shape[1])
        # The history is the same on both sides, so its own error is zero.
        rows = jnp.diff(jnp.pad(error, ((0, 0), (seam, 0), (0, 0))), n=order, axis=1)
        weight = jnp.ones(rows.shape[:2], wide)
        if history_mask is not None:
            crosses = jnp.arange(rows.shape[1]) < seam
            weight = jnp.where(crosses[None] & ~history_mask[:, None], 0, weight)
        total = (jnp.square(rows).mean(axis=-1) * weight).sum()
        parts[name] = total / weight.sum()
    loss = sum(getattr(config, name) * value for name, value in parts.items())
    return {"loss": jnp.asarray(loss), **parts}
