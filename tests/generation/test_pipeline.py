import dataclasses
import warnings

import av
import numpy as np
import pytest
import soundfile
from animation.training import write_clips
from generation.models import CONFIG, OPTIONS, make_animation, make_motion, save_models
from PIL import Image

import jaxgesture
from jaxgesture.animation.step import as_image
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.pixels import to_pixels
from jaxgesture.data import audio
from jaxgesture.data.datasets import MotionDataset
from jaxgesture.data.image import read_image
from jaxgesture.data.video import read_frames
from jaxgesture.generation import provenance, record
from jaxgesture.generation.extraction import extract
from jaxgesture.generation.pipeline import generate
from jaxgesture.generation.render import render
from jaxgesture.generation.speech_to_motion import (
    check_features,
    features_of_segments,
    name_features,
    speech_to_motion,
)
from jaxgesture.generation.watermark import Watermark

SECONDS, RATE = 1.3, 22050
QUIET = {"progress": False, **OPTIONS}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Both models, saved into folders and loaded again."""
    folder = tmp_path_factory.mktemp("models")
    save_models(folder)
    return {
        "animation": jaxgesture.load_animation(folder / "animation"),
        "motion": jaxgesture.load_motion(folder / "motion"),
    }


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """An oblong picture with odd sides, and 1.3 s of something like speech."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 256, (11, 9, 3)), np.ones((13, 15, 1))).astype(np.uint8)
    Image.fromarray(picture[:141, :133]).save(folder / "me.png")
    t = np.arange(round(SECONDS * RATE)) / RATE
    speech = 0.3 * np.sin(2 * np.pi * 180 * t) * (1 + np.sin(2 * np.pi * 4 * t))
    soundfile.write(folder / "speech.wav", speech + 0.01 * rng.standard_normal(len(t)), RATE)
    soundfile.write(folder / "silence.wav", np.zeros(len(t)), RATE)
    return folder


@pytest.fixture(scope="module")
def made(models, inputs):
    return generate(
        inputs / "me.png", inputs / "speech.wav", **models, out=inputs / "a.mp4", seed=3, **QUIET
    )


def test_the_video_is_what_was_promised(made, inputs):
    frames = int(np.floor(25 * SECONDS + 0.5))
    assert made.path == inputs / "a.mp4"
    assert made.motion.shape == (frames, CONFIG.feature_size) == (33, 147)
    assert np.isfinite(made.motion).all()
    assert set(made.seconds) == {"features", "motion", "render", "encode"}
    with av.open(str(made.path)) as container:
        (video,), (sound,) = container.streams.video, container.streams.audio
        assert (video.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        assert video.average_rate == 25
        assert (video.width, video.height) == (64, 64)
        assert video.pix_fmt == "yuv420p"
        decoded = list(container.decode(video=0))
    assert len(decoded) == frames
    times = [float(frame.pts * frame.time_base) for frame in decoded]
    np.testing.assert_allclose(times, np.arange(frames) / 25, atol=1e-3)


def test_the_frames_are_the_motion_drawn(made, models, inputs):
    animation = models["animation"]
    source = animation.encode_source(read_image(inputs / "me.png", size=64))
    drawn = np.concatenate(list(render(animation, source, made.motion)))
    with av.open(str(made.path)) as container:
        seen = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    # In grey, for the codec halves the resolution of colour; each frame looks like itself most.
    drawn, seen = (images.mean(-1).reshape(len(images), -1) for images in (drawn, seen))
    distance = np.abs(seen[:, None] - drawn[None]).mean(-1)
    np.testing.assert_array_equal(distance.argmin(1), np.arange(len(seen)))


def test_the_sound_is_the_recording(made, inputs):
    samples, rate = jaxgesture.read_audio(made.path, sample_rate=RATE)
    wanted, _ = soundfile.read(inputs / "speech.wav")
    count = min(len(samples), len(wanted))
    assert rate == RATE and count >= len(wanted) - RATE // 25
    assert np.corrcoef(samples[:count], wanted[:count])[0, 1] > 0.97


def test_seed_decides_the_motion(made, models, inputs):
    def again(seed):
        return generate(
            inputs / "me.png", inputs / "speech.wav", **models, out=inputs / "b.mp4", seed=seed,
            batch=8, **QUIET,
        ).motion  # fmt: skip

    assert again(3).tobytes() == made.motion.tobytes()
    other = again(4)
    assert other.shape == made.motion.shape and np.abs(other - made.motion).max() > 1e-2


def test_watermark_and_entry(made, models, inputs):
    """The entry is there unless it is not wanted, the watermark if it is wanted."""
    entry = provenance.read(made.path)
    assert entry is not None and entry.sentence.startswith("synthetic: made by jaxgesture")
    assert entry.facts["image_sha256"] == record.file_sha256(inputs / "me.png")
    assert entry.facts["audio_sha256"] == record.file_sha256(inputs / "speech.wav")
    assert entry.facts["animation_sha256"] == models["animation"].sha256
    assert (entry.facts["seed"], entry.facts["candidates"], entry.facts["guidance"]) == (3, 2, 2.0)
    marked = generate(
        inputs / "me.png", inputs / "speech.wav", **models, out=inputs / "marked.mp4", seed=3,
        watermark="AI-generated", provenance=False, **QUIET,
    )  # fmt: skip
    assert provenance.read(marked.path) is None
    assert marked.motion.tobytes() == made.motion.tobytes()
    with pytest.raises(UserError, match="the watermark has no text"):
        generate(inputs / "me.png", inputs / "speech.wav", **models, watermark="", **QUIET)
    top, bottom, left, right = Watermark("AI-generated", 64).box
    before, after = (np.stack(list(read_frames(m.path))).astype(int) for m in (made, marked))
    change = np.abs(after - before).mean((0, 3))
    # The codec's blocks beside the box change a little, too.
    inside, far = change[top:bottom, left:right].mean(), change[: top - 16].mean()
    assert inside > 20 > 5 > far
    # From an array the entry has no hash of a file.
    picture = read_image(inputs / "me.png", size=64)
    other = generate(
        picture, inputs / "speech.wav", **models, out=inputs / "array.mp4", seed=3, **QUIET
    )
    found = provenance.read(other.path)
    assert found is not None and {*entry.facts} - {*found.facts} == {"image_sha256"}


def test_silence_is_a_warning_and_a_video(models, inputs):
    with pytest.warns(DataWarning, match="silence.wav is silent"):
        result = generate(
            inputs / "me.png", inputs / "silence.wav", **models, out=inputs / "c.mp4", **QUIET
        )
    assert result.motion.shape == (33, 147) and np.isfinite(result.motion).all()
    with av.open(str(result.path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 33


def test_models_that_do_not_fit(models, inputs):
    narrow = make_motion("", dataclasses.replace(CONFIG, feature_size=21))
    stranger = make_motion("0" * 64)
    for motion, message in (
        (narrow, "features of length 21, the base model reads 147; train stage 2"),
        (stranger, "features of another base model .its hash is 000000000000"),
    ):
        with pytest.raises(UserError, match=message):
            generate(
                inputs / "me.png", inputs / "speech.wav", animation=models["animation"],
                motion=motion, out=inputs / "d.mp4", **QUIET,
            )  # fmt: skip
    assert not (inputs / "d.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.png", "speech.wav"), "none.png does not exist"),
        (("me.png", "none.wav"), "none.wav does not exist"),
        (("speech.wav", "speech.wav"), "speech.wav"),
        (("me.png", "me.png"), "is not a"),
    ],
)
def test_input_that_cannot_be_read(models, inputs, arguments, message):
    image, speech = (inputs / name for name in arguments)
    with pytest.raises(UserError, match=message):
        generate(image, speech, **models, out=inputs / "e.mp4", **QUIET)
    assert not (inputs / "e.mp4").exists()


def test_render_draws_any_number_in_one_shape(models):
    animation = models["animation"]
    image = np.full((64, 64, 3), 0.5, np.float32)
    source = animation.encode_source(image)
    poses = np.repeat(np.asarray(animation.extract_motion(image))[None], 5, 0)
    poses[:, -3:] += np.linspace(-0.5, 0.5, 15).reshape(5, 3)
    parts = list(render(animation, source, poses, batch=2))
    assert [len(part) for part in parts] == [2, 2, 1] and parts[0].dtype == np.uint8
    expected = to_pixels(np.asarray(animation.animate(source, poses[:2])))
    np.testing.assert_array_equal(parts[0], expected)


def test_features_cover_whole_segments():
    samples = np.sin(np.arange(8000) / 5).astype(np.float32)
    for count, frames, rows in ((8000, 13, 20), (1, 1, 20), (6400, 10, 10)):
        segment = 10 if rows == 10 else 20
        got, own = features_of_segments(samples[:count], 16000, segment)
        assert (got.shape, own) == ((rows, 35), frames)
        assert np.isfinite(got).all()


class Doubled(audio.Baseline):
    """Other features, of the same size."""

    def __init__(self):
        object.__setattr__(self, "name", "doubled")
        object.__setattr__(self, "size", 35)

    def features(self, samples, sample_rate, frames):
        return 2 * super().features(samples, sample_rate, frames)


def test_audio_features_are_those_of_the_training(models, inputs, tmp_path):
    arguments = (inputs / "me.png", inputs / "speech.wav")
    with pytest.raises(UserError, match="trained on .* 'baseline-35', not 'doubled'; leave WavLM"):
        generate(*arguments, **models, out=tmp_path / "a.mp4", extractor=Doubled(), **QUIET)
    other = dataclasses.replace(models["motion"], features="doubled")
    other.save(tmp_path / "other")
    other = jaxgesture.load_motion(tmp_path / "other")
    with pytest.raises(UserError, match=r"not 'baseline-35'; give that WavLM model \(--wavlm"):
        generate(*arguments, **{**models, "motion": other}, out=tmp_path / "a.mp4", **QUIET)
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(RATE).astype(np.float32) / 10
    options = {"source_feature": np.zeros(other.feature_size, np.float32), **OPTIONS}
    one = speech_to_motion(models["motion"], samples, RATE, **options)
    two = speech_to_motion(other, samples, RATE, extractor=Doubled(), **options)
    assert one.shape == two.shape and np.abs(one - two).max() > 1e-3


def test_a_model_that_names_no_wavlm_takes_the_one_given(models):
    """As a weight file is converted: of more columns it says no more than their number."""

    class Some(audio.Baseline):
        name, size = "wavlm-35:0123456789ab", 35

    unnamed = dataclasses.replace(models["motion"], features="wavlm-35")
    with pytest.warns(DataWarning, match="wavlm-35:0123456789ab is taken for it"):
        named = name_features(unnamed, Some())
    check_features(named, Some())
    assert named.features == Some.name and named.variables is unnamed.variables
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert name_features(unnamed, None) is unnamed
        for features in ("baseline-35", "wavlm-35:ba9876543210"):
            other = dataclasses.replace(unnamed, features=features)
            assert name_features(other, Some()) is other
        Some.size = 36
        assert name_features(unnamed, Some()) is unnamed


def test_speech_to_motion(models):
    motion = models["motion"]
    samples = np.sin(np.arange(9600) / 5).astype(np.float32)
    feature = np.asarray(models["animation"].extract_motion(np.full((64, 64, 3), 0.5)))
    result = speech_to_motion(motion, samples, 16000, source_feature=feature, **OPTIONS)
    assert result.shape == (15, 147)


def test_extract_writes_every_feature_and_keeps_them(models, tmp_path):
    animation = models["animation"]
    frames = write_clips(tmp_path / "frames", frames=5)
    written = extract(animation, frames, tmp_path / "motion", batch=2, progress=False)
    clips = {clip.id: clip for clip in written.clips()}
    assert written.weights_sha256 == animation.sha256
    assert list(clips) == [clip.id for clip in frames.clips()]
    for name in ("a", "b"):
        clip = frames.clip(name)
        expected = animation.extract_motion(as_image(frames.frames(clip)))
        found = written.motion(clips[name])
        assert found.shape == (5, 147)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert not clips["b"].has_audio
    np.testing.assert_array_equal(written.audio(clips["a"]), frames.audio(frames.clip("a")))
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "motion").iterdir()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = extract(animation, frames, tmp_path / "motion", batch=2, progress=False)
    assert kept.sha256 == written.sha256
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "motion").iterdir()}
    with pytest.raises(UserError, match="weights_sha256|other weights|another"):
        extract(make_animation(seed=1), frames, tmp_path / "motion", batch=2, progress=False)
    assert MotionDataset(tmp_path / "motion").sha256 == written.sha256
