"""Real recordings at 30 fps and odd sizes become 25 fps squares, by what the frames show."""

import fractions

import av
import numpy as np
import pytest

from jaxgesture.data import audio, sound
from jaxgesture.data.datasets import FrameDataset
from jaxgesture.data.prepare import prepare_folder
from jaxgesture.data.segments import Segment

SIDE = 32
SIZE = 128


def _thumbnail(grey: np.ndarray) -> np.ndarray:
    """Means over 32 x 32 fields of the square in the middle, without its mean brightness."""
    height, width = grey.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = grey[top : top + side, left : left + side].astype(np.float64)
    edges = np.linspace(0, side, SIDE + 1).round().astype(int)
    rows = np.add.reduceat(square, edges[:-1], axis=0) / np.diff(edges)[:, None]
    fields = np.add.reduceat(rows, edges[:-1], axis=1) / np.diff(edges)
    return fields - fields.mean()


def _source(path, until: float) -> tuple[np.ndarray, np.ndarray]:
    """Times (s) and thumbnails of the pictures of a file, read with nothing of ours."""
    times, pictures = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            time = float(frame.pts * frame.time_base)
            times.append(time)
            pictures.append(_thumbnail(frame.to_ndarray(format="gray")))
            if time - times[0] > until + 1:
                break
    return np.asarray(times) - times[0], np.asarray(pictures)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "start", "end"),
    [("seated_man_1080x1920_30fps_hevc.mp4", 3.0, 7.0), ("ted_speaker_454x256.mp4", 4.0, 9.0)],
)
def test_frame_at_t_is_the_nearest_picture_of_the_source(shared, tmp_path, name, start, end):
    path = shared / "data" / "originals" / name
    part = {name: [Segment(start, end)]}
    settings = {"size": SIZE, "image_format": "png", "validation": "none", "progress": False}
    prepare_folder(path, tmp_path / "set", segments=part, **settings)
    dataset = FrameDataset(tmp_path / "set")
    (clip,) = dataset.clips()
    assert clip.frames == round((end - start) * 25)
    luma = dataset.frames(clip) @ np.array([0.299, 0.587, 0.114])
    made = np.stack([_thumbnail(picture) for picture in luma])
    times, pictures = _source(path, end)
    chosen = []
    for k, picture in enumerate(made):
        moment = start + k / 25
        error = ((pictures - picture) ** 2).mean((1, 2))
        nearest = np.abs(times - moment).argmin()
        # Two pictures at the same distance in time are both right, and pictures that repeat, too.
        ties = np.abs(times - moment) <= np.abs(times[nearest] - moment) + 1e-3
        assert error[ties].min() <= error.min() * 1.05 + 1e-3, (k, error.argmin(), nearest)
        chosen.append(error.argmin())
    # The content changes, so that another choice would have been seen.
    moved = [
        ((a - b) ** 2).mean() for a, b in zip(pictures[chosen], pictures[chosen][1:], strict=False)
    ]
    assert np.median(moved) > 0.05


@pytest.mark.slow
def test_sound_and_pictures_of_whole_files_are_equally_long(shared, tmp_path):
    for folder in ("originals", "clips"):
        out = tmp_path / folder
        settings = {"size": 32, "validation": "none", "progress": False, "max_seconds": 1e4}
        report = prepare_folder(shared / "data" / folder, out, **settings)
        assert not report.skipped
        dataset = FrameDataset(out)
        for clip in dataset.clips(need_audio=True):
            samples, rate = sound.read_audio(shared / "data" / folder / clip.source)
            length = fractions.Fraction(len(samples), rate)
            assert abs(length * 25 - clip.frames) <= 1, (clip.source, float(length), clip.frames)
            # The last frame has the row of its own moment.
            rows = audio.features(samples, rate, frames=max(clip.frames, 1))
            np.testing.assert_array_equal(dataset.audio(clip), rows[: clip.frames])
