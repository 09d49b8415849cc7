"""The training step of the motion diffusion model: a pure function of state, batch and key."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgesture.core import rng
from jaxgesture.core.state import TrainState, apply_gradients, create_network, create_state
from jaxgesture.core.types import Array, Batch, Bool, Float, Int, Metrics, PyTree
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.denoiser import Denoiser, init_params
from jaxgesture.motion.losses import MotionLossConfig, motion_losses
from jaxgesture.motion.normalisation import Statistics, normalise_audio, normalise_motion
from jaxgesture.motion.representation import to_motion
from jaxgesture.motion.schedule import DIFFUSION_STEPS, q_sample

DENOISER = "denoiser"


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
    if config.history_frames:
        prepared["history"] = motion("history")
    return prepared


def denoising_losses(
    config: MotionConfig,
    loss: MotionLossConfig,
    params: PyTree,
    inputs: Mapping[str, Array],
    t: Int[Array, " b"],
    noise: Float[Array, "b t d"],
    *,
    keep: Bool[Array, " b"] | None = None,
    history_mask: Bool[Array, " b"] | None = None,
    history_noise: Float[Array, "b h d"] | None = None,
    dropout_key: Array | None = None,
    per_example: bool = False,
) -> Metrics:
    """Noises `inputs["motion"]` to step t, denoises it and compares (eq. 11).

    Args:
      config: of the network.
      loss: weights of the parts.
      params: the network's parameters.
      inputs: from `prepare`.
      t: diffusion step of each example.
      noise: standard normal.
      keep: examples that keep their audio; None all.
      history_mask: examples that keep their history; needed if the model has one.
      history_noise: added to the history that the network sees, not to that of the loss.
      dropout_key: switches dropout on.
      per_example: leave out the mean over the batch.
    """
    clean, history = inputs["motion"], inputs.get("history")
    seen = history
    if history is not None and history_noise is not None:
        seen = history + history_noise
    prediction: Array = Denoiser(config).apply(
        {"params": params},
        q_sample(clean, t, noise),
        t,
        audio=inputs["audio"],
        source_feature=inputs["source"],
        history=seen,
        history_mask=history_mask if history is not None else None,
        keep=keep,
        deterministic=dropout_key is None,
        rngs={} if dropout_key is None else {"dropout": dropout_key},
    )  # pyright: ignore
    if not per_example:
        return motion_losses(prediction, clean, loss, history=history, history_mask=history_mask)

    def single(rows):
        rows = {name: value[None] for name, value in rows.items()}
        return motion_losses(config=loss, **rows)

    rows = {"prediction": prediction, "target": clean}
    if history is not None and history_mask is not None:
        rows |= {"history": history, "history_mask": history_mask}
    return jax.vmap(single)(rows)


def make_step(
    config: MotionConfig,
    loss: MotionLossConfig,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float | None = None,
    ema_warmup: bool = False,
) -> Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]:
    """Returns `step(state, batch, key) -> (state, metrics)`; `key` is this step's own.

    The batch holds raw features: "motion" (b, t, d), "audio" (b, t, a), "source" (b, d) and, for a
    model with history, "history" (b, h, d) and "history_valid" (b,). One mask per example drops
    the audio for classifier-free guidance, another the history.
    """

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        network = state.networks[DENOISER]
        inputs = prepare(config, network.stats, batch)
        clean = inputs["motion"]
        size = len(clean)
        t = jax.random.randint(rng.stream(key, "t"), (size,), 0, DIFFUSION_STEPS)
        noise = jax.random.normal(rng.stream(key, "noise"), clean.shape)
        keep = jax.random.uniform(rng.stream(key, "keep"), (size,)) < config.guidance_keep
        mask = history_noise = None
        if config.history_frames:
            drawn = jax.random.uniform(rng.stream(key, "history_mask"), (size,))
            mask = batch["history_valid"] & (drawn >= config.history_null_probability)
            history_noise = config.history_noise * jax.random.normal(
                rng.stream(key, "history_noise"), inputs["history"].shape
            )

        def objective(params):
            metrics = denoising_losses(
                config, loss, params, inputs, t, noise, keep=keep, history_mask=mask,
                history_noise=history_noise, dropout_key=rng.stream(key, "dropout"),
            )  # fmt: skip
            return metrics["loss"], metrics

        grads, metrics = jax.grad(objective, has_aux=True)(network.params)
        new, _ = apply_gradients(
            network, grads, optimizer, ema_decay=ema_decay, ema_warmup=ema_warmup,
            step=state.step,
        )  # fmt: skip
        metrics = {**metrics, "grad_norm": optax.tree.norm(grads)}
        return TrainState(state.step + 1, {**state.networks, DENOISER: new}), metrics

    return step
