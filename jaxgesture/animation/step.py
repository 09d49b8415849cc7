"""The training step of the base model: a pure function of state, batch, key and frozen networks."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from jaxgesture.animation import adversarial
from jaxgesture.animation.augment import pair
from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.discriminator import Discriminator, DiscriminatorConfig
from jaxgesture.animation.losses import LossConfig, feature_loss, reconstruction_loss
from jaxgesture.animation.network import AnimationNetwork
from jaxgesture.animation.read_out import ReadOut, read_out_loss
from jaxgesture.core import rng
from jaxgesture.core.accumulate import gradients
from jaxgesture.core.optim import grad_norms
from jaxgesture.core.state import TrainState, apply_gradients, create_network, create_state
from jaxgesture.core.types import AnyArray, Array, Batch, Float, Metrics, PyTree, UInt8
from jaxgesture.layers.remat import recomputed_function

GENERATOR = "generator"
READ_OUT = "read_out"
DISCRIMINATOR = "discriminator"

Step = Callable[..., tuple[TrainState, Metrics]]


@dataclasses.dataclass(frozen=True)
class Training:
    """What a training step is made of.

    Attributes:
      model: sizes of the base model.
      loss: weights of the terms.
      optimizer: of generator and read-out. What it remembers starts afresh at step
        `loss.read_out_steps`, its schedule included: parts that took no steps before would else
        make theirs with moments of zero and a bias correction that is long used up.
      opening_optimizer: of the first `loss.read_out_steps` steps.
      discriminator: sizes of the discriminator.
      discriminator_optimizer: its own, which counts its own steps.
      ema_decay: weight of the old average of the generator's parameters; None without one.
      ema_warmup: see `core.state.apply_gradients`.
      accumulate: parts of the batch whose gradients are computed one after the other, each with
        batch statistics of its own and a power iteration of the spectral norm.
    """

    model: AnimationConfig
    loss: LossConfig
    optimizer: optax.GradientTransformation
    opening_optimizer: optax.GradientTransformation | None = None
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    discriminator_optimizer: optax.GradientTransformation | None = None
    ema_decay: float | None = None
    ema_warmup: bool = False
    accumulate: int = 1

    @property
    def discriminator_model(self) -> Discriminator:
        """The discriminator, which computes in the type of the base model."""
        return Discriminator(self.discriminator, jnp.dtype(self.model.dtype))

    @property
    def judges(self) -> optax.GradientTransformation | None:
        """The discriminator's optimiser where there is an adversarial loss."""
        if not self.loss.adversarial:
            return None
        if self.discriminator_optimizer is None:
            raise ValueError("an adversarial loss needs discriminator_optimizer")
        return self.discriminator_optimizer


def as_image(
    pixels: UInt8[AnyArray, "b h w 3"], dtype: DTypeLike = jnp.float32
) -> Float[Array, "b h w 3"]:
    """uint8 pixels as floats in [0, 1]."""
    return jnp.asarray(pixels).astype(dtype) / 255.0


def make_init(training: Training) -> Callable[[Array], TrainState]:
    """Returns `init(key) -> state`, to be traced abstractly first and then run sharded.

    The state holds the generator and, where their losses have a weight, the read-out and the
    discriminator.
    """
    config, optimizer = training.model, training.optimizer
    network = AnimationNetwork(config)

    def init(key: Array) -> TrainState:
        # Without computing the network's output: XLA would fold all of it as one constant.
        image = jax.ShapeDtypeStruct((1, config.size, config.size, 3), jnp.float32)
        variables = network.lazy_init(key, image, image)
        ema = training.ema_decay is not None
        networks = {
            GENERATOR: create_network(
                variables["params"], optimizer, stats=variables["batch_stats"], ema=ema
            )
        }
        if training.loss.read_out:
            side = 2 * config.field
            rotation = jax.ShapeDtypeStruct((1, side, side, 3, 3), jnp.float32)
            translation = jax.ShapeDtypeStruct((1, 3), jnp.float32)
            head = ReadOut().lazy_init(rng.stream(key, READ_OUT), rotation, translation, image)
            networks[READ_OUT] = create_network(head["params"], optimizer)
        if training.judges:
            networks[DISCRIMINATOR] = adversarial.create(
                training.discriminator_model,
                training.judges,
                config.size,
                rng.stream(key, DISCRIMINATOR),
            )
        return create_state(**networks)

    return init


def make_step(training: Training) -> Step:
    """Returns `step(state, batch, key, frozen) -> (state, metrics)`.

    The batch holds "source" and "driving", two frames of one clip each, uint8 (b, h, w, 3), and for
    a local loss "boxes" of the driving frame, (b, k, 4); "flip", "crop" and "colour" say how both
    frames are changed first (`augment.pair`), the boxes are changed already. The model redraws the
    source in the driving frame's pose and is compared with that frame. Generator and discriminator
    learn in one step, from one redrawn image. `frozen` holds the networks of `losses.load_frozen`.
    """
    network, loss = AnimationNetwork(training.model), training.loss
    dtype = jnp.dtype(training.model.dtype)
    precise = jnp.promote_types(dtype, jnp.float32)
    config = training.model

    def recompute(function: Callable) -> Callable:
        return recomputed_function(function, config.remat, config.remat_policy)

    begins = loss.read_out_steps + loss.adversarial_start

    def step(
        state: TrainState, batch: Batch, key: Array, frozen: PyTree | None = None
    ) -> tuple[TrainState, Metrics]:
        del key  # this step draws nothing; the data pipeline did
        if loss.read_out_steps:
            state = _forget_at(state, loss.read_out_steps, training.optimizer)
        networks = dict(state.networks)
        generator = networks[GENERATOR]
        active = state.step >= begins

        def redraw(net: AnimationNetwork, source: Array, driving: Array):
            motion = net.decode_motion(net.extract_motion(driving, train=True))
            return net.redraw(net.encode_source(source), *motion), motion

        def objective(params: PyTree, rows: Batch, seen: PyTree, part: Array):
            del part
            stats, judged = seen
            source, driving = pair(rows, precise)
            variables = {"params": params[GENERATOR], "batch_stats": stats}
            (image, motion), new = network.apply(
                variables, source, driving, method=redraw, mutable=["batch_stats"]
            )
            total, terms = reconstruction_loss(image, driving, source, loss)
            if loss.perceptual or loss.looks_closer:
                more, named = feature_loss(
                    frozen, image, driving, rows.get("boxes"), loss, dtype, recompute
                )
                total, terms = total + more, terms | named
            if training.judges:
                term, judged = adversarial.generator_term(
                    training.discriminator_model,
                    networks[DISCRIMINATOR].replace(stats=judged),  # pyright: ignore
                    image,
                )
                terms["adversarial"] = term
                total += loss.adversarial * jnp.where(active, term, 0)
            if loss.read_out:
                error, terms["read_out"] = _read_out(params[READ_OUT], motion, source, driving)
                total += loss.read_out * error
            return total, (terms, (image, driving), (new["batch_stats"], judged))

        learners = [name for name in networks if name != DISCRIMINATOR]
        params = {name: networks[name].params for name in learners}
        before = networks[DISCRIMINATOR].stats if training.judges else {}
        total, grads, terms, (image, driving), (stats, judged) = gradients(
            objective, params, dict(batch), (generator.stats, before), training.accumulate
        )
        metrics = _metrics(total, terms, grads)
        metrics["psnr"] = -10.0 * jnp.log10(terms["squared"])
        if training.judges:
            networks[DISCRIMINATOR], more = adversarial.update(
                training.discriminator_model, networks[DISCRIMINATOR], training.judges, image,
                driving, judged, active, training.accumulate,
            )  # fmt: skip
            metrics |= more
        networks[GENERATOR], _ = apply_gradients(
            generator,
            grads[GENERATOR],
            training.optimizer,
            ema_decay=training.ema_decay,
            ema_warmup=training.ema_warmup,
            step=state.step,
            stats=stats,
        )
        if loss.read_out:
            networks[READ_OUT], _ = apply_gradients(
                networks[READ_OUT], grads[READ_OUT], training.optimizer
            )
        return TrainState(state.step + 1, networks), metrics

    return step


def make_opening(training: Training) -> Step | None:
    """The step of the first `loss.read_out_steps` steps, None without such.

    It trains extractor, motion decoder and read-out alone: nothing is redrawn, and no other part
    moves.
    """
    if not training.loss.read_out_steps:
        return None
    config, loss, optimizer = training.model, training.loss, training.opening_optimizer
    if optimizer is None:
        raise ValueError("loss.read_out_steps needs opening_optimizer")
    network = AnimationNetwork(config)
    trained = ["extractor", "motion_decoder"] if config.motion_decoder else ["extractor"]

    def step(
        state: TrainState, batch: Batch, key: Array, frozen: PyTree | None = None
    ) -> tuple[TrainState, Metrics]:
        del key, frozen
        networks = dict(state.networks)
        generator = networks[GENERATOR]

        def decode(net: AnimationNetwork, driving: Array):
            return net.decode_motion(net.extract_motion(driving, train=True))

        def objective(params: PyTree, rows: Batch, stats: PyTree, part: Array):
            del part
            source, driving = pair(rows)
            variables = {"params": params[GENERATOR], "batch_stats": stats}
            motion, seen = network.apply(variables, driving, method=decode, mutable=["batch_stats"])
            error, share = _read_out(params[READ_OUT], motion, source, driving)
            return loss.read_out * error, ({"read_out": share}, {}, seen["batch_stats"])

        params = {name: networks[name].params for name in (GENERATOR, READ_OUT)}
        total, grads, terms, _, stats = gradients(
            objective, params, dict(batch), generator.stats, training.accumulate
        )
        networks[GENERATOR], _ = apply_gradients(
            generator,
            grads[GENERATOR],
            optimizer,
            ema_decay=training.ema_decay,
            ema_warmup=training.ema_warmup,
            step=state.step,
            stats=stats,
            only=trained,
        )
        networks[READ_OUT], _ = apply_gradients(networks[READ_OUT], grads[READ_OUT], optimizer)
        return TrainState(state.step + 1, networks), _metrics(total, terms, grads)

    return step


def _read_out(
    params: PyTree, motion: Any, source: Array, driving: Array
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    change = ReadOut().apply({"params": params}, *motion, source)
    return read_out_loss(change, source, driving)  # pyright: ignore


def _metrics(total: Array, terms: Metrics, grads: PyTree) -> Metrics:
    return {
        "loss": total,
        **{f"loss_{name}": value for name, value in terms.items()},
        **grad_norms(grads[GENERATOR]),
    }


def _forget_at(
    state: TrainState, boundary: int, optimizer: optax.GradientTransformation
) -> TrainState:
    """The state with fresh optimiser states if it stands at step `boundary`."""
    networks = dict(state.networks)
    for name in networks.keys() & {GENERATOR, READ_OUT}:
        net = networks[name]
        fresh = optimizer.init(net.params)
        chosen = jax.tree.map(
            lambda new, old: jnp.where(state.step == boundary, new, old), fresh, net.opt_state
        )
        networks[name] = net.replace(opt_state=chosen)  # pyright: ignore
    return TrainState(state.step, networks)
