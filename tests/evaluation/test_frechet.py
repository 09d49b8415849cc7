"""The Frechet distance against the golden files, closed forms and itself."""

import numpy as np
import pytest
import tolerances

from jaxgesture.core.errors import UserError
from jaxgesture.evaluation.diversity import diversity
from jaxgesture.evaluation.frechet import Gaussian, Moments, frechet, frechet_distance


def golden_sets():
    """The features of the golden files: two small sets, and two without full rank."""
    rng = np.random.Generator(np.random.PCG64(6000))
    for shape in ((1, 16, 64, 64, 3), (1, 4, 8, 8, 3), (1, 2, 6, 10, 3)):
        rng.integers(0, 256, shape, np.uint8)
    small = rng.standard_normal((200, 32))
    mixed = 1.3 * rng.standard_normal((180, 32))
    mixed = mixed @ (np.eye(32) + 0.1 * rng.standard_normal((32, 32))) + 0.2
    few = rng.standard_normal((40, 400))
    return small, mixed, few, 1.2 * rng.standard_normal((40, 400)) + 0.1


def test_closed_form_of_gaussians_whose_covariances_commute():
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    a, b = rng.uniform(0.1, 4, (2, 6))
    means = rng.standard_normal((2, 6))
    one = Gaussian(means[0], basis * a @ basis.T, 10)
    other = Gaussian(means[1], basis * b @ basis.T, 10)
    expected = ((means[0] - means[1]) ** 2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-12)


def test_one_dimension():
    rng = np.random.default_rng(1)
    a, b = rng.normal(1, 2, (400, 1)), rng.normal(3, 0.5, (300, 1))
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet(a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(300, 16), (20, 128), (2, 400), (64, 400)])
def test_a_set_is_no_distance_from_itself(shape):
    rows = 10 * np.random.default_rng(2).standard_normal(shape) + 3
    assert frechet(rows, rows.copy()) <= 1e-6


def test_rank_deficient_sets_agree_with_the_form_that_needs_no_covariance():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((12, 200)), 1.5 * rng.standard_normal((9, 200)) + 0.1
    ca, cb = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b))
    nuclear = np.linalg.svd(ca @ cb.T, compute_uv=False).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + (ca**2).sum() + (cb**2).sum() - 2 * nuclear
    assert frechet(a, b) == pytest.approx(expected, rel=1e-10)


def test_it_is_symmetric_and_grows_with_the_difference():
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((2, 100, 8))
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-10)
    values = [frechet(a, b + shift) for shift in (0, 0.5, 1, 2)]
    assert values == sorted(values) and values[0] >= 0


def test_rows_piece_by_piece_are_the_rows_at_once():
    rows = np.random.default_rng(5).standard_normal((1000, 12)) * 1e-3 + 1e3
    pieces = Moments()
    for part in np.split(rows, [1, 3, 3, 400, 999]):
        pieces.add(part)
    one, other = pieces.gaussian(), Moments().add(rows).gaussian()
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-14)
    np.testing.assert_allclose(one.covariance, np.cov(rows.T), rtol=1e-6)
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-6)
    assert one.count == 1000


def test_what_has_no_distance():
    one = Moments().add(np.zeros((1, 4)))
    with pytest.raises(UserError, match="1 rows of features have no covariance"):
        one.gaussian()
    with pytest.raises(UserError, match="features of 3 numbers after features of 4"):
        one.add(np.zeros((2, 3)))
    with pytest.raises(UserError, match="not finite"):
        one.add(np.full((2, 4), np.nan))
    with pytest.raises(UserError, match="features of 4 and 5 numbers"):
        frechet(np.zeros((3, 4)), np.zeros((3, 5)))


@pytest.mark.parity
def test_golden_of_fvd(shared):
    golden = np.load(shared / "parity/i3d_seed0.npz")
    a, b, ga, gb = golden_sets()
    errors = {
        "frechet_small": frechet(a, b) / float(golden["frechet_small"]) - 1,
        "frechet_scipy_small": frechet(a, b) / float(golden["frechet_scipy_small"]) - 1,
        "frechet_rank_deficient": frechet(ga, gb) / float(golden["frechet_rank_deficient"]) - 1,
    }
    print(errors)
    assert max(map(abs, errors.values())) <= tolerances.FRECHET


@pytest.mark.parity
def test_golden_of_fgd(shared):
    golden = np.load(shared / "parity/fgd_embedding_seed0.npz")
    rng = np.random.Generator(np.random.PCG64(7000))
    for shape in ((64, 34, 27), (64, 34, 27), (64, 34, 126), (64, 34, 126)):
        rng.standard_normal(shape)
    permutation = rng.permutation(64)
    a, b = rng.standard_normal((300, 16)), 1.5 * rng.standard_normal((250, 16)) + 0.3
    error = abs(frechet(a, b) / float(golden["fd_formula"]) - 1)
    print(error)
    assert error <= tolerances.FRECHET
    found = diversity(golden["mu_27"], permutation)
    error = abs(found / float(golden["diversity_27"]) - 1)
    print(error)
    assert error <= tolerances.EMBEDDED
