"""What is in TensorBoard's event files, read as the format says."""

import itertools
import struct

import numpy as np
import pytest
from etils import epath

from jaxgesture.core import tensorboard
from jaxgesture.core.metrics import MetricWriter, read_scalars
from jaxgesture.core.tensorboard import Board


def events(folder):
    """All events of a folder: each file a row of (length, checksum, event, checksum)."""
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    found = []
    for path in sorted(folder.iterdir()):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack("<Q", data[place : place + 8])
            found.append(Event.FromString(data[place + 12 : place + 12 + length]))
            place += 12 + length + 4
        assert place == len(data)
    return found


def values(folder):
    return [(event.step, v.tag, v) for event in events(folder) for v in event.summary.value]


@pytest.fixture
def board(tmp_path):
    return Board(epath.Path(tmp_path / "events"))


def test_numbers_with_their_steps(board, tmp_path):
    board.scalar(3, "train/loss", 0.25)
    board.scalar(10**6, "eval/psnr", float("inf"))
    board.close()
    found = [(step, tag, v.simple_value) for step, tag, v in values(tmp_path / "events")]
    assert found == [(3, "train/loss", 0.25), (10**6, "eval/psnr", float("inf"))]
    assert all(event.wall_time > 1e9 for event in events(tmp_path / "events"))


def test_pictures_and_moving_pictures(board, tmp_path):
    import io

    from PIL import Image

    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (8, 6, 3), np.uint8)
    board.image(2, "face", picture)
    board.video(2, "clip", np.stack([picture, 255 - picture, picture]), 25)
    board.close()
    still, moving = (v.image for _, _, v in values(tmp_path / "events"))
    assert (still.height, still.width) == (moving.height, moving.width) == (8, 6)
    shown = np.asarray(Image.open(io.BytesIO(still.encoded_image_string)).convert("RGB"))
    np.testing.assert_array_equal(shown, picture)
    with Image.open(io.BytesIO(moving.encoded_image_string)) as clip:
        assert clip.format == "GIF" and clip.n_frames == 3  # pyright: ignore
        assert clip.info["duration"] == 40


def test_boards_of_one_second_have_files_of_their_own_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "_numbers", itertools.count(8))
    monkeypatch.setattr(tensorboard.time, "time", lambda: 2e9)
    for number in range(3):
        board = Board(epath.Path(tmp_path))
        board.scalar(number, "a", 1.0)
        board.close()
    assert len(list(tmp_path.iterdir())) == 3
    assert [step for step, _, _ in values(tmp_path)] == [0, 1, 2]


@pytest.mark.parametrize(("resumed", "purged"), [(None, []), (7, [8])])
def test_a_resumed_run_hides_what_it_will_write_again(tmp_path, resumed, purged):
    with MetricWriter(tmp_path, resumed) as writer:
        writer.scalars(8, {"loss": 1.0})
    starts = [e.step for e in events(tmp_path / "tensorboard") if e.HasField("session_log")]
    assert starts == purged


def test_events_are_seen_while_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "FLUSH_S", 0.0)
    with MetricWriter(tmp_path) as writer:
        writer.scalars(1, {"loss": 0.5}, prefix="train/")
        found = [(step, tag) for step, tag, _ in values(tmp_path / "tensorboard")]
        assert found == [(1, "train/loss")]


def test_the_other_processes_write_nothing(tmp_path, monkeypatch):
    from jaxgesture.core import metrics

    monkeypatch.setattr(metrics.jax, "process_index", lambda: 1)
    with MetricWriter(tmp_path / "run", step=3) as writer:
        writer.scalars(4, {"loss": 1.0})
        writer.image(4, "face", np.zeros((4, 4, 3), np.uint8))
        writer.video(4, "clip", np.zeros((2, 4, 4, 3), np.uint8), 25)
    assert not (tmp_path / "run").exists()


def test_a_grey_picture_is_one_too(tmp_path):
    from PIL import Image

    with MetricWriter(tmp_path) as writer:
        writer.image(1, "mask", np.arange(20, dtype=np.uint8).reshape(4, 5, 1))
    with Image.open(tmp_path / "images" / "mask_0000001.png") as picture:
        assert picture.mode == "L" and picture.size == (5, 4)
    assert [tag for _, tag, _ in values(tmp_path / "tensorboard")] == ["mask"]


def test_lines_of_equal_steps_stay_in_their_order(tmp_path):
    with MetricWriter(tmp_path) as writer:
        for name in ("train/a", "eval/b", "eval/c"):
            writer.scalars(5, {name: 1.0})
    with MetricWriter(tmp_path, step=5):
        pass
    names = [set(line) - {"step", "time"} for line in read_scalars(tmp_path)]
    assert names == [{"train/a"}, {"eval/b"}, {"eval/c"}]
