"""Every preset and word builds; sizes and placements are those of the golden texts."""

import functools
import os
import pathlib

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from perceptual import networks

from jaxgesture.animation import step as animation_step
from jaxgesture.animation.losses import GLOBAL, LOCAL
from jaxgesture.animation.train import SECTIONS as STAGE1
from jaxgesture.animation.train import make_training
from jaxgesture.core import config as configuration
from jaxgesture.core import sharding, tree
from jaxgesture.core.errors import UserError
from jaxgesture.core.optim import make_optimizer
from jaxgesture.demo.settings import load_config
from jaxgesture.motion import step as motion_step
from jaxgesture.motion.normalisation import identity_statistics
from jaxgesture.motion.train import SECTIONS as STAGE2
from jaxgesture.perceptual import vgg

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
MODELS = {"stage1": animation_step.GENERATOR, "stage2": motion_step.DENOISER}
WRITE = "JAXGESTURE_WRITE_GOLDEN"
PRESETS = ("paper", "small", "debug")
ABLATIONS = ("no_deviation", "no_enhancer", "no_motion_decoder")
CASES = [
    *[("stage1", preset) for preset in PRESETS],
    *[("stage1", f"{p},{word}") for p in ("paper", "debug") for word in ABLATIONS],
    ("stage1", f"debug,{','.join(ABLATIONS)}"),
    *[("stage2", preset) for preset in PRESETS],
    *[("stage2", f"{p},{word}") for p in ("paper", "debug") for word in ("euler", "no_history")],
    ("stage2", "debug,euler,no_history"),
]


@functools.cache
def built(name, text):
    """The dataclasses of a preset's sections."""
    config = load_config(name, text)
    sections = {"stage1": STAGE1, "stage2": STAGE2}[name]
    configuration.check_sections(config, sections)
    return {key: configuration.build(cls, config[key], name=key) for key, cls in sections.items()}


@functools.cache
def abstract_state(name, text):
    """The training state's shapes, with the optimiser and the average that the preset has."""
    parts = built(name, text)
    if name == "stage1":
        init = animation_step.make_init(make_training(parts))
    else:
        optimizer = make_optimizer(parts["optim"], parts["train"].steps)
        ema = parts["optim"].ema_decay > 0
        model = parts["model"]
        statistics = identity_statistics(model)
        init = motion_step.make_init(model, optimizer, statistics, ema=ema)
    return jax.eval_shape(init, jax.random.key(0))


def network(name, text):
    """The network that is the model; what only helps to train it stands beside it."""
    return abstract_state(name, text).networks[MODELS[name]]


@pytest.mark.parametrize(("name", "text"), CASES)
def test_builds(name, text):
    params = network(name, text).params
    assert tree.count(params) > 1000
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}


def test_published_size():
    assert tree.count(network("stage1", "paper").params) == 210_645_333
    assert built("stage1", "paper")["model"].feature_size == 2307
    assert built("stage2", "paper")["model"].feature_size == 2307


@pytest.mark.parametrize("preset", ["paper", "debug"])
@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("no_deviation", "decoder/mask_up_0"),
        ("no_enhancer", "enhancer"),
        ("no_motion_decoder", "motion_decoder"),
    ],
)
def test_words_leave_parts_out(preset, word, part):
    whole, less = (
        set(tree.flatten(network("stage1", text).params)) for text in (preset, f"{preset},{word}")
    )
    assert less < whole
    assert any(name.startswith(part) for name in whole)
    assert not any(name.startswith(part) for name in less)


@pytest.mark.parametrize("preset", ["small", "debug"])
def test_the_presets_of_both_stages_fit(preset):
    one, two = built("stage1", preset)["model"], built("stage2", preset)["model"]
    assert one.feature_size == two.feature_size


@pytest.mark.parametrize("name", ["stage1", "stage2"])
def test_unknown_presets_and_words(name):
    with pytest.raises(UserError, match="did you mean 'debug'"):
        load_config(name, "debgu")
    word = {"stage1": "no_deviation", "stage2": "no_history"}[name]
    with pytest.raises(UserError, match=f"no word {word[:-1]!r}.*did you mean {word!r}"):
        load_config(name, f"debug,{word[:-1]}")


def test_a_step_of_small_keeps_the_state_as_it_is():
    """Traced in bfloat16 with all its losses: a leaf of another type would end the training."""
    parts, before = built("stage1", "small"), abstract_state("stage1", "small")
    size = parts["model"].size
    assert parts["model"].dtype == "bfloat16"
    frames = jax.ShapeDtypeStruct((4, size, size, 3), np.uint8)
    batch = {"source": frames, "driving": frames}
    batch["boxes"] = jax.ShapeDtypeStruct((4, 4, 4), np.float32)
    frozen = {GLOBAL: networks.shapes(vgg.VGG19), LOCAL: networks.shapes(vgg.VGG16)}
    step = animation_step.make_step(make_training(parts))
    after, metrics = jax.eval_shape(step, before, batch, jax.random.key(0), frozen)

    def types(values):
        leaves = tree.flatten(values).items()
        return {name: (leaf.shape, leaf.dtype.name, leaf.weak_type) for name, leaf in leaves}

    assert types(after) == types(before)
    assert jax.tree.structure(after) == jax.tree.structure(before)
    judged = {"loss_perceptual", "loss_local", "loss_adversarial", "discriminator_loss"}
    assert judged < metrics.keys()
    assert set(types(metrics).values()) == {((), "float32", False)}


def compare(file, lines):
    path, text = GOLDEN / file, "\n".join(lines) + "\n"
    if os.environ.get(WRITE):
        path.write_text(text)
    assert path.read_text() == text, f"if this is meant, run again with {WRITE}=1"


@pytest.mark.parametrize("name", ["stage1", "stage2"])
def test_golden_shapes(name):
    leaves = tree.flatten(network(name, "debug").params)
    lines = [f"{key} {'x'.join(map(str, leaf.shape))}" for key, leaf in sorted(leaves.items())]
    total = tree.count(network(name, "debug").params)
    compare(f"{name}_debug_shapes.txt", [f"total {total}", *lines])


@pytest.mark.parametrize(
    ("name", "preset", "shape"),
    [
        ("stage1", "debug", (2, 4)),
        ("stage1", "small", (2, 4)),
        ("stage1", "paper", (2, 4)),
        ("stage1", "paper", (1, 8)),
        ("stage2", "debug", (2, 4)),
        ("stage2", "paper", (2, 4)),
        ("stage2", "paper", (1, 8)),
    ],
)
def test_golden_placement_on_eight_devices(name, preset, shape):
    mesh = AbstractMesh(shape, sharding.AXES)
    state = abstract_state(name, preset)
    placements = sharding.state_shardings(state, mesh).networks
    placed = placements[MODELS[name]]
    specs = {key: value.spec for key, value in tree.flatten(placed.params).items()}
    lines = [f"{key} {tuple(spec) or 'copied'}" for key, spec in sorted(specs.items())]
    for helper in sorted(placements.keys() - {MODELS[name]}):
        leaves = tree.flatten(placements[helper].params)
        lines += [f"{helper}: {k} {tuple(v.spec) or 'copied'}" for k, v in sorted(leaves.items())]
    file = f"{name}_{preset}_placement{'_fsdp8' if shape == (1, 8) else ''}.txt"
    compare(file, lines)
    # The optimiser's moments and the average live where their parameters do.
    moments = {key: value.spec for key, value in tree.flatten(placed.opt_state).items()}
    found = 0
    for key, spec in moments.items():
        parameter = next((k for k in specs if key.endswith(f"/{k}")), None)
        if parameter is not None:
            assert spec == specs[parameter], key
            found += 1
    assert found >= 2 * len(specs)
    for key, value in tree.flatten(placed.ema).items():
        assert value.spec == specs[key]
    # Splitting pays: hardly anything is copied to every device.
    shapes = tree.flatten(network(name, preset).params)
    copied = sum(tree.count(shapes[key]) for key, spec in specs.items() if not tuple(spec))
    assert copied < 0.1 * tree.count(network(name, preset).params)
