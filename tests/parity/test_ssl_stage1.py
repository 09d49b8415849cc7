"""The base model at full size against the released code's outputs under procedural weights."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tolerances
from parity import torch_names
from PIL import Image

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.extractor import expected_angle, pack_motion, rotation_matrix
from jaxgesture.animation.network import AnimationNetwork
from jaxgesture.animation.warping import warp

RENAME = {
    "generator.first": "encoder.first",
    "generator.down_blocks": "encoder.down_blocks",
    "generator.res_ms": "enhancer.res_ms",
    "generator.Res_Feat": "enhancer.unet",
    "generator.Res_Feat.out_o.0": "enhancer.unet.out_norm",
    "generator.Res_Feat.out_o.2": "enhancer.unet.out_conv",
    "generator.pose_up": "motion_decoder",
    "generator.decoder": "decoder",
    "pose_base": "extractor",
    # The release crosses two names: yaw is read from the head called roll.
    "pose_base.fc_roll_down8": "extractor.fc_yaw",
    "pose_base.fc_yaw_down8": "extractor.fc_roll",
    "pose_base.fc_pitch_down8": "extractor.fc_pitch",
    "pose_base.fc_t_down8.0": "extractor.fc_translation",
    **{
        f"generator.decoder.{name}{k}": f"decoder.{name}_{k}"
        for name in ("mask_up", "re_up", "re_ac")
        for k in range(2)
    },
    **{f"generator.decoder.up{k}.0": f"decoder.up_{k}" for k in range(3)},
    **{f"generator.decoder.up{k}.1": f"decoder.up_res_{k}" for k in range(3)},
    **{
        f"pose_base.block{block}.b{block}_{i}": f"extractor.block{block}_b{block}_{i}"
        for block, count in ((1, 3), (3, 3), (5, 5))
        for i in range(count)
    },
}


def relative(ours, theirs):
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


@pytest.fixture(scope="module")
def released(shared):
    """Everything the golden file holds, computed by our network."""
    spec = importlib.util.spec_from_file_location("procedural", shared / "parity/procedural.py")
    procedural = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(procedural)
    shapes = json.loads((shared / "parity/ssl_state_dict.json").read_text())
    weights = {k: procedural.procedural_array(k, tuple(v), 0) for k, v in shapes.items()}
    config = AnimationConfig()
    network = AnimationNetwork(config)
    image = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
    template = jax.eval_shape(network.init, jax.random.key(0), image, image)
    variables = torch_names.to_flax(weights, template, rename=RENAME)

    def picture(name):
        return np.asarray(Image.open(shared / f"data/stills/{name}.png").convert("RGB"))[None] / 255

    golden = np.load(shared / "parity/ssl_stage1_seed0.npz")

    def everything(model, source, driving, rotation_up, translation):
        maps = model.encoder(source)
        code = model.encode_source(source)
        logits, t = model.extractor(driving)
        rotation = rotation_matrix(**{k: expected_angle(v, config) for k, v in logits.items()})
        up = model.decode_rotation(rotation)
        staged = warp(code.feature, rotation_up, translation)
        return {
            "maps": maps,
            "feature_map": code.feature,
            "logits": logits,
            "translation": t,
            "rotation": rotation,
            "motion_feature_driving": pack_motion(rotation, t),
            "motion_feature_source": model.extract_motion(source),
            "rotation_up": up,
            "warped": warp(code.feature, up, t),
            "prediction": model(source, driving),
            "staged_warped": staged,
            "staged_prediction": model.decoder(staged, code.scene),
        }

    run = jax.jit(lambda v, *a: network.apply(v, *a, method=everything))
    with jax.default_matmul_precision("highest"):
        out = run(
            variables,
            picture("pats_001").astype(np.float32),
            picture("pats_002").astype(np.float32),
            golden["rotation_up"][None],
            golden["translation"][None],
        )
    return jax.tree.map(lambda x: np.asarray(x)[0], out), golden


def channels_first(x):
    return np.moveaxis(x, -1, 0)


@pytest.mark.parity
@pytest.mark.slow
def test_released_network(released):
    ours, golden = released
    strides = ((8, 8), (8, 4), (8, 2), (8, 1))
    errors = {
        f"encoder_{i}": relative(
            channels_first(ours["maps"][i])[::c, ::s, ::s], golden[f"encoder_{i}"]
        )
        for i, (c, s) in enumerate(strides)
    }
    errors["feature_map"] = relative(
        channels_first(ours["feature_map"])[::8], golden["feature_map"]
    )
    for name in ("yaw", "pitch", "roll"):
        errors[f"{name}_logits"] = relative(
            channels_first(ours["logits"][name]), golden[f"{name}_logits"]
        )
    for name in (
        "translation", "rotation", "motion_feature_driving", "motion_feature_source", "rotation_up",
    ):  # fmt: skip
        errors[name] = relative(ours[name], golden[name])
    print({name: f"{value:.1e}" for name, value in errors.items()})
    assert max(errors.values()) <= tolerances.STAGE1_NETWORK

    def pair(prefix):
        warped = relative(channels_first(ours[f"{prefix}warped"])[::8], golden["warped"])
        image = channels_first(ours[f"{prefix}prediction"])[:, ::2, ::2]
        return warped, relative(image, golden["prediction"])

    staged, end_to_end = pair("staged_"), pair("")
    print(f"staged warp, prediction {staged}; end to end {end_to_end}")
    assert max(staged) <= tolerances.STAGE1_STAGED
    assert end_to_end[0] <= tolerances.STAGE1_WARPED
    assert end_to_end[1] <= tolerances.STAGE1_PREDICTION
    image = ours["prediction"].astype(np.float64)
    stats = (image.mean(), image.std(ddof=1), image.min(), image.max())
    np.testing.assert_allclose(
        stats, golden["prediction_stats"], rtol=0, atol=tolerances.STAGE1_PREDICTION
    )
