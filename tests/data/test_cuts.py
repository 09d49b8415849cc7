"""Parts of videos: how they are divided, and that pictures, sound and boxes keep together."""

import dataclasses
import pathlib
import warnings

import numpy as np
import pytest
from data.made_videos import RATE, grey_levels
from media import make_video

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import audio, cuts
from jaxgesture.data.cuts import Cut, FileJob, Grid, Media
from jaxgesture.data.video import VideoInfo

GRID = Grid(16, 25.0, None)


def _cut(start, stop, **changes):
    return Cut(**{"id": f"{start}", "split": "train", "start": start, "stop": stop,
                  "crop": "center", "speaker": "s", **changes})  # fmt: skip


def _media(seconds=2.0, fps=25.0, **changes):
    info = VideoInfo("a.mp4", 64, 48, fps, seconds, 0, True)
    return Media(pathlib.Path("a.mp4"), "a.mp4", info, None, None, **changes)


@dataclasses.dataclass(frozen=True)
class Loudness:
    """Audio features of one column: the peak of the sound that belongs to a frame."""

    name: str = "loudness"
    size: int = 1

    def features(self, samples, sample_rate, frames):
        step = sample_rate // 25
        padded = np.pad(samples, (0, max(0, frames * step - len(samples))))
        rows = padded[: frames * step].reshape(frames, step)
        return np.abs(rows).max(axis=1, keepdims=True).astype(np.float32)


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """Four seconds, whose frames tell their number and whose sound clicks at each second."""
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    pictures = [np.full((48, 64, 3), level, np.uint8) for level in grey_levels(100)]
    samples = np.full(4 * RATE, 0.01, np.float32)
    samples[::RATE] = 0.9
    make_video(path, pictures, sound=(samples, RATE), options={"crf": "10", "g": "12"})
    return cuts.open_media(path, "talk.mp4", None, None)


def _made(media, *parts, grid=GRID):
    """The clips of a job, with their frames, and what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        job = FileJob(media, parts, grid)
        clips = [dataclasses.replace(c, frames=np.stack(list(c.frames))) for c in job.clips()]
    assert all(one.category is DataWarning for one in caught)
    return clips, [str(one.message) for one in caught]


@pytest.mark.parametrize("start", [0, 17])
@pytest.mark.parametrize("longest", [1, 7, 50, 1000])
@pytest.mark.parametrize("length", [1, 49, 50, 51, 100, 101, 999])
def test_pieces_cover_everything_evenly(start, length, longest):
    parts = cuts.pieces(start, start + length, longest)
    assert parts[0][0] == start and parts[-1][1] == start + length
    assert all(a[1] == b[0] for a, b in zip(parts, parts[1:], strict=False))
    sizes = [stop - first for first, stop in parts]
    assert 1 <= min(sizes) and max(sizes) <= longest and max(sizes) - min(sizes) <= 1
    # The fewest that do.
    assert (len(parts) - 1) * longest < length


def test_the_longest_clip():
    assert cuts.longest_clip(60.0, 25.0) == 1500
    # 0.57 * 100 is a little below 57 in floating point.
    assert cuts.longest_clip(0.57, 100.0) == 57 and cuts.longest_clip(0.04, 25.0) == 1
    for seconds, fps in ((0.03, 25), (np.nan, 25), (np.inf, 25), (60, np.nan), (-1, 25)):
        with pytest.raises(UserError, match="cannot be made; choose more seconds, such as 60"):
            cuts.longest_clip(seconds, fps)


@pytest.mark.parametrize(
    ("seconds", "fps", "frames"), [(2.0, 25.0, 50), (1.99, 25.0, 50), (1.97, 25, 49), (0.0, 25, 0)]
)
def test_frames_by_the_stated_length(seconds, fps, frames):
    assert _media(seconds).frames(fps) == frames


def test_long_files_are_several_jobs_in_order_of_time():
    minute = 60 * 25
    parts = [_cut(n * minute, (n + 1) * minute) for n in range(25)]
    jobs = cuts.file_jobs(_media(), parts[::-1], GRID)
    assert [len(job.cuts) for job in jobs] == [10, 10, 5]
    assert [cut for job in jobs for cut in job.cuts] == parts
    assert {job.name for job in jobs} == {"a.mp4"}
    # One part is never divided, however long; no part is no job.
    assert len(cuts.file_jobs(_media(), [_cut(0, 99 * minute)], GRID)) == 1
    assert cuts.file_jobs(_media(), [], GRID) == []


def test_ids_that_two_files_share_are_named():
    cuts.check_ids([("a.mp4", _cut(0, 5)), ("b.mp4", _cut(5, 9))])
    with pytest.raises(UserError, match="two clips are called '0', of a.mp4 and b.mp4; give one"):
        cuts.check_ids([("a.mp4", _cut(0, 5)), ("b.mp4", _cut(0, 9))])


def test_frames_and_sound_of_parts_belong_together(talk):
    # Overlapping, of one frame, and one that begins between two clicks.
    spans = ((0, 30), (20, 76), (51, 52), (90, 100))
    parts = [_cut(a, b, id=f"{a}-{b}") for a, b in spans]
    clips, said = _made(talk, *parts, grid=Grid(16, 25.0, Loudness()))
    assert not said and [clip.id for clip in clips] == ["0-30", "20-76", "51-52", "90-100"]
    levels = grey_levels(100)
    for clip, (start, stop) in zip(clips, spans, strict=True):
        assert clip.frames.shape == (stop - start, 16, 16, 3)
        means = clip.frames.mean(axis=(1, 2, 3))
        np.testing.assert_allclose(means, levels[start:stop], atol=4)
        assert clip.start == start / 25 and clip.audio.shape == (stop - start, 1)
        clicks = np.flatnonzero(clip.audio[:, 0] > 0.5) + start
        seconds = [n for n in range(25, 100, 25) if start <= n < stop]
        assert [click for click in clicks if click] == seconds


def test_a_mute_file_and_a_rate_without_features(talk):
    for media, grid in (
        (dataclasses.replace(talk, sound=None), Grid(16, 25.0, audio.Baseline())),
        (talk, Grid(16, 12.5, None)),
    ):
        ((clip,), said) = _made(media, _cut(10, 20), grid=grid)
        assert clip.audio is None and not said and len(clip.frames) == 10


def test_sound_that_cannot_be_read_costs_the_sound_alone(talk, tmp_path):
    noise = tmp_path / "a.wav"
    noise.write_bytes(b"no sound at all")
    broken = dataclasses.replace(talk, sound=noise)
    clips, said = _made(broken, _cut(0, 5), _cut(25, 30), grid=Grid(16, 25.0, Loudness()))
    assert [clip.audio for clip in clips] == [None, None]
    (text,) = said
    assert "a.wav is not a readable audio file" in text and text.endswith("serves stage 1 only")


@pytest.mark.parametrize(
    ("seconds", "level", "said"),
    [(4.0, 0.0, "talk.mp4 is silent"), (3.0, 0.5, "the sound ends 1.00 s before the pictures")],
)
def test_what_is_wrong_with_the_sound_beside(talk, tmp_path, seconds, level, said):
    import soundfile

    samples = np.full(round(seconds * RATE), level, np.float32)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    media = dataclasses.replace(talk, sound=tmp_path / "a.wav")
    ((clip,), texts) = _made(media, _cut(0, 100), grid=Grid(16, 25.0, Loudness()))
    assert len(texts) == 1 and said in texts[0]
    assert clip.audio.shape == (100, 1) and not clip.audio[75:].any()


def test_a_part_is_named_by_its_place(talk, tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros(RATE * 4, np.float32), RATE)
    media = dataclasses.replace(talk, sound=tmp_path / "a.wav")
    _, said = _made(media, _cut(25, 50), grid=Grid(16, 25.0, Loudness()))
    assert said == ["talk.mp4 from 1 to 2 s is silent: no speech will drive the motion"]


def test_a_crop_that_cannot_be_fails_when_its_frames_are_asked_for(talk):
    landmarks = _cut(0, 5, crop="landmarks")
    beyond = _cut(5, 9, crop=(40.0, 0.0, 48.0))
    job = FileJob(talk, (landmarks, beyond, _cut(9, 12)), GRID)
    first, second, third = job.clips()
    with pytest.raises(UserError, match="talk.mp4 has no landmarks to crop by; make them with"):
        next(iter(first.frames))
    with pytest.raises(UserError, match="leaves the 64 x 48 picture"):
        next(iter(second.frames))
    assert len(list(third.frames)) == 3


def test_a_file_that_is_written_meanwhile(talk):
    changed = dataclasses.replace(talk, signature=(1, 2))
    (clip,) = FileJob(changed, (_cut(0, 3),), GRID).clips()
    with pytest.raises(UserError, match="it was changed while it was read"):
        list(clip.frames)


def test_the_last_clip_goes_on_to_the_true_end(talk):
    shorter = dataclasses.replace(talk, info=dataclasses.replace(talk.info, seconds=3.6))
    ((clip,), said) = _made(shorter, _cut(50, 90, to_end=True))
    assert len(clip.frames) == 50 and not said
    ((clip,), _) = _made(shorter, _cut(50, 90))
    assert len(clip.frames) == 40
