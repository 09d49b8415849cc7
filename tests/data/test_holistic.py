"""Landmarks of videos: one row a picture, in pixels; what MediaPipe says, what goes wrong."""

import contextlib
import dataclasses
import sys
import types
from fractions import Fraction

import numpy as np
import pytest
from media import make_video, set_display_matrix

from jaxgesture.core.errors import UserError
from jaxgesture.data import holistic, landmarks
from jaxgesture.data.boxes import PARTS


@dataclasses.dataclass
class Mark:
    """A NormalizedLandmark."""

    x: float
    y: float
    z: float = 0.0
    visibility: float | None = None


def result(pose=33, hand=21, face=478):
    """A HolisticLandmarkerResult with a left hand, a face and a pose, and no right hand."""
    return types.SimpleNamespace(
        pose_landmarks=[Mark(0.5, i / 40, visibility=0.9) for i in range(pose)],
        left_hand_landmarks=[Mark(0.7 + i / 200, 0.5 + i / 100) for i in range(hand)],
        right_hand_landmarks=[],
        face_landmarks=[Mark(0.4 + 0.2 * (i % 2), 0.1 + 0.2 * (i // 2 % 2)) for i in range(face)],
    )


class Fake:
    """A detector that sees a square whose place tells the grey of the picture."""

    def __init__(self):
        self.seen = []

    def detect(self, image, milliseconds):
        self.seen.append((milliseconds, image.shape, round(float(image.mean()))))
        grey = float(image.mean())
        square = np.array([[grey, 10], [grey + 10, 30]])
        pose = np.full((33, 3), np.nan)
        pose[9:11] = (grey, 20, 1), (grey + 10, 20, 1)
        hand = np.repeat(square, [1, 20], axis=0)
        absent = np.full((21, 2), np.nan)
        return holistic.Holistic(pose, hand, absent if len(self.seen) % 2 else hand, square)

    @classmethod
    def opener(cls, made):
        @contextlib.contextmanager
        def opened():
            made.append(cls())
            yield made[-1]

        return opened


def greys(count, width=48, height=32):
    return [np.full((height, width, 3), (40 + 8 * i) % 256, np.uint8) for i in range(count)]


def test_a_result_in_pixels():
    found = holistic.holistic(result(), 200, 100)
    np.testing.assert_allclose(found.pose[4], [100, 10, 0.9])
    np.testing.assert_allclose(found.left_hand[[0, -1]], [[140, 50], [160, 70]])
    assert found.right_hand.shape == (21, 2) and np.isnan(found.right_hand).all()
    np.testing.assert_allclose(holistic.box_around(found.face), [80, 10, 120, 30])


def test_nothing_is_found():
    nobody = holistic.holistic(result(0, 0, 0), 200, 100)
    assert np.isnan(nobody.pose).all() and nobody.pose.shape == (33, 3)
    assert nobody.face.shape == (0, 2) and np.isnan(holistic.box_around(nobody.face)).all()


def test_unknown_visibility_is_not_seen():
    one = result()
    one.pose_landmarks[9].visibility = None
    assert np.isnan(holistic.holistic(one, 10, 10).pose[9, 2])


@pytest.mark.parametrize("counts", [{"pose": 25}, {"hand": 5}])
def test_another_model_is_refused(counts):
    with pytest.raises(UserError, match="use the holistic landmarker of https://"):
        holistic.holistic(result(**counts), 10, 10)


def test_box_around():
    points = np.array([[10.0, 40], [30, 50], [20, 45]])
    assert holistic.box_around(points).tolist() == [10, 40, 30, 50]
    assert holistic.box_around(points, 0.1).tolist() == [8, 38, 32, 52]
    for unknown in (points * [1, np.nan], points[:1], np.empty((0, 2))):
        assert np.isnan(holistic.box_around(unknown)).all()


@pytest.mark.parametrize("fps", [30, Fraction(24000, 1001)])
def test_a_row_for_every_picture(tmp_path, fps):
    path = make_video(tmp_path / "a.mp4", greys(7), fps=fps)
    made = []
    report = holistic.make_landmarks(path, Fake.opener(made), progress=False)
    assert report.made == ["a.mp4"] and report.pictures == 7
    (fake,) = made
    assert [t for t, _, _ in fake.seen] == [round(i * 1000 / fps) for i in range(7)]
    assert {shape for _, shape, _ in fake.seen} == {(32, 48, 3)}
    read = landmarks.read(tmp_path / "a.landmarks.npz")
    assert read.fps == pytest.approx(float(fps)) and len(read.boxes) == 7
    left, right, face, lips = (read.boxes[:, PARTS.index(part)] for part in PARTS)
    grey = 40 + 8 * np.arange(7)
    np.testing.assert_allclose(face[:, 0], grey, atol=2)  # the row is that of its own picture
    np.testing.assert_allclose(face[:, 2] - face[:, 0], 10, atol=1e-4)
    np.testing.assert_allclose(left[:, 0], face[:, 0], atol=1e-4)
    assert np.isnan(right).all(-1).nonzero()[0].tolist() == [0, 2, 4, 6]
    assert np.isfinite(lips).all()
    assert report.found == {"left_hand": 7, "right_hand": 3, "face": 7}
    text = "\n".join(report.lines())
    assert "1 videos: landmarks made for 1" in text and "right hand  42.9% of the pictures" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.landmarks.npz", "a.mp4"]


def test_a_rotated_picture_is_shown_upright(tmp_path):
    path = make_video(tmp_path / "a.mp4", greys(2))
    set_display_matrix(path, 0, 1, -1, 0)
    made = []
    holistic.make_landmarks(path, Fake.opener(made), progress=False)
    assert {shape for _, shape, _ in made[0].seen} == {(48, 32, 3)}


def test_a_variable_rate_is_made_steady(tmp_path):
    times = [Fraction(i, 25) for i in (0, 1, 2, 6, 10)]
    path = make_video(tmp_path / "a.mp4", greys(5), times=times)
    found = holistic.find_landmarks(path, Fake())
    rows, fps = len(found["pose"]), float(found["fps"])
    assert rows / fps == pytest.approx(11 / 25, abs=1 / fps)
    np.testing.assert_allclose(found["face_box"][[0, -1], 0], [40, 72], atol=2)


def test_files_are_kept_unless_told(tmp_path):
    for name in "ab":
        make_video(tmp_path / f"{name}.mp4", greys(2))
    made = []
    holistic.make_landmarks(tmp_path / "a.mp4", Fake.opener(made), progress=False)
    before = (tmp_path / "a.landmarks.npz").stat().st_mtime_ns
    report = holistic.make_landmarks(tmp_path, Fake.opener(made), progress=False)
    assert (report.made, report.kept, report.pictures) == (["b.mp4"], ["a.mp4"], 4)
    assert (tmp_path / "a.landmarks.npz").stat().st_mtime_ns == before and len(made) == 2
    report = holistic.make_landmarks(tmp_path, Fake.opener(made), overwrite=True, progress=False)
    assert report.made == ["a.mp4", "b.mp4"] and len(made) == 4
    assert made[-1].seen[0][0] == 0  # every video has a detector of its own


def test_bad_files_are_listed(tmp_path):
    make_video(tmp_path / "good.mp4", greys(2))
    make_video(tmp_path / "good.mov", greys(2))
    make_video(tmp_path / "marked.mp4", greys(2))
    (tmp_path / "marked.landmarks.npz").write_text("no arrays")
    (tmp_path / "text.mp4").write_text("no video " * 50)
    (tmp_path / "empty.mp4").touch()
    report = holistic.make_landmarks(tmp_path, Fake.opener([]), progress=False)
    assert report.made == ["good.mov"]
    assert set(report.skipped) == {"good.mp4", "marked.mp4", "text.mp4", "empty.mp4"}
    assert "belongs to good.mov; rename one" in report.skipped["good.mp4"]
    assert "--overwrite" in report.skipped["marked.mp4"]
    assert not list(tmp_path.glob("*.partial")) and not (tmp_path / "text.landmarks.npz").exists()
    text = "\n".join(report.lines())
    assert "5 videos: landmarks made for 1, kept for 0, 4 skipped" in text


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "text.mp4").write_text("no video " * 50)
    with pytest.raises(UserError, match="no video was usable .text.mp4: "):
        holistic.make_landmarks(tmp_path, Fake.opener([]), progress=False)


def test_a_cut_off_video_is_warned_of(tmp_path):
    path = make_video(tmp_path / "a.mkv", greys(60), options={"g": "5"})
    path.write_bytes(path.read_bytes()[:-1200])
    report = holistic.make_landmarks(path, Fake.opener([]), progress=False)
    assert report.made == ["a.mkv"] and 0 < report.pictures < 60
    assert len(report.warnings) == 1 and "cut off or damaged" in report.warnings[0]


def test_a_failing_detector_leaves_nothing(tmp_path):
    class Failing(Fake):
        def detect(self, image, milliseconds):
            if milliseconds:
                raise UserError("MediaPipe failed")
            return super().detect(image, milliseconds)

    make_video(tmp_path / "a.mp4", greys(3))
    with pytest.raises(UserError, match="a.mp4: MediaPipe failed"):
        holistic.make_landmarks(tmp_path, Failing.opener([]), progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


class FakeMediaPipe:
    """The part of the package mediapipe that is used; its calls are noted."""

    def __init__(self, monkeypatch, error=None, fails_at=None):
        self.options, self.times, self.closed = None, [], False
        top, tasks, vision = (types.ModuleType(f"mediapipe{n}") for n in ("", ".t", ".v"))
        top.__dict__.update(
            Image=lambda image_format, data: (image_format, data),
            ImageFormat=types.SimpleNamespace(SRGB="srgb"),
        )
        tasks.__dict__["BaseOptions"] = lambda model_asset_path: model_asset_path

        def create(options):
            self.options = options
            if error is not None:
                raise error
            return self

        vision.__dict__.update(
            RunningMode=types.SimpleNamespace(VIDEO="video"),
            HolisticLandmarkerOptions=lambda base_options, running_mode: (
                base_options,
                running_mode,
            ),
            HolisticLandmarker=types.SimpleNamespace(create_from_options=create),
        )
        self.vision, self.fails_at = vision, fails_at
        names = ("mediapipe", "mediapipe.tasks.python", "mediapipe.tasks.python.vision")
        for name, module in zip(names, (top, tasks, vision), strict=True):
            monkeypatch.setitem(sys.modules, name, module)

    def detect_for_video(self, image, milliseconds):
        form, data = image
        assert form == "srgb" and data.flags.c_contiguous and data.dtype == np.uint8
        if milliseconds == self.fails_at:
            raise RuntimeError("graph has errors\nand a long trace")
        self.times.append(milliseconds)
        return result()

    def close(self):
        self.closed = True


def test_mediapipe_is_called_as_a_video(tmp_path, monkeypatch):
    fake = FakeMediaPipe(monkeypatch)
    model = tmp_path / "holistic_landmarker.task"
    model.touch()
    path = make_video(tmp_path / "a.mp4", greys(3))
    report = holistic.make_landmarks(path, lambda: holistic.open_mediapipe(model), progress=False)
    assert fake.options == (str(model), "video")
    assert fake.times == [0, 40, 80] and fake.closed
    assert report.found == {"left_hand": 3, "right_hand": 0, "face": 3}
    box = landmarks.read(tmp_path / "a.landmarks.npz").boxes[0, PARTS.index("face")]
    np.testing.assert_allclose(box, [0.4 * 48, 0.1 * 32, 0.6 * 48, 0.3 * 32], rtol=1e-5)


def test_mediapipe_fails_at_a_picture(tmp_path, monkeypatch):
    fake = FakeMediaPipe(monkeypatch, fails_at=40)
    model = tmp_path / "a.task"
    model.touch()
    with holistic.open_mediapipe(model) as detector:
        detector.detect(greys(1)[0], 0)
        with pytest.raises(UserError, match=r"failed at 0.04 s \(graph has errors\)"):
            detector.detect(greys(1)[0], 40)
    assert fake.closed


def test_no_mediapipe_no_model_or_another_file(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4", greys(1))
    model = tmp_path / "a.task"

    def message():
        with pytest.raises(UserError) as caught:
            holistic.make_landmarks(path, lambda: holistic.open_mediapipe(model), progress=False)
        assert "\n" not in str(caught.value)
        assert [p.suffix for p in tmp_path.iterdir() if p != model] == [".mp4"]
        return str(caught.value)

    monkeypatch.setitem(sys.modules, "mediapipe", None)
    assert 'mediapipe; pip install "jaxgesture[landmarks]"' in message()
    FakeMediaPipe(monkeypatch)
    assert f"no model file {model}; download" in message() and holistic.MODEL_PAGE in message()
    model.write_text("something else")
    FakeMediaPipe(monkeypatch, error=RuntimeError("Unable to open zip archive."))
    assert "cannot use" in message() and "(Unable to open zip archive.)" in message()
    fake = FakeMediaPipe(monkeypatch)
    del fake.vision.HolisticLandmarker
    assert "has no HolisticLandmarker" in message() and "--upgrade" in message()
