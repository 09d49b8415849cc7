import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data.video import read_frames
from jaxgesture.generation.watermark import Watermark
from jaxgesture.generation.writer import VideoWriter

TEXT = "AI-generated"
SIZES = (64, 96, 256, 512)


def luminance(values: np.ndarray) -> np.ndarray:
    """Relative luminance of grey values, of WCAG 2."""
    v = np.asarray(values, np.float64) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def boxed(frame: np.ndarray, mark: Watermark) -> np.ndarray:
    top, bottom, left, right = mark.box
    return frame[..., top:bottom, left:right, :]


def strokes(mark: Watermark, size: int) -> np.ndarray:
    """Pixels that the text covers by more than half: on black the plate is not seen."""
    return boxed(mark.draw(np.zeros((size, size, 3), np.uint8)), mark)[..., 0] > 127


def contrast(frame: np.ndarray, mark: Watermark, size: int) -> float:
    """WCAG 2 contrast of the mean stroke with the mean of what is between the strokes."""
    grey, text = boxed(frame, mark).mean(-1), strokes(mark, size)
    plate = boxed(mark.draw(np.zeros((size, size, 3), np.uint8)), mark)[..., 0] == 0
    return float((luminance(grey[text]).mean() + 0.05) / (luminance(grey[plate]).mean() + 0.05))


@pytest.mark.parametrize("size", SIZES)
def test_only_its_box_changes(size):
    frames = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    before, mark = frames.copy(), Watermark(TEXT, size)
    marked = mark.draw(frames)
    np.testing.assert_array_equal(frames, before)
    assert marked.dtype == np.uint8 and marked.shape == frames.shape
    np.testing.assert_array_equal(mark.draw(frames[1]), marked[1])
    changed = np.argwhere((marked != frames).any((0, 3)))
    top, bottom, left, right = mark.box
    assert changed.min(0).tolist() == [top, left]
    assert (changed.max(0) + 1).tolist() == [bottom, right]
    # In the lower right, and no more of the picture than it needs.
    assert top > 0.8 * size and right > 0.95 * size
    assert (bottom - top) * (right - left) < 0.14 * size * size


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [0, 90, 180, 255, None])
def test_it_is_legible(size, level):
    frame = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    if level is not None:
        frame[...] = level
    mark = Watermark(TEXT, size)
    # WCAG 2 asks for 4.5; at 64 pixels on white 4.9 measured, elsewhere more.
    assert contrast(mark.draw(frame), mark, size) > 4.5
    assert strokes(mark, size).sum() > 60


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_it_is_legible_in_a_video(tmp_path, level, suffix):
    frames = np.full((4, 64, 64, 3), level, np.uint8)
    mark = Watermark(TEXT, 64)
    with VideoWriter(tmp_path / f"a{suffix}", 64) as writer:
        writer.write(mark.draw(frames))
    for frame in read_frames(tmp_path / f"a{suffix}"):
        assert contrast(frame, mark, 64) > 4.5


def test_every_value_is_rounded():
    """Against the equation in floating point."""
    mark, size = Watermark(TEXT, 64), 64
    cover = boxed(mark.draw(np.zeros((size, size, 3), np.uint8)), mark) / 255
    for level in range(0, 256, 15):
        got = boxed(mark.draw(np.full((size, size, 3), level, np.uint8)), mark)
        expected = level * 0.3 * (1 - cover) + 255 * cover
        assert np.abs(got - expected).max() < 1.5


def test_oblong_frames():
    frame = np.full((64, 200, 3), 200, np.uint8)
    mark = Watermark("synthetic video, not recorded", (64, 200))
    changed = np.argwhere((mark.draw(frame) != frame).any(-1))
    assert changed.max(0).tolist() == [62, 198]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no text"),
        ("  ", "has no text"),
        ("合成 video", r"has no '\\u5408' '\\u6210'; write it in one line of ASCII"),
        ("two\nlines", r"has no '\\n'"),
        ("synthetic video of nobody", "takes .* pixels, and frames of 64 x 64 have room for 62"),
    ],
)
def test_what_cannot_be_drawn(text, message):
    with pytest.raises(UserError, match=message):
        Watermark(text, 64)
