"""The twin's losses against JAX's and against definitions written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import tolerances
import torch
from torch_baseline.twins import channels_first, channels_last, error

from jaxgesture.animation.losses import LossConfig, reconstruction_loss
from jaxgesture.torch_baseline.losses import (
    GlobalLoss,
    LocalLoss,
    ReconstructionLoss,
    _crops,
    sampling_grid,
)
from jaxgesture.torch_baseline.vgg import vgg16, vgg19

NAN = float("nan")


def images(count, size=64, batch=2, dtype=np.float64):
    return np.random.default_rng(0).uniform(0, 1, (count, batch, size, size, 3)).astype(dtype)


def to_torch(x):
    return torch.from_numpy(channels_first(x))


@pytest.mark.parametrize("motion", [0.0, 0.25])
@pytest.mark.parametrize("equal_frames", [False, True])
def test_reconstruction_is_jaxs(motion, equal_frames):
    generated, real, source = images(3)
    if equal_frames:
        source = real + 0.001 * source  # below the floor of the weight
    ours = ReconstructionLoss((1, 2, 4, 8), 3.0, 0.5, motion).double()
    x, y, z = (to_torch(a).requires_grad_() for a in (generated, real, source))
    total, terms = ours(x, y, z)
    total.backward()
    assert y.grad is None and z.grad is None
    config = LossConfig(pixel=3.0, squared=0.5, motion=motion)
    with jax.enable_x64(True):
        arguments = [jnp.asarray(a) for a in (generated, real, source)]
        (wanted, wanted_terms), gradient = jax.jit(
            jax.value_and_grad(lambda *a: reconstruction_loss(*a, config), has_aux=True)
        )(*arguments)
        wanted, wanted_terms, gradient = jax.device_get((wanted, wanted_terms, gradient))
    assert terms.keys() == wanted_terms.keys() and ("motion" in terms) == (motion > 0)
    errors = {name: error(terms[name].detach(), wanted_terms[name]) for name in terms}
    errors["total"] = error(total.detach(), wanted)
    errors["gradient"] = error(channels_last(x.grad), gradient)
    print(errors)
    assert max(errors.values()) <= tolerances.TWIN_LOSSES


BOXES = np.array(
    [
        [[0.1, 0.2, 0.6, 0.9], [NAN] * 4, [-0.2, 0.5, 0.4, 1.3]],
        [[0.0, 0.0, 1.0, 1.0], [0.3, 0.3, 0.4, 0.35], [0.2, NAN, 0.5, 0.9]],
    ]
)


def crop(picture, box, size):
    """A crop of (h, w, 3) by scipy, whose "nearest" is the border clamped."""
    h, w, _ = picture.shape
    x0, y0, x1, y1 = box
    fractions = (np.arange(size) + 0.5) / size
    places = np.meshgrid(
        (y0 + (y1 - y0) * fractions) * h - 0.5, (x0 + (x1 - x0) * fractions) * w - 0.5,
        indexing="ij",
    )  # fmt: skip
    return np.stack(
        [
            scipy.ndimage.map_coordinates(picture[..., c], places, order=1, mode="nearest")
            for c in range(3)
        ],
        -1,
    )


def test_crops_are_what_the_definition_says():
    pictures = images(1)[0][:, :, :48]  # not square
    grid, present = sampling_grid(torch.from_numpy(BOXES), 16)
    crops = _crops(to_torch(pictures), grid)
    assert present.tolist() == [[True, False, True], [True, True, False]]
    assert crops.shape == (6, 3, 16, 16)
    for i, box in enumerate(BOXES.reshape(-1, 4)):
        box = box if np.isfinite(box).all() else (0, 0, 1, 1)
        np.testing.assert_allclose(
            channels_last(crops[i : i + 1])[0], crop(pictures[i // 3], box, 16), atol=1e-12
        )


@pytest.fixture(scope="module")
def local():
    torch.manual_seed(0)
    network = vgg16()
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(2.4)  # as large at the last map as at the first
    return LocalLoss(network, 16).double()


def gram(maps):
    (rows,) = maps.flatten(2)
    return rows @ rows.T / rows.numel()


def test_local_loss_is_the_mean_over_boxes_with_absent_ones_as_zero(local):
    generated, real = images(2)
    boxes = torch.from_numpy(BOXES)
    x, y = to_torch(generated).requires_grad_(), to_torch(real).requires_grad_()
    feature, style = local(x, y, boxes)
    (feature + style).backward()
    assert y.grad is None and x.grad.isfinite().all()
    features, styles = [], []
    for i, box in enumerate(BOXES.reshape(-1, 4)):
        if np.isfinite(box).all():
            a, b = (to_torch(crop(p[i // 3], box, 16)[None]) for p in (generated, real))
            maps = list(zip(local.network(a), local.network(b), strict=True))
            features.append(sum((m - n).abs().mean().item() for m, n in maps))
            styles.append(sum((gram(m) - gram(n)).abs().mean().item() for m, n in maps))
    assert len(features) == 4 and min(features) > 1e-3
    assert feature.item() == pytest.approx(np.sum(features) / 6, rel=1e-9)
    assert style.item() == pytest.approx(np.sum(styles) / 6, rel=1e-9)
    # A box that is not there counts as zero whatever its image holds.
    more = torch.cat((boxes, torch.full_like(boxes[:, :1], NAN)), 1)
    sums = [value * 8 for value in local(x, y, more)]
    torch.testing.assert_close(sums, [feature * 6, style * 6], rtol=1e-12, atol=0)
    only = boxes.clone()
    only[1] = NAN
    x.grad = None
    sum(local(x, y, only)).backward()
    assert x.grad[0].abs().max() > 0 and x.grad[1].abs().max() == 0


def test_no_box_at_all_is_no_loss(local):
    x, y = (to_torch(a).requires_grad_() for a in images(2))
    losses = local(x, y, torch.full((2, 3, 4), NAN, dtype=torch.float64))
    sum(losses).backward()
    assert [loss.item() for loss in losses] == [0, 0] and x.grad.abs().max() == 0


def test_too_small_an_image_is_refused():
    loss = GlobalLoss(vgg19(), (1, 8))
    with pytest.raises(ValueError, match="use at least 121 pixels, or fewer scales"):
        loss(torch.rand(1, 3, 120, 128), torch.rand(1, 3, 120, 128))
    with torch.no_grad():
        assert loss(torch.rand(1, 3, 121, 128), torch.rand(1, 3, 121, 128)).shape == (2, 5)
