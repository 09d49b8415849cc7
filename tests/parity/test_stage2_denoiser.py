"""Stage 2 at full size against the published S2G-MDDiffusion network: JAX and the twin.

The weights come in as a released file's would, by `jaxgesture.load_motion`, and go on to the twin
by the converter.
"""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tolerances
from perceptual import released

import jaxgesture
from jaxgesture.convert.motion import to_torch
from jaxgesture.core import tree
from jaxgesture.motion.denoiser import Denoiser
from jaxgesture.motion.guidance import double, guided
from jaxgesture.motion.losses import MotionLossConfig, motion_losses
from jaxgesture.motion.sampler import given_noise, make_plan, sample
from jaxgesture.motion.schedule import alphas_cumprod, q_sample

T = np.array([3, 712], np.int32)
WEIGHTS = {"denoised_cond": 1.0, "denoised_uncond": 0.0, "denoised_guided": 2.0}
LOSSES = ("loss", "position", "velocity", "acceleration")
LIMITS = {
    "alphas_cumprod": tolerances.S2G_SCHEDULE, "q_sample": tolerances.S2G_SCHEDULE,
    "losses": tolerances.S2G_LOSSES, "ddim": tolerances.S2G_NETWORK,
    **dict.fromkeys(WEIGHTS, tolerances.S2G_NETWORK),
}  # fmt: skip


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "parity/s2g_denoiser_seed0.npz")


@pytest.fixture(scope="module")
def state(shared):
    """249 arrays, each with values of its own; the rotary frequencies as PyTorch computes them."""
    make = released.procedural(shared).procedural_array
    shapes = json.loads((shared / "parity/s2g_state_dict.json").read_text())
    state = {name: make(name, tuple(shape), 0) for name, shape in shapes.items()}
    exponents = np.arange(0, 512, 2, dtype=np.float32) / np.float32(512)
    frequencies = np.float32(1) / np.float32(10000) ** exponents
    return {name: frequencies if name.endswith(".freqs") else v for name, v in state.items()}


@pytest.fixture(scope="module")
def motion(state):
    return jaxgesture.load_motion(
        {"epoch": 1, "ema_state_dict": {f"module.{name}": v for name, v in state.items()}},
        preset="s2g",
    )


@pytest.fixture(scope="module")
def inputs():
    """Motion, source feature, audio and noise, then the noises of the sampler."""
    rng = np.random.Generator(np.random.PCG64(1000))
    x, source = rng.uniform(-1, 1, (2, 80, 200)), rng.uniform(-1, 1, (2, 200))
    arrays = (x, source, rng.standard_normal((2, 80, 1059)), rng.standard_normal((2, 80, 200)))
    rng = np.random.Generator(np.random.PCG64(2000))
    draws = [rng.standard_normal((2, 80, 200)).astype(np.float32) for _ in range(50)]
    return (*(array.astype(np.float32) for array in arrays), draws)


def check(found, golden, side):
    """Prints the table of measured errors, and compares them with the limits."""
    assert {*found} == {*golden.files} == {*LIMITS}
    errors = {}
    for name, value in found.items():
        value, wanted = np.asarray(value), golden[name]
        assert value.shape == wanted.shape, name
        scale = wanted if name == "losses" else np.abs(wanted).max()
        errors[name] = float(np.abs((value - wanted) / scale).max())
    rows = [f"| {name} | {error:.1e} | {LIMITS[name]:.0e} |" for name, error in errors.items()]
    print("\n".join((f"\n| {side} | relative error | tolerance |", "|---|---|---|", *rows)))
    assert not {name for name, error in errors.items() if not error <= LIMITS[name]}, errors


@pytest.mark.parity
@pytest.mark.slow
def test_all_published_arrays_come_back(state, motion):
    back = to_torch(motion.variables)
    assert back.keys() == state.keys() and len(back) == 249
    for name, array in state.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array, err_msg=name)
    assert tree.count(motion.variables["params"]) == 47_665_864


@pytest.mark.parity
@pytest.mark.slow
def test_jax(motion, golden, inputs):
    x, source, audio, noise, draws = inputs
    model, params = Denoiser(motion.config), {"params": motion.variables["params"]}

    @jax.jit
    def ddim(params, audio, source, start, noises):
        code = double(model.apply(params, audio, method="encode_audio"))
        source = double(source)

        def branches(x_t, t, keep):
            return model.apply(params, x_t, t, audio=code, source_feature=source, keep=keep)

        def predict(x_t, t):
            return guided(branches, x_t, t, 2.0)

        return sample(predict, start, make_plan("ddim", 50, 1.0), given_noise(noises))

    def denoise(x_t, weight):
        return motion.denoise(x_t, T, audio=audio, source_feature=source, guidance=weight)

    with jax.default_matmul_precision("highest"):
        noised = q_sample(jnp.asarray(x), jnp.asarray(T), jnp.asarray(noise))
        losses = motion_losses(denoise(noised, None), jnp.asarray(x), MotionLossConfig())
        found = {
            "alphas_cumprod": alphas_cumprod(),
            "q_sample": noised,
            "losses": np.array([losses[name] for name in LOSSES]),
            **{name: denoise(x, weight) for name, weight in WEIGHTS.items()},
            "ddim": ddim(params, audio, source, draws[0], jnp.stack(draws[1:])),
        }
    check(found, golden, "JAX")


@pytest.mark.parity
@pytest.mark.slow
def test_twin(motion, golden, inputs, request):
    torch = pytest.importorskip("torch")
    from jaxgesture.torch_baseline import denoiser, motion_step

    # Where other work shares the cores, several threads wait for each other ten times as long.
    request.addfinalizer(functools.partial(torch.set_num_threads, torch.get_num_threads()))
    torch.set_num_threads(1)

    network = denoiser.Denoiser(motion.config).eval()
    arrays = to_torch(motion.variables)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    x, source, audio, noise = (torch.from_numpy(array) for array in inputs[:4])
    draws, t = [torch.from_numpy(array) for array in inputs[4]], torch.from_numpy(T)
    abar = denoiser.alphas_cumprod()
    noised = motion_step.q_sample(x, t, noise, abar)
    with torch.no_grad():
        code = network.encode_audio(audio)

        def predictor(weight):
            return denoiser.guided(network.denoise, code, source, weight=weight)

        plain = network(noised, t, audio=audio, source_feature=source)
        losses = motion_step.motion_losses(plain, x, MotionLossConfig())
        found = {
            "alphas_cumprod": abar,
            "q_sample": noised,
            "losses": np.array([losses[name] for name in LOSSES]),
            **{name: predictor(weight)(x, t) for name, weight in WEIGHTS.items()},
            "ddim": denoiser.ddim(predictor(2.0), draws[0], noise=lambda i: draws[i + 1]),
        }
    check(found, golden, "PyTorch twin")
