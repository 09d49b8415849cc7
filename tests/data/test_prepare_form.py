"""What clips are made to: defaults, what the dataset records, and when there is sound to pair."""

import dataclasses

import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data.audio import AUDIO_SIZE, BASELINE, Baseline
from jaxgesture.data.prepare_form import FormKeywords, FrameForm


def test_the_keywords_are_the_attributes():
    names = [field.name for field in dataclasses.fields(FrameForm)]
    assert list(FormKeywords.__annotations__) == names


def test_what_the_dataset_records():
    assert FrameForm(size=64, quality=80).settings() == {
        "size": 64, "fps": 25.0, "features": BASELINE, "audio_size": AUDIO_SIZE,
        "image_format": "jpeg", "quality": 80,
    }  # fmt: skip
    assert FrameForm(image_format="png").settings()["quality"] is None
    with pytest.raises(UserError, match="image format 'gif' is unknown"):
        FrameForm(image_format="gif").settings()


def test_audio_features_go_with_25_frames_a_second_only():
    assert isinstance(FrameForm().grid().extractor, Baseline)
    assert FrameForm(fps=30.0).grid().extractor is None
