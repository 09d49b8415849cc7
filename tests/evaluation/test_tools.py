"""The small tools of the metrics: clocks, batches, means, probes, distances, refusals."""

import types

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.evaluation import comparison, stopwatch
from jaxgesture.evaluation.batched import in_batches
from jaxgesture.evaluation.comparison import Scores
from jaxgesture.evaluation.diversity import diversity, feature_distance, l1_diversity
from jaxgesture.evaluation.frechet import Moments, frechet
from jaxgesture.evaluation.landmark_distance import landmark_distance
from jaxgesture.evaluation.pose_embedding import PoseEmbedding
from jaxgesture.evaluation.probe import Probe

ROWS = np.random.default_rng(0).standard_normal((40, 6))


@pytest.fixture
def draw():
    return np.random.default_rng(1)


def test_seconds_add_up_by_name_also_of_what_fails(monkeypatch):
    clock = iter([0.0, 2.0, 10.0, 11.0, 20.0, 20.5])
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: next(clock))
    watch = stopwatch.Stopwatch()
    with watch("b"):
        pass
    with pytest.raises(KeyError), watch("a"):
        raise KeyError
    with watch("b"):
        pass
    assert list(watch.seconds.items()) == [("b", 2.5), ("a", 1.0)]


@pytest.mark.parametrize("size", [1, 3, 40, 100])
def test_batches_leave_no_trace(size, draw):
    weights = draw.standard_normal((6, 2))
    sizes = set()

    def function(rows, numbers):
        sizes.add(len(rows))
        return rows @ weights + numbers[:, None]

    found = in_batches(function, size, ROWS, np.arange(40.0))
    np.testing.assert_allclose(found, ROWS @ weights + np.arange(40.0)[:, None], atol=1e-12)
    assert sizes == {size}  # one shape, one compilation


@pytest.mark.parametrize(
    ("values", "means"),
    [
        ([[1.0, 3.0], [np.inf, 4.0], [np.inf, np.inf]], [2.0, 4.0, np.inf]),
        ([[5.0], [-np.inf]], [5.0, -np.inf]),
    ],
)
def test_means_of_what_is_finite(values, means):
    np.testing.assert_array_equal(comparison.finite_means(np.array(values)), means)


def test_metrics_are_added_to_the_regions_that_they_are_of():
    into = {"hand": Scores({"model": {"psnr": 1.0}}, 3, 1)}
    comparison.merge(into, {"hand": Scores({"model": {"ssim": 0.5}, "other": {"ssim": 0.1}}, 3, 1),
                            "lips": Scores({}, 0, 4)})  # fmt: skip
    assert into == {
        "hand": Scores({"model": {"psnr": 1.0, "ssim": 0.5}, "other": {"ssim": 0.1}}, 3, 1),
        "lips": Scores({}, 0, 4),
    }


def test_a_metric_of_pairs_is_one_of_candidates(draw):
    metric = comparison.one_by_one(lambda images, truth: (images - truth).mean(axis=(1, 2, 3)))
    truth = draw.uniform(0, 1, (5, 4, 4, 3))
    found = metric([truth, truth + 0.5], truth)
    np.testing.assert_allclose(found, [[0.0] * 5, [0.5] * 5], atol=1e-12)


def test_diversity_is_that_of_all_pairs(draw):
    pairs = [(a, b) for i, a in enumerate(ROWS) for b in ROWS[i + 1 :]]
    expected = np.mean([np.abs(a - b).sum() for a, b in pairs])
    assert diversity(ROWS) == pytest.approx(expected)
    shuffled = draw.permutation(ROWS)
    assert diversity(shuffled) == pytest.approx(expected)
    assert diversity(ROWS + 9) == pytest.approx(expected)
    # Against itself a row is no pair, however the partners are drawn.
    assert diversity(ROWS, np.arange(40)) == 0
    assert np.isnan(diversity(np.zeros((0, 6))))


def test_l1_diversity_by_hand():
    still = np.ones((5, 3, 2))
    assert l1_diversity(still) == 0
    moving = still.copy()
    moving[::2, 1, 0] += 5  # three frames of five: 2 and 3 from the mean of 4
    assert l1_diversity(moving) == pytest.approx((3 * 2 + 2 * 3) / 5)
    assert l1_diversity(moving + 7) == pytest.approx(2.4)


def test_no_features_have_no_distance():
    assert np.isnan(feature_distance(np.zeros((0, 4)), np.zeros((0, 4))))


def test_the_frechet_distance_knows_only_how_sets_lie_to_each_other(draw):
    a, b = ROWS, 1.5 * draw.standard_normal((30, 6)) + 0.5
    plain = frechet(a, b)
    turn, _ = np.linalg.qr(draw.standard_normal((6, 6)))
    assert frechet(a @ turn + 3, b @ turn + 3) == pytest.approx(plain)
    assert frechet(4 * a, 4 * b) == pytest.approx(16 * plain)
    # Numbers that are the same in both add nothing.
    same = [np.concatenate([rows, np.ones((len(rows), 2))], axis=1) for rows in (a, b)]
    assert frechet(*same) == pytest.approx(plain)
    assert frechet(a, a + np.eye(6)[0] * 2) == pytest.approx(4)


def test_no_rows_are_no_moments():
    nothing = Moments().add(np.zeros((0, 3)))
    with pytest.raises(UserError, match="0 rows of features have no covariance"):
        nothing.gaussian()
    # The length is that of the first rows that come.
    assert nothing.add(np.ones((2, 5))).gaussian().mean.shape == (5,)


def test_a_probe_knows_neither_units_nor_origins(draw):
    targets = ROWS @ draw.standard_normal((6, 2)) + 0.1 * draw.standard_normal((40, 2))
    scale, shift = draw.uniform(0.5, 2, 6), draw.standard_normal(6)
    one, other = Probe.fit(ROWS, targets), Probe.fit(ROWS * scale + shift, targets)
    np.testing.assert_allclose(one(ROWS), other(ROWS * scale + shift), atol=1e-9)
    assert one(ROWS.reshape(4, 10, 6)).shape == (4, 10, 2)


def test_a_probe_of_features_that_never_move_reads_the_mean(draw):
    targets = draw.standard_normal((40, 2))
    probe = Probe.fit(np.ones((40, 6)), targets)
    np.testing.assert_allclose(probe(np.ones((3, 6))), np.tile(targets.mean(0), (3, 1)))
    np.testing.assert_allclose(probe.r_squared(np.ones((40, 6)), targets), 0, atol=1e-12)


def test_of_a_target_that_stands_still_nothing_can_be_read():
    targets = np.stack([ROWS[:, 0], np.full(40, 3.0)], axis=1)
    found = Probe.fit(ROWS, targets).r_squared(ROWS, targets)
    assert found[0] > 0.99 and np.isnan(found[1])


def test_shoulders_that_are_one_point_are_no_unit(draw):
    points = draw.uniform(0, 100, (3, 33, 3))
    points[:, 11] = points[:, 12]
    found = landmark_distance(points + 1, points)
    assert found.pixels == pytest.approx(np.sqrt(2)) and np.isnan(found.shoulders)
    # Of no frames nothing is known.
    nothing = landmark_distance(points[:0], points[:0])
    assert np.isnan(nothing.pixels) and nothing.unknown == 1


@pytest.fixture
def embedding():
    """An autoencoder that may not be asked."""
    config = types.SimpleNamespace(channels=27, latent=32)
    network = types.SimpleNamespace(config=config, label="poses, random weights", variables=None)
    return PoseEmbedding(network)  # pyright: ignore[reportArgumentType]


def test_frames_of_another_kind_are_refused_and_none_are_fine(embedding):
    with pytest.raises(UserError, match="of 6 numbers do not fit the poses, random weights; give"):
        embedding(np.zeros((2, 34, 6)))
    assert embedding(np.zeros((0, 34, 27))).shape == (0, 32)
