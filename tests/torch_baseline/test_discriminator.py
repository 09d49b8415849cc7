"""The discriminator against the stored arrays, at the tolerances of FACTS."""

import json

import numpy as np
import pytest
import tolerances
import torch
from perceptual.released import procedural
from torch_baseline.golden import error, image

from jaxgesture.torch_baseline.discriminator import (
    Discriminator,
    lsgan_discriminator,
    lsgan_generator,
)

LAYERS = (0, 2, 4, 6)


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "parity/sn_discriminator_seed0.npz")


@pytest.fixture
def released(shared, golden):
    network = Discriminator()
    make = procedural(shared).procedural_array
    state = {}
    for name, value in network.state_dict().items():
        layer, leaf = name.rsplit(".", 1)
        if leaf in ("weight_u", "weight_v"):
            array = golden[f"{leaf[-1]}0_{layer.split('.')[1]}"]
        else:
            array = make(name, tuple(value.shape), 0)
        state[name] = torch.from_numpy(np.asarray(array, np.float32))
    network.load_state_dict(state, strict=True)
    return network


def pictures(golden):
    return (image(golden, f"image_{name}_u8") for name in ("real", "fake"))


def logits_error(ours, theirs):
    return error(ours[0, 0], theirs.reshape(11, 11))


@pytest.mark.parity
def test_names_and_shapes_are_the_published_ones(shared):
    manifest = json.loads((shared / "parity/sn_discriminator_state_dict.json").read_text())
    with torch.device("meta"):
        ours = Discriminator().state_dict()
    assert {name: list(value.shape) for name, value in ours.items()} == manifest


@pytest.mark.parity
def test_evaluation(released, golden):
    real, fake = pictures(golden)
    released.eval()
    before = {name: value.clone() for name, value in released.state_dict().items()}
    sigma = torch.stack([released.encoder[i].sigma() for i in LAYERS])
    errors = {
        "real": logits_error(released(real), golden["eval_logits_real"]),
        "fake": logits_error(released(fake), golden["eval_logits_fake"]),
        "sigma": error(sigma, golden["eval_sigma"]),
    }
    print(errors)
    assert max(errors.values()) <= tolerances.DISCRIMINATOR
    after = released.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parity
def test_one_training_pass(released, golden):
    real, _ = pictures(golden)
    errors = {"logits": logits_error(released.train()(real), golden["train_logits_real"])}
    for i in LAYERS:
        layer = released.encoder[i]
        errors[f"u1_{i}"] = error(layer.weight_u, golden[f"u1_{i}"])
        errors[f"v1_{i}"] = error(layer.weight_v[:: 1 if i == 0 else 8], golden[f"v1_{i}"])
    print(errors)
    assert max(errors.values()) <= tolerances.DISCRIMINATOR


@pytest.mark.parity
def test_step_of_the_discriminator(released, golden):
    real, fake = pictures(golden)
    fake_logits = released.train()(fake)
    real_logits = released(real)
    loss = lsgan_discriminator(real_logits, fake_logits)
    # The first pass's graph must have survived the second's power iteration.
    loss.backward()
    parts = torch.stack([fake_logits.square().mean(), (real_logits - 1).square().mean(), loss])
    errors = {"losses": error(parts, golden["d_losses"])}
    errors |= {f"u2_{i}": error(released.encoder[i].weight_u, golden[f"u2_{i}"]) for i in LAYERS}
    gradients = {
        "grad_encoder_0": released.encoder[0].weight_orig.grad,
        "grad_encoder_6": released.encoder[6].weight_orig.grad[::32, ::16],
        "grad_classifier": released.classifier.weight.grad[:, ::8],
        "grad_classifier_bias": released.classifier.bias.grad,
    }
    gradients = {
        name: error(value, golden[name]) / np.abs(golden[name]).max()
        for name, value in gradients.items()
    }
    print(errors, gradients)
    assert max(errors.values()) <= tolerances.DISCRIMINATOR
    assert max(gradients.values()) <= tolerances.DISCRIMINATOR_GRADIENT


@pytest.mark.parity
def test_step_of_the_generator(released, golden):
    _, fake = pictures(golden)
    loss = lsgan_generator(released.train()(fake.requires_grad_()))
    loss.backward()
    stored = golden["grad_fake_image"]
    gradient = error(fake.grad[0, :, ::4, ::4], stored) / np.abs(stored).max()
    print(error(loss, golden["g_loss"]), gradient)
    assert error(loss, golden["g_loss"]) <= tolerances.DISCRIMINATOR
    assert gradient <= tolerances.DISCRIMINATOR_GRADIENT


def test_iterations_find_the_largest_singular_value():
    layer = Discriminator((4, 6), 3, (2, 1)).train().encoder[2]
    largest = torch.linalg.matrix_norm(layer.weight_orig.detach().flatten(1), 2)
    assert abs(layer.sigma().item() / largest - 1) > 0.01  # not there after the first
    for _ in range(300):
        sigma = layer.sigma()
    assert sigma.item() == pytest.approx(largest.item(), rel=1e-4)


def test_widths_kernel_and_strides():
    network = Discriminator((4, 8), kernel=3, strides=(2, 1))
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 1, 16, 16)
    with pytest.raises(ValueError):
        Discriminator((4, 8), strides=(2,))
