"""What a benchmark asks of the twin: compiled without graph breaks, channels last, autocast."""

import shutil

import numpy as np
import pytest
import torch
from animation.weights import TINY, pictures
from torch_baseline.twins import channels_first, randomise

from jaxgesture.animation.losses import LossConfig
from jaxgesture.torch_baseline.discriminator import Discriminator
from jaxgesture.torch_baseline.network import AnimationNetwork
from jaxgesture.torch_baseline.step import StepConfig, TrainStep
from jaxgesture.torch_baseline.vgg import vgg16, vgg19

COMPILED = 1e-4  # absolute, images in [0, 1]; measured beside each print
LOW_PRECISION = 0.05  # absolute, bfloat16


def images(count, seed=0):
    return torch.from_numpy(channels_first(pictures(count, seed)))


def network():
    return randomise(AnimationNetwork(TINY)).float()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_network_is_the_network():
    ours = network().eval()
    with torch.no_grad():
        plain = ours(images(2), images(2, seed=1))
        compiled = torch.compile(ours, fullgraph=True)(images(2), images(2, seed=1))
    found = (plain - compiled).abs().max().item()
    print(found)
    assert found <= COMPILED


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
            network(),
            config,
            discriminator=Discriminator((4, 6), kernel=3, strides=(2, 1)),
            vgg19=vgg19(),
            vgg16=vgg16(),
            compile=compiled,
        )
        source, driving = ((images(2, seed) * 255).to(torch.uint8) for seed in (0, 1))
        metrics = [step(source, driving, boxes) for _ in range(2)]
        values.append([{k: v.item() for k, v in m.items()} for m in metrics])
    for plain, compiled in zip(*values, strict=True):
        assert plain.keys() == compiled.keys()
        for name, value in plain.items():
            assert compiled[name] == pytest.approx(value, rel=2e-2 if low_precision else 1e-3), name


def test_channels_last_is_the_same_network():
    ours = network().train()
    plain = ours(images(2), images(2, seed=1))
    last = network().train().to(memory_format=torch.channels_last)
    x, y = (images(2, s).to(memory_format=torch.channels_last) for s in (0, 1))
    image = last(x, y)
    found = (image - plain).abs().max().item()
    print(found)
    assert found <= COMPILED
    image.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in last.parameters())
    maps = last.generator.encode(x)
    assert all(m.is_contiguous(memory_format=torch.channels_last) for m in maps)


def test_autocast_keeps_what_must_be_float32():
    ours = network().train()
    plain = network().train()(images(2), images(2, seed=1))
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
    found = (image - plain).abs().max().item()
    print(found)
    assert 0 < found <= LOW_PRECISION
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
