import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from motion.weights import numpy_params

from jaxgesture.core import rng
from jaxgesture.core.errors import UserError
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.denoiser import Denoiser
from jaxgesture.motion.generate import SampleOptions, pad_audio, sample_segment
from jaxgesture.motion.model import Motion, load_motion
from jaxgesture.motion.normalisation import identity_statistics, make_statistics
from jaxgesture.motion.representation import rotation_from_euler
from jaxgesture.motion.selection import smooth_seam

CONFIG = MotionConfig(
    feature_size=21, audio_size=35, width=16, feedforward=16, heads=2, layers=1, audio_layers=1
)
OPTIONS = {"candidates": 2, "steps": 4}


@pytest.fixture(scope="module")
def motion():
    statistics = make_statistics(CONFIG, audio_mean=np.full(35, 0.3), audio_std=np.full(35, 2.0))
    return Motion(CONFIG, {"params": numpy_params(CONFIG), "stats": statistics})


@pytest.fixture(scope="module")
def source():
    rotation = rotation_from_euler(jnp.array([[0.1, 0.2, 0.3], [-0.3, 0.5, 0.0]]))
    return np.concatenate((np.asarray(rotation).reshape(-1), [0.1, 0.0, -0.2])).astype(np.float32)


def audio(frames, seed=0):
    return np.random.default_rng(seed).standard_normal((frames, 35)).astype(np.float32)


@pytest.mark.parametrize("frames", [1, 79, 80, 81, 200])
def test_any_length_compiles_once(motion, source, frames):
    result = motion.sample(audio(frames), source_feature=source, **OPTIONS)
    assert result.shape == (frames, 21) and result.dtype == np.float32
    assert np.isfinite(result).all()
    blocks = result[:, :-3].reshape(-1, 3, 3)
    np.testing.assert_allclose(np.linalg.det(blocks), 1, atol=1e-4)
    compiled = sample_segment._cache_size()
    motion.sample(audio(161), source_feature=source, **OPTIONS)
    assert sample_segment._cache_size() == compiled


def test_seed_decides(motion, source):
    def run(seed):
        return motion.sample(audio(100), source_feature=source, seed=seed, **OPTIONS)

    assert run(0).tobytes() == run(0).tobytes()
    assert np.abs(run(0) - run(1)).max() > 1e-2


def test_later_audio_does_not_change_earlier_segments(motion, source):
    long = audio(200)
    whole = motion.sample(long, source_feature=source, **OPTIONS)
    part = motion.sample(long[:160], source_feature=source, **OPTIONS)
    np.testing.assert_array_equal(whole[:160], part)
    changed = long.copy()
    changed[100] += 3
    other = motion.sample(changed, source_feature=source, **OPTIONS)
    np.testing.assert_array_equal(whole[:80], other[:80])
    assert np.abs(whole[80:160] - other[80:160]).max() > 1e-6


def test_segments_stream_what_sample_joins(motion, source):
    speech = motion.speech(audio(170), source_feature=source)
    parts = list(motion.batch(1, **OPTIONS).run(speech))
    assert [len(part) for part in parts] == [80, 80, 10]
    whole = motion.sample(audio(170), source_feature=source, **OPTIONS)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_history_reaches_the_next_segment(motion, source):
    # One candidate: nothing but the history ties the second segment to the first.
    first = audio(160)
    second = first.copy()
    second[:80] = audio(80, seed=5)
    one, two = (
        motion.sample(a, source_feature=source, candidates=1, steps=4) for a in (first, second)
    )
    assert np.abs(one[80:] - two[80:]).max() > 1e-6
    config = dataclasses.replace(CONFIG, history_frames=0)
    params = {n: v for n, v in motion.variables["params"].items() if "history" not in n}
    blind = Motion(config, {**motion.variables, "params": params})
    one, two = (
        blind.sample(a, source_feature=source, candidates=1, steps=4) for a in (first, second)
    )
    np.testing.assert_array_equal(one[80:], two[80:])


def test_selection_keeps_the_best_of_the_same_candidates(motion, source):
    # Candidate i is the same however many are drawn, so four can only come nearer than one.
    def distances(seed):
        for candidates in (1, 4):
            result = plain.sample(
                audio(80), source_feature=source, seed=seed, candidates=candidates, steps=4
            )
            yield float(np.abs(result[:5] - source[None]).sum())

    plain = dataclasses.replace(motion, config=dataclasses.replace(CONFIG, project=False))
    pairs = [tuple(distances(seed)) for seed in range(4)]
    assert all(best <= only + 1e-4 for only, best in pairs)
    assert any(best < only - 1e-4 for only, best in pairs)


def test_options_change_the_motion(motion, source):
    base = {"source_feature": source, **OPTIONS}
    reference = motion.sample(audio(200), **base)
    for change in (
        {"guidance": 0.0}, {"eta": 0.0}, {"sampler": "dpm++2m"}, {"smooth_seams": True}
    ):  # fmt: skip
        other = motion.sample(audio(200), **{**base, **change})
        assert np.abs(other - reference).max() > 1e-5, change
    a, b = (
        motion.sample(audio(80, s), source_feature=source, guidance=0.0, **OPTIONS) for s in (0, 1)
    )
    np.testing.assert_allclose(a, b, atol=1e-5)  # guidance 0 does not hear the audio


@pytest.mark.parametrize("representation", ["rotmat", "euler"])
def test_smoothed_seams_are_rotations_and_nothing_else_changes(source, representation):
    config = dataclasses.replace(CONFIG, representation=representation)
    statistics = make_statistics(config, audio_mean=np.zeros(35), audio_std=np.ones(35))
    model = Motion(config, {"params": numpy_params(config), "stats": statistics})
    options = {"source_feature": source, **OPTIONS}
    plain, smooth = (model.sample(audio(200), **options, smooth_seams=s) for s in (False, True))
    touched = np.zeros(200, bool)
    for seam in (80, 160):
        touched[seam - 7 : seam + 7] = True
        expected = smooth_seam(plain, seam)[seam - 7 : seam + 7]
        got = smooth[seam - 7 : seam + 7]
        np.testing.assert_allclose(got[:, -3:], expected[:, -3:], atol=1e-5)
        blocks = got[:, :-3].reshape(-1, 3, 3)
        np.testing.assert_allclose(blocks @ blocks.swapaxes(1, 2), np.eye(3)[None] + 0 * blocks,
                                   atol=1e-5)  # fmt: skip
    np.testing.assert_allclose(smooth[~touched], plain[~touched], atol=1e-5)
    assert np.abs(smooth - plain).max() > 1e-3
    speech = model.speech(audio(200), source_feature=source)
    parts = list(model.batch(1, **OPTIONS, smooth_seams=True).run(speech))
    assert [len(part) for part in parts] == [72, 80, 48]


def test_a_model_of_the_frame_before_goes_on_from_it(source):
    config = dataclasses.replace(CONFIG, history_frames=0, source="previous")
    statistics = make_statistics(config, audio_mean=np.zeros(35), audio_std=np.ones(35))
    model = Motion(config, {"params": numpy_params(config), "stats": statistics})
    image = dataclasses.replace(model, config=dataclasses.replace(config, source="image"))
    options = {"source_feature": source, "candidates": 1, "steps": 4}
    got, fixed = (m.sample(audio(160), **options) for m in (model, image))
    np.testing.assert_allclose(got[:80], fixed[:80], atol=1e-5)
    assert np.abs(got[80:] - fixed[80:]).max() > 1e-6
    # The second segment alone, with its own noise, of a model that takes that frame for its source.
    keys = jax.random.fold_in(rng.stream(jax.random.key(0), "motion"), 1)[None]
    alone = sample_segment(
        image.config, SampleOptions(candidates=1, steps=4), model.variables["params"],
        model.variables["stats"], audio(160)[None, 80:], got[None, 79], got[None, 70:80],
        np.array([False]), keys, np.float32(2),
    )  # fmt: skip
    np.testing.assert_allclose(got[80:], alone[0], atol=1e-5)


@pytest.mark.parametrize("loud", [-300.0, 300.0])
def test_published_weights_see_raw_features(loud):
    config = dataclasses.replace(
        CONFIG, representation="vector", feature_size=20, history_frames=0, source="previous"
    )
    params = numpy_params(config)
    model = Motion(config, {"params": params, "stats": identity_statistics(config)})
    draw = np.random.default_rng(0).standard_normal
    x, source = draw((1, 80, 20)), 1.5 * draw((1, 20))
    rows = np.stack([audio(80)])
    rows[..., 1] = loud  # the log energy of quiet speech is there
    bare = Denoiser(config).apply(
        {"params": params}, jnp.float32(x), jnp.array([10]), audio=jnp.float32(rows),
        source_feature=jnp.float32(source),
    )  # fmt: skip
    got = model.denoise(
        np.float32(x), np.array([10]), audio=rows, source_feature=np.float32(source)
    )
    np.testing.assert_allclose(got, bare, atol=1e-5)


def test_denoise_says_which_shape_is_wrong(motion, source):
    good = {
        "x_t": np.zeros((1, 80, 21), np.float32), "t": np.array([3]), "audio": audio(80)[None],
        "source_feature": source[None],
    }  # fmt: skip
    for name, wrong in (("t", np.array(3)), ("audio", audio(79)[None]), ("source_feature", source)):
        with pytest.raises(UserError, match=f"{name} has shape .* takes"):
            motion.denoise(**{**good, name: wrong})
    config = dataclasses.replace(CONFIG, history_frames=0)
    with pytest.raises(UserError, match="no history"):
        dataclasses.replace(motion, config=config).denoise(
            **good, history=np.zeros((1, 4, 21), np.float32)
        )


def test_euler_model_writes_rotation_features(source):
    config = dataclasses.replace(CONFIG, representation="euler")
    statistics = make_statistics(config, audio_mean=np.zeros(35), audio_std=np.ones(35))
    params = numpy_params(config)
    model = Motion(config, {"params": params, "stats": statistics})
    result = model.sample(audio(90), source_feature=source, **OPTIONS)
    assert result.shape == (90, 21)
    np.testing.assert_allclose(np.linalg.det(result[:, :-3].reshape(-1, 3, 3)), 1, atol=1e-4)


def test_padding_is_silence(motion, source):
    rows = audio(30)
    quiet = rows[:, 1].argmin()
    expected = np.broadcast_to(rows[quiet][None], (10, 35))
    np.testing.assert_array_equal(pad_audio(rows, 40)[30:], expected)
    silence = np.full(35, -4, np.float32)
    padded = pad_audio(rows, 80, silence)
    assert (padded[30:] == -4).all() and len(padded) == 80
    given = motion.sample(padded, source_feature=source, frames=30, **OPTIONS)
    named = motion.sample(rows, source_feature=source, silence=silence, **OPTIONS)
    np.testing.assert_array_equal(given, named)
    with pytest.raises(UserError, match="no loudness"):
        pad_audio(np.zeros((3, 4), np.float32), 8)
    with pytest.raises(UserError, match="one row of 35"):
        pad_audio(rows, 40, np.zeros(3))


def test_denoise_branches(motion, source):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2, 80, 21)).astype(np.float32)
    sounds = np.stack((audio(80), audio(80, 1)))
    inputs = {"audio": sounds, "source_feature": np.stack([source] * 2)}
    plain = motion.denoise(x, np.array([3, 700]), **inputs)
    one, zero = (motion.denoise(x, np.array([3, 700]), **inputs, guidance=w) for w in (1.0, 0.0))
    np.testing.assert_allclose(plain, one, atol=1e-5)
    assert float(jnp.abs(plain - zero).max()) > 1e-3
    past = motion.denoise(x, np.array([3, 700]), **inputs, history=x[:, :4])
    assert float(jnp.abs(plain - past).max()) > 1e-5


def test_saved_folder_gives_the_same_motion(motion, source, tmp_path):
    motion.save(tmp_path / "model")
    loaded = load_motion(tmp_path / "model")
    assert loaded.config == CONFIG
    arguments = {"source_feature": source, **OPTIONS}
    np.testing.assert_array_equal(
        motion.sample(audio(80), **arguments), loaded.sample(audio(80), **arguments)
    )


@pytest.mark.parametrize(
    "change,message",
    [
        ({"audio_features": np.zeros((10, 34))}, "35"),
        ({"audio_features": np.zeros((0, 35))}, "audio features"),
        ({"audio_features": np.full((10, 35), np.nan)}, "not finite"),
        ({"source_feature": np.zeros(20)}, "length 21"),
        ({"candidates": 0}, "at least 1"),
        ({"steps": 0}, "1 to 1000"),
        ({"sampler": "heun"}, "ddim"),
        ({"selection": "middle"}, "last, first"),
        ({"frames": 11}, "frames is 11"),
    ],
)
def test_bad_arguments(motion, source, change, message):
    arguments = {"audio_features": audio(10), "source_feature": source, **change}
    with pytest.raises(UserError, match=message):
        motion.sample(**arguments)


def test_bad_weights(tmp_path):
    with pytest.raises(UserError, match="does not hold the weights of the motion model"):
        load_motion({"final_layer.weight": np.zeros((2, 2))})
    with pytest.raises(UserError, match="preset"):
        load_motion({}, preset="papr")
    with pytest.raises(UserError, match="no folder"):
        load_motion(tmp_path / "missing")
