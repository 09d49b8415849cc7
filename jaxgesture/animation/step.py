"""The training step of the base model: a pure function of state, batch and key."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.losses import LossConfig, reconstruction_loss
from jaxgesture.animation.network import AnimationNetwork
from jaxgesture.animation.read_out import ReadOut, read_out_loss
from jaxgesture.core import rng
from jaxgesture.core.state import TrainState, apply_gradients, create_network, create_state
from jaxgesture.core.types import AnyArray, Array, Batch, Float, Metrics, PyTree, UInt8

GENERATOR = "generator"
READ_OUT = "read_out"


def as_image(pixels: UInt8[AnyArray, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """uint8 pixels as float32 in [0, 1]."""
    return jnp.asarray(pixels).astype(jnp.float32) / 255.0


def make_init(
    config: AnimationConfig,
    optimizer: optax.GradientTransformation,
    *,
    ema: bool = False,
    read_out: bool = False,
) -> Callable[[Array], TrainState]:
    """Returns `init(key) -> state`, to be traced abstractly first and then run sharded.

    Args:
      config: of the network.
      optimizer: of each part of the state.
      ema: keep an average of the generator's parameters.
      read_out: with the network that `LossConfig.read_out` trains beside the generator.
    """
    network = AnimationNetwork(config)

    def init(key: Array) -> TrainState:
        # Without computing the network's output: XLA would fold all of it as one constant.
        image = jax.ShapeDtypeStruct((1, config.size, config.size, 3), jnp.float32)
        variables = network.lazy_init(key, image, image)
        networks = {
            GENERATOR: create_network(
                variables["params"], optimizer, stats=variables["batch_stats"], ema=ema
            )
        }
        if read_out:
            feature = jax.ShapeDtypeStruct((1, config.feature_size), jnp.float32)
            head = ReadOut().lazy_init(rng.stream(key, READ_OUT), feature, image)
            networks[READ_OUT] = create_network(head["params"], optimizer)
        return create_state(**networks)

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
    return _make_step(config, loss, optimizer, ema_decay, ema_warmup, redrawing=True)


def make_read_out_step(
    config: AnimationConfig,
    loss: LossConfig,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float | None = None,
    ema_warmup: bool = False,
) -> Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]:
    """Returns the step that trains the extractor and its read-out alone; nothing is redrawn."""
    return _make_step(config, loss, optimizer, ema_decay, ema_warmup, redrawing=False)


def _make_step(
    config: AnimationConfig,
    loss: LossConfig,
    optimizer: optax.GradientTransformation,
    ema_decay: float | None,
    ema_warmup: bool,
    *,
    redrawing: bool,
) -> Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]:
    network = AnimationNetwork(config)

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        del key  # this step draws nothing; the data pipeline did
        generator = state.networks[GENERATOR]
        source, driving = as_image(batch["source"]), as_image(batch["driving"])

        def redraw(net: AnimationNetwork):
            feature = net.extract_motion(driving, train=True)
            image = net.animate(net.encode_source(source), feature) if redrawing else None
            return image, feature

        def objective(params: PyTree):
            variables = {"params": params[GENERATOR], "batch_stats": generator.stats}
            (image, feature), updates = network.apply(
                variables, method=redraw, mutable=["batch_stats"]
            )
            total, terms = jnp.zeros(()), {}
            if image is not None:
                total, terms = reconstruction_loss(image, driving, source, loss)
            if loss.read_out:
                change = ReadOut().apply({"params": params[READ_OUT]}, feature, source)
                error, terms["read_out"] = read_out_loss(change, source, driving)  # pyright: ignore
                total += loss.read_out * error
            return total, (terms, updates["batch_stats"])

        params = {name: net.params for name, net in state.networks.items()}
        # What is not used has gradient zero: without redrawing, and without weight decay, nothing
        # but the extractor and the read-out moves.
        (total, (terms, stats)), grads = jax.value_and_grad(objective, has_aux=True)(params)
        networks = dict(state.networks)
        networks[GENERATOR], _ = apply_gradients(
            generator,
            grads[GENERATOR],
            optimizer,
            ema_decay=ema_decay,
            ema_warmup=ema_warmup,
            step=state.step,
            stats=stats,
        )
        if loss.read_out:
            networks[READ_OUT], _ = apply_gradients(
                state.networks[READ_OUT], grads[READ_OUT], optimizer
            )
        metrics = {
            "loss": total,
            **{f"loss_{name}": value for name, value in terms.items()},
            "grad_norm": optax.tree.norm(grads[GENERATOR]),
        }
        if redrawing:
            metrics["psnr"] = -10.0 * jnp.log10(terms["squared"])
        return TrainState(state.step + 1, networks), metrics

    return step
