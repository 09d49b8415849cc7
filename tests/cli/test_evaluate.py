"""`jaxgesture evaluate animation`: the table of real models on a made-up dataset."""

import dataclasses
import json

import numpy as np
import pytest
from animation.weights import TINY, numpy_variables, pictures

from jaxgesture.animation import train
from jaxgesture.animation.model import Animation
from jaxgesture.data.datasets import ClipData, write_frames
from jaxgesture.evaluation import comparison
from jaxgesture.evaluation.reconstruction import mean_scores

COMMAND = ("evaluate", "animation")
REGIONS = ("hand", "lips", "full")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A clip to train on, two that are held out: lips in all frames but one, hands never."""
    boxes = np.full((8, 4, 4), np.nan, np.float32)
    boxes[:, 3] = (0.3, 0.4, 0.5, 0.5)
    boxes[1, 3] = np.nan

    def clip(name, split, seed):
        still = (pictures(1, seed)[0] * 255).astype(np.uint8)
        moving = np.stack([np.roll(still, 4 * i, axis=1) for i in range(8)])
        return ClipData(name, split, moving, None, speaker=name, source=f"{name}.mp4", boxes=boxes)

    clips = [clip("a", "train", 0), clip("c", "validation", 1), clip("d", "validation", 2)]
    folder = tmp_path_factory.mktemp("data") / "frames"
    return write_frames(folder, clips, size=TINY.size, image_format="png")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    animations = {name: Animation(TINY, numpy_variables(seed=i)) for i, name in enumerate("ab")}
    for name, animation in animations.items():
        animation.save(folder / name)
    return folder, animations


def test_the_table_of_two_models(run, dataset, models, tmp_path):
    folder, animations = models
    names = {key: str(folder / key) for key in "ab"}
    files = [tmp_path / "new" / name for name in ("table.md", "table.json")]
    status, out, err = run(
        f"--weights={names['a']}", f"--compare={names['b']}", f"--data={dataset.directory}",
        "--frames=4", "--lpips_weights=random", "--lpips_heads=random",
        f"--out={files[0]},{files[1]}",
    )  # fmt: skip
    assert status == 0 and "evaluate: 100%" in err
    assert files[0].read_text() == out
    found = json.loads(files[1].read_text())
    config = train.EvalConfig(frames=4)
    for key, name in names.items():
        results = train.evaluate(animations[key], dataset, config)
        logged = mean_scores(results)
        full = found["rows"][name]["full"]
        assert full["psnr"] == pytest.approx(logged["psnr"], abs=1e-4)
        wrong = found["rows"][f"control: {name}, wrong driving frame"]["full"]
        assert wrong["psnr"] == pytest.approx(logged["psnr_wrong_driving"], abs=1e-4)
        expected = comparison.average([comparison.judge(r, comparison.METRICS) for r in results])
        lips = expected["lips"].means["model"]
        assert found["rows"][name]["lips"]["ssim"] == pytest.approx(lips["ssim"], abs=1e-5)
        assert f"| {name} | - | {lips['psnr']:.2f} / {lips['ssim']:.3f} / " in out
        assert f"{name} sha256 {animations[key].sha256}" in out
    assert found["rows"][names["a"]]["full"] != found["rows"][names["b"]]["full"]
    mean = found["rows"]["control: mean frame of the training part"]["full"]["psnr"]
    assert mean == pytest.approx(logged["psnr_mean_frame"], abs=1e-4)
    assert len(found["rows"]) == 7 and all(set(r) == set(REGIONS) for r in found["rows"].values())
    assert all(row["full"]["lpips"] > 0 for row in found["rows"].values())
    assert found["boxes_absent"] == {"hand": 16, "lips": 2, "full": 0}
    assert found["pictures"] == {"hand": 0, "lips": 6, "full": 8}
    protocol = found["protocol"]
    assert (protocol["clips"], protocol["frames"], protocol["size"]) == (2, 8, 64)
    assert protocol["dataset_sha256"] == dataset.sha256
    assert "alexnet (random), heads (random); with random weights not comparable" in out
    assert "16 of 16 hand boxes, 2 of 8 lips boxes" in out


def test_without_lpips_and_of_another_split(run, dataset, models):
    status, out, _ = run(
        f"--weights={models[0] / 'a'}", f"--data={dataset.directory}", "--split=train", "--clips=1",
        "--frames=4",
    )  # fmt: skip
    assert status == 0 and "full: PSNR / SSIM |" in out
    assert "1 clips of split train" in out and "4 driving frames of 64 x 64" in out
    assert "LPIPS is left out, because no weights were given." in out


def test_arguments_that_do_not_fit(refuses, dataset, models, tmp_path):
    good = (f"--weights={models[0] / 'a'}", f"--data={dataset.directory}")
    out = tmp_path / "t.txt"
    cases = {
        (): "--weights is missing",
        good[:1]: "--data is missing: name the dataset",
        (*good, f"--out={out}"): "name a file that ends in .md or .json",
        (*good, f"--compare={models[0] / 'a'}"): "name a model twice; name each once",
        (*good, "--frames=1"): "--frames=1 leave nothing to compare",
        (*good, "--clips=0"): "--clips=0 and",
        (*good, "--lpips_heads=random"): "--lpips_weights is missing: LPIPS needs both files",
        (*good, "--lpips_weights=random"): "--lpips_heads is missing: LPIPS needs both files",
        (*good, "--lpips=squeeze"): "squeeze",
        (*good, "--split=test"): "has no 'test' clips, only train, validation",
        (*good, f"--compare={tmp_path / 'none'}"): "no folder",
        (good[0], f"--data={tmp_path / 'none'}"): str(tmp_path / "none"),
        (
            *good,
            f"--lpips_weights={tmp_path / 'a.pth'}",
            "--lpips_heads=random",
        ): "there is no such file",
    }
    for arguments, message in cases.items():
        assert message in refuses(*arguments)
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_size(refuses, dataset, models, tmp_path):
    config = dataclasses.replace(TINY, size=128)
    Animation(config, numpy_variables()).save(tmp_path / "large")
    message = refuses(
        f"--weights={models[0] / 'a'}", f"--compare={tmp_path / 'large'}",
        f"--data={dataset.directory}",
    )  # fmt: skip
    assert "has frames of 64 pixels, 128 are configured" in message
