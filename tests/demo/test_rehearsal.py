"""The strips that stage 2 draws while it trains: which clip, which moments, when."""

import numpy as np
import pytest
from PIL import Image

from jaxgesture.core.errors import UserError
from jaxgesture.data.datasets import ClipData, write_frames
from jaxgesture.demo.rehearsal import Rehearsal
from jaxgesture.demo.settings import load_config

SIZE, FRAMES, SEGMENT = 32, 30, 20


class Animation:
    """Draws a grey that is the pose's first number."""

    def encode_source(self, image):
        return np.asarray(image).mean()

    def extract_motion(self, image):
        return np.full(3, np.asarray(image).mean())

    def animate(self, source, feature):
        return np.ones((len(feature), SIZE, SIZE, 3)) * np.asarray(feature)[:, :1, None, None]


class Model:
    """Moves from black to white in the time it is asked for."""

    def sample(self, speech, *, source_feature, candidates, steps):
        self.asked = (len(speech), float(source_feature[0]), candidates, steps)
        return np.linspace(0, 1, len(speech))[:, None] * np.ones(3)


def clip(name, split, sound=True, grey=100):
    frames = [np.full((SIZE, SIZE, 3), grey + i, np.uint8) for i in range(FRAMES)]
    return ClipData(name, split, frames, np.zeros((FRAMES, 35)) if sound else None)


def make(folder, *clips, **options):
    frames = write_frames(folder / "data", clips, size=SIZE, image_format="png")
    config = load_config("stage2", "debug")
    config.model.segment_frames = SEGMENT
    return Rehearsal(Animation(), frames, config, folder / "run", **options)  # pyright: ignore


def test_true_frames_above_drawn_ones(tmp_path):
    parts = (clip("a", "train"), clip("b", "validation", False), clip("c", "validation", grey=50))
    rehearsal, model = make(tmp_path, *parts, steps=3), Model()
    strip = rehearsal.strip(model)  # pyright: ignore[reportArgumentType]
    assert model.asked == (SEGMENT, pytest.approx(50 / 255), 1, 3)
    assert strip.shape == (2 * SIZE, 8 * SIZE, 3)
    true, drawn = (strip[row, SIZE // 2 :: SIZE, 0].astype(int) for row in (0, SIZE))
    # Eight moments from the first frame of the segment to its last.
    moments = np.linspace(0, SEGMENT - 1, 8).round()
    np.testing.assert_array_equal(true, 50 + moments)
    np.testing.assert_allclose(drawn, 255 * moments / (SEGMENT - 1), atol=1)


def test_a_picture_in_each_span_of_steps(tmp_path, monkeypatch):
    rehearsal = make(tmp_path, clip("a", "train"), every=100)
    monkeypatch.setattr(rehearsal, "_model", lambda state: Model())
    for step in (40, 80, 120, 160, 310):
        rehearsal(step, None, {})  # pyright: ignore[reportArgumentType]
    found = sorted(path.name for path in (tmp_path / "run" / "images").iterdir())
    assert found == [f"rehearsal_{step:07d}.png" for step in (40, 120, 310)]
    assert Image.open(tmp_path / "run" / "images" / found[0]).size == (8 * SIZE, 2 * SIZE)


def test_without_sound_there_is_nothing_to_play(tmp_path):
    with pytest.raises(UserError, match="has no clip with sound, and stage 2 needs speech"):
        make(tmp_path, clip("a", "train", False))
