"""The training step of the motion diffusion model: a pure function of state, batch and key."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgesture.core import rng
from jaxgesture.core.accumulate import gradients
from jaxgesture.core.optim import grad_norms
from jaxgesture.core.state import TrainState, apply_gradients, create_network, create_state
from jaxgesture.core.types import Array, Batch, Bool, Float, Int, Metrics, PyTree, Weighted
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.denoiser import Denoiser, init_params
from jaxgesture.motion.losses import (
    MotionLossConfig,
    Parts,
    example_losses,
    loss_parts,
    mean_losses,
)
from jaxgesture.motion.normalisation import Statistics, normalise_audio, normalise_motion
from jaxgesture.motion.representation import to_motion
from jaxgesture.motion.schedule import DIFFUSION_STEPS, q_sample

DENOISER = "denoiser"
# Bars of the histogram of the loss over diffusion steps.
STEP_BINS = 10


def make_init(
    config: MotionConfig,
    optimizer: optax.GradientTransformation,
    statistics: Mapping[str, np.ndarray],
    *,
    ema: bool = True,
) -> Callable[[Array], TrainState]:
    """Returns `init(key) -> state`; the statistics go into the network's `stats`."""

    def init(key: Array) -> TrainState:
        params = init_params(config, key)
        stats = {name: jnp.asarray(value) for name, value in statistics.items()}
        network = create_network(params, optimizer, stats=stats, ema=ema)
        return create_state(**{DENOISER: network})

    return init


def prepare(config: MotionConfig, statistics: Statistics, batch: Batch) -> dict[str, Array]:
    """A batch of raw features in the network's units; "history" only where the model has one."""

    def motion(name):
        return normalise_motion(statistics, to_motion(batch[name], config))

    prepared = {name: motion(name) for name in ("motion", "source")}
    prepared["audio"] = normalise_audio(statistics, batch["audio"])
    if config.past_frames:
        history = motion("history")
        if config.source == "previous":
            valid = batch["history_valid"][:, None]
            prepared["source"] = jnp.where(valid, history[:, -1], prepared["source"])
        if config.history_frames:
            prepared["history"] = history
    return prepared


def predict(
    config: MotionConfig,
    params: PyTree,
    inputs: Mapping[str, Array],
    t: Int[Array, " b"],
    noise: Float[Array, "b t d"],
    *,
    keep: Bool[Array, " b"] | None = None,
    history_mask: Bool[Array, " b"] | None = None,
    history_noise: Float[Array, "b h d"] | None = None,
    dropout_key: Array | None = None,
) -> Float[Array, "b t d"]:
    """Noises `inputs["motion"]` to step t and denoises it.

    Args:
      config: of the network.
      params: the network's parameters.
      inputs: from `prepare`.
      t: diffusion step of each example.
      noise: standard normal.
      keep: examples that keep their audio; None all.
      history_mask: examples that keep their history; needed if the model has one.
      history_noise: added to the history that the network sees, not to that of the loss.
      dropout_key: switches dropout on.
    """
    history = inputs.get("history")
    seen = history
    if history is not None and history_noise is not None:
        seen = history + history_noise
    return Denoiser(config).apply(
        {"params": params},
        q_sample(inputs["motion"], t, noise),
        t,
        audio=inputs["audio"],
        source_feature=inputs["source"],
        history=seen,
        history_mask=history_mask if history is not None else None,
        keep=keep,
        deterministic=dropout_key is None,
        rngs={} if dropout_key is None else {"dropout": dropout_key},
    )  # pyright: ignore


def compare(
    prediction: Float[Array, "b t d"],
    inputs: Mapping[str, Array],
    history_mask: Bool[Array, " b"] | None = None,
) -> Parts:
    """The parts of the loss of a prediction (eq. 11), of each example."""
    return loss_parts(
        prediction, inputs["motion"], history=inputs.get("history"), history_mask=history_mask
    )


def loss_by_step(t: Int[Array, " b"], losses: Float[Array, " b"]) -> dict[str, Weighted]:
    """The histogram of the loss over diffusion steps: "loss_t000_099" is that of steps 0 to 99."""
    width = DIFFUSION_STEPS // STEP_BINS
    found: dict[str, Weighted] = {}
    for low in range(0, DIFFUSION_STEPS, width):
        inside = (t >= low) & (t < low + width)
        found[f"loss_t{low:03d}_{low + width - 1:03d}"] = Weighted(
            jnp.where(inside, losses, 0).sum(), inside.sum()
        )
    return found


def _draw(
    config: MotionConfig, inputs: Mapping[str, Array], batch: Batch, key: Array
) -> dict[str, Any]:
    """What is drawn for each example: arguments of `predict`."""
    clean = inputs["motion"]
    size = len(clean)
    mask = history_noise = None
    if config.history_frames:
        lost = jax.random.uniform(rng.stream(key, "history_mask"), (size,))
        mask = batch["history_valid"] & (lost >= config.history_null_probability)
        history_noise = config.history_noise * jax.random.normal(
            rng.stream(key, "history_noise"), inputs["history"].shape
        )
    return {
        "t": jax.random.randint(rng.stream(key, "t"), (size,), 0, DIFFUSION_STEPS),
        "noise": jax.random.normal(rng.stream(key, "noise"), clean.shape),
        "keep": jax.random.uniform(rng.stream(key, "keep"), (size,)) < config.guidance_keep,
        "history_mask": mask,
        "history_noise": history_noise,
    }


def make_step(
    config: MotionConfig,
    loss: MotionLossConfig,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float | None = None,
    ema_warmup: bool = False,
    accumulate: int = 1,
) -> Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]:
    """Returns `step(state, batch, key) -> (state, metrics)`; `key` is this step's own.

    The batch holds raw features: "motion" (b, t, d), "audio" (b, t, a), "source" (b, d) and, for a
    model that looks back, "history" (b, h, d) and "history_valid" (b,). One mask per example drops
    the audio for classifier-free guidance, another the history. With `accumulate` the gradient is
    computed in so many parts of the batch, and is the same but for rounding and dropout.
    """

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        network = state.networks[DENOISER]
        inputs = prepare(config, network.stats, batch)
        drawn = _draw(config, inputs, batch, key)
        # Of the whole batch, as if nothing were computed in parts: seams without history count not.
        whole = compare(inputs["motion"], inputs, drawn["history_mask"])
        counts = {name: count.sum() / accumulate for name, (_, count) in whole.items()}

        def objective(params, rows, carry, part):
            inputs, drawn = rows
            dropout = rng.stream(key, "dropout")
            prediction = predict(
                config, params, inputs, **drawn,
                dropout_key=dropout if accumulate == 1 else jax.random.fold_in(dropout, part),
            )  # fmt: skip
            parts = compare(prediction, inputs, drawn["history_mask"])
            return mean_losses(parts, loss, counts)["loss"], ({}, parts, carry)

        _, grads, _, parts, _ = gradients(
            objective, network.params, (inputs, drawn), {}, accumulate
        )
        each = example_losses(parts, loss)["loss"]
        metrics: Metrics = {**mean_losses(parts, loss), **loss_by_step(drawn["t"], each)}
        new, _ = apply_gradients(
            network, grads, optimizer, ema_decay=ema_decay, ema_warmup=ema_warmup,
            step=state.step,
        )  # fmt: skip
        metrics = {**metrics, **grad_norms(grads)}
        return TrainState(state.step + 1, {**state.networks, DENOISER: new}), metrics

    return step
