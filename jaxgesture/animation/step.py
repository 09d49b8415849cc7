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
            side = 2 * config.field
            rotation = jax.ShapeDtypeStruct((1, side, side, 3, 3), jnp.float32)
            translation = jax.ShapeDtypeStruct((1, 3), jnp.float32)
            head = ReadOut().lazy_init(rng.stream(key, READ_OUT), rotation, translation, image)
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
    redraws: bool = True,
) -> Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]:
    """Returns `step(state, batch, key) -> (state, metrics)`.

    The batch holds "source" and "driving", two frames of one clip each, uint8 (b, h, w, 3). The
    model redraws the source in the driving frame's pose and is compared with the driving frame.

    Args:
      config: of the network.
      loss: weights of the terms.
      optimizer: of each network of the state. What it remembers starts afresh at step
        `loss.read_out_steps`, its schedule included: parts that took no steps before would else
        make theirs with moments of zero and a bias correction that is long used up.
      ema_decay: weight of the old average of the generator's parameters; None without one.
      ema_warmup: see `core.state.apply_gradients`.
      redraws: False for a step that trains extractor, motion decoder and read-out alone: nothing is
        redrawn, and no other part moves.
    """
    network = AnimationNetwork(config)

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        del key  # this step draws nothing; the data pipeline did
        if redraws and loss.read_out_steps:
            state = _forget_at(state, loss.read_out_steps, optimizer)
        generator = state.networks[GENERATOR]
        source, driving = as_image(batch["source"]), as_image(batch["driving"])

        def redraw(net: AnimationNetwork):
            motion = net.decode_motion(net.extract_motion(driving, train=True))
            image = net.redraw(net.encode_source(source), *motion) if redraws else None
            return image, motion

        def objective(params: PyTree):
            variables = {"params": params[GENERATOR], "batch_stats": generator.stats}
            (image, motion), updates = network.apply(
                variables, method=redraw, mutable=["batch_stats"]
            )
            total, terms = jnp.zeros(()), {}
            if image is not None:
                total, terms = reconstruction_loss(image, driving, source, loss)
            if loss.read_out:
                change = ReadOut().apply({"params": params[READ_OUT]}, *motion, source)
                error, terms["read_out"] = read_out_loss(change, source, driving)  # pyright: ignore
                total += loss.read_out * error
            return total, (terms, updates["batch_stats"])

        params = {name: net.params for name, net in state.networks.items()}
        (total, (terms, stats)), grads = jax.value_and_grad(objective, has_aux=True)(params)
        trained = None
        if not redraws:
            trained = ["extractor", "motion_decoder"] if config.motion_decoder else ["extractor"]
        networks = dict(state.networks)
        networks[GENERATOR], _ = apply_gradients(
            generator,
            grads[GENERATOR],
            optimizer,
            ema_decay=ema_decay,
            ema_warmup=ema_warmup,
            step=state.step,
            stats=stats,
            only=trained,
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
        if redraws:
            metrics["psnr"] = -10.0 * jnp.log10(terms["squared"])
        return TrainState(state.step + 1, networks), metrics

    return step


def _forget_at(
    state: TrainState, boundary: int, optimizer: optax.GradientTransformation
) -> TrainState:
    """The state with fresh optimiser states if it stands at step `boundary`."""
    networks = {}
    for name, net in state.networks.items():
        fresh = optimizer.init(net.params)
        chosen = jax.tree.map(
            lambda new, old: jnp.where(state.step == boundary, new, old), fresh, net.opt_state
        )
        networks[name] = net.replace(opt_state=chosen)  # pyright: ignore
    return TrainState(state.step, networks)
