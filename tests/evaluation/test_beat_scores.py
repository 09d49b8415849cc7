"""Which motion is held against which speech, and by which scale."""

import numpy as np
import pytest
from evaluation import made_up

from jaxgesture.evaluation import gestures
from jaxgesture.evaluation.beat_scores import align
from jaxgesture.evaluation.clip_scores import REFERENCE
from jaxgesture.evaluation.video_sets import ARMS, FPS

BEATS = [np.array([0.5, 1.4, 2.6]), np.array([0.9, 2.1, 3.3]), np.array([1.0, 1.9])]


def heard(count, **changes):
    """Clips with joints and beats of their own."""
    made = (
        made_up.clip(f"s/{k}", joints=made_up.waving(k), beats=BEATS[k], **changes)
        for k in range(count)
    )
    return {one.name: one for one in made}


@pytest.fixture
def noted():
    return []


def run(sets, noted):
    return align(sets, lambda *what: noted.append(what))


def test_each_clip_with_its_own_speech_and_with_that_of_another(noted):
    true, ours = heard(3), heard(3)
    scale = run({REFERENCE: true, "ours": ours}, noted)
    assert scale is not None and not noted
    joints = [one.joints for one in true.values()]
    expected = gestures.scale_of(joints, ARMS, FPS)
    np.testing.assert_array_equal(scale.speed, expected.speed)
    for number, one in enumerate(ours.values()):
        other = BEATS[(number + 1) % 3]
        for found, beats in ((one.alignment, BEATS[number]), (one.other, other)):
            by_hand = gestures.alignments(one.joints, ARMS, beats, FPS, scale)
            assert {name: found[name] for name in by_hand} == by_hand
    # The same clips have the same scores, as the true ones or as generated ones.
    for name, one in true.items():
        assert one.alignment == ours[name].alignment and one.other == ours[name].other


def test_a_clip_is_not_held_against_its_own_curve(noted):
    sets = {REFERENCE: heard(2), "ours": heard(2)}
    run(sets, noted)
    first, second = (gestures.mean_profile([(one.joints, one.beats)], ARMS, FPS)
                     for one in sets[REFERENCE].values())  # fmt: skip
    for number, curve in ((0, second), (1, first)):
        one = sets["ours"][f"s/{number}"]
        expected = gestures.beat_response(one.joints, ARMS, one.beats, FPS, curve)
        assert one.alignment["beat_response"] == pytest.approx(expected)


def test_a_clip_alone_has_no_other_speech_and_no_curve(noted):
    sets = {REFERENCE: heard(1), "ours": heard(1)}
    run(sets, noted)
    one = sets["ours"]["s/0"]
    assert set(one.alignment) == set(gestures.ALIGNMENTS) and one.other == {}


def test_without_true_joints_there_is_no_scale_and_nothing_is_filled_in(noted):
    ours = heard(2)
    assert (
        run({REFERENCE: {"s/0": made_up.clip("s/0", beats=BEATS[0])}, "ours": ours}, noted) is None
    )
    assert not noted and all(not one.alignment and not one.other for one in ours.values())


def test_joints_in_another_unit_are_left_out_and_named(noted):
    ours = heard(2)
    ours["s/1"].in_sides = False
    run({REFERENCE: heard(2), "ours": ours}, noted)
    assert [(label, name) for label, name, _ in noted] == [("ours", "s/1")]
    assert "other scales" in noted[0][2] and ours["s/1"].joints is None
    assert not ours["s/1"].alignment and ours["s/0"].alignment and not ours["s/0"].other


def test_a_reference_without_videos_is_a_scale_of_its_own(noted):
    sets = {REFERENCE: heard(2, in_sides=False), "ours": heard(2, in_sides=False)}
    assert run(sets, noted) is not None and not noted and sets["ours"]["s/0"].alignment


@pytest.mark.parametrize("gone", ["joints", "beats"])
def test_what_is_not_known_takes_part_in_nothing(noted, gone):
    true, ours = heard(3), heard(3)
    for clips in (true, ours):
        setattr(clips["s/1"], gone, None)
    run({REFERENCE: true, "ours": ours}, noted)
    assert not ours["s/1"].alignment and not ours["s/1"].other
    # Two are left, and each is the other one's other.
    expected = gestures.alignments(
        ours["s/0"].joints, ARMS, BEATS[2], FPS,
        gestures.scale_of([c.joints for c in true.values() if c.joints is not None], ARMS, FPS),
    )  # fmt: skip
    assert expected.items() <= ours["s/0"].other.items()


def test_speech_that_ends_before_it_has_beats_gives_no_score(noted):
    true, ours = heard(2), heard(2)
    ours["s/1"].beats = np.array([99.0])
    run({REFERENCE: true, "ours": ours}, noted)
    assert ours["s/1"].alignment == {} == ours["s/0"].other
    assert ours["s/0"].alignment and ours["s/1"].other
