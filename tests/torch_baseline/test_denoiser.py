"""The twin of the motion denoiser against JAX in float64, and Adan against its reference."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tolerances
import torch
from motion.weights import numpy_params
from torch_baseline.twins import QUICKLY, errors_of_gradients, errors_of_trees, in_float64, table

from jaxgesture.convert.motion import from_torch, to_torch
from jaxgesture.core import rng
from jaxgesture.core.optim import make_optimizer
from jaxgesture.core.state import create_network, create_state
from jaxgesture.core.types import Weighted
from jaxgesture.layers.rotary import rotate
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.denoiser import Denoiser, timestep_embedding
from jaxgesture.motion.losses import MotionLossConfig
from jaxgesture.motion.normalisation import identity_statistics
from jaxgesture.motion.schedule import DIFFUSION_STEPS
from jaxgesture.motion.step import DENOISER, STEP_BINS, make_step
from jaxgesture.motion.train import MotionOptimConfig
from jaxgesture.torch_baseline import denoiser as twin
from jaxgesture.torch_baseline.motion_step import Adan, Draws, MotionStep, MotionStepConfig

CONFIG = MotionConfig(
    feature_size=12, audio_size=7, segment_frames=6, width=16, feedforward=24, heads=2, layers=1,
    audio_layers=1, dropout=0.0, history_frames=3, dtype="float64",
)  # fmt: skip
CONFIGS = {
    "with history": CONFIG,
    "without": dataclasses.replace(CONFIG, history_frames=0, representation="vector"),
}
LOSS = MotionLossConfig(position=1.0, velocity=0.7, acceleration=1.3)
RATE, DECAY, STEPS, SIZE = 1e-4, 0.9, 3, 4


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Several would wait for each other longer than such small sums take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def variables(config):
    """Weights in float64, of our layout."""
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), numpy_params(config))
    return {"params": params, "stats": identity_statistics(config)}


def network(config, weights, dtype=torch.float64):
    """The twin with these weights, and with the constants that JAX computes.

    In float32 each side's sine rounds in its own way, which would hide all below 1e-7.
    """
    made = twin.Denoiser(config)
    tensors = {name: torch.from_numpy(array) for name, array in to_torch(weights).items()}
    made.to(dtype).load_state_dict(tensors)
    past, last = config.history_frames, config.segment_frames + twin.TIME_TOKENS
    positions = np.arange(-past, last)
    units = np.tile(np.float32([1, 0]), (1, len(positions), config.width // 2))
    turned = np.asarray(rotate(jnp.asarray(units), positions))[0]
    constants = {
        "time_mlp.0.table": timestep_embedding(jnp.arange(DIFFUSION_STEPS), config.width),
        "rotary.cos": turned[:, 0::2],
        "rotary.sin": turned[:, 1::2],
    }
    buffers = dict(made.named_buffers())
    for name, value in constants.items():
        value = torch.from_numpy(np.array(value))
        torch.testing.assert_close(buffers[name].float(), value, rtol=0, atol=1e-6)
        buffers[name].copy_(value)
    return made


def raw_batch(config, seed=0):
    """Features inside [-1, 1], so that identity statistics leave them alone."""
    draw = np.random.default_rng(seed)

    def uniform(*shape):
        return draw.uniform(-1, 1, (SIZE, *shape))

    frames, size = config.segment_frames, config.feature_size
    batch = {
        "motion": uniform(frames, size),
        "audio": uniform(frames, config.audio_size),
        "source": uniform(size),
    }
    if config.history_frames:
        batch["history"] = uniform(config.history_frames, size)
        batch["history_valid"] = np.array([True, True, False, True])
    return batch


def draws_of(config, key):
    """The random numbers of a step of JAX's."""
    shape = (SIZE, config.segment_frames, config.feature_size)
    t = jax.random.randint(rng.stream(key, "t"), (SIZE,), 0, DIFFUSION_STEPS)
    noise = jax.random.normal(rng.stream(key, "noise"), shape)
    keep = jax.random.uniform(rng.stream(key, "keep"), (SIZE,)) < config.guidance_keep
    found = [t, noise, keep]
    if config.history_frames:
        drawn = jax.random.uniform(rng.stream(key, "history_mask"), (SIZE,))
        found.append(drawn >= config.history_null_probability)
        shape = (SIZE, config.history_frames, config.feature_size)
        drawn = jax.random.normal(rng.stream(key, "history_noise"), shape)
        found.append(config.history_noise * drawn)
    return [torch.from_numpy(np.array(value)) for value in found]


def jax_steps(config, weights, batch, keys):
    """States and metrics of steps of the JAX package."""
    settings = MotionOptimConfig(learning_rate=RATE, ema_decay=DECAY)
    optimizer = make_optimizer(settings, STEPS)
    params, stats = jax.tree.map(jnp.asarray, (weights["params"], weights["stats"]))
    state = create_state(
        **{DENOISER: create_network(params, optimizer, stats=stats, ema=True)}
    )  # fmt: skip
    batch = jax.tree.map(jnp.asarray, batch)
    function = jax.jit(make_step(config, LOSS, optimizer, ema_decay=DECAY))
    step = function.lower(state, batch, keys[0]).compile(QUICKLY)
    for key in keys:
        state, metrics = step(state, batch, key)
        yield jax.device_get((state.networks[DENOISER], metrics))


@pytest.fixture(scope="module", params=CONFIGS)
def stepped(request):
    """Steps on both sides from the same weights: {what: {name: relative error}} of each."""
    config = CONFIGS[request.param]
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        weights, batch = variables(config), raw_batch(config)
        keys = [jax.random.fold_in(jax.random.key(3), i) for i in range(STEPS)]
        theirs = list(jax_steps(config, weights, batch, keys))
        draws = [draws_of(config, key) for key in keys]
    made = network(config, weights)
    settings = MotionStepConfig(LOSS, learning_rate=RATE, ema_decay=DECAY)
    step, found, gradients = MotionStep(made, settings), [], []
    tensors = {name: torch.from_numpy(value) for name, value in batch.items()}
    template = in_float64({"params": weights["params"], "stats": weights["stats"]})
    names = [name for name, _ in made.named_parameters()]
    constants = {name: value for name, value in made.state_dict().items() if name not in names}

    def ours(values):
        arrays = {**constants, **dict(zip(names, values, strict=True))}
        arrays = {name: value.detach().numpy() for name, value in arrays.items()}
        return from_torch(arrays, template, "the twin")["params"]

    for drawn, (state, metrics) in zip(draws, theirs, strict=True):
        if config.history_frames:
            drawn[3] = tensors["history_valid"] & drawn[3]
        values = step(tensors, Draws(*drawn))
        bars = {name for name, value in metrics.items() if isinstance(value, Weighted)}
        parts = {name for name in metrics if name.startswith("grad_norm_")}
        assert len(bars) == STEP_BINS and values.keys() == metrics.keys() - bars - parts
        gradients.append(optax.tree.get(state.opt_state, "previous"))
        found.append({
            "losses": {name: abs(v.item() / metrics[name] - 1) for name, v in values.items()},
            "gradients": errors_of_gradients(
                ours(p.grad for p in made.parameters()), gradients[-1]
            ),
            "parameters": errors_of_trees(ours(made.parameters()), state.params),
            "average": errors_of_trees(ours(step.average), state.ema),
        })  # fmt: skip
    moved = errors_of_trees(ours(made.parameters()), weights["params"])
    return request.param, found, moved, draws[0], gradients[0]


def test_steps_are_jaxs(stepped):
    name, found, moved, drawn, gradients = stepped
    largest = {
        f"{what}, step {i + 1}": max(errors.values())
        for i, step in enumerate(found)
        for what, errors in step.items()
    }
    table(f"the motion step {name}", largest, tolerances.TWIN_MOTION_STEP)
    # Before anything has moved; Adan does not in its first step, it decays.
    assert max(found[0]["gradients"].values()) <= tolerances.TWIN_BLOCKS
    assert max(found[0]["losses"].values()) <= tolerances.TWIN_LOSSES
    assert max(found[0]["parameters"].values()) <= tolerances.TWIN_BLOCKS
    assert max(largest.values()) <= tolerances.TWIN_MOTION_STEP
    # Something was compared: every leaf has a gradient and moved, the masks keep some, drop some.
    assert min(np.abs(leaf).max() for leaf in jax.tree.leaves(gradients)) > 0
    assert min(moved.values()) > 1e-5
    assert all(mask.any() and not mask.all() for mask in drawn[2:4])


def test_outputs_with_every_mask():
    with jax.enable_x64(True):
        weights, batch = variables(CONFIG), raw_batch(CONFIG)
        names = {"audio": "audio", "source_feature": "source", "history": "history"}
        inputs = {name: jnp.asarray(batch[place]) for name, place in names.items()}
        inputs["keep"] = jnp.array([True, False, True, False])
        inputs["history_mask"] = jnp.array([True, True, False, False])
        t, x = jnp.array([0, 3, 712, 999]), jnp.asarray(batch["motion"])
        apply = jax.jit(Denoiser(CONFIG).apply)
        params = {"params": weights["params"]}
        cases = {"both masks": inputs, "no masks": {k: inputs[k] for k in names}}
        cases["no history"] = {k: inputs[k] for k in ("audio", "source_feature")}
        theirs = {name: np.asarray(apply(params, x, t, **case)) for name, case in cases.items()}
        cases = jax.tree.map(lambda v: torch.from_numpy(np.array(v)), (cases, x, t))
    made, (cases, x, t) = network(CONFIG, weights), cases
    errors = {}
    for name, case in cases.items():
        with torch.no_grad():
            ours = made(x, t, **case).numpy()
        assert ours.dtype == theirs[name].dtype == np.float64
        errors[name] = np.abs(ours - theirs[name]).max() / np.abs(theirs[name]).max()
    table("the denoiser", errors, tolerances.TWIN_BLOCKS)
    assert max(errors.values()) <= tolerances.TWIN_BLOCKS
    assert np.abs(theirs["no history"] - theirs["no masks"]).max() > 1e-3


@pytest.mark.parity
@pytest.mark.parametrize("rate", ["0.0001", "0.01"])
@pytest.mark.parametrize("kind", ["fixed", "quadratic"])
def test_adan_follows_the_reference(shared, rate, kind):
    golden = {
        name: torch.from_numpy(value)
        for name, value in np.load(shared / "parity/adan_seed0.npz").items()
    }
    for dtype, suffix in ((torch.float64, "_f64"), (torch.float32, "")):
        x = torch.nn.Parameter(golden["x0"].to(dtype))
        optimizer = Adan([x], float(rate), weight_decay=0.02)
        for step, wanted in enumerate(golden[f"{kind}_lr{rate}{suffix}"]):
            gradient = golden["fixed_grads"][step]
            if kind == "quadratic":
                gradient = golden["H"] * x.detach() - golden["b"]
            x.grad = gradient.to(dtype)
            optimizer.step()
            error = (x.detach() - wanted).abs().max().item()
            assert error <= (1e-12 if suffix else tolerances.ADAN_PARAMETERS)
    if (kind, rate) == ("quadratic", "0.01"):
        for name in ("m", "v", "n", "previous"):
            wanted = golden[f"quadratic_lr0.01_{name.replace('previous', 'prev_grad')}"]
            assert (optimizer.state[x][name] - wanted).abs().max() <= tolerances.ADAN_MOMENTS


@pytest.fixture
def float32():
    """A twin in float32, its inputs, and a batch for its step."""
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, dropout=0.1, dtype="float32")
    batch = {
        name: torch.from_numpy(value).float() if value.dtype != bool else torch.from_numpy(value)
        for name, value in raw_batch(config).items()
    }
    return twin.Denoiser(config), batch


def test_autocast_is_near_and_float32_at_the_ends(float32):
    made, batch = float32
    made.eval()
    rest = {"audio": batch["audio"], "source_feature": batch["source"], "history": batch["history"]}
    seen = {}
    made.seqTransDecoder.register_forward_hook(lambda m, inputs, out: seen.update(x=out))
    with torch.no_grad():
        full = made(batch["motion"], torch.arange(SIZE), **rest)
        with torch.autocast("cpu", torch.bfloat16):
            low = made(batch["motion"], torch.arange(SIZE), **rest)
    assert full.dtype == low.dtype == seen["x"].dtype == torch.float32
    error = ((low - full).norm() / full.norm()).item()
    print(error)
    assert 0 < error <= tolerances.TWIN_MOTION_AUTOCAST


@pytest.mark.parametrize("low_precision", [False, True])
def test_a_step_has_no_graph_breaks(float32, low_precision, monkeypatch):
    """Traced with its gradients, but not compiled: that takes longer."""
    original = torch.compile

    def compile(function, fullgraph):
        assert fullgraph
        return original(function, fullgraph=True, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", compile)
    made, batch = float32
    config = MotionStepConfig(LOSS, learning_rate=0.01, low_precision=low_precision)
    values, start = [], {name: value.clone() for name, value in made.state_dict().items()}
    for compiled in (False, True):
        made.load_state_dict(start)
        torch.manual_seed(1)
        step = MotionStep(made, config, compile=compiled)
        values.append([step(batch)["loss"].item() for _ in range(2)])
        assert all(p.grad.dtype == torch.float32 for p in made.parameters())
    plain, traced = np.array(values)
    limit = tolerances.TWIN_TRACED["bfloat16" if low_precision else "float32"]
    print(np.abs(traced / plain - 1))
    assert np.abs(traced / plain - 1).max() <= limit


def test_one_batch_is_learned(float32):
    """With the step's own random numbers, dropout included."""
    made, batch = float32
    step = MotionStep(made, MotionStepConfig(learning_rate=1e-2, ema_decay=0.9))
    metrics = [step(batch) for _ in range(60)]
    losses = np.array([float(m["loss"]) for m in metrics])
    print(losses[:5].mean(), losses[-20:].mean())
    assert losses[-20:].mean() < 0.75 * losses[:5].mean()
    assert {*metrics[0]} == {"loss", "position", "velocity", "acceleration", "grad_norm"}
    draws = [step.draw(batch) for _ in range(50)]
    kept = np.mean([d.keep.float().mean() for d in draws])
    assert 0.6 < kept < 0.9
    # The third example never has a history, the others nearly always.
    seen = torch.stack([d.history_mask.float() for d in draws]).mean(0)
    assert seen[2] == 0 and seen[[0, 1, 3]].min() > 0.7
    assert all(d.t.min() >= 0 and d.t.max() < DIFFUSION_STEPS for d in draws)
    moved = [(a - p).abs().max() for a, p in zip(step.average, made.parameters(), strict=True)]
    assert min(moved) > 0 and not any(a.requires_grad for a in step.average)


def test_sampling_draws_inside_the_range(float32):
    made, batch = float32
    made.eval()
    with torch.no_grad():
        code = made.encode_audio(batch["audio"])
    predict = twin.guided(made.denoise, code, batch["source"], history=batch["history"])
    sample = twin.ddim(predict, torch.randn_like(batch["motion"]), steps=5)
    assert sample.shape == batch["motion"].shape and sample.abs().max() <= 1
    assert not torch.equal(sample, twin.ddim(predict, torch.randn_like(sample), steps=5))
    start = torch.randn_like(sample)
    still = [twin.ddim(predict, start, steps=5, eta=0.0) for _ in range(2)]
    assert torch.equal(*still)
