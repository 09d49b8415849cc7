"""Workdirs with a URL, on a stand-in: files of a folder under the names of a bucket.

What a real store does otherwise, such as its delays, is not tested here.
"""

import importlib
import json

import jax
import numpy as np
import pytest
import toy
from etils import epath
from etils.epath import backend
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from orbax.checkpoint._src.path import gcs_utils

from jaxgesture.core import checkpoint_files, loop, metrics, sharding, workdir
from jaxgesture.core.checkpoint import CheckpointConfig, restore_networks
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.metrics import read_scalars


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """`gs://bucket`: what is below it lies in the folder that is returned."""

    class Bucket(DirFileSystem):
        def __init__(self, **options):
            super().__init__(str(tmp_path), LocalFileSystem(auto_mkdir=True))

        def _join(self, path):
            return super()._join(path.removeprefix("gs://") if isinstance(path, str) else path)

        def open(self, path, mode="rb", **options):
            assert "a" not in mode, "an object cannot be appended to"
            return super().open(path, mode, **options)

    def spec(path):
        # A store's names may end in a slash; this one is a file's.
        name = str(path).removeprefix("gs://").rstrip("/")
        end = "" if name.endswith("_sharding") else "/"
        return {"driver": "file", "path": f"{tmp_path}/{name}{end}"}

    # `fsspec.registry` is also the name of what the module holds.
    registry = importlib.import_module("fsspec.registry")
    monkeypatch.setitem(registry._registry, "gcs", Bucket)
    monkeypatch.setattr(workdir, "_installed", lambda module: True)
    monkeypatch.setattr(gcs_utils, "get_bucket", lambda name: None)
    monkeypatch.setattr(gcs_utils, "get_kvstore_for_gcs", spec)
    backend._FileSystemSpecBackend._get_filesystem.cache_clear()
    yield tmp_path / "bucket"
    backend._FileSystemSpecBackend._get_filesystem.cache_clear()


def run(place, steps):
    return loop.run(
        toy.stage(evaluate=lambda now, step, writer: {"score": step}),
        toy.batches,
        place,
        loop.TrainConfig(steps=steps, log_every=1, eval_every=2),
        CheckpointConfig(every_steps=2, keep=2, best_metric="score", best_mode="min"),
        sharding.MeshConfig(),
    )


def test_a_run_in_a_bucket_is_that_of_a_folder(bucket, tmp_path, monkeypatch):
    place = "gs://bucket/runs/toy"
    run(place, 3)
    assert (bucket / "runs" / "toy" / "metrics.jsonl").is_file()
    run(tmp_path / "folder", 3)
    state, whole = run(place, 6), run(tmp_path / "folder", 6)
    jax.tree.map(np.testing.assert_array_equal, state, whole)
    assert checkpoint_files.steps(workdir.place(place) / "checkpoints") == [6, 4, 2]
    assert restore_networks(place)[1]["step"] == 6
    assert restore_networks(f"{place}@best")[1]["step"] == 2
    names = [
        [(line["step"], *sorted(line)) for line in read_scalars(folder)]
        for folder in (place, tmp_path / "folder")
    ]
    assert names[0] == names[1] and len(names[0]) == 10
    assert all(f.stat().st_size for f in (bucket / "runs" / "toy" / "tensorboard").iterdir())


def test_a_step_that_was_not_finished_does_not_count(bucket):
    place = "gs://bucket/toy"
    run(place, 4)
    (bucket / "toy" / "checkpoints" / "4" / "commit_success.txt").unlink()
    assert restore_networks(place)[1]["step"] == 2
    run(place, 4)
    (bucket / "toy" / "checkpoints" / "4" / "meta" / "metadata").unlink()
    with pytest.warns(DataWarning, match="gs://bucket/toy/checkpoints/4 cannot be read"):
        run(place, 5)
    assert restore_networks(place)[1]["step"] == 5


def test_lines_are_written_at_most_once_in_a_while(bucket, monkeypatch):
    monkeypatch.setattr(metrics, "REWRITE_S", 1000.0)
    with metrics.MetricWriter("gs://bucket/toy") as writer:
        for step in range(1, 4):
            writer.scalars(step, {"a": 1})
            lines = (bucket / "toy" / "metrics.jsonl").read_text().splitlines()
            assert [json.loads(line)["step"] for line in lines] == [1]
    assert [line["step"] for line in read_scalars("gs://bucket/toy")] == [1, 2, 3]


def test_urls_are_not_mangled_and_others_are_refused(bucket, monkeypatch):
    assert str(workdir.place("gs://bucket/run")) == "gs://bucket/run"
    assert isinstance(workdir.place("~/run"), epath.Path) and workdir.place("~/run").is_absolute()
    with pytest.raises(UserError, match="not to s3://; mount the bucket"):
        run("s3://bucket/run", 1)

    monkeypatch.setattr(workdir, "_installed", lambda module: module == "gcsfs")
    with pytest.raises(UserError, match="needs more packages: pip install google-cloud-storage"):
        run("gs://bucket/run", 1)


def test_errors_of_a_stores_library_are_those_of_a_disk():
    own = type("HttpError", (Exception,), {"__module__": "gcsfs.retry"})
    bucket, folder = epath.Path("gs://bucket/run"), epath.Path("/runs/one")
    with pytest.raises(OSError, match="HttpError: 503"), workdir.as_os_error(bucket):
        raise own("503")
    with pytest.raises(own), workdir.as_os_error(folder):
        raise own("503")
    # Mistakes of the program stay what they are.
    for error in (TypeError("a bug"), UserError("a hint")):
        with pytest.raises(type(error)), workdir.as_os_error(bucket):
            raise error
