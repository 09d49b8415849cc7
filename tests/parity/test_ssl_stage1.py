"""The base model at full size against the released code's outputs under procedural weights.

The weights come in as a released file's would, by `jaxgesture.load_animation`.
"""

import json

import jax
import numpy as np
import pytest
import tolerances
from perceptual import released
from PIL import Image

import jaxgesture
from jaxgesture.animation.extractor import expected_angle, pack_motion, rotation_matrix
from jaxgesture.animation.network import AnimationNetwork
from jaxgesture.animation.warping import warp

# Every map up to the decoded motion field.
NETWORK = (
    "encoder_0", "encoder_1", "encoder_2", "encoder_3", "feature_map", "yaw_logits", "pitch_logits",
    "roll_logits", "translation", "rotation", "motion_feature_driving", "motion_feature_source",
    "rotation_up",
)  # fmt: skip
STEPS = {"encoder_0": (8, 8), "encoder_1": (8, 4), "encoder_2": (8, 2), "encoder_3": (8, 1),
         "feature_map": (8, 1), "warped": (8, 1), "prediction": (1, 2)}  # fmt: skip


def relative(ours, theirs):
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


def stored(name, value):
    """What the golden file keeps of an array: some channels, some pixels, channels first."""
    if name in STEPS:
        channels, pixels = STEPS[name]
        return np.moveaxis(value, -1, 0)[::channels, ::pixels, ::pixels]
    return np.moveaxis(value, -1, 0) if name.endswith("_logits") else value


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "parity/ssl_stage1_seed0.npz")


@pytest.fixture(scope="module")
def pictures(shared):
    def picture(name):
        return np.asarray(Image.open(shared / f"data/stills/{name}.png").convert("RGB")) / 255

    return [picture(name).astype(np.float32) for name in ("pats_001", "pats_002")]


@pytest.fixture(scope="module")
def animation(shared):
    make = released.procedural(shared).procedural_array
    shapes = json.loads((shared / "parity/ssl_state_dict.json").read_text())
    state_dict = {f"module.{k}": make(k, tuple(shape), 0) for k, shape in shapes.items()}
    return jaxgesture.load_animation({"state_dict": state_dict})


@pytest.fixture(scope="module")
def ours(animation, golden, pictures):
    """Everything the golden file holds, computed by our network."""
    network, config = AnimationNetwork(animation.config), animation.config

    def everything(model, source, driving, rotation_up, translation):
        code = model.encode_source(source)
        logits, t = model.extractor(driving)
        rotation = rotation_matrix(**{k: expected_angle(v, config) for k, v in logits.items()})
        up = model.decode_rotation(rotation)
        staged = warp(code.feature, rotation_up, translation)
        return {
            **{f"encoder_{i}": m for i, m in enumerate(model.encoder(source))},
            "feature_map": code.feature,
            **{f"{name}_logits": value for name, value in logits.items()},
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
    arrays = (*pictures, golden["rotation_up"], golden["translation"])
    with jax.default_matmul_precision("highest"):
        out = run(animation.variables, *(a[None] for a in arrays))
    return {name: np.asarray(value)[0] for name, value in out.items()}


def show(errors, limits):
    rows = [f"| {name} | {error:.1e} | {limits[name]:.0e} |" for name, error in errors.items()]
    print("\n".join(("\n| array | relative error | tolerance |", "|---|---|---|", *rows)))


@pytest.mark.parity
@pytest.mark.slow
def test_released_network(ours, golden):
    limits = dict.fromkeys(NETWORK, tolerances.STAGE1_NETWORK) | {
        "staged_warped": tolerances.STAGE1_STAGED,
        "staged_prediction": tolerances.STAGE1_STAGED,
        "warped": tolerances.STAGE1_WARPED,
        "prediction": tolerances.STAGE1_PREDICTION,
    }
    errors = {}
    for name in limits:
        plain = name.removeprefix("staged_")
        errors[name] = relative(stored(plain, ours[name]), golden[plain])
    show(errors, limits)
    assert {*golden.files} == {*NETWORK, "warped", "prediction", "prediction_stats"}
    assert not {name for name, error in errors.items() if not error <= limits[name]}, errors
    image = ours["prediction"].astype(np.float64)
    stats = (image.mean(), image.std(ddof=1), image.min(), image.max())
    np.testing.assert_allclose(
        stats, golden["prediction_stats"], rtol=0, atol=tolerances.STAGE1_PREDICTION
    )


@pytest.mark.parity
@pytest.mark.slow
def test_released_model_as_people_use_it(animation, golden, pictures):
    """`encode_source`, `extract_motion` and `animate` of the loaded model, end to end."""
    source, driving = pictures
    with jax.default_matmul_precision("highest"):
        feature = animation.extract_motion(driving)
        image = np.asarray(animation.animate(animation.encode_source(source), feature))
    limits = {
        "motion_feature_driving": tolerances.STAGE1_NETWORK,
        "prediction": tolerances.STAGE1_PREDICTION,
    }
    errors = {
        "motion_feature_driving": relative(feature, golden["motion_feature_driving"]),
        "prediction": relative(stored("prediction", image), golden["prediction"]),
    }
    show(errors, limits)
    assert not {name for name, error in errors.items() if not error <= limits[name]}, errors
