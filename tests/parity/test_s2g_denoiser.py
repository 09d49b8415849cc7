"""The denoiser without history against the published S2G-MDDiffusion network, at full size."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tolerances
from parity.torch_names import to_flax
from perceptual import released

from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.denoiser import Denoiser, init_params
from jaxgesture.motion.guidance import double, guided
from jaxgesture.motion.losses import MotionLossConfig, motion_losses
from jaxgesture.motion.sampler import given_noise, make_plan, sample
from jaxgesture.motion.schedule import alphas_cumprod, q_sample

CONFIG = MotionConfig(feature_size=200, history_frames=0, representation="vector")
T = np.array([3, 712], np.int32)


def relative_error(value, golden):
    return float(np.abs(np.asarray(value) - golden).max() / np.abs(golden).max())


def inputs():
    rng = np.random.Generator(np.random.PCG64(1000))
    x = rng.uniform(-1, 1, (2, 80, 200))
    source = rng.uniform(-1, 1, (2, 200))
    audio = rng.standard_normal((2, 80, 1059))
    noise = rng.standard_normal((2, 80, 200))
    return tuple(a.astype(np.float32) for a in (x, source, audio, noise))


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "parity" / "s2g_denoiser_seed0.npz")


def test_schedule_forward_process(golden):
    x, _, _, noise = inputs()
    error = np.abs(alphas_cumprod() - golden["alphas_cumprod"]).max()
    assert error <= tolerances.S2G_SCHEDULE
    assert relative_error(q_sample(x, T, noise), golden["q_sample"]) <= tolerances.S2G_SCHEDULE


@pytest.mark.parity
@pytest.mark.slow
def test_network_losses_and_ddim(shared, golden):
    make = released.procedural(shared).procedural_array
    names = json.loads((shared / "parity" / "s2g_state_dict.json").read_text())
    weights = {n: make(n, tuple(s), 0) for n, s in names.items()}
    template = jax.eval_shape(functools.partial(init_params, CONFIG), jax.random.key(0))
    params = to_flax(weights, {"params": template})["params"]

    x, source, audio, noise = inputs()
    model = Denoiser(CONFIG)

    @jax.jit
    def encode(params, audio):
        return model.apply({"params": params}, audio, method="encode_audio")

    @jax.jit
    def both(params, code, x_t, t, weight):
        def predict(x_t, t, keep):
            return model.apply(
                {"params": params}, x_t, t, double(code), double(jnp.asarray(source)), keep=keep,
                method="denoise",
            )  # fmt: skip

        return guided(predict, x_t, t, weight)

    @jax.jit
    def ddim(params, code, start, noises):
        predict = functools.partial(both, params, code, weight=2.0)
        return sample(predict, start, make_plan("ddim", 50, 1.0), given_noise(noises))

    code = encode(params, audio)
    rng = np.random.Generator(np.random.PCG64(2000))
    draws = [rng.standard_normal((2, 80, 200)).astype(np.float32) for _ in range(50)]
    x_t = q_sample(x, T, noise)
    prediction = both(params, code, x_t, T, 1.0)
    losses = motion_losses(prediction, jnp.asarray(x), MotionLossConfig())
    errors = {
        "denoised_cond": both(params, code, x, T, 1.0),
        "denoised_uncond": both(params, code, x, T, 0.0),
        "denoised_guided": both(params, code, x, T, 2.0),
        "ddim": ddim(params, code, draws[0], jnp.stack(draws[1:])),
    }
    errors = {name: relative_error(value, golden[name]) for name, value in errors.items()}
    values = np.array([losses[n] for n in ("loss", "position", "velocity", "acceleration")])
    errors["losses"] = float(np.abs(values / golden["losses"] - 1).max())
    for name, error in errors.items():
        limit = tolerances.S2G_LOSSES if name == "losses" else tolerances.S2G_NETWORK
        assert error <= limit, errors
