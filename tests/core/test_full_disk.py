import warnings

import disks
import jax
import numpy as np
import pytest
import toy

from jaxgesture.core import loop, sharding
from jaxgesture.core.checkpoint import CheckpointConfig, Checkpoints, restore_networks
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.metrics import MetricWriter, read_scalars

STATE = {"x": np.random.default_rng(0).standard_normal((100, 100)).astype("f4")}
LIMIT = 10_000


def save(checkpoints, step, scale=1):
    state = {name: jax.numpy.asarray(value * scale) for name, value in STATE.items()}
    return checkpoints.save(step, state, {}, {}, force=True)


def steps(workdir):
    return sorted(path.name for path in (workdir / "checkpoints").iterdir())


def test_a_failed_save_is_a_counted_warning_and_the_next_one_tries_again(tmp_path, capfd):
    with Checkpoints(tmp_path, CheckpointConfig(keep=2)) as checkpoints:
        for step in (1, 2):
            save(checkpoints, step)
        checkpoints.wait()
        with disks.no_large_files(LIMIT):
            save(checkpoints, 3)
            told = r"checkpoint 3 could not be written .*\(File too large with .* GB free\)"
            with pytest.warns(DataWarning, match=rf"{told}; checkpoint 2 is the .*\(1 failed"):
                checkpoints.settle()
            save(checkpoints, 4)
            # In the middle of the training it is told at the next step.
            with pytest.warns(DataWarning, match=r"checkpoint 4 .*\(2 failed so far"):
                while checkpoints.failures < 2:
                    checkpoints.due(4)
            with pytest.raises(UserError, match="checkpoint 4 .* run the same command again"):
                checkpoints.wait()
        # What failed leaves nothing that takes room, and has cost no older step.
        assert steps(tmp_path) == ["1", "2"]
        assert checkpoints.latest() == 2
        save(checkpoints, 5)
        checkpoints.wait()
        assert steps(tmp_path) == ["2", "5"]
    assert "Traceback" not in capfd.readouterr().err


def test_an_old_step_that_cannot_be_deleted_does_not_make_the_new_one_bad(tmp_path, monkeypatch):
    from orbax.checkpoint._src.path import deleter

    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    with Checkpoints(tmp_path, CheckpointConfig(keep=1)) as checkpoints:
        save(checkpoints, 1)
        checkpoints.settle()
        monkeypatch.setattr(deleter.StandardCheckpointDeleter, "delete_steps", refuse)
        save(checkpoints, 2)
        with pytest.warns(DataWarning, match="2 is whole, but older ones stay .Operation not"):
            checkpoints.settle()
        monkeypatch.undo()
        save(checkpoints, 3)
        checkpoints.wait()
    assert steps(tmp_path) == ["3"]


def test_leaving_tells_of_a_failed_save(tmp_path):
    with pytest.warns(DataWarning, match="there is no checkpoint yet"):
        with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints, disks.no_large_files(LIMIT):
            save(checkpoints, 1)
            with pytest.warns(DataWarning):
                checkpoints.settle()
            save(checkpoints, 2)
            while checkpoints._manager.is_saving_in_progress():
                pass


def test_what_is_no_failure_of_the_disk_is_not_taken_for_one(tmp_path):
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        with pytest.raises((TypeError, ValueError)):
            checkpoints.save(1, {"x": object()}, {}, {}, force=True)


def test_room_is_looked_at_before_the_training(tmp_path, monkeypatch):
    from jaxgesture.core import workdir

    with Checkpoints(tmp_path, CheckpointConfig(keep=3)) as checkpoints:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DataWarning)
            checkpoints.check_room(STATE)
        monkeypatch.setattr(workdir, "free_bytes", lambda folder: 150_000)
        with pytest.warns(DataWarning, match=r"has 150 kB free .* up to 4 x 40 kB"):
            checkpoints.check_room(STATE)


def run(workdir, steps):
    return loop.run(
        # Shapes are remembered by function, and the width is no part of it.
        toy.stage(init=lambda key: toy.init(key)),
        toy.batches,
        workdir,
        loop.TrainConfig(steps=steps, log_every=1),
        CheckpointConfig(every_steps=2),
        sharding.MeshConfig(),
    )


def test_a_run_on_a_full_disk_trains_on_says_so_and_fails_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "WIDTH", 1000)
    run(tmp_path / "full", 2)
    with disks.no_large_files(LIMIT), pytest.warns(DataWarning) as seen:
        with pytest.raises(UserError, match=r"checkpoint 7 .*File too large.*checkpoint 2 is"):
            run(tmp_path / "full", 7)
    told = [str(w.message) for w in seen if "training goes on" in str(w.message)]
    assert len(told) == 3 and "4 could not" in told[0] and "(3 failed so far)" in told[2]
    assert [line["step"] for line in read_scalars(tmp_path / "full")] == list(range(1, 8))
    now, whole = run(tmp_path / "full", 7), run(tmp_path / "whole", 7)
    jax.tree.map(np.testing.assert_array_equal, now, whole)
    assert restore_networks(tmp_path / "full")[1]["step"] == 7


def test_a_disk_that_fills_up_in_the_middle(tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "WIDTH", 1000)
    with disks.small_disk(tmp_path / "disk", 300_000) as workdir:
        with pytest.warns(DataWarning) as seen:
            # A folder that could not be made is a file that could not be opened.
            what = r"\((No space left on device|No such file or directory) with [\d.]+ k?B free\)"
            with pytest.raises(UserError, match=what):
                run(workdir, 9)
        assert any("kB free and its checkpoints will take" in str(w.message) for w in seen)
        assert any("training goes on" in str(w.message) for w in seen)
        networks, about = restore_networks(workdir)
        assert about["step"] in (2, 4, 6)
        assert np.all(np.isfinite(networks["one"].params["kernel"]))


def test_lines_that_cannot_be_written_wait(tmp_path):
    with MetricWriter(tmp_path) as writer:
        writer.scalars(1, {"a": 1})
        # An open file of TensorBoard grows only when it is flushed.
        with disks.no_large_files(70), pytest.warns(DataWarning) as seen:
            for step in range(2, 7):
                writer.scalars(step, {"a": step})
            writer.image(6, "big", np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8))
        assert 0 < len(seen) < writer.failures
        assert "metrics.jsonl" in str(seen[0].message) and "(1 failed" in str(seen[0].message)
        assert [line["step"] for line in read_scalars(tmp_path)] == [1]
        assert not list((tmp_path / "images").iterdir())
        writer.scalars(7, {"a": 7})
    assert [line["step"] for line in read_scalars(tmp_path)] == list(range(1, 8))


def test_lines_that_are_lost_are_counted(tmp_path):
    with pytest.warns(DataWarning, match="2 lines of .* are lost"):
        with disks.no_large_files(20), MetricWriter(tmp_path) as writer:
            writer.scalars(1, {"a": 1})
            writer.scalars(2, {"a": 2})
    assert read_scalars(tmp_path) == []


def test_tensorboard_goes_on_in_a_new_file(tmp_path, monkeypatch):
    from jaxgesture.core import tensorboard

    monkeypatch.setattr(tensorboard, "FLUSH_S", 0.0)
    with MetricWriter(tmp_path) as writer:
        writer.scalars(1, {"a": 1})
        with disks.no_large_files(150), pytest.warns(DataWarning, match="TensorBoard's file"):
            for step in range(2, 5):
                writer.scalars(step, {"a": step, "b": step})
        writer.scalars(5, {"a": 5})
    files = sorted((tmp_path / "tensorboard").iterdir())
    assert len(files) >= 2 and files[-1].stat().st_size > 0


def test_a_read_only_workdir_is_an_error_before_anything_is_computed(tmp_path):
    def init(key):
        raise AssertionError("the state was computed")

    with disks.read_only(tmp_path / "disk") as folder:
        for workdir in (folder, folder / "new"):
            with pytest.raises(UserError, match="cannot write in .* another --workdir"):
                with Checkpoints(workdir, CheckpointConfig()):
                    init(None)


def test_a_file_in_the_place_of_the_checkpoints(tmp_path):
    (tmp_path / "checkpoints").write_text("mine")
    with pytest.raises(UserError, match="checkpoints is a file and should be a folder"):
        run(tmp_path, 1)
