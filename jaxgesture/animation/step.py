"""The training step of the base model: a pure function of state, batch and key."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.losses import LossConfig, reconstruction_loss
from jaxgesture.animation.network import AnimationNetwork
from jaxgesture.core.state import TrainState, apply_gradients, create_network, create_state
from jaxgesture.core.types import AnyArray, Array, Batch, Float, Metrics, UInt8

GENERATOR = "generator"


def as_image(pixels: UInt8[AnyArray, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """uint8 pixels as float32 in [0, 1]."""
    return jnp.asarray(pixels).astype(jnp.float32) / 255.0


def make_init(
    config: AnimationConfig, optimizer: optax.GradientTransformation, *, ema: bool = False
) -> Callable[[Array], TrainState]:
    """Returns `init(key) -> state`, to be traced abstractly first and then run sharded."""
    network = AnimationNetwork(config)

    def init(key: Array) -> TrainState:
        # Without computing the network's output: XLA would fold all of it as one constant.
        image = jax.ShapeDtypeStruct((1, config.size, config.size, 3), jnp.float32)
        variables = network.lazy_init(key, image, image)
        generator = create_network(
            variables["params"], optimizer, stats=variables["batch_stats"], ema=ema
        )
        return create_state(**{GENERATOR: generator})

    return init


def make_step(
    config: AnimationConfig,
    loss: LossConfig,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float | None = None,
    ema_warmup: bool = False,
) -> Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]:
    """Returns `step(state, batch, key) -> (state, metrics)`.

    The batch holds "source" and "driving", two frames of one clip each, uint8 (b, h, w, 3). The
    model redraws the source in the driving frame's pose and is compared with the driving frame.
    """
    network = AnimationNetwork(config)

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        del key  # this step draws nothing; the data pipeline did
        generator = state.networks[GENERATOR]
        source, driving = as_image(batch["source"]), as_image(batch["driving"])

        def objective(params):
            image, updates = network.apply(
                {"params": params, "batch_stats": generator.stats},
                source,
                driving,
                train=True,
                mutable=["batch_stats"],
            )
            total, terms = reconstruction_loss(image, driving, source, loss)
            return total, (terms, updates["batch_stats"])

        (total, (terms, stats)), grads = jax.value_and_grad(objective, has_aux=True)(
            generator.params
        )
        new, _ = apply_gradients(
            generator,
            grads,
            optimizer,
            ema_decay=ema_decay,
            ema_warmup=ema_warmup,
            step=state.step,
            stats=stats,
        )
        metrics = {
            "loss": total,
            **{f"loss_{name}": value for name, value in terms.items()},
            "psnr": -10.0 * jnp.log10(terms["squared"]),
            "grad_norm": optax.tree.norm(grads),
        }
        return TrainState(state.step + 1, {**state.networks, GENERATOR: new}), metrics

    return step
