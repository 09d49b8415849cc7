import json
import math

import numpy as np
import pytest

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.metrics import MetricWriter, read_scalars


def test_scalars_come_back(tmp_path):
    with MetricWriter(tmp_path) as writer:
        writer.scalars(1, {"loss": np.float32(0.5)}, prefix="train/")
        writer.scalars(2, {"psnr": math.inf, "bad": math.nan})
    lines = read_scalars(tmp_path)
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[0]["train/loss"] == 0.5 and lines[0]["time"] > 1e9
    assert lines[1]["psnr"] == math.inf and math.isnan(lines[1]["bad"])
    # Strict JSON: no bare NaN.
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))
    assert list((tmp_path / "tensorboard").iterdir())


def test_resuming_drops_later_lines_and_a_half_written_one(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "a": 1}\n{"step": 2, "a": "nan"}\n{"step": 3, "a": 3}\n{"step": 4')
    assert [line["step"] for line in read_scalars(tmp_path)] == [1, 2, 3]
    with MetricWriter(tmp_path) as writer:
        writer.scalars(5, {"a": 5})
    assert [line["step"] for line in read_scalars(tmp_path)] == [1, 2, 3, 5]
    with MetricWriter(tmp_path, step=2) as writer:
        writer.scalars(3, {"a": 30})
    assert [(line["step"], line["a"]) for line in read_scalars(tmp_path)][2] == (3, 30.0)
    with MetricWriter(tmp_path, step=0):
        pass
    assert read_scalars(tmp_path) == []


def test_a_broken_middle_line_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_scalars(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(UserError, match="line 2 is not JSON"):
        read_scalars(tmp_path)


def test_images_and_videos_are_files(tmp_path):
    from PIL import Image

    image = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (8, 6, 3)).astype(np.uint8)
    with MetricWriter(tmp_path) as writer:
        writer.image(7, "eval/face", image)
        writer.video(7, "clip", np.full((5, 33, 35, 3), 128, np.uint8), fps=25)
    saved = np.asarray(Image.open(tmp_path / "images" / "eval_face_0000007.png"))
    np.testing.assert_array_equal(saved, image)
    import av

    with av.open(str(tmp_path / "images" / "clip_0000007.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5
        assert container.streams.video[0].average_rate == 25


def test_lines_that_are_no_objects_are_named(tmp_path):
    for line in ("5", '{"loss": 1}', "\0\0\0"):
        (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
        with pytest.raises(UserError, match="line 2 is not JSON of a step; mend or delete"):
            read_scalars(tmp_path)


def test_a_run_goes_on_without_its_broken_lines_and_keeps_the_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(before := '{"step": 1}\n\0\0\n5\n{"step": 3}\n')
    with pytest.warns(DataWarning, match="2 broken lines, the first is line 2, are left out"):
        with MetricWriter(tmp_path, step=3) as writer:
            writer.scalars(4, {"a": 1})
    assert [line["step"] for line in read_scalars(tmp_path)] == [1, 3, 4]
    assert (tmp_path / "metrics.jsonl.damaged").read_text() == before


def test_a_file_in_the_place_of_tensorboard_ends_nothing(tmp_path):
    (tmp_path / "tensorboard").write_text("mine")
    with pytest.warns(DataWarning, match="TensorBoard's file in .* could not be written"):
        with MetricWriter(tmp_path) as writer:
            writer.scalars(1, {"a": 1})
            writer.image(1, "face", np.zeros((8, 8, 3), np.uint8))
    assert len(read_scalars(tmp_path)) == 1 and list((tmp_path / "images").iterdir())
