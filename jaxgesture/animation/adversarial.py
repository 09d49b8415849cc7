"""The discriminator's part of the training step (arXiv 2409.17674, eq. 10).

In one step the discriminator sees three batches, each after one power iteration of its spectral
norm: the generated images for the generator's loss, the same without gradient, and the real ones
for its own. It learns from the images that the generator made before its update.
"""

import jax
import jax.numpy as jnp
import optax

from jaxgesture.animation.discriminator import (
    Discriminator,
    lsgan_discriminator,
    lsgan_generator,
)
from jaxgesture.core import sharding
from jaxgesture.core.accumulate import gradients
from jaxgesture.core.optim import grad_norms
from jaxgesture.core.state import Network, apply_gradients, create_network
from jaxgesture.core.types import Array, Bool, Float, PyTree


def create(
    model: Discriminator, optimizer: optax.GradientTransformation, size: int, key: Array
) -> Network:
    """The discriminator before its first step, for images of `size` pixels.

    Raises:
      UserError: if such images are too small for it.
    """
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = model.lazy_init(key, image, train=False)
    return create_network(variables["params"], optimizer, stats=variables["batch_stats"])


def generator_term(
    model: Discriminator, network: Network, generated: Float[Array, "b h w 3"]
) -> tuple[Float[Array, ""], PyTree]:
    """The generator's loss, and the discriminator's statistics after this look."""
    variables = {"params": sharding.gathered(network.params), "batch_stats": network.stats}
    logits, updates = model.apply(
        jax.lax.stop_gradient(variables), generated, train=True, mutable=["batch_stats"]
    )
    return lsgan_generator(logits), updates["batch_stats"]


def update(
    model: Discriminator,
    network: Network,
    optimizer: optax.GradientTransformation,
    generated: Float[Array, "b h w 3"],
    real: Float[Array, "b h w 3"],
    stats: PyTree,
    active: Bool[Array, ""],
    parts: int = 1,
) -> tuple[Network, dict[str, Float[Array, ""]]]:
    """The discriminator after one step of its own, or as it was, and its metrics.

    Args:
      model: the discriminator.
      network: its parameters before the step.
      optimizer: its own.
      generated: carries no gradient.
      real: carries no gradient.
      stats: statistics after the generator's look.
      active: whether it learns yet.
      parts: the batch is looked at in so many, see `core.accumulate`.

    Returns:
      The discriminator; "discriminator_loss", and the norm of its gradient.
    """
    generated, real = jax.lax.stop_gradient((generated, real))

    def objective(params: PyTree, images: PyTree, stats: PyTree, part: Array):
        del part
        fake, seen = model.apply(
            {"params": params, "batch_stats": stats}, images[0], train=True, mutable=["batch_stats"]
        )
        true, seen = model.apply({"params": params, **seen}, images[1], train=True,
                                 mutable=["batch_stats"])  # fmt: skip
        return lsgan_discriminator(true, fake), ({}, {}, seen["batch_stats"])

    loss, grads, _, _, seen = gradients(objective, network.params, (generated, real), stats, parts)
    after, _ = apply_gradients(network, grads, optimizer, stats=seen)
    # A branch of the program would be slow; what is chosen is small.
    kept = jax.tree.map(lambda new, old: jnp.where(active, new, old), after, network)
    norm = grad_norms(grads, "grad_norm_discriminator")["grad_norm_discriminator"]
    return kept, {"discriminator_loss": loss, "grad_norm_discriminator": norm}
