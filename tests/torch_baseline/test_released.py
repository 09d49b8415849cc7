"""The twin at full size: the released names, and the released code's outputs."""

import json

import numpy as np
import pytest
import tolerances
import torch
from PIL import Image
from torch_baseline.golden import of_norm, weights

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.torch_baseline.network import AnimationNetwork

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def manifest(shared):
    return json.loads((shared / "parity/ssl_state_dict.json").read_text())


def test_names_and_shapes_are_the_released_ones(manifest):
    with torch.device("meta"):
        ours = AnimationNetwork(AnimationConfig()).state_dict()
    assert len(manifest) == 651
    assert {name: list(value.shape) for name, value in ours.items()} == manifest
    counters = {name for name, value in ours.items() if value.dtype == torch.int64}
    assert counters == {name for name in manifest if name.endswith("num_batches_tracked")}


@pytest.fixture(scope="module")
def released(shared):
    """Everything the golden file holds, computed by the twin, and the golden file."""
    network = AnimationNetwork(AnimationConfig()).eval()
    network.load_state_dict(weights(shared, "ssl"), strict=True, assign=True)

    def picture(name):
        pixels = np.asarray(Image.open(shared / f"data/stills/{name}.png").convert("RGB"))
        image = (pixels[None] / 255).astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 1, 2)))

    golden = np.load(shared / "parity/ssl_stage1_seed0.npz")
    generator, extractor = network.generator, network.pose_base
    with torch.no_grad():
        source, driving = picture("pats_001"), picture("pats_002")
        code = network.encode_source(source)
        logits, translation = extractor(driving)
        feature = network.extract_motion(driving)
        field, _ = network.decode_motion(feature)
        up = torch.from_numpy(golden["rotation_up"]).reshape(1, 32, 32, 9).permute(0, 3, 1, 2)
        staged = generator.warp(code.feature, up, torch.from_numpy(golden["translation"])[None])
        out = {
            **{f"encoder_{i}": m for i, m in enumerate(generator.encode(source))},
            "feature_map": code.feature,
            **{f"{name}_logits": value for name, value in logits.items()},
            "translation": translation,
            "rotation": extractor.rotation(logits).unflatten(-1, (3, 3)),
            "motion_feature_driving": feature,
            "motion_feature_source": network.extract_motion(source),
            "rotation_up": field.permute(0, 2, 3, 1).unflatten(-1, (3, 3)),
            "warped": generator.warp(code.feature, field, translation),
            "prediction": network(source, driving),
            "staged_warped": staged,
            "staged_prediction": generator.decoder(staged, code.scene),
        }
    return {name: value[0].numpy() for name, value in out.items()}, golden


@pytest.mark.slow
def test_released_outputs(released):
    ours, golden = released
    kept = {"encoder_0": (8, 8), "encoder_1": (8, 4), "encoder_2": (8, 2), "encoder_3": (8, 1)}
    kept |= {"feature_map": (8, 1)}
    errors = {
        name: of_norm(ours[name][::c, ::s, ::s], golden[name]) for name, (c, s) in kept.items()
    }
    for name in (
        "yaw_logits", "pitch_logits", "roll_logits", "translation", "rotation",
        "motion_feature_driving", "motion_feature_source", "rotation_up",
    ):  # fmt: skip
        errors[name] = of_norm(ours[name], golden[name])

    def pair(prefix):
        warped = of_norm(ours[f"{prefix}warped"][::8], golden["warped"])
        image = of_norm(ours[f"{prefix}prediction"][:, ::2, ::2], golden["prediction"])
        return {f"{prefix}warped": warped, f"{prefix}prediction": image}

    staged, end_to_end = pair("staged_"), pair("")
    print("\nthe released code against the twin: relative errors")
    for name, value in (errors | staged | end_to_end).items():
        print(f"| {name:24} | {value:.1e} |")
    assert max(errors.values()) <= tolerances.STAGE1_NETWORK
    assert max(staged.values()) <= tolerances.STAGE1_STAGED
    assert end_to_end["warped"] <= tolerances.STAGE1_WARPED
    assert end_to_end["prediction"] <= tolerances.STAGE1_PREDICTION
    image = ours["prediction"].astype(np.float64)
    stats = (image.mean(), image.std(ddof=1), image.min(), image.max())
    np.testing.assert_allclose(
        stats, golden["prediction_stats"], rtol=0, atol=tolerances.STAGE1_PREDICTION
    )
