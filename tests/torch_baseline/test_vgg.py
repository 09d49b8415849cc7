"""The feature networks and their losses against the stored arrays, at the tolerances of FACTS."""

import copy

import numpy as np
import pytest
import tolerances
import torch
from torch_baseline.golden import all_but_few, error, image, relative, weights

from jaxgesture.torch_baseline.losses import BlurDownsample, GlobalLoss, LocalLoss
from jaxgesture.torch_baseline.vgg import VGG, vgg16, vgg19

pytestmark = [pytest.mark.parity, pytest.mark.slow]

TAPS = 3 * (tolerances.VGG_MAPS,) + 2 * (tolerances.VGG_DEEP_MAPS,)


@pytest.fixture(scope="module")
def global_golden(shared):
    network = vgg19()
    network.load_features(weights(shared, "vgg19"))
    return network, np.load(shared / "parity/vgg19_features_seed0.npz")


def test_vgg19_taps(global_golden):
    network, golden = global_golden
    maps = network(image(golden, "image_real_u8")[:, :, 32:96, 32:96])
    kept = ((1, 4), (2, 2), (4, 1), (8, 1), (8, 1))
    errors = {
        f"relu{i}_1": error(m[0, ::c, ::s, ::s], golden[f"relu{i}_1"])
        for i, (m, (c, s)) in enumerate(zip(maps, kept, strict=True), 1)
    }
    print(errors)
    assert all(e <= most for e, most in zip(errors.values(), TAPS, strict=True)), errors


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_pyramid(global_golden, factor):
    _, golden = global_golden
    level = BlurDownsample(factor)(image(golden, "image_real_u8"))[0]
    found = error(level, golden[f"pyramid_{1 / factor}"])
    print(found)
    assert found <= tolerances.VGG_PYRAMID


def global_loss(network, golden, dtype):
    """The loss of the stored pictures in a type: its terms, their sum, and the gradient."""
    network = copy.deepcopy(network)  # frozen weights are shared with other tests
    real, generated = (
        image(golden, f"image_{name}_u8").to(dtype).requires_grad_()
        for name in ("real", "generated")
    )
    terms = GlobalLoss(network).to(dtype)(generated, real)
    total = 10 * terms.sum()
    total.backward()
    assert real.grad is None
    assert all(p.grad is None for p in network.parameters())
    return terms, total, generated.grad[0, :, ::2, ::2]


def test_global_loss_and_gradient(global_golden):
    network, golden = global_golden
    terms, total, gradient = global_loss(network, golden, torch.float64)
    errors = relative(terms, golden["loss_terms"]), relative(total, golden["loss_total"])
    most = all_but_few(gradient, golden["grad_generated"])
    worst = error(gradient, golden["grad_generated"])
    print(f"terms, total {errors}; gradient {most}, {worst}")
    assert max(errors) <= tolerances.VGG_LOSSES
    assert most <= tolerances.VGG_GRADIENT
    assert worst <= tolerances.VGG_GRADIENT_KINKS


def test_global_loss_and_gradient_in_float32(global_golden):
    # How PyTorch sums a convolution depends on the processor, and near a kink of the network (ReLU,
    # maximum, absolute value) a sum decides which side's gradient it is: the norm is judged.
    network, golden = global_golden
    terms, total, gradient = global_loss(network, golden, torch.float32)
    errors = relative(terms, golden["loss_terms"]), relative(total, golden["loss_total"])
    difference = gradient.numpy() - golden["grad_generated"]
    norm = np.linalg.norm(difference) / np.linalg.norm(golden["grad_generated"])
    print(f"terms, total {errors}; gradient's norm {norm}")
    assert max(errors) <= tolerances.VGG_LOSSES
    assert norm <= tolerances.VGG_GRADIENT_NORM


def test_vgg16_maps_and_the_loss_on_one_whole_box(shared):
    golden = np.load(shared / "parity/vgg16_local_loss_seed0.npz")
    network = vgg16()
    network.load_features(weights(shared, "vgg16"))
    real, generated = (image(golden, f"image_{name}_u8") for name in ("real", "generated"))
    maps = [m[0, ::8, ::4, ::4] for m in network(real)]
    errors = [error(m, golden[f"enc_{i}"]) for i, m in enumerate(maps, 1)]
    # A box that is the image, at the image's own size, is the image.
    whole = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    losses = torch.stack(LocalLoss(network, 128)(generated, real, whole))
    found = relative(losses, golden["losses"][:2])
    print(errors, found)
    assert max(errors) <= tolerances.LOCAL_MAPS
    assert found <= tolerances.LOCAL_LOSSES


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_names_and_shapes_are_torchvisions(shared, name):
    published = {k: v.shape for k, v in weights(shared, name).items()}
    taps = (28,)  # the last convolution
    with torch.device("meta"):
        ours = VGG(name, taps, normalise=False).state_dict()
    assert {k: v.shape for k, v in ours.items()} == published


def test_a_missing_weight_is_an_error_and_a_deeper_one_is_not():
    network = VGG("vgg16", (4,), normalise=False)
    state = {**network.state_dict(), "classifier.6.bias": torch.zeros(1000)}
    network.load_features(state)
    del state["features.2.bias"]
    with pytest.raises(KeyError, match="features.2.bias"):
        network.load_features(state)
