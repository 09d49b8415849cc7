"""Several recordings at once, and where their motion starts."""

import dataclasses

import jax
import numpy as np
import pytest
import soundfile
from generation.models import CONFIG, OPTIONS, make_animation, make_motion
from PIL import Image

from jaxgesture.core.errors import UserError
from jaxgesture.generation.jobs import Job, chosen_format, make_jobs
from jaxgesture.generation.pipeline import Studio
from jaxgesture.generation.render import Renderer
from jaxgesture.motion.generate import SegmentBatch
from jaxgesture.motion.selection import smooth_seam

RATE = 16000
SECONDS = (0.5, 2.1, 1.2, 0.8)
# Four recordings as one batch against four runs, absolute, features in [-1, 1]: 4e-6 measured.
TOGETHER = 1e-5


@pytest.fixture(scope="module")
def studio():
    animation = make_animation()
    return Studio(animation, make_motion(animation.sha256), seed=3, **OPTIONS)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for number, seconds in enumerate(SECONDS):
        t = np.arange(round(seconds * RATE)) / RATE
        speech = np.sin(900 * t) * np.sin(20 * t) + 0.1 * rng.standard_normal(len(t))
        soundfile.write(folder / f"{number}.wav", 0.3 * speech, RATE)
    return folder


def picture(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    return np.kron(rng.random((8, 8, 3)), np.ones((8, 8, 1))).astype(np.float32)


def motions(studio, sounds, folder, numbers, rows):
    """The motion of recordings, each with a picture of its own."""
    jobs = [
        Job(picture(n), sounds / f"{n}.wav", folder / f"{n}.npz", "motion") for n in numbers
    ]  # fmt: skip
    outcomes = list(studio.run(jobs, rows=rows, progress=False))
    assert [outcome.error for outcome in outcomes] == [None] * len(jobs)
    found = []
    for job in jobs:
        with np.load(job.out) as arrays:
            assert arrays["fps"] == 25 and len(str(arrays["audio_sha256"])) == 64
            found.append(arrays["motion"])
    return found


def test_together_as_alone(studio, sounds, tmp_path):
    alone = [motions(studio, sounds, tmp_path, [n], 1)[0] for n in range(4)]
    assert [len(motion) for motion in alone] == [13, 53, 30, 20]
    assert not np.allclose(alone[1][:13], alone[0], atol=0.01)
    together = motions(studio, sounds, tmp_path, range(4), 4)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(other, one, atol=TOGETHER)


def test_what_else_is_made_changes_no_bit(studio, sounds, tmp_path):
    together = motions(studio, sounds, tmp_path, range(4), 4)
    backwards = motions(studio, sounds, tmp_path, [3, 2, 1, 0], 4)[::-1]
    alone = [motions(studio, sounds, tmp_path, [n], 4)[0] for n in range(4)]
    for other in (backwards, alone):
        assert all((a == b).all() for a, b in zip(other, together, strict=True))


def test_smoothed_seams_stream(studio, sounds, tmp_path):
    smoothing = Studio(studio.animation, studio.motion, seed=3, smooth_seams=True, **OPTIONS)
    plain, smooth = (motions(s, sounds, tmp_path, [1], 1)[0] for s in (studio, smoothing))
    expected = plain
    for seam in range(CONFIG.segment_frames, len(plain), CONFIG.segment_frames):
        expected = smooth_seam(expected, seam)
    # The translation, which is no rotation and needs no projection.
    np.testing.assert_allclose(smooth[:, -3:], expected[:, -3:], atol=1e-5)
    assert np.abs(smooth - plain).max() > 1e-3


def test_same_call_same_bytes(studio, sounds, tmp_path):
    files = []
    for name in ("a", "b"):
        motions(studio, sounds, tmp_path / name, range(4), 4)
        files.append([(tmp_path / name / f"{n}.npz").read_bytes() for n in range(4)])
    assert files[0] == files[1]


def test_a_failure_leaves_the_others_alone(studio, sounds, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "1.npz").mkdir()  # found when the output is opened
    jobs = [
        Job(picture(0), sounds / "0.wav", tmp_path / "0.npz", "motion"),
        Job(picture(1), tmp_path / "text.wav", tmp_path / "text.npz", "motion"),
        Job(picture(1), sounds / "1.wav", tmp_path / "1.npz", "motion"),
        Job(picture(2), sounds / "2.wav", tmp_path / "2.npz", "motion"),
    ]
    errors = {o.job.out.stem: o.error for o in studio.run(jobs, rows=2, progress=False)}
    assert errors["0"] is None and errors["2"] is None
    assert "text.wav" in str(errors["text"]) and "directory" in str(errors["1"])
    (expected,) = motions(studio, sounds, tmp_path / "alone", [2], 1)
    with np.load(tmp_path / "2.npz") as arrays:
        np.testing.assert_allclose(arrays["motion"], expected, atol=TOGETHER)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_motion_starts_at_the_pose_of_the_picture(sounds, tmp_path):
    """Of many candidates the first segment's comes nearest to the source's own feature."""
    animation = make_animation()
    # Candidates are scored before they are made rotations.
    plain = dataclasses.replace(CONFIG, project=False)
    motion = make_motion(animation.sha256, plain)
    distances = []
    for candidates in (1, 8):
        studio = Studio(animation, motion, seed=3, candidates=candidates, steps=2)
        for n, rows in enumerate(motions(studio, sounds, tmp_path, range(4), 4)):
            feature = np.asarray(animation.extract_motion(picture(n)))
            distances.append(np.abs(rows[:5] - feature).sum())
    only, best = np.array(distances).reshape(2, 4)
    assert (best <= only + 1e-3).all() and (best < only - 0.1).any()


@pytest.fixture
def names(tmp_path):
    for name in ("a.png", "b.jpg", "x.wav", "y.mp3", "notes.txt", ".hidden.wav"):
        (tmp_path / name).touch()
    return str(tmp_path)


def made(images, audios, out=None, format=None, **options):
    jobs = make_jobs(images, audios, out=out, format=chosen_format(out, format), **options)
    return {str(j.out): (str(j.image)[-5:], str(j.audio)[-5:]) for j in jobs}


def test_names_of_one(names):
    assert made(["a.png"], ["x.wav"]) == {"video.mp4": ("a.png", "x.wav")}
    assert list(made(["a.png"], ["x.wav"], out="me.webm")) == ["me.webm"]
    assert list(made(["a.png"], ["x.wav"], out=names)) == [f"{names}/x.mp4"]
    assert list(made(["a.png"], ["x.wav"], out="v", format="webm")) == ["v/x.webm"]
    assert list(made(["a.png"], ["x.wav"], format="frames")) == ["frames"]
    assert list(made(["a.png"], ["x.wav"], out="me.npz")) == ["me.npz"]


def test_names_of_several(names):
    sounds, images = ["x.wav", "y.mp3"], ["a.png", "b.jpg"]
    assert list(made(["a.png"], [names])) == ["videos/x.mp4", "videos/y.mp4"]
    assert list(made(images, ["x.wav"], out="v")) == ["v/a.mp4", "v/b.mp4"]
    every = made(images, sounds, out="v", format="motion")
    assert list(every) == ["v/a_x.npz", "v/b_x.npz", "v/a_y.npz", "v/b_y.npz"]
    assert every["v/b_x.npz"] == ("b.jpg", "x.wav")
    assert list(made([names], [names], pairs=True, format="frames")) == [
        "videos/a_x", "videos/b_y",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"audios": ["x.wav", "x.mp3"]}, "would both become videos/x.mp4; rename"),
        ({"audios": ["x.wav", "y.wav"], "pairs": True}, "1 pictures and 2 recordings"),
        ({"audios": ["x.wav", "y.wav"], "out": "me.mp4"}, "names one file for 2 outputs"),
        ({"audios": ["x.wav", "y.wav"], "motion_out": "m.npy"}, "for one video"),
        ({"motion_out": "m.txt"}, "must end in .npy"),
        ({"out": "me.mp4", "format": "webm"}, "must end in .webm"),
        ({"out": "me.avi"}, "must end in .mp4 .other formats: .webm, .npz., or be that of"),
        ({"out": "talk.v2"}, "must exist if there is a dot in its name"),
        ({"images": ["", ""]}, "a picture has an empty name; look for a comma too many"),
        ({"out": "me.mp4", "format": "frames"}, "name a folder"),
        ({"format": "gif"}, "there is none such"),
        ({"format": "motion", "preview": 2.0}, "of a video"),
        ({"preview": float("nan")}, "at least 0.04 s"),
    ],
)
def test_what_makes_no_jobs(arguments, message):
    with pytest.raises(UserError, match=message):
        made(**{"images": ["a.png"], "audios": ["x.wav"], **arguments})


def test_a_folder_that_is_also_the_output(tmp_path):
    for name in ("x.wav", "y.mp4", "z.preview.mp4", "x.preview.mp4", "x.mp4"):
        (tmp_path / name).touch()
    for name, text in (("x.mp4", '{"made_from": {"seed": 0}}'), ("y.mp4", '{"title": "talk"}')):
        (tmp_path / f"{name}.json").write_text(text)
    found = made(["a.png"], [str(tmp_path)], out=str(tmp_path), format="webm")
    assert list(found) == [f"{tmp_path}/{name}.webm" for name in ("x", "y", "z.preview")]
    assert list(made(["a.png"], [f"{tmp_path}/x.mp4"])) == ["video.mp4"]  # when it is named


def test_too_little_memory_says_what_to_make_smaller(studio, sounds, tmp_path, monkeypatch):
    def exhausted(*arguments):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    job = Job(picture(0), sounds / "0.wav", tmp_path / "a.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(Renderer, "draw", exhausted)
        (outcome,) = studio.run([job], rows=1, progress=False)
        assert "not enough memory; choose smaller --batch" in str(outcome.error)
    monkeypatch.setattr(SegmentBatch, "step", exhausted)
    with pytest.raises(UserError, match="choose smaller --together and --candidates"):
        list(studio.run([job], rows=1, progress=False))
    assert not list(tmp_path.iterdir())


def test_frames_do_not_take_the_place_of_the_picture(studio, sounds, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(folder / "000000.png")
    before = (folder / "000000.png").read_bytes()
    job = Job(folder / "000000.png", sounds / "0.wav", folder, "frames")
    (outcome,) = studio.run([job], rows=1, progress=False)
    assert "holds the picture" in str(outcome.error)
    assert [p.name for p in folder.iterdir()] == ["000000.png"]
    assert (folder / "000000.png").read_bytes() == before


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match="holds no recording"):
        made(["a.png"], [str(tmp_path)])
