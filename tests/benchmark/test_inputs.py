"""What both sides are given, and what of their outputs is compared."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgesture.benchmark import end_to_end, jax_side, motion_cases
from jaxgesture.benchmark.cases import images, training_batch
from jaxgesture.benchmark.end_to_end import EndToEnd
from jaxgesture.benchmark.motion_subject import notes
from jaxgesture.core import rng
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.schedule import DIFFUSION_STEPS

SIZES = MotionConfig(feature_size=21, audio_size=35, segment_frames=8)


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_the_inputs_of_a_pass(rows):
    found = motion_cases.pass_inputs(SIZES, rows)
    shape = (rows, 8, SIZES.motion_size)
    assert found.x_t.shape == found.noise.shape == shape and found.x_t.dtype == np.float32
    assert not np.array_equal(found.x_t, found.noise)
    # Steps are spread over all of the schedule, never its ends twice.
    assert found.t.dtype == np.int32 and 0 <= found.t.min() <= found.t.max() < DIFFUSION_STEPS
    assert (np.diff(found.t) > 0).all() and abs(found.t.mean() - DIFFUSION_STEPS / 2) <= 1
    assert found.keep.any() and found.keep.all() == (rows < 3)


@pytest.mark.parametrize("representation", ["vector", "euler", "rotmat"])
def test_motion_of_any_representation_begins_alike(representation):
    config = MotionConfig(
        feature_size=30, audio_size=35, segment_frames=8, representation=representation
    )
    few, more = (motion_cases.features(config, rows) for rows in (2, 5))
    for name, values in few.items():
        np.testing.assert_allclose(more[name][:2], values, atol=1e-6, err_msg=name)
    assert few["motion"].shape == (2, 8, 30) and np.isfinite(few["motion"]).all()
    assert not np.allclose(few["motion"][0], few["motion"][1])


def test_without_history_none_is_given():
    config = MotionConfig(feature_size=21, audio_size=35, segment_frames=8, history_frames=0)
    assert "history" not in motion_cases.features(config, 2)


def test_waves_are_smooth_and_none_is_flat():
    found = motion_cases.waves(4, 200, 6, seed=3)
    assert np.abs(found).max() <= 0.8 and found.dtype == np.float32
    assert np.ptp(found, axis=1).min() > 0.3  # each column moves within its longest period
    assert np.abs(np.diff(found, axis=1)).max() < 0.8 * 2 * np.pi / motion_cases.PERIODS[0] + 1e-6
    assert not np.array_equal(found, motion_cases.waves(4, 200, 6, seed=4))


def test_segments_have_keys_of_their_own():
    keys = [jax.random.key_data(motion_cases.segment_key(k)).tolist() for k in range(4)]
    assert len({tuple(key) for key in keys}) == 4
    first = jax.random.fold_in(rng.stream(jax.random.key(motion_cases.SEED), "motion"), 0)
    assert jax.random.key_data(first).tolist() == keys[0]


def test_pairs_are_of_different_pictures():
    batch = training_batch(3, 16, boxes=False)
    assert np.abs(batch["source"].astype(int) - batch["driving"]).max() > 20
    np.testing.assert_array_equal(
        batch["source"][0], training_batch(1, 16, boxes=False)["source"][0]
    )
    assert images(1, 16, 0).min() >= 0 and images(1, 16, 0).max() <= 1


def test_what_is_compared_has_names_and_one_type():
    plain = jax_side.named("animate", jnp.ones((2, 3), jnp.bfloat16))
    assert list(plain) == ["animate"] and plain["animate"].dtype == np.float32
    losses = {"loss": 1.0, "grad_norm": 2.0, "grad_norm_encoder": 3.0, "norm": 4.0}
    # Rounding alone moves a gradient's norm.
    assert set(jax_side.named("train_step", losses)) == {"loss", "norm"}
    assert set(jax_side.named("encode_source", (1.0, {"a": 2.0}))) == {"0", "1/a"}


@pytest.mark.parametrize(("memory", "held"), [(None, None), ((100, 50, 7, 30), 127)])
def test_what_a_program_holds(memory, held):
    """What is donated is an argument and an output, and there once."""
    stated = memory and types.SimpleNamespace(
        argument_size_in_bytes=memory[0], output_size_in_bytes=memory[1],
        temp_size_in_bytes=memory[2], alias_size_in_bytes=memory[3],
    )  # fmt: skip
    compiled = types.SimpleNamespace(memory_analysis=lambda: stated)
    for costs, flops in (({"flops": 9.0}, 9.0), ({}, None), (None, None)):
        lowered = types.SimpleNamespace(cost_analysis=lambda costs=costs: costs)
        found = jax_side.described(lowered, compiled, 1.5, print, {"x": np.ones(1)})
        assert (found.memory_bytes, found.flops, found.compile_s) == (held, flops, 1.5)


def test_products_on_a_cpu_are_what_they_are(monkeypatch):
    side = jax_side.JaxBase()
    with side.products("float32"):
        assert jax.config.jax_default_matmul_precision is None  # pyright: ignore
    side.platform = "gpu"
    for precision, word in jax_side.PRODUCTS.items():
        with side.products(precision):
            assert jax.config.jax_default_matmul_precision == word  # pyright: ignore


def test_what_pytorch_does_otherwise_is_said():
    def said(name="adan", representation="rotmat", project=True):
        model = types.SimpleNamespace(representation=representation, project=project)
        return " ".join(notes({"model": model, "optim": types.SimpleNamespace(name=name)}))

    assert "nearest rotations" in said() and "uses Adan" not in said()
    assert "not optim.name='adam'" in said("adam")
    assert "nearest rotations" not in said(project=False) + said(representation="vector")
    assert "nothing is standardised" in said()


def test_a_second_of_video():
    found = EndToEnd({"render": 0.4, "encode": 0.1}, {"render": 4.0, "encode": 0.1}, 250, 3, "tiny")
    assert "of 10 s of video, 50.0 frames a second, tiny; median of 3 runs" in found.caption()
    assert found.values()["first_run_seconds_per_second"] == {"render": 4.0, "encode": 0.1}


@pytest.mark.parametrize("seconds", [0.25, 1.0, 3.3])
def test_made_up_speech_begins_alike_and_is_as_long_as_wanted(seconds):
    found = end_to_end.made_up_speech(seconds)
    assert len(found) == round(seconds * end_to_end.RATE) and found.dtype == np.float32
    whole = end_to_end.made_up_speech(5.0)
    np.testing.assert_allclose(found, whole[: len(found)], atol=1e-5)
