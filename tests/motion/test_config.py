"""Sizes of the motion model: what is refused says what to choose, what follows is derived."""

import dataclasses

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data.audio import COLUMNS
from jaxgesture.motion import generate, selection
from jaxgesture.motion.config import MIN_SEGMENT, MotionConfig
from jaxgesture.motion.generate import SampleOptions, SegmentBatch, pad_audio, tail_frames
from jaxgesture.motion.model import Motion, check_seed

SMALL = MotionConfig(feature_size=21, audio_size=35, segment_frames=8, width=16, heads=2,
                     history_frames=2)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "picture"}, "model.source is 'picture'; choose one of image, previous"),
        ({"dropout": 1.1}, "model.dropout is 1.1; choose 0 to 1"),
        ({"dropout": float("nan")}, "model.dropout is nan"),
        ({"guidance_keep": -0.1}, "model.guidance_keep is -0.1"),
        ({"history_null_probability": 2}, "model.history_null_probability is 2"),
        ({"standard_deviations": 0}, "choose a number above 0, and 0 or more"),
        ({"history_noise": -1}, "model.history_noise -1; choose"),
        ({"heads": 0}, "model.heads is 0; choose 1 or more"),
        ({"layers": -1}, "model.layers is -1; choose 1 or more"),
        ({"audio_layers": -1}, "model.audio_layers is -1; choose 0 or more"),
        ({"width": 0}, "model.width is 0; choose 1 or more"),
        ({"feedforward": 0}, "model.feedforward is 0; choose 1 or more"),
        ({"feature_size": 22}, "model.feature_size is 22, not 9 numbers a rotation and 3"),
        ({"width": 20}, r"model.width is 20; choose a multiple of twice model.heads \(4\)|20"),
        ({"segment_frames": MIN_SEGMENT - 1}, "choose at least 6, what motion selection compares"),
        ({"history_frames": -1}, r"choose 0 to model.segment_frames \(8\)"),
        ({"remat_policy": "all"}, "all"),
    ],
)
def test_sizes_that_make_no_model(change, message):
    change = {"heads": 4, **change} if "width" in change else change
    with pytest.raises(UserError, match=message):
        dataclasses.replace(SMALL, **change)


@pytest.mark.parametrize(
    ("change", "motion", "past", "vector"),
    [
        ({}, 21, 2, 3),
        ({"representation": "euler"}, 9, 2, 3),
        ({"representation": "vector", "feature_size": 10}, 10, 2, 2),
        ({"history_frames": 0}, 21, 0, 3),
        ({"history_frames": 0, "source": "previous"}, 21, 1, 3),
    ],
)
def test_sizes_that_follow(change, motion, past, vector):
    config = dataclasses.replace(SMALL, **change)
    assert (config.motion_size, config.past_frames, config.vector_size) == (motion, past, vector)
    # A segment leaves enough behind for selection and for the network.
    assert tail_frames(config) == max(selection.TAIL, config.history_frames)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": 0}, "candidates is 0; choose at least 1"),
        ({"eta": 1.5}, r"eta is 1.5; choose 0 \(no noise\) to 1"),
        ({"eta": float("nan")}, "eta is nan"),
        ({"selection": "best"}, "selection is 'best'; choose one of last, first"),
        ({"steps": 1001}, "sampling steps are 1001; choose 1 to 1000"),
        ({"sampler": "ddim2"}, "sampler is 'ddim2'; choose one of ddim, ddpm"),
        ({"sampler": "ddpm", "eta": 0.5}, "eta is 0.5, which sampler 'ddpm' does not use"),
    ],
)
def test_options_out_of_range(change, message):
    with pytest.raises(UserError, match=message):
        SampleOptions(**change)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_seeds(seed):
    check_seed(seed)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_what_is_no_seed(seed):
    with pytest.raises(UserError, match=f"seed is {seed}; choose 0 to 4294967295"):
        check_seed(seed)


def _batch(**changes):
    given = {"rows": 1, "guidance": 2.0, **changes}
    return SegmentBatch(SMALL, SampleOptions(candidates=1, steps=1), {}, {}, **given)


def test_batches_that_cannot_be():
    with pytest.raises(UserError, match="0 recordings cannot be worked on at once; choose 1"):
        _batch(rows=0)
    with pytest.raises(UserError, match="seams of segments of 8 frames cannot be smoothed; at le"):
        _batch(smooth_seams=True)


def test_rows_of_a_batch():
    batch = _batch(rows=2)
    speech = generate.Speech(np.zeros((8, 35), np.float32), np.zeros(21, np.float32), 0, 8)
    assert batch.step() == [] and batch.free == 2
    batch.add("a", speech)
    with pytest.raises(ValueError, match="no row for 'a'"):
        batch.add("a", speech)
    batch.add(("b", 1), speech)
    assert batch.free == 0
    with pytest.raises(ValueError, match="no row for 'c'"):
        batch.add("c", speech)
    batch.drop("a")
    batch.drop("a")  # nobody is there any more
    assert batch.free == 1


@pytest.mark.parametrize(("frames", "rows"), [(1, 8), (8, 8), (9, 16), (None, 24)])
def test_a_speech_is_whole_segments(frames, rows):
    model = Motion(SMALL, {})
    audio = np.arange(20 * 35, dtype=np.float32).reshape(20, 35)
    speech = model.speech(audio, source_feature=np.zeros(21), frames=frames)
    assert speech.audio.shape == (rows, 35) and speech.frames == (frames or 20)
    np.testing.assert_array_equal(speech.audio[:20], audio[:rows])
    # Behind the end lies the quietest row that there is.
    if rows > 20:
        np.testing.assert_array_equal(speech.audio[20:], np.broadcast_to(audio[0], (rows - 20, 35)))


def test_padding_looks_at_the_loudness_column():
    assert COLUMNS[generate.LOUDNESS_COLUMN] == "mfcc_0"
    rows = np.zeros((3, 40), np.float32)
    rows[:, generate.LOUDNESS_COLUMN] = (5, -3, 0)
    rows[:, 0] = (1, 2, 3)
    padded = pad_audio(rows, 5)
    assert padded.dtype == np.float32 and padded[:, 0].tolist() == [1, 2, 3, 2, 2]
    assert pad_audio(rows, 3) is rows and pad_audio(rows, 1) is rows
