"""Cosine noise schedule and the forward process (arXiv 2102.09672).

f(u) = cos^2(((u / N + 0.008) / 1.008) * pi / 2),  beta_k = clip(1 - f(k+1) / f(k), 0, 0.999),
abar_t = prod_{k <= t} (1 - beta_k),  x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise.
"""

import functools

import jax.numpy as jnp
import numpy as np

from jaxgesture.core.types import Array, Float, Int

DIFFUSION_STEPS = 1000
OFFSET = 0.008
MAX_BETA = 0.999


@functools.cache
def alphas_cumprod() -> np.ndarray:
    """abar_t for t = 0 .. 999, float32 `(1000,)`, falling from nearly 1 to nearly 0."""
    u = np.arange(DIFFUSION_STEPS + 1, dtype=np.float64) / DIFFUSION_STEPS
    f = np.cos((u + OFFSET) / (1 + OFFSET) * np.pi / 2) ** 2
    betas = np.clip(1 - f[1:] / f[:-1], 0, MAX_BETA).astype(np.float32)
    # 1 - beta is rounded to float32, their product is not: the published weights' last digits.
    result = np.cumprod((1 - betas).astype(np.float64)).astype(np.float32)
    result.setflags(write=False)
    return result


def q_sample(
    x: Float[Array, "b t d"], t: Int[Array, " b"], noise: Float[Array, "b t d"]
) -> Float[Array, "b t d"]:
    """The clean sequence `x` after diffusion step `t` in [0, 999] with standard normal `noise`."""
    abar = jnp.asarray(alphas_cumprod()).astype(x.dtype)[t][:, None, None]
    return jnp.sqrt(abar) * x + jnp.sqrt(1 - abar) * noise


def recover(
    x_t: Float[Array, "b t d"], t: Int[Array, " b"], noise: Float[Array, "b t d"]
) -> Float[Array, "b t d"]:
    """The clean sequence that `q_sample` turned into `x_t` with this noise."""
    abar = jnp.asarray(alphas_cumprod()).astype(x_t.dtype)[t][:, None, None]
    return (x_t - jnp.sqrt(1 - abar) * noise) / jnp.sqrt(abar)
