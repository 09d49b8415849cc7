import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxgesture.layers import sampling

grid_sample = jax.jit(sampling.grid_sample, static_argnames=("align_corners", "padding"))

SIZES = {2: (5, 7), 3: (4, 5, 6)}


def draw(dimensions, channels=3, seed=0):
    shape = (2, *SIZES[dimensions], channels)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def reference(x, grid, align_corners, padding):
    """scipy's linear interpolation; its `grid-constant` mode fades into zeros beyond the edge."""
    sizes = np.array(x.shape[1:-1])
    places = grid[..., ::-1].astype(np.float64)  # (x, y, z) to the order of the axes
    if align_corners:
        index = (places + 1) / 2 * (sizes - 1)
    else:
        index = ((places + 1) * sizes - 1) / 2
    mode = {"zeros": "grid-constant", "border": "nearest"}[padding]
    out = np.zeros((*grid.shape[:-1], x.shape[-1]))
    for n in range(len(x)):
        lattice = np.moveaxis(index[n], -1, 0)
        for c in range(x.shape[-1]):
            out[n, ..., c] = scipy.ndimage.map_coordinates(
                x[n, ..., c].astype(np.float64), lattice, order=1, mode=mode, cval=0.0
            )
    return out


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("dimensions", "channels"), [(2, 3), (3, 3), (2, 33), (3, 17)])
def test_equals_scipy_inside_and_outside(dimensions, channels, align_corners, padding):
    # Cells of 33 and of 17 numbers are too long to be joined.
    assert (channels * 2**dimensions > sampling.ROW) == (channels > 3)
    x = draw(dimensions, channels)
    # Well inside, in the half cell at the edge, and far outside.
    shape = (2, *(6,) * (dimensions - 1), 5, dimensions)
    grid = np.random.default_rng(1).uniform(-1.6, 1.6, shape).astype(np.float32)
    ours = grid_sample(
        jnp.asarray(x), jnp.asarray(grid), align_corners=align_corners, padding=padding
    )
    expected = reference(x, grid, align_corners, padding)
    assert (np.abs(expected).sum(-1) == 0).any() == (padding == "zeros")
    np.testing.assert_allclose(ours, expected, atol=2e-5)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_cell_centres_give_the_cells(dimensions, align_corners):
    x = draw(dimensions)
    axes = [
        np.linspace(-1, 1, n) if align_corners else (2 * np.arange(n) + 1) / n - 1
        for n in SIZES[dimensions]
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)[..., ::-1]
    grid = np.broadcast_to(grid[None], (2, *grid.shape)).astype(np.float32)
    ours = grid_sample(jnp.asarray(x), jnp.asarray(grid), align_corners=align_corners)
    np.testing.assert_allclose(ours, x, atol=1e-5)


def test_borders_by_hand():
    x = jnp.arange(1.0, 5.0).reshape(1, 1, 4, 1)  # one row: 1 2 3 4

    def at(place, **options):
        return float(grid_sample(x, jnp.array([[[place, 0.0]]]), **options)[0, 0, 0])

    # Unaligned, the last centre is at 0.75 and the edge at 1: half of 4 is left there.
    assert at(0.75) == pytest.approx(4)
    assert at(1.0) == pytest.approx(2)
    assert at(1.25) == pytest.approx(0)
    assert at(1.0, align_corners=True) == pytest.approx(4)
    assert at(-1.0, align_corners=True) == pytest.approx(1)
    assert at(0.0) == at(0.0, align_corners=True) == pytest.approx(2.5)
    for place in (1.0, 3.0):
        assert at(place, padding="border") == pytest.approx(4)
    # PyTorch names the last axis first: x moves along the width.
    column = jnp.arange(1.0, 5.0).reshape(1, 4, 1, 1)
    assert float(grid_sample(column, jnp.array([[[0.0, 0.75]]]))[0, 0, 0]) == pytest.approx(4)


def test_gradient_with_respect_to_the_places():
    x = jnp.asarray(draw(2))
    grid = np.random.default_rng(2).uniform(-0.9, 0.9, (2, 4, 2))
    towards = np.random.default_rng(3).standard_normal((2, 4, 3))

    def total(grid):
        return jnp.sum(grid_sample(x, grid) * jnp.asarray(towards, jnp.float32))

    ours = jax.grad(total)(jnp.asarray(grid, jnp.float32))
    step = 1e-4
    for n, i, d in ((0, 0, 0), (0, 2, 1), (1, 3, 0), (1, 1, 1)):
        shift = np.zeros_like(grid)
        shift[n, i, d] = step
        ends = [
            (reference(np.asarray(x), grid + s * shift, False, "zeros") * towards).sum()
            for s in (1, -1)
        ]
        assert float(ours[n, i, d]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-2)


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_joined_cells_give_what_single_cells_give(dimensions, padding, monkeypatch):
    """Values are equal to the last bit; a cell's gradient is summed in another order."""
    x = jnp.asarray(draw(dimensions))
    shape = (2, 50, dimensions)
    grid = jnp.asarray(np.random.default_rng(4).uniform(-1.6, 1.6, shape), jnp.float32)

    def results(row):
        monkeypatch.setattr(sampling, "ROW", row)
        value, back = jax.vjp(lambda *a: sampling.grid_sample(*a, padding=padding), x, grid)
        return value, *back(jnp.cos(value))

    joined, single = results(sampling.ROW), results(0)
    np.testing.assert_array_equal(joined[0], single[0])
    np.testing.assert_array_equal(joined[2], single[2])
    np.testing.assert_allclose(joined[1], single[1], atol=1e-6)


def test_result_has_the_type_of_the_map():
    x = jnp.asarray(draw(3), jnp.bfloat16)
    assert grid_sample(x, jnp.zeros((2, 5, 3))).dtype == jnp.bfloat16
