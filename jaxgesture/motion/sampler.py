"""Samplers for a network that predicts x_0, all linear in what they have seen.

One step from diffusion step t to s < t, with a = sqrt(abar) and n = sqrt(1 - abar):

  DDIM (arXiv 2010.02502): x_s = a_s x_0 + sqrt(n_s^2 - g^2) eps + g z,
    eps = (x_t - a_t x_0) / n_t,  g = eta sqrt((1 - abar_t / abar_s) n_s^2 / n_t^2).
  DDPM (arXiv 2006.11239): ancestral sampling, which is DDIM with eta = 1.
  DPM-Solver++(2M) (arXiv 2211.01095): x_s = (n_s / n_t) x_t - a_s (exp(-h) - 1) D,
    h = log(a_s / n_s) - log(a_t / n_t),  D = x_0 + (x_0 - x_0') h / (2 h'),
    x_0' and h' those of the step before; D = x_0 in the first step.

The last step ends at x_0 itself.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Array, Float, Int
from jaxgesture.motion.schedule import DIFFUSION_STEPS, alphas_cumprod

SAMPLERS = ("ddim", "ddpm", "dpm++2m")
Predict = Callable[[Array, Array], Array]
Noise = Callable[[Array], Array]


class Plan(NamedTuple):
    """Diffusion step and coefficients of every sampling step, arrays `(steps,)`.

    x_s = x * x_t + x0 * x_0 + previous * x_0' + noise * z.
    """

    t: np.ndarray
    x: np.ndarray
    x0: np.ndarray
    previous: np.ndarray
    noise: np.ndarray


def times(steps: int) -> np.ndarray:
    """The diffusion steps visited, int(linspace(-1, 999, steps + 1)) reversed; -1 is clean.

    Raises:
      UserError: fewer than 1 or more than 1000 steps.
    """
    if not 1 <= steps <= DIFFUSION_STEPS:
        raise UserError(f"sampling steps are {steps}; choose 1 to {DIFFUSION_STEPS}")
    return np.linspace(-1, DIFFUSION_STEPS - 1, steps + 1).astype(np.int64)[::-1]


def make_plan(sampler: str = "ddim", steps: int = 50, eta: float = 1.0) -> Plan:
    """The coefficients of a sampler.

    Args:
      sampler: one of `SAMPLERS`.
      steps: 1 to 1000.
      eta: noise of DDIM; 0 is deterministic given the start, 1 is ancestral sampling, the same as
        "ddpm". The other samplers have none to choose.

    Raises:
      UserError: an unknown sampler, or steps out of range.
    """
    if sampler not in SAMPLERS:
        raise UserError(f"sampler is {sampler!r}; choose one of {', '.join(SAMPLERS)}")
    if sampler != "ddim" and eta != 1:
        raise UserError(f"eta is {eta}, which sampler {sampler!r} does not use; leave it out")
    visited = times(steps)
    t, s = visited[:-1], visited[1:]
    # Coefficients in float64: 1 - abar loses digits at small t.
    abar = np.append(alphas_cumprod().astype(np.float64), 1.0)
    abar_t, abar_s = abar[t], abar[s]
    zero = np.zeros(steps)
    with np.errstate(divide="ignore"):
        if sampler == "dpm++2m":
            half_log_snr = 0.5 * (np.log(abar[visited]) - np.log1p(-abar[visited]))
            h = np.diff(half_log_snr)
            slope = zero.copy()
            slope[1:-1] = h[1:-1] / (2 * h[:-2])
            gain = -np.sqrt(abar_s) * np.expm1(-h)
            x = np.sqrt((1 - abar_s) / (1 - abar_t))
            plan = Plan(t, x, gain * (1 + slope), -gain * slope, zero)
        else:
            noise = 1.0 if sampler == "ddpm" else eta
            sigma = noise * np.sqrt((1 - abar_t / abar_s) * (1 - abar_s) / (1 - abar_t))
            x = np.sqrt(np.maximum(1 - abar_s - sigma**2, 0) / (1 - abar_t))
            plan = Plan(t, x, np.sqrt(abar_s) - x * np.sqrt(abar_t), zero, sigma)
    last = np.arange(steps) == steps - 1
    return Plan(
        t.astype(np.int32),
        *(
            np.where(last, end, c).astype(np.float32)
            for c, end in zip(plan[1:], (0, 1, 0, 0), strict=True)
        ),
    )


def given_noise(noises: Float[Array, "s b t d"]) -> Noise:
    """The noise z of step i is `noises[i]`; the last step needs none."""
    return lambda i: noises[jnp.minimum(i, len(noises) - 1)]


def drawn_noise(keys: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Noise:
    """The noise of step i for each of a batch of keys; an example's noise depends on its key."""

    def draw(i):
        return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, i), shape, dtype))(
            keys
        )

    return draw


def sample(
    predict: Predict, start: Float[Array, "b t d"], plan: Plan, noise: Noise
) -> Float[Array, "b t d"]:
    """Runs a plan in one `lax.scan`.

    Args:
      predict: (x_t, t) -> x_0, with t `(b,)`; clipped to [-1, 1] here, after any guidance.
      start: standard normal noise.
      plan: from `make_plan`.
      noise: step index -> standard normal noise like `start`.

    Returns:
      The clean sample in [-1, 1].
    """
    noisy = bool(np.any(plan.noise))

    def step(carry, inputs):
        x, previous = carry
        i, c = inputs
        t: Int[Array, " b"] = jnp.full((len(x),), c.t)
        x0 = jnp.clip(predict(x, t), -1, 1).astype(x.dtype)
        x = c.x * x + c.x0 * x0 + c.previous * previous
        if noisy:
            x = x + c.noise * noise(i)
        return (x.astype(x0.dtype), x0), None

    steps = jnp.arange(len(plan.t))
    carry = (start, jnp.zeros_like(start))
    # The last step's coefficients make its x exactly x_0.
    (x, _), _ = jax.lax.scan(step, carry, (steps, jax.tree.map(jnp.asarray, plan)))
    return x
