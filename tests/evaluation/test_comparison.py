import json

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.evaluation import comparison, lpips, regions, report
from jaxgesture.evaluation.comparison import METRICS, Scores, average, judge, rows
from jaxgesture.evaluation.image import psnr
from jaxgesture.evaluation.reconstruction import Clip, Reconstruction, mean_scores, reconstruct
from jaxgesture.evaluation.ssim import ssim
from jaxgesture.perceptual import weights
from jaxgesture.perceptual.lpips import lpips as distance

SIZE, COUNT = 72, 5
HAND, LIPS = (0.05, 0.05, 0.35, 0.3), (0.6, 0.65, 0.8, 0.75)
NAN = (np.nan,) * 4
CANDIDATES = ("model", "source_unchanged", "mean_frame", "own_mean_frame", "wrong_driving")


def smooth(count, seed):
    """Slow noise, uint8 (count, SIZE, SIZE, 3)."""
    coarse = np.random.default_rng(seed).integers(30, 220, (count, 9, 9, 3))
    return coarse.repeat(8, 1).repeat(8, 2).astype(np.uint8)


def boxes(count=COUNT):
    """One hand in every frame but the first, lips in all but the last two."""
    rows = [[NAN, HAND, (0.4, 0.4, 0.9, 0.9), LIPS] for _ in range(count)]
    rows[0][1] = rows[-1][3] = rows[-2][3] = NAN
    return np.asarray(rows, np.float32)


def clip(seed=0, **more):
    frames = smooth(COUNT + 1, seed)
    more = {"boxes": boxes(), **more}
    return Clip(frames[0], frames[1:], smooth(1, seed + 100)[0] / 255.0, **more)


def floats(pixels):
    return pixels.astype(np.float32) / 255.0


def crops(images, box, frames):
    """The region cut out by hand: one square at a time."""
    squares = regions.square(np.asarray([box] * len(frames), np.float32))
    return regions.cut(images, regions.Places(frames, squares, 0))


@pytest.fixture(scope="module")
def noisy():
    """A model that redraws with an error that differs from frame to frame."""
    item = clip()
    noise = np.random.default_rng(1).normal(size=item.frames.shape)
    scale = np.linspace(0.02, 0.1, COUNT)[:, None, None, None]
    return reconstruct(lambda s, d: np.clip(floats(d) + scale * noise, 0, 1), item)


def test_every_candidate_in_every_region_by_hand(noisy):
    item, truth = noisy.clip, floats(noisy.clip.frames)
    pictures = {
        "model": noisy.generated,
        "source_unchanged": np.repeat(floats(item.source)[None], COUNT, 0),
        "mean_frame": np.repeat(item.mean[None], COUNT, 0),
        "own_mean_frame": np.repeat(truth.mean(0)[None], COUNT, 0),
        # Half a clip of five on.
        "wrong_driving": noisy.generated[[3, 4, 0, 1, 2]],
    }
    found = judge(noisy, METRICS)
    assert list(found) == ["hand", "lips", "full"]
    assert [(s.used, s.absent) for s in found.values()] == [(4, 6), (3, 2), (5, 0)]
    for region, box, frames in (("hand", HAND, [1, 2, 3, 4]), ("lips", LIPS, [0, 1, 2])):
        true = crops(truth, box, np.asarray(frames))
        for name, images in pictures.items():
            ours = crops(images, box, np.asarray(frames))
            assert found[region].means[name] == pytest.approx(
                {"psnr": psnr(ours, true).mean(), "ssim": ssim(ours, true).mean()}, abs=1e-5
            )
    for name, images in pictures.items():
        assert found["full"].means[name] == pytest.approx(
            {"psnr": psnr(images, truth).mean(), "ssim": ssim(images, truth).mean()}, abs=1e-5
        )
    # No two of them alike, or the table could be mixed up unseen.
    values = [s.means[name]["psnr"] for s in found.values() for name in pictures]
    assert len({round(v, 3) for v in values}) == 15


def test_the_whole_picture_is_what_training_logs(noisy):
    other = reconstruct(lambda s, d: floats(d) * 0.9, clip(seed=3))
    found = average([judge(item, METRICS) for item in (noisy, other)])["full"].means
    logged = mean_scores([noisy, other])
    assert found["model"]["psnr"] == pytest.approx(logged["psnr"])
    for name in ("source_unchanged", "mean_frame", "own_mean_frame", "wrong_driving"):
        assert found[name]["psnr"] == pytest.approx(logged[f"psnr_{name}"])


def test_an_error_counts_where_it_is():
    item = clip()
    generated = floats(item.frames) * 0.99
    generated[:, 44:56, 44:58] = 0.5  # inside of the lips
    found = judge(Reconstruction(item, generated, generated), METRICS)
    model = {region: scores.means["model"] for region, scores in found.items()}
    assert model["lips"]["psnr"] < 20 < model["full"]["psnr"] < 35 < model["hand"]["psnr"]
    assert model["lips"]["ssim"] < model["full"]["ssim"] < model["hand"]["ssim"]


def test_a_perfect_model_of_unseen_hands():
    nothing = boxes()
    nothing[:, :2] = np.nan
    item = reconstruct(lambda s, d: floats(d), clip(boxes=nothing))
    found = judge(item, METRICS)
    assert found["hand"] == Scores({}, 0, 2 * COUNT)
    assert found["full"].means["model"]["psnr"] == np.inf
    assert found["lips"].means["model"]["ssim"] == 1
    assert found["full"].means["wrong_driving"]["psnr"] < 20


def test_clips_count_alike_and_unseen_regions_not_at_all():
    def scores(value, used, absent):
        return {"hand": Scores({"model": {"psnr": value}} if used else {}, used, absent)}

    found = average([scores(20.0, 10, 1), scores(0.0, 0, 7), scores(30.0, 2, 3)])["hand"]
    assert found == Scores({"model": {"psnr": 25.0}}, 12, 11)
    assert average([scores(0.0, 0, 7)] * 2)["hand"] == Scores({}, 0, 14)


@pytest.fixture(scope="module")
def alex():
    return lpips.load_lpips("alex", "random", "random")


def test_lpips_is_that_of_single_pairs(alex, noisy):
    found = judge(noisy, {"lpips": alex})
    params = {"features": alex.backbone.params, "heads": alex.heads.params}
    truth = floats(noisy.clip.frames)
    for name, images in (("model", noisy.generated), ("wrong_driving", noisy.wrong)):
        single = [
            float(distance(params, i[None].astype(np.float32), t[None], "alex")[0])
            for i, t in zip(images, truth, strict=True)
        ]
        assert found["full"].means[name]["lpips"] == pytest.approx(np.mean(single), rel=1e-4)
    assert found["hand"].means["model"]["lpips"] != found["lips"].means["model"]["lpips"] > 0


def test_lpips_batches_do_not_matter(alex, noisy, monkeypatch):
    truth = floats(noisy.clip.frames)
    candidates = [noisy.generated, truth, noisy.wrong]
    whole = alex(candidates, truth)
    assert whole.shape == (3, COUNT)
    np.testing.assert_array_equal(whole[1], 0)
    # Memory for two rows of four pictures.
    monkeypatch.setattr(lpips, "PIXELS", 8 * SIZE * SIZE)
    np.testing.assert_allclose(alex(candidates, truth), whole, rtol=1e-4, atol=1e-7)


def test_lpips_says_where_its_weights_are_from(alex, tmp_path):
    assert alex.label == (
        "LPIPS v0.1 on alexnet (random), heads (random); with random weights not comparable to "
        "published values"
    )
    drawn = weights.random_params("lpips_alex", seed=3)
    state = {
        f"lin{k}.model.1.weight": drawn[f"lin_{k}"]["kernel"].reshape(1, -1, 1, 1) for k in range(5)
    }
    np.savez(tmp_path / "alex.npz", **state)
    half = lpips.load_lpips("alex", "random", str(tmp_path / "alex.npz"))
    origin = f"{tmp_path / 'alex.npz'}, sha256 {half.heads.sha256[:12]}"
    assert f"heads ({origin}); with random weights" in half.label
    assert len(half.heads.sha256) == 64
    with pytest.raises(UserError, match="does not hold the weights of lpips_vgg"):
        lpips.load_lpips("vgg", "random", str(tmp_path / "alex.npz"))


def test_rows():
    def scores(base):
        means = {name: {"psnr": base + i} for i, name in enumerate(CANDIDATES)}
        return {"hand": Scores({}, 0, 4), "full": Scores(means, 4, 0)}

    found = rows({"a": scores(10.0), "b": scores(20.0)})
    assert {label: row["full"]["psnr"] for label, row in found.items()} == {
        "a": 10,
        "control: a, wrong driving frame": 14,
        "b": 20,
        "control: b, wrong driving frame": 24,
        "control: mean frame of the training part": 12,
        "control: mean of the held-out frames themselves": 13,
        "control: source unchanged": 11,
    }
    assert all(row["hand"] == {} for row in found.values())


@pytest.fixture
def written():
    def make(label="LPIPS of something"):
        metrics = {"psnr": 23.456, "ssim": 0.98765, **({"lpips": 0.01234} if label else {})}
        means = {name: dict(metrics) for name in CANDIDATES}
        means["model"]["psnr"] = float("inf")
        scores = {
            "hand": Scores(means, 30, 10), "lips": Scores({}, 0, 20), "full": Scores(means, 20, 0)
        }  # fmt: skip
        protocol = report.Protocol(
            data="data/mine", dataset_sha256="d" * 64, split="validation", clips=2, frames=20,
            size=64, lpips=label, weights={"runs/a": "a" * 64}, versions={"jax": "0.10"},
            commit="abc dirty",
        )  # fmt: skip
        return report.Report({"runs/a": scores}, protocol)

    return make


def test_markdown(written):
    lines = report.markdown(written()).splitlines()
    assert lines[0] == (
        "| | hand: PSNR / SSIM / LPIPS | lips: PSNR / SSIM / LPIPS | full: PSNR / SSIM / LPIPS |"
    )
    assert lines[1] == "|---|---|---|---|"
    assert lines[2] == "| runs/a | inf / 0.988 / 0.012 | - | inf / 0.988 / 0.012 |"
    source = "| control: source unchanged | 23.46 / 0.988 / 0.012 | - | 23.46 / 0.988 / 0.012 |"
    assert lines[6] == source and lines[7] == ""
    caption = "\n".join(lines[8:])
    for part in (
        "2 clips of split validation of data/mine (sha256 " + "d" * 64,
        "20 driving frames of 64 x 64 pixels",
        "LPIPS of something.",
        regions.RULE,
        "left out: 10 of 40 hand boxes, 20 of 20 lips boxes.",
        "runs/a sha256 " + "a" * 64,
        "Measured at commit abc dirty with jax 0.10.",
    ):
        assert part in caption, part
    assert all(line.startswith("- ") for line in lines[8:])


def test_markdown_without_lpips(written):
    text = report.markdown(written(""))
    assert "| runs/a | inf / 0.988 | - | inf / 0.988 |" in text
    assert "LPIPS is left out, because no weights were given." in text and "/ LPIPS" not in text


def test_json(written):
    found = json.loads(report.to_json(written()))
    assert found["rows"]["runs/a"]["hand"] == {"psnr": "inf", "ssim": 0.98765, "lpips": 0.01234}
    assert found["rows"]["control: source unchanged"]["lips"] == {}
    assert found["pictures"] == {"hand": 30, "lips": 0, "full": 20}
    assert found["boxes_absent"] == {"hand": 10, "lips": 20, "full": 0}
    assert found["crop"] == regions.RULE
    assert found["protocol"]["weights"] == {"runs/a": "a" * 64}
    assert found["protocol"]["versions"] == {"jax": "0.10"}


def test_metrics_of_a_table():
    assert list(comparison.METRICS) == ["psnr", "ssim"]
