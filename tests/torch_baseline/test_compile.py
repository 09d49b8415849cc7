"""What a benchmark asks of the twin: compiled without graph breaks, channels last, autocast."""

import dataclasses
import shutil

import numpy as np
import pytest
import tolerances
import torch
from animation.weights import TINY, pictures
from torch_baseline.twins import channels_first, randomise

from jaxgesture.animation.losses import LossConfig
from jaxgesture.torch_baseline.discriminator import Discriminator
from jaxgesture.torch_baseline.network import AnimationNetwork
from jaxgesture.torch_baseline.step import StepConfig, TrainStep
from jaxgesture.torch_baseline.vgg import VGG


def images(count, seed=0):
    return torch.from_numpy(channels_first(pictures(count, seed)))


def network(**changes):
    return randomise(AnimationNetwork(dataclasses.replace(TINY, **changes)))


def apart(ours, theirs):
    found = (ours - theirs).abs().max().item()
    print(found)
    return found


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")
def test_compiled_parts_are_the_parts():
    """A convolution network with its heads, and the warp; compiling all of it takes minutes."""
    ours = network(extractor_blocks=(0, 0, 0)).eval()
    x = images(2).double()
    with torch.no_grad():
        motion = ours.extract_motion(x)
        compiled = torch.compile(ours.extract_motion, fullgraph=True)
        assert apart(compiled(x), motion) <= tolerances.TWIN_SAME
        volume = ours.encode_source(x).feature
        decoded = ours.decode_motion(motion)
        warped = ours.generator.warp(volume, *decoded)
        compiled = torch.compile(ours.generator.warp, fullgraph=True)
        assert apart(compiled(volume, *decoded), warped) <= tolerances.TWIN_SAME


@pytest.mark.slow
@pytest.mark.parametrize("low_precision", [False, True])
def test_a_whole_step_has_no_graph_breaks(low_precision, monkeypatch):
    """Every loss included; traced with its gradients, but not compiled: that takes minutes."""
    original = torch.compile

    def compile(function, fullgraph):
        assert fullgraph
        return original(function, fullgraph=True, backend="aot_eager")

    monkeypatch.setattr(torch, "compile", compile)
    loss = LossConfig(
        scales=(1, 2), squared=1.0, motion=1.0, perceptual=1.0, local=1.0, local_style=1.0,
        local_size=16, adversarial=0.1,
    )  # fmt: skip
    config = StepConfig(loss, learning_rate=1e-4, low_precision=low_precision)
    boxes = torch.tensor([[[0.1, 0.2, 0.5, 0.7], [float("nan")] * 4]] * 2)
    values = []
    for compiled in (False, True):
        torch.manual_seed(0)
        step = TrainStep(
            network(enhancer_blocks=0, decoder_blocks=0).float(),
            config,
            discriminator=Discriminator((4, 6), kernel=3, strides=(2, 1)),
            vgg19=VGG("vgg19", (1, 6), normalise=True),
            vgg16=VGG("vgg16", (4,), normalise=False),
            compile=compiled,
        )
        source, driving = ((images(2, seed) * 255).to(torch.uint8) for seed in (0, 1))
        metrics = [step(source, driving, boxes) for _ in range(2)]
        values.append([{k: v.item() for k, v in m.items()} for m in metrics])
    for plain, compiled in zip(*values, strict=True):
        assert plain.keys() == compiled.keys()
        found = {name: abs(compiled[name] / value - 1) for name, value in plain.items()}
        # The warp magnifies rounding in the gradient.
        print(found.pop("grad_norm"), found)
        dtype = "bfloat16" if low_precision else "float32"
        assert max(found.values()) <= tolerances.TWIN_TRACED[dtype]


def test_channels_last_is_the_same_network():
    plain = network().train()(images(2).double(), images(2, seed=1).double())
    last = network().train().to(memory_format=torch.channels_last)
    x, y = (images(2, s).double().to(memory_format=torch.channels_last) for s in (0, 1))
    image = last(x, y)
    assert apart(image, plain) <= tolerances.TWIN_SAME
    image.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in last.parameters())
    maps = last.generator.encode(x)
    assert all(m.is_contiguous(memory_format=torch.channels_last) for m in maps)


def test_autocast_is_near():
    """Part by part: what low precision does to the motion decides what the warp shows."""
    ours = network().float().eval()
    x, y = images(2), images(2, seed=1)
    with torch.no_grad():
        source, motion = ours.encode_source(x), ours.extract_motion(y)
        warped = ours.generator.warp(source.feature, *ours.decode_motion(motion))
        with torch.autocast("cpu", torch.bfloat16):
            low = ours.encode_source(x)
            pairs = {
                "feature": (low.feature, source.feature),
                "scene": (low.scene[0], source.scene[0]),
                "motion": (ours.extract_motion(y), motion),
            }
            image = ours.generator.decoder(warped, low.scene)
        pairs["image"] = image, ours.generator.decoder(warped, source.scene)
    errors = {name: ((a.float() - b).norm() / b.norm()).item() for name, (a, b) in pairs.items()}
    print(errors)
    assert all(0 < errors[name] <= most for name, most in tolerances.TWIN_AUTOCAST.items())


def test_autocast_keeps_what_must_be_float32():
    ours = network().float().train()
    seen = {}

    def keep(name):
        def hook(module, inputs, output):
            seen[name] = (inputs, output)

        return hook

    ours.generator.warp.register_forward_hook(keep("warp"))
    ours.generator.first.norm.register_forward_hook(keep("norm"))
    ours.pose_base.register_forward_hook(keep("extractor"))
    with torch.autocast("cpu", torch.bfloat16):
        image = ours(images(2), images(2, seed=1))
    assert image.dtype == torch.float32
    (feature, rotation, translation), warped = seen["warp"]
    assert feature.dtype == warped.dtype == torch.bfloat16
    assert rotation.dtype == translation.dtype == torch.float32
    assert ours.generator.warp.places(rotation, translation).dtype == torch.float32
    (x,), y = seen["norm"]
    assert x.dtype == y.dtype == torch.bfloat16
    logits, _ = seen["extractor"][1]
    assert all(value.dtype == torch.float32 for value in logits.values())
    image.square().mean().backward()
    assert all(p.grad.dtype == torch.float32 for p in ours.parameters())
    assert all(np.isfinite(p.grad.numpy()).all() for p in ours.parameters())
    statistics = [b for name, b in ours.named_buffers() if name.endswith(("_mean", "_var"))]
    assert statistics and all(b.dtype == torch.float32 for b in statistics)
