"""Numbers of whole sets, from clips that are made up."""

import math

import numpy as np
import pytest
from evaluation import made_up

from jaxgesture.evaluation.clip_scores import MOTION, POSE, REFERENCE, VIDEO
from jaxgesture.evaluation.diversity import diversity
from jaxgesture.evaluation.frechet import frechet
from jaxgesture.evaluation.reconstruction import MODEL, WRONG_DRIVING
from jaxgesture.evaluation.video_summary import clip_values, summarise


def featured(count, seed=0, shift=0.0, kind=POSE, windows=4):
    """Clips with features of one kind."""
    rows = np.random.default_rng(seed).standard_normal((count, windows, 3)) + shift
    return [made_up.clip(f"s/{k:02}", features={kind: part}) for k, part in enumerate(rows)]


def rows(clips, kind=POSE):
    return np.concatenate([one.features[kind] for one in clips])


def test_distances_of_sets_grow_with_the_difference():
    true = featured(12)
    systems = {f"by {shift}": featured(12, 1, shift) for shift in (0.0, 1.0, 3.0)}
    found = summarise(made_up.measured({REFERENCE: true, **systems, "same": featured(12)})).sets
    values = [found[label]["fgd"].value for label in systems]
    assert values == sorted(values)
    assert found["by 1.0"]["fgd"].value == pytest.approx(
        frechet(rows(systems["by 1.0"]), rows(true))
    )
    assert found["same"]["fgd"].value == pytest.approx(0, abs=1e-8)
    assert (found["same"]["fgd"].windows, found["same"]["fgd"].clips) == (48, 12)
    # The scale: one half of the true clips against the other.
    halves = found[REFERENCE]["fgd"]
    assert halves.ratio == 1 and halves.value > 0 and math.isnan(halves.error)
    assert found["by 3.0"]["fgd"].ratio == pytest.approx(values[2] / halves.value)


@pytest.mark.parametrize(("kind", "names"), [
    (VIDEO, {"fvd"}), (POSE, {"fgd", "diversity"}), (MOTION, {"fgd_motion", "diversity_motion"}),
])  # fmt: skip
def test_each_kind_of_features_has_its_scores(kind, names):
    systems = {REFERENCE: featured(3, kind=kind), "ours": featured(3, 1, kind=kind)}
    found = summarise(made_up.measured(systems)).sets
    assert set(found["ours"]) == set(found[REFERENCE]) == names


def test_features_that_only_a_system_has_are_compared_with_nothing():
    found = summarise(made_up.measured({REFERENCE: [made_up.clip("a")], "ours": featured(3)})).sets
    assert set(found["ours"]) == {"diversity"} and not found[REFERENCE]
    assert math.isnan(found["ours"]["diversity"].ratio)


@pytest.mark.parametrize("count", [1, 2, 9, 10, 25])
def test_standard_errors_are_those_of_ten_groups_left_out(count):
    ours = featured(count, 1)
    score = summarise(made_up.measured({REFERENCE: featured(3), "ours": ours})).sets["ours"]
    if count < 10:
        assert math.isnan(score["diversity"].error) and math.isnan(score["fgd"].error)
        return
    parts = [[one for k, one in enumerate(ours) if k % 10 != group] for group in range(10)]
    left = np.array([diversity(rows(part)) for part in parts])
    # Shao and Wu: (G - 1) / G times the sum of squares.
    expected = math.sqrt(0.9 * ((left - left.mean()) ** 2).sum())
    assert score["diversity"].error == pytest.approx(expected)
    assert score["fgd"].error > 0


def test_one_window_has_no_spread():
    systems = {REFERENCE: featured(1, windows=1), "ours": featured(1, 1, windows=1)}
    found = summarise(made_up.measured(systems)).sets
    for label in systems:
        assert all(math.isnan(score.value) for score in found[label].values())
        assert all(score.windows == score.clips == 1 for score in found[label].values())


def aligned(own, other=None):
    clips = [made_up.clip(f"s/{k}", alignment=values) for k, values in enumerate(own)]
    for one, values in zip(clips, other or [], strict=False):
        one.other = values
    return clips


def test_gains_are_of_the_same_clip_and_may_be_negative():
    ours = aligned([{"ha2g_bc": 0.2, "emage_bc": 0.5}, {"ha2g_bc": 0.3}, {"ha2g_bc": 0.9}],
                   [{"ha2g_bc": 0.8}, {"ha2g_bc": 0.7, "emage_bc": 0.1}])  # fmt: skip
    found = summarise(made_up.measured({REFERENCE: [], "ours": ours}))
    gain = found.gain["ours"]
    assert set(gain) == {"ha2g_bc"} and gain["ha2g_bc"].n == 2
    assert gain["ha2g_bc"].mean == pytest.approx(-0.5) and gain["ha2g_bc"].low < -0.5
    assert found.alignment["ours"]["ha2g_bc"].n == 3 and found.alignment["ours"]["emage_bc"].n == 1


def test_intervals_end_where_values_do():
    ours = aligned([{"ha2g_bc": value, "beat_response": value} for value in (0.0, 0.02, 0.9)])
    for one, missing in zip(ours, (0.0, 0.0, 1.0), strict=True):
        for name, value in made_up.landmarks(1.0, missing).items():
            setattr(one, name, value)
    found = summarise(made_up.measured({REFERENCE: [], "ours": ours}))
    assert found.alignment["ours"]["ha2g_bc"].low == 0
    assert found.alignment["ours"]["beat_response"].low < 0  # which may be anything
    hands = found.landmarks["ours"]["missing_hands"]
    assert (hands.low, hands.high) == (0, 1) and hands.mean == pytest.approx(1 / 3)


def test_clips_without_a_number_are_left_out_of_its_mean():
    ours = [made_up.clip("a", **made_up.landmarks(2.0)), made_up.clip("b")]
    ours += [made_up.clip("c", **made_up.landmarks(math.nan))]
    found = summarise(made_up.measured({REFERENCE: [], "ours": ours})).landmarks["ours"]
    assert found["pixels"].mean == 2 and found["pixels"].n == 1
    assert summarise(made_up.measured({REFERENCE: [], "x": [ours[2]]})).landmarks["x"].keys() == {
        "missing_hands"
    }


@pytest.mark.parametrize(
    ("psnr", "mean"), [([20.0, 30.0], 25), ([20.0, math.inf], 20), ([math.inf] * 2, math.inf)]
)
def test_pictures_that_are_equal_are_of_no_finite_mean(psnr, mean):
    ours = [made_up.clip(f"{k}", regions=made_up.pictures(p)) for k, p in enumerate(psnr)]
    found = summarise(made_up.measured({REFERENCE: [], "ours": ours})).pictures["ours"]
    assert found[MODEL]["full"]["psnr"].mean == mean
    assert found[MODEL]["full"]["ssim"].mean == pytest.approx(0.9)
    if math.isfinite(mean):
        assert found[WRONG_DRIVING]["hand"]["psnr"].mean == mean - 1


def test_boxes_are_counted_over_all_clips():
    ours = [made_up.clip(f"{k}", regions=made_up.pictures(20, absent=k)) for k in range(3)]
    ours.append(made_up.clip("without pictures"))
    found = summarise(made_up.measured({REFERENCE: [], "ours": ours}))
    assert found.absent["ours"]["hand"] == (0 + 1 + 2, 9)
    assert found.clips["ours"] == 4 and found.pairs == {"ours": 0}


def test_speakers_are_told_apart_where_there_are_several():
    def clips(*names):
        made = enumerate(names)
        return [made_up.clip(name, **made_up.landmarks(float(k))) for k, name in made]

    systems = {REFERENCE: clips("a/1", "a/2"), "ours": clips("b/1", "a/1", "b/2", "alone")}
    found = summarise(made_up.measured(systems)).speakers
    assert found[REFERENCE] == {} and list(found["ours"]) == ["(no folder)", "a", "b"]
    means = {speaker: row["pixels"].mean for speaker, row in found["ours"].items()}
    assert means == {"a": 1, "b": 1, "(no folder)": 3}


def test_all_that_is_known_of_a_clip_has_a_name():
    one = made_up.clip(
        "a", regions=made_up.pictures(21.0, lpips=0.3), alignment={"ha2g_bc": 0.5},
        other={"ha2g_bc": 0.4}, **made_up.landmarks(4.0, 0.25),
    )  # fmt: skip
    values = clip_values(one)
    assert values["psnr full"] == 21 and values["lpips lips"] == 0.3 and values["ha2g_bc"] == 0.5
    assert (values["pixels"], values["shoulders"], values["missing_hands"]) == (4, 0.04, 0.25)
    assert len(values) == 3 * 3 + 1 + 3
    assert clip_values(made_up.clip("b")) == {}
