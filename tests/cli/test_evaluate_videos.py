"""`jaxgesture evaluate` of folders of videos, of a model's own videos, and of the metrics."""

import json
import shutil

import numpy as np
import pytest
from evaluation import videos

COMMAND = ("evaluate",)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    videos.true_set(folder / "true")
    videos.noisy_set(folder / "noisy")
    return folder


def test_report_of_two_systems(run, sets, tmp_path):
    status, out, err = run(
        f"--generated=ours={sets / 'noisy'},copy={sets / 'true'}", f"--reference={sets / 'true'}",
        f"--out={tmp_path / 'report'}", "--size=48", "--frames=6",
    )  # fmt: skip
    assert status == 0, err
    assert "| ours | " in out and "| copy | inf / 1.000" in out
    assert "evaluate: 100%" in err and "3/3" in err
    for line in ("LPIPS: --lpips_weights", "FVD: --i3d=i3d_pretrained_400.pt",
                 "FGD, Div.: --pose_embedding"):  # fmt: skip
        assert line in out
    written = {path.name for path in (tmp_path / "report").iterdir()}
    assert written == {"report.html", "report.md", "report.json"}
    found = json.loads((tmp_path / "report/report.json").read_text())
    assert found["protocol"]["size"] == 48 and found["seconds"]["reading"] > 0
    assert "Time: " in (tmp_path / "report/report.md").read_text()


def test_a_motion_embedding_without_motion_features(run, sets, tmp_path):
    from jaxgesture.core import mapping, weight_files
    from jaxgesture.perceptual import pose_autoencoder

    network = pose_autoencoder.random(9)
    entries = mapping.make_entries(
        pose_autoencoder.template(network.config), pose_autoencoder._RULES
    )
    arrays = mapping.to_state_dict(network.variables, mapping.Table("poses", "", entries))
    weight_files.write(tmp_path / "motion.npz", arrays)
    status, out, _ = run(
        f"--generated={sets / 'noisy'}", f"--reference={sets / 'true'}", "--size=48", "--frames=3",
        f"--out={tmp_path / 'report'}", f"--motion_embedding={tmp_path / 'motion.npz'}",
    )  # fmt: skip
    assert status == 0 and "FGD, Div. of motion features: NAME.npz of both" in out


def test_without_landmarks_or_pairs(run, sets, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(sets / "noisy/speaker0/clip0.mp4", other / "unknown.mp4")
    status, out, _ = run(
        "videos", f"--generated={other}", f"--reference={sets / 'true'}",
        f"--out={tmp_path / 'report'}", "--size=48",
    )  # fmt: skip
    assert status == 0
    assert "PSNR, SSIM: videos of one name in both folders" in out
    assert "beat alignment: landmarks of --generated: NAME.landmarks.npz" in out


def test_what_is_refused(refuses, sets, tmp_path):
    true = f"--reference={sets / 'true'}"
    out = f"--out={tmp_path / 'report'}"
    ours = f"--generated={sets / 'noisy'}"
    assert "--reference is missing" in refuses(ours, out)
    assert "--generated is missing" in refuses("videos", true, out)
    assert "there is no folder" in refuses(f"--generated={tmp_path / 'none'}", true, out)
    assert "label 'reference'" in refuses(f"--generated=reference={sets}", true, out)
    for label in ("true", "True motion", "control: mine", "a, other speech"):
        if "," not in label:
            said = refuses(f"--generated={label}={sets / 'noisy'}", true, out)
            assert "would be taken for the true videos" in said
    assert "the folder is empty" in refuses("--generated=a=", true, out)
    assert "at most 1024 pixels" in refuses(ours, true, out, "--size=100000")
    assert "cannot be written" in refuses(ours, true, "--out=/sys/kernel")
    assert "named twice" in refuses(f"--generated=a={sets},a={sets}", true, out)
    assert "--out names 0 places" in refuses(ours, true)
    file = tmp_path / "file"
    file.touch()
    assert "is a file" in refuses(ours, true, f"--out={file}")
    assert "3 frames" in refuses(ours, true, out, "--frames=2")
    assert "--weights is not for `evaluate videos`" in refuses(ours, true, out, "--weights=x")
    assert "--generated is not for `evaluate animation`" in refuses("animation", ours)
    assert "no such file" in refuses(ours, true, out, f"--i3d={tmp_path / 'i3d.pt'}")
    wrong = tmp_path / "i3d.npz"
    np.savez(wrong, a=np.zeros(3))
    assert "does not hold the weights" in refuses(ours, true, out, f"--i3d={wrong}")
    assert "only a trained one knows" in refuses(ours, true, out, "--motion_embedding=random")
    assert "no folder" in refuses(ours, true, out, f"--pose_embedding={tmp_path / 'none'}")
    assert "lpips_heads is missing" in refuses(ours, true, out, "--lpips_weights=random")


@pytest.mark.slow
def test_metrics_see_damage(run, tmp_path):
    arguments = ("metrics", "--clips=4", "--size=32", "--frames=4", f"--out={tmp_path / 'm'}")
    status, out, err = run(*arguments)
    assert status == 0, err
    found = json.loads((tmp_path / "m/metrics.json").read_text())
    answers = {(a["damage"], a["metric"]): a["worse"] == a["grades"] for a in found["answers"]}
    for damage in ("blur", "noise"):
        assert answers[damage, "psnr full"] and answers[damage, "ssim full"]
    for damage in ("shaken frames", "motion of another speech"):
        assert answers[damage, "shoulders"]
    assert answers["sound shifted", "beat_response"]
    assert (tmp_path / "m/metrics.md").read_text() == out
    assert "have no quarter" in refuses_of(run, "metrics", "--clips=3", f"--out={tmp_path}")


def refuses_of(run, *arguments):
    status, _, err = run(*arguments)
    assert status == 1
    return err
