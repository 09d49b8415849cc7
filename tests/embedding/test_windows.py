"""Windows of poses: which clips are held out, what hangs on their names, what is told."""

import shutil
import warnings
import zlib

import numpy as np
import pytest

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import presenter_landmarks
from jaxgesture.data.boxes import PARTS
from jaxgesture.embedding import train as training
from jaxgesture.embedding.windows import POSES, TRAIN, VALIDATION, Windows, collect

FRAMES = 150  # at 25 a second; 90 at 15


def write(folder, *names, frames=FRAMES, seed=0):
    """Landmarks of bodies that walk at random."""
    for name in names:
        draw = np.random.default_rng((seed, zlib.crc32(name.encode())))
        walk = np.cumsum(draw.standard_normal((frames, 33, 2)), axis=0)
        pose = np.concatenate([walk, np.ones((frames, 33, 1))], axis=-1)
        arrays = {f"{part}_box": np.tile([0.0, 0.0, 9.0, 9.0], (frames, 1)) for part in PARTS[:3]}
        path = folder / f"{name}.landmarks.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        presenter_landmarks.write(path, {"pose": pose, "fps": np.array(25.0), **arrays})


def names(held_out, count):
    """So many names that are held out, or are not."""
    found = (name for name in map("clip{}".format, range(1000))
             if (zlib.crc32(f"{name}.landmarks.npz".encode()) % 10 == 0) == held_out)  # fmt: skip
    return [next(found) for _ in range(count)]


def split(folder, stride=8):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return collect(str(folder), stride)


def test_windows_are_cut_out_of_the_rows_when_their_turn_comes():
    rows = tuple(np.arange(float(n))[:, None] * np.ones((1, 3)) for n in (40, 50))
    windows = Windows(rows, np.array([[0, 6], [1, 16]]))
    assert len(windows) == 2
    for item, start in enumerate((6, 16)):
        found = windows.example(item, np.random.default_rng(0))["window"]
        np.testing.assert_array_equal(found[:, 0], np.arange(start, start + 34))
        assert found.dtype == np.float32
    assert len(Windows((), np.zeros((0, 2), np.int64))) == 0


def test_a_clip_stays_where_it_is_when_others_come(tmp_path):
    train, held = names(False, 3), names(True, 2)
    write(tmp_path, *train[:2], held[0])
    few = split(tmp_path)
    write(tmp_path, train[2], held[1])
    more = split(tmp_path)
    for one, clips in ((few, (2, 1)), (more, (3, 2))):
        assert [len(one.splits[s]) for s in (TRAIN, VALIDATION)] == [8 * count for count in clips]
        assert one.clips == sum(clips) and one.kind == POSES
    # Nothing that was held out is trained on later.
    held_rows = few.splits[VALIDATION].rows[0]
    assert not any(np.array_equal(held_rows, rows) for rows in more.splits[TRAIN].rows)


def test_where_all_are_held_out_by_their_names_the_first_is_trained_on(tmp_path):
    held = sorted(names(True, 3))
    write(tmp_path, *held)
    found = split(tmp_path)
    assert [len(found.splits[s].rows) for s in (TRAIN, VALIDATION)] == [1, 2]
    alone = tmp_path / "alone"
    write(alone, held[0])
    np.testing.assert_array_equal(found.splits[TRAIN].rows[0], split(alone).splits[TRAIN].rows[0])


@pytest.mark.parametrize(("stride", "count"), [(1, 57), (5, 12), (8, 8), (56, 2), (57, 1)])
def test_the_stride_is_that_of_the_windows(tmp_path, stride, count):
    write(tmp_path, *names(False, 1))
    assert len(split(tmp_path, stride).splits[TRAIN]) == count


def test_the_hash_is_of_names_and_numbers(tmp_path):
    first, second = names(False, 2)
    for folder, name, seed in (("a", first, 0), ("b", first, 1), ("d", first, 0)):
        write(tmp_path / folder, name, seed=seed)
    (tmp_path / "c").mkdir()
    shutil.copy(tmp_path / f"a/{first}.landmarks.npz", tmp_path / f"c/{second}.landmarks.npz")
    hashes = [split(tmp_path / folder).sha256 for folder in "abcd"]
    assert hashes[0] == hashes[3] and len(set(hashes)) == 3
    # How densely windows are cut is no part of the data.
    assert split(tmp_path / "a", stride=3).sha256 == hashes[0]


def test_folders_below_count_and_other_files_do_not(tmp_path):
    inner, outer = names(False, 2)
    write(tmp_path / "deep" / "er", inner)
    write(tmp_path, outer)
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "deep" / "a.npz").touch()
    assert split(tmp_path).clips == 2 and split(tmp_path / "deep").clips == 1


def test_clips_that_are_too_short_give_no_window_and_count_as_none(tmp_path):
    long, short = names(False, 2)
    write(tmp_path, long)
    write(tmp_path, short, frames=20)
    found = split(tmp_path)
    assert found.clips == 1 and len(found.splits[TRAIN].rows) == 2
    assert "of poses of 1 clips at 15 frames a second, sha256 " in found.about


def test_damaged_files_are_counted_and_the_first_is_named(tmp_path):
    write(tmp_path, *names(False, 1))
    for name in ("a", "b"):
        (tmp_path / f"{name}.landmarks.npz").write_bytes(b"nothing")
    with pytest.warns(DataWarning, match="2 of 3 landmarks files are left out: .*a.landmarks.npz"):
        assert collect(str(tmp_path), 8).clips == 1


def test_nothing_but_damaged_files_is_an_error(tmp_path):
    (tmp_path / "a.landmarks.npz").write_bytes(b"nothing")
    with pytest.warns(DataWarning), pytest.raises(UserError, match="no 34 frames in a row at 15"):
        collect(str(tmp_path), 8)


class Network:
    """Gives back what it was given, and a little more; notes how much that was."""

    seen = []

    def __init__(self, config):
        self.config = config

    def apply(self, variables, rows):
        self.seen.append(rows)
        return rows + variables


@pytest.mark.parametrize(("most", "picked"), [(1, [0]), (3, [0, 4, 9]), (10, None), (99, None)])
def test_the_held_out_loss_is_that_of_windows_spread_evenly(monkeypatch, most, picked):
    monkeypatch.setattr(training, "PoseAutoencoderNetwork", Network)
    rows = (np.arange(60.0)[:, None] * np.ones((1, 2)),)
    windows = Windows(rows, np.array([[0, start] for start in range(10)]))
    config = training.PoseAutoencoderConfig(channels=2)
    found = training.held_out_loss(config, 0.25, windows, most)
    assert found["loss"] == 0.25
    firsts = Network.seen[-1][:, 0, 0].tolist()
    assert firsts == (list(range(10)) if picked is None else picked)
    mean = Network.seen[-1].mean()
    assert found["loss_of_mean"] == pytest.approx(np.abs(Network.seen[-1] - mean).mean())


def test_whole_batches_only(tmp_path):
    from jaxgesture.demo.settings import load_config

    write(tmp_path / "data", *names(False, 1))
    config = load_config("pose_autoencoder", "debug")
    config.data.directory, config.optim.accumulate = str(tmp_path / "data"), 2
    with pytest.warns(DataWarning, match="no held-out clip"):
        with pytest.raises(UserError, match="optim.accumulate=2: .* leave it at 1"):
            training.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
