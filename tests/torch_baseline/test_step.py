"""The training step of the twin: against JAX's, with every loss, and by hand."""

import copy
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tolerances
import torch
import torch.nn.functional as F
from animation.weights import TINY, pictures
from torch_baseline.twins import (
    CONFIG,
    QUICKLY,
    WHOLE,
    channels_first,
    errors_of_gradients,
    errors_of_trees,
    in_float64,
    randomise,
    table,
)

from jaxgesture.animation import network as jax_network
from jaxgesture.animation.discriminator import Discriminator as JaxDiscriminator
from jaxgesture.animation.discriminator import DiscriminatorConfig
from jaxgesture.animation.losses import GLOBAL, LOCAL, LOCAL_PARTS, LossConfig
from jaxgesture.animation.step import DISCRIMINATOR, GENERATOR, Training, make_step
from jaxgesture.core import tree
from jaxgesture.core.optim import OptimConfig, make_optimizer
from jaxgesture.core.state import create_network, create_state
from jaxgesture.perceptual.weights import random_params
from jaxgesture.torch_baseline.discriminator import Discriminator
from jaxgesture.torch_baseline.network import AnimationNetwork
from jaxgesture.torch_baseline.step import StepConfig, TrainStep, clip_by_global_norm
from jaxgesture.torch_baseline.vgg import vgg16, vgg19
from jaxgesture.torch_baseline.weights import discriminator_state, feature_state

FALLS_BELOW = 0.5  # of the first loss, after 25 steps; measured 0.46

LOSS = LossConfig(
    pixel=2.0, squared=5.0, motion=5.0, scales=(1, 2, 4), perceptual=1.0, local=5.0,
    local_style=300.0, local_size=16, adversarial=1.0,
)  # fmt: skip
# Exact in float32, which the JAX average's decay is.
STEPS = StepConfig(LOSS, learning_rate=1e-3, clip_norm=0.25, ema_decay=0.875)
JUDGE = DiscriminatorConfig(widths=(8, 12, 16), kernel=3, strides=(2, 2, 1))
NAN = float("nan")
BOXES = np.array(  # left hand, right hand, face, lips
    [
        [[0.1, 0.2, 0.5, 0.7], [NAN] * 4, [-0.1, 0.5, 0.4, 1.1], [0.2, 0.2, 0.3, 0.3]],
        [[NAN] * 4, [0.3, 0.3, 0.4, 0.35], [0.2, NAN, 0.5, 0.9], [NAN] * 4],
    ],
    np.float32,
)
PIXELS = StepConfig(LossConfig(scales=(1, 2), pixel=1.0, squared=2.0, motion=0.5))


def pixels(count, seed=0):
    return torch.from_numpy(channels_first((pictures(count, seed) * 255).round().astype(np.uint8)))


def judge_variables():
    """The discriminator's, random; u and v have length 1 and have not seen the kernels."""
    with jax.enable_x64(True):
        image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
        init = lambda key: JaxDiscriminator(JUDGE).lazy_init(key, image, train=False)  # noqa: E731
        shapes = tree.flatten(jax.eval_shape(init, jax.random.key(0)))
    rng = np.random.default_rng(7)
    flat = {}
    for name, leaf in shapes.items():
        value = rng.standard_normal(leaf.shape)
        if name.startswith("batch_stats"):
            value /= np.linalg.norm(value)
        elif len(leaf.shape) > 1:
            value *= np.sqrt(2 / np.prod(leaf.shape[:-1]))
        flat[name] = value
    return tree.unflatten(flat)


def jax_step(generator, judge, frozen):
    """The networks after one step of JAX's, and the metrics."""

    def optimizer(rate):
        b1, b2 = STEPS.betas
        config = OptimConfig(learning_rate=rate, b1=b1, b2=b2, clip_norm=STEPS.clip_norm)
        return make_optimizer(config, 1)

    training = Training(
        model=CONFIG,
        loss=LOSS,
        optimizer=optimizer(STEPS.learning_rate),
        discriminator=JUDGE,
        discriminator_optimizer=optimizer(STEPS.learning_rate * LOSS.discriminator_rate),
        ema_decay=STEPS.ema_decay,
    )
    source, driving = (pixels(2, seed).permute(0, 2, 3, 1).numpy() for seed in (0, 1))
    batch = {"source": source, "driving": driving, "boxes": BOXES}
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        generator, judge, frozen = jax.tree.map(jnp.asarray, (generator, judge, frozen))
        networks = {
            name: create_network(v["params"], optimizer, stats=v["batch_stats"], ema=ema)
            for name, v, optimizer, ema in (
                (GENERATOR, generator, training.optimizer, True),
                (DISCRIMINATOR, judge, training.discriminator_optimizer, False),
            )
        }
        arguments = (create_state(**networks), batch, jax.random.key(0), frozen)
        step = jax.jit(make_step(training)).lower(*arguments).compile(QUICKLY)
        state, metrics = step(*arguments)
        # The twin knows the norm of the whole gradient alone.
        shared = {n: value for n, value in metrics.items() if not n.startswith("grad_norm_")}
        return jax.device_get((state.networks, shared))


def as_arrays(tensors):
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def gradients(network):
    """As Adam saw them: its first moment after one step is (1 - b1) times that."""
    return jax.tree.map(lambda m: m / (1 - STEPS.betas[0]), optax.tree.get(network.opt_state, "mu"))


@pytest.fixture(scope="module")
def stepped():
    """One step on each side from the same weights: {what: {name: relative error}}."""
    network = randomise(AnimationNetwork(CONFIG))
    judge = Discriminator(JUDGE.widths, JUDGE.kernel, JUDGE.strides).double()
    image = np.zeros((1, 64, 64, 3))
    init = jax_network.AnimationNetwork(CONFIG).init
    with jax.enable_x64(True):
        shapes = in_float64(jax.eval_shape(init, jax.random.key(0), image, image))
    generator = WHOLE.from_torch(network.state_dict(), shapes)
    judged = judge_variables()
    start = discriminator_state(judged["params"], judged["batch_stats"])
    judge.load_state_dict(start)
    frozen = {name: jax.tree.map(np.float64, random_params(name)) for name in (GLOBAL, LOCAL)}
    features = vgg19().double(), vgg16().double()
    for module, name in zip(features, (GLOBAL, LOCAL), strict=True):
        module.load_features(feature_state(frozen[name]))

    step = TrainStep(network, STEPS, discriminator=judge, vgg19=features[0], vgg16=features[1])
    boxes = torch.from_numpy(BOXES)[:, LOCAL_PARTS]
    metrics = step(pixels(2), pixels(2, seed=1), boxes)
    networks, theirs = jax_step(generator, judged, frozen)
    assert metrics.keys() == theirs.keys()
    assert metrics["grad_norm"] > STEPS.clip_norm

    def ours(values):
        return WHOLE.from_torch(values, {"params": shapes["params"]})["params"]

    names = [name for name, _ in network.named_parameters()]
    trained, learned = networks[GENERATOR], networks[DISCRIMINATOR]
    after = WHOLE.from_torch(network.state_dict(), shapes)
    grads = {name: p.grad for name, p in network.named_parameters()}
    judge_grads = {name: p.grad.numpy() for name, p in judge.named_parameters()}
    found = {
        "loss": {name: abs(value.item() / theirs[name] - 1) for name, value in metrics.items()},
        "gradient": errors_of_gradients(ours(grads), gradients(trained)),
        "discriminator's gradient": errors_of_gradients(
            judge_grads, as_arrays(discriminator_state(gradients(learned), {}))
        ),
        "parameters": errors_of_trees(after["params"], trained.params),
        "average": errors_of_trees(ours(dict(zip(names, step.average, strict=True))), trained.ema),
        "statistics": errors_of_trees(after["batch_stats"], trained.stats),
        "discriminator": errors_of_trees(
            as_arrays(judge.state_dict()),
            as_arrays(discriminator_state(learned.params, learned.stats)),
        ),
    }  # fmt: skip
    moved = {
        "parameters": errors_of_trees(after["params"], generator["params"]),
        "statistics": errors_of_trees(after["batch_stats"], generator["batch_stats"]),
        "discriminator": errors_of_trees(as_arrays(judge.state_dict()), as_arrays(start)),
    }
    table("losses of a step", found["loss"], tolerances.TWIN_STEP)
    largest = {what: max(errors.values()) for what, errors in found.items()}
    table("a step of both networks", largest, tolerances.TWIN_STEP)
    return found, moved, metrics


@pytest.mark.slow
@pytest.mark.parametrize(
    "what",
    ["loss", "gradient", "discriminator's gradient", "parameters", "average", "statistics",
     "discriminator"],
)  # fmt: skip
def test_one_step_is_jaxs(stepped, what):
    found, moved, _ = stepped
    errors = found[what]
    assert max(errors.values()) <= tolerances.TWIN_STEP, {
        name: error for name, error in errors.items() if error > tolerances.TWIN_STEP
    }
    assert min(moved.get(what, {"": 1}).values()) > 0  # the comparison is not of what was before


@pytest.mark.slow
def test_every_loss_counts(stepped):
    *_, metrics = stepped
    parts = {
        "pixel": LOSS.pixel * sum(metrics[f"loss_pixel_{s}"] for s in LOSS.scales),
        **{
            name: getattr(LOSS, name) * metrics[f"loss_{name}"]
            for name in ("squared", "motion", "perceptual", "local", "local_style", "adversarial")
        },
    }
    assert sum(parts.values()).item() == pytest.approx(metrics["loss"].item(), rel=1e-12)
    shares = {name: (part / metrics["loss"]).item() for name, part in parts.items()}
    print(shares)
    assert min(shares.values()) > 0.01


def tiny_pair(seed=0):
    torch.manual_seed(seed)
    network = AnimationNetwork(TINY).double()
    return network, Discriminator((4, 6), kernel=3, strides=(2, 1)).double()


def power_iterations(weight, u, count):
    matrix = weight.detach().flatten(1)
    for _ in range(count):
        v = F.normalize(matrix.T @ u, dim=0)
        u = F.normalize(matrix @ v, dim=0)
    return u, v


def judged(network, start, image, passes):
    """Logits of a discriminator after so many power iterations from `start`, written out."""
    x = image
    for i, stride in ((0, 2), (2, 1)):
        weight = network.encoder[i].weight_orig
        u, v = power_iterations(weight, start[f"encoder.{i}.weight_u"], passes)
        x = F.conv2d(x, weight / (u @ weight.flatten(1) @ v), stride=stride, padding=1)
        x = F.leaky_relu(x, 0.2)
    return network.classifier(x)


def test_adversarial_step_by_hand():
    network, discriminator = tiny_pair()
    source, driving = pixels(2), pixels(2, seed=1)
    loss = dataclasses.replace(PIXELS.loss, adversarial=0.3, discriminator_rate=2.0)
    config = dataclasses.replace(PIXELS, loss=loss, clip_norm=0.0, learning_rate=0.01)
    ours, judge = copy.deepcopy(network).train(), copy.deepcopy(discriminator)
    start = {name: value.clone() for name, value in judge.state_dict().items()}
    metrics = TrainStep(network, config, discriminator=discriminator)(source, driving)

    real = driving.double() / 255
    fake = ours(source.double() / 255, real)
    adversarial = (judged(judge, start, fake, 1) - 1).square().mean()
    assert metrics["loss_adversarial"].item() == pytest.approx(adversarial.item(), rel=1e-9)
    pixel = sum(loss.pixel * metrics[f"loss_pixel_{s}"].item() for s in (1, 2))
    pixel += 2.0 * metrics["loss_squared"].item() + 0.5 * metrics["loss_motion"].item()
    assert metrics["loss"].item() == pytest.approx(pixel + 0.3 * adversarial.item(), rel=1e-9)

    fake = fake.detach()
    of_fake, of_real = judged(judge, start, fake, 2), judged(judge, start, real, 3)
    half = 0.5 * (of_fake.square().mean() + (of_real - 1).square().mean())
    assert metrics["discriminator_loss"].item() == pytest.approx(half.item(), rel=1e-9)
    optimizer = torch.optim.Adam(judge.parameters(), 0.02, config.betas)
    half.backward()
    gradients = [p.grad for p in judge.parameters()]
    optimizer.step()
    after = discriminator.state_dict()
    for name, value in judge.state_dict().items():
        if name.endswith(("weight_u", "weight_v")):
            value = power_iterations(start[name[:-1] + "orig"], start[name[:-1] + "u"], 3)[
                name.endswith("v")
            ]
        torch.testing.assert_close(after[name], value, rtol=1e-9, atol=1e-10)
        assert not torch.equal(after[name], start[name])
    for p, wanted in zip(discriminator.parameters(), gradients, strict=True):
        torch.testing.assert_close(p.grad, wanted, rtol=1e-8, atol=1e-12)
        assert p.requires_grad


@pytest.mark.slow
def test_loss_falls_on_one_batch_and_everything_moves():
    network, discriminator = (module.float() for module in tiny_pair())
    loss = dataclasses.replace(PIXELS.loss, adversarial=0.05, discriminator_rate=0.2)
    config = dataclasses.replace(PIXELS, loss=loss, ema_decay=0.9, learning_rate=5e-3)
    before = copy.deepcopy(network.state_dict())
    step = TrainStep(network, config, discriminator=discriminator)
    source, driving = pixels(2), pixels(2, seed=1)
    metrics = [{k: v.item() for k, v in step(source, driving).items()} for _ in range(40)]
    assert np.isfinite([list(m.values()) for m in metrics]).all()
    print(metrics[0]["loss"], metrics[-1]["loss"])
    assert metrics[-1]["loss"] < FALLS_BELOW * metrics[0]["loss"]
    still = [name for name, v in network.state_dict().items() if torch.equal(v, before[name])]
    assert not still
    parameters = dict(network.named_parameters())
    assert not any(average.requires_grad for average in step.average)
    assert len(step.average) == len(parameters)
    for average, (name, value) in zip(step.average, parameters.items(), strict=True):
        assert not torch.equal(average, value) and not torch.equal(average, before[name])


def test_clipping_is_optaxs():
    def parameters(*gradients):
        made = [torch.nn.Parameter(torch.zeros(len(g))) for g in gradients]
        for p, g in zip(made, gradients, strict=True):
            p.grad = torch.tensor(g)
        return [*made, torch.nn.Parameter(torch.zeros(1))]  # one without a gradient

    large = parameters([3.0, 0.0], [4.0])
    assert clip_by_global_norm(large, 2.5).item() == 5
    assert large[0].grad.tolist() == [1.5, 0.0] and large[1].grad.tolist() == [2.0]
    for limit in (5.0, 7.0, 0.0):
        same = parameters([3.0, 0.0], [4.0])
        assert clip_by_global_norm(same, limit).item() == 5
        assert same[0].grad.tolist() == [3.0, 0.0] and same[1].grad.tolist() == [4.0]


@pytest.mark.parametrize(
    ("name", "needed"),
    [("adversarial", "discriminator="), ("perceptual", "vgg19="), ("local", "vgg16="),
     ("local_style", "vgg16=")],
)  # fmt: skip
def test_a_weight_needs_its_network(name, needed):
    network, _ = tiny_pair()
    loss = dataclasses.replace(PIXELS.loss, **{name: 1.0})
    with pytest.raises(ValueError, match=f"needs a network: give {needed}"):
        TrainStep(network, dataclasses.replace(PIXELS, loss=loss))


@pytest.mark.parametrize("changes", [{"read_out": 1.0}, {"adversarial_start": 5}])
def test_what_only_jax_has_is_refused(changes):
    with pytest.raises(ValueError, match=f"{next(iter(changes))}=.* set it to 0"):
        StepConfig(dataclasses.replace(LOSS, **changes))
