"""The command: several at once, failures, what is kept, formats, and the record beside a video."""

import dataclasses
import json
import shlex
import shutil

import av
import numpy as np
import pytest
import soundfile
from cli import calling
from PIL import Image

import jaxgesture
from jaxgesture.generation import provenance
from jaxgesture.generation.watermark import Watermark

SIZE = 64


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    from generation.models import save_models

    folder = tmp_path_factory.mktemp("files")
    save_models(folder)
    rng = np.random.default_rng(0)
    (folder / "sounds").mkdir()
    for name, seconds in (("a", 1.0), ("b", 1.8), ("c", 0.4)):
        speech = 0.2 * rng.standard_normal(round(16000 * seconds)).cumsum() / 100
        soundfile.write(folder / "sounds" / f"{name}.wav", np.clip(speech, -1, 1), 16000)
    for name in ("me", "you"):
        pixels = np.kron(rng.integers(0, 255, (8, 8, 3)), np.ones((9, 9, 1)))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def generate(files, capsys):
    """Runs the command with the models; returns its status and what it printed."""

    def run(image, audio, *more):
        status = calling.call(
            "generate", f"--image={image}", f"--audio={audio}", f"--animation={files}/animation",
            f"--motion={files}/motion", "--candidates=2", "--steps=2", *more,
        )  # fmt: skip
        out, err = capsys.readouterr()
        return status, out, err

    return run


def frames_of(path) -> int:
    return len(pictures_of(path))


def pictures_of(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)])


def test_several_with_one_that_fails(generate, files, tmp_path):
    (tmp_path / "bad.wav").write_text("no sound")
    sounds = f"{files}/sounds,{tmp_path}/bad.wav,{tmp_path}/none.wav"
    call = (f"{files}/me.png", sounds, f"--out={tmp_path}/v")
    status, out, err = generate(*call)
    assert status == 1
    assert "jaxgesture: error: 2 of 5 failed, see above; the same command" in err
    assert f"{tmp_path}/v/bad.mp4: error: {tmp_path}/bad.wav is not a readable audio file" in err
    assert f"{tmp_path}/none.wav does not exist; check the path" in err
    # Progress: frames a second, and the time left.
    assert "frame/s" in err and "<00:0" in err
    counts = {"a": 25, "b": 45, "c": 10}
    for name, frames in counts.items():
        assert f"{tmp_path}/v/{name}.mp4: {frames} frames (features" in out
        assert frames_of(tmp_path / f"v/{name}.mp4") == frames
    names = sorted(path.name for path in (tmp_path / "v").iterdir())
    assert names == sorted(f"{n}.mp4{s}" for n in counts for s in ("", ".json"))

    # The same command makes what is missing, and keeps the rest.
    soundfile.write(tmp_path / "bad.wav", 0.1 * np.sin(np.arange(8000)), 16000)
    times = {n: (tmp_path / f"v/{n}.mp4").stat().st_mtime_ns for n in counts}
    (tmp_path / "v/c.mp4").unlink()
    status, out, err = generate(*call)
    assert status == 1 and "1 of 5 failed" in err
    assert out.count("kept, it was made by the same command") == 2
    assert f"{tmp_path}/v/bad.mp4: 13 frames" in out and f"{tmp_path}/v/c.mp4: 10 frames" in out
    assert all((tmp_path / f"v/{n}.mp4").stat().st_mtime_ns == times[n] for n in "ab")


def test_the_record_makes_it_again(generate, files, tmp_path, capsys):
    out = tmp_path / "me.mp4"
    more = (f"--out={out}", "--seed=5", f"--motion_out={tmp_path}/me.npy")
    assert generate(f"{files}/me.png", f"{files}/sounds/c.wav", *more)[0] == 0
    motion = (tmp_path / "me.npy").read_bytes()
    record = json.loads((tmp_path / "me.mp4.json").read_text())
    made_from = record["made_from"]
    hashes = [made_from[f"{n}_sha256"] for n in ("image", "audio", "animation", "motion")]
    assert all(len(text) == 64 for text in hashes) and len(set(hashes)) == 4
    assert (made_from["seed"], made_from["steps"], made_from["sampler"]) == (5, 2, "ddim")
    assert (record["frames"], record["fps"], record["size"]) == (10, 25, SIZE)
    assert record["versions"]["jax"] and set(record["seconds"]) >= {"motion", "encode"}
    first = pictures_of(out)
    out.unlink()
    assert calling.call(*shlex.split(record["command"])[1:]) == 0
    assert (tmp_path / "me.npy").read_bytes() == motion
    # At 64 pixels libx264 does not always code the same frames in the same way (at 128 it does).
    assert np.abs(pictures_of(out).astype(int) - first).mean() < 4
    assert json.loads((tmp_path / "me.mp4.json").read_text())["made_from"] == made_from


def test_one_of_several_is_made_again_to_the_bit(generate, files, tmp_path, capsys):
    call = (f"{files}/me.png", f"{files}/sounds", f"--out={tmp_path}", "--format=motion")
    assert generate(*call)[0] == 0
    made = {name: (tmp_path / f"{name}.npz").read_bytes() for name in "abc"}
    (tmp_path / "b.npz").unlink()
    assert generate(*call)[1].count("kept") == 2
    record = json.loads((tmp_path / "a.npz.json").read_text())
    (tmp_path / "a.npz").unlink()
    assert calling.call(*shlex.split(record["command"])[1:]) == 0
    assert {name: (tmp_path / f"{name}.npz").read_bytes() for name in "abc"} == made


def test_a_warning_has_a_line_of_its_own(generate, files, tmp_path):
    samples = 0.1 * np.sin(np.arange(8000.0))
    samples[7:9] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16000, subtype="FLOAT")
    status, _, err = generate(f"{files}/me.png", tmp_path / "nan.wav", f"--out={tmp_path}/a.mp4")
    assert status == 0
    lines = [line.rpartition("\r")[2] for line in err.splitlines()]
    (line,) = (line for line in lines if "not finite" in line)
    assert line.startswith("jaxgesture: warning: ") and "frames" not in line


def test_a_converted_model_takes_the_wavlm_that_is_given(generate, files, tmp_path, monkeypatch):
    from jaxgesture.data import audio, wavlm
    from jaxgesture.motion.model import load_motion

    class Some(audio.Baseline):
        name = "wavlm-35:0123456789ab"

    unnamed = dataclasses.replace(load_motion(files / "motion"), features="wavlm-35")
    unnamed.save(tmp_path / "motion")
    monkeypatch.setattr(wavlm, "WavLM", lambda folder: Some())
    call = (f"{files}/me.png", f"{files}/sounds/c.wav", f"--motion={tmp_path}/motion")
    status, _, err = generate(*call, f"--out={tmp_path}/a.npz")
    assert status == 1 and "give that WavLM model (--wavlm=FOLDER)" in err
    status, _, err = generate(*call, f"--out={tmp_path}/a.npz", "--wavlm=folder")
    assert status == 0 and "jaxgesture: warning: the motion model does not say which" in err
    record = json.loads((tmp_path / "a.npz.json").read_text())
    assert record["made_from"]["features"] == Some.name and "--wavlm=" in record["command"]


def test_names_with_commas(generate, files, tmp_path, capsys):
    sound = tmp_path / "well, then.wav"
    sound.write_bytes((files / "sounds/c.wav").read_bytes())
    (tmp_path / "0,0.png").write_bytes((files / "me.png").read_bytes())
    call = (f"{tmp_path}/0,0.png", sound, f"--out={tmp_path}/v")
    assert generate(*call)[0] == 0
    out = tmp_path / "v/well, then.mp4"
    command = json.loads((tmp_path / "v/well, then.mp4.json").read_text())["command"]
    out.unlink()
    assert calling.call(*shlex.split(command)[1:]) == 0 and out.exists()
    both = f'"{sound}",{files}/sounds/a.wav'
    assert generate(call[0], both, call[2])[0] == 0 and (tmp_path / "v/a.mp4").exists()


def test_nothing_of_other_making_is_replaced(generate, files, tmp_path):
    out = tmp_path / "me.mp4"
    call = (f"{files}/me.png", f"{files}/sounds/c.wav", f"--out={out}")
    out.write_bytes(b"mine")
    status, _, err = generate(*call)
    assert status == 1 and "no me.mp4.json says how it was made; choose another --out" in err
    assert out.read_bytes() == b"mine"
    assert generate(*call, "--overwrite")[0] == 0
    made = out.read_bytes()
    assert "kept" in generate(*call)[1]
    for more, message in (
        (["--seed=1"], "seed was 0, now 1"),
        (["--seed=2", "--eta=0.5"], "eta was 1.0, now 0.5; seed was 0, now 2"),
        (["--sampler=dpm++2m"], "sampler was ddim, now dpm++2m"),
    ):
        status, _, err = generate(*call, *more)
        assert status == 1 and message in err and out.read_bytes() == made
    status, _, err = generate(f"{files}/you.png", *call[1:])
    assert status == 1 and "image_sha256 was" in err
    out.write_bytes(made + b"more")
    status, _, err = generate(*call)
    assert status == 1 and "its content is no longer what was written" in err
    assert generate(*call, "--overwrite")[0] == 0 and "kept" in generate(*call)[1]


def test_the_metadata_say_what_made_it(generate, files, tmp_path, capsys):
    out = tmp_path / "v"
    call = (f"{files}/me.png", f"{files}/sounds/c.wav")
    for name, form in (("me.mp4", "mp4"), ("me.webm", "webm"), ("frames", "frames")):
        more = f"--out={out}/{name}", f"--format={form}", "--seed=3"
        assert generate(*call, *more)[0] == 0
        record = json.loads((out / f"{name}.json").read_text())["made_from"]
        entry = provenance.read(out / name / "000000.png" if name == "frames" else out / name)
        assert record["provenance"] is True and "watermark" not in record and entry is not None
        assert entry.sentence == f"synthetic: made by jaxgesture {jaxgesture.__version__}"
        shared = {n: v for n, v in record.items() if n not in ("provenance", "format", "features")}
        source = {"digital_source_type": provenance.DIGITAL_SOURCE_TYPE}
        assert entry.facts == {**source, **shared} and entry.facts["seed"] == 3
    # As the reader of a video sees it.
    assert calling.call("inspect", out / "me.mp4") == 0
    text = capsys.readouterr().out
    assert f"me.mp4: {entry.sentence}\n  digital_source_type: http://cv.iptc" in text
    assert f"\n  image_sha256: {record['image_sha256']}\n" in text and "\n  seed: 3\n" in text
    assert generate(*call, f"--out={out}/b.mp4", "--preview=0.2", "--provenance=false")[0] == 0
    assert provenance.read(out / "b.mp4") is provenance.read(out / "b.preview.mp4") is None
    assert "provenance" not in json.loads((out / "b.mp4.json").read_text())["made_from"]
    # A file of motion says it in arrays of its own, and is kept with or without the entry.
    for more, kept in (([], False), (["--provenance=false"], True)):
        status, said, _ = generate(*call, f"--out={out}/me.npz", *more)
        assert status == 0 and ("kept" in said) == kept


def test_a_watermark_is_of_the_making(generate, files, tmp_path):
    call = (f"{files}/me.png", f"{files}/sounds/c.wav", f"--out={tmp_path}/v", "--format=frames")
    box = Watermark("AI-generated", SIZE).box

    def frames():
        return np.stack([np.asarray(Image.open(p)) for p in sorted((tmp_path / "v").iterdir())])

    assert generate(*call)[0] == 0
    plain = frames()
    status, _, err = generate(*call, "--watermark=AI-generated")
    assert status == 1 and "watermark was None, now AI-generated" in err
    np.testing.assert_array_equal(frames(), plain)
    assert generate(*call, "--watermark=AI-generated", "--overwrite")[0] == 0
    marked = frames()
    np.testing.assert_array_equal(marked, Watermark("AI-generated", SIZE).draw(plain))
    changed = np.argwhere((marked != plain).any((0, 3)))
    assert changed.min(0).tolist() == [box[0], box[2]]
    assert (changed.max(0) + 1).tolist() == [box[1], box[3]]
    assert "kept" in generate(*call, "--watermark=AI-generated")[1]
    for more, message in (
        ([], "watermark was AI-generated, now None"),
        (["--watermark=made up"], "watermark was AI-generated, now made up"),
        (["--watermark=AI-generated", "--provenance=false"], "provenance was True, now None"),
    ):
        status, _, err = generate(*call, *more)
        assert status == 1 and message in err
    # The command of the record makes it again, text and all.
    command = json.loads((tmp_path / "v.json").read_text())["command"]
    shutil.rmtree(tmp_path / "v")
    assert calling.call(*shlex.split(command)[1:]) == 0
    np.testing.assert_array_equal(frames(), marked)


def test_results_of_versions_without_an_entry(generate, files, tmp_path):
    """Their records name none; they are kept by the command that asks for none."""
    out = tmp_path / "me.mp4"
    call = (f"{files}/me.png", f"{files}/sounds/c.wav", f"--out={out}")
    assert generate(*call, "--provenance=false")[0] == 0
    assert not {"provenance", "watermark"} & {
        *json.loads((tmp_path / "me.mp4.json").read_text())["made_from"]
    }
    assert "kept" in generate(*call, "--noprovenance")[1]
    status, _, err = generate(*call)
    assert status == 1 and "provenance was None, now True" in err


def test_motion_beside_a_video_is_no_reason_to_replace_it(generate, files, tmp_path):
    out, motion = tmp_path / "me.mp4", tmp_path / "me.npy"
    call = (f"{files}/me.png", f"{files}/sounds/c.wav", f"--out={out}")
    assert generate(*call)[0] == 0
    made = out.read_bytes()
    status, _, err = generate(*call, f"--motion_out={motion}", "--seed=1")
    assert status == 1 and "seed was 0, now 1" in err and out.read_bytes() == made
    # What has the name of the motion may be anybody's.
    motion.write_bytes(b"mine")
    for name in ("me.mp4", "new.mp4"):
        status, _, err = generate(*call[:2], f"--out={tmp_path}/{name}", f"--motion_out={motion}")
        assert status == 1 and "choose another --motion_out, or --overwrite" in err
        assert motion.read_bytes() == b"mine"
    for more in (["--overwrite"], []):
        status, said, _ = generate(*call, f"--motion_out={motion}", *more)
        assert status == 0 and ("kept" in said) == (not more)
    assert np.load(motion).shape == (10, 147)
    # The first video knows nothing of the motion of another one.
    assert generate(*call[:2], f"--out={tmp_path}/new.mp4", "--seed=1")[0] == 0
    status, _, err = generate(
        *call[:2], f"--out={tmp_path}/new.mp4", "--seed=1", f"--motion_out={motion}"
    )
    assert status == 1 and "no new.mp4.json says that it was made with new.mp4" in err
    motion.unlink()
    assert generate(*call, f"--motion_out={motion}")[0] == 0 and motion.exists()


def test_preview_is_the_beginning(generate, files, tmp_path):
    images = f"{files}/me.png,{files}/you.png"
    call = (images, f"{files}/sounds/b.wav", f"--out={tmp_path}/v")
    assert generate(*call, "--preview=0.6", "--format=webm")[0] == 0
    for name in ("me", "you"):
        whole, part = tmp_path / f"v/{name}.webm", tmp_path / f"v/{name}.preview.webm"
        assert (frames_of(part), frames_of(whole)) == (15, 45)
        assert part.stat().st_mtime_ns < whole.stat().st_mtime_ns
        with av.open(str(part)) as container:
            samples = sum(frame.samples for frame in container.decode(audio=0))
        assert abs(samples / 16000 - 0.6) < 0.05 or abs(samples / 48000 - 0.6) < 0.05
        same = pictures_of(whole)[:15].astype(int) - pictures_of(part)
        assert np.abs(same).mean() < 3


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--sampler=heun", "choose one of ddim, ddpm, dpm++2m"),
        ("--eta=2", "choose 0 (no noise) to 1"),
        ("--selection=middle", "choose one of last, first"),
        ("--together=0", "choose 1 or more recordings"),
        ("--batch=0", "choose 1 or more"),
        ("--steps=0", "choose 1 to 1000"),
        ("--guidance=nan", "choose a small number"),
        ("--guidance=1e39", "choose a small number"),
        ("--format=gif", "there is none such"),
        ("--preview=0", "at least 0.04 s"),
        ("--seed=-1", "choose 0 to"),
        ("--watermark=", "the watermark has no text"),
        ("--watermark=synthetic video of nobody", "choose a shorter text"),
    ],
)
def test_values_out_of_range(generate, files, tmp_path, flag, message):
    status, _, err = generate(
        f"{files}/me.png", f"{files}/sounds/c.wav", f"--out={tmp_path}/v", flag
    )
    assert status == 1 and message in err and not (tmp_path / "v").exists()
    assert err.splitlines()[-1].startswith("jaxgesture: error: ")


def test_a_watermark_needs_frames(generate, files, tmp_path):
    call = (f"{files}/me.png", f"{files}/sounds/c.wav", f"--out={tmp_path}/a.npz")
    status, _, err = generate(*call, "--watermark=AI-generated")
    assert status == 1 and "--watermark with --format=motion: there are no frames" in err


def test_samplers_differ(generate, files, tmp_path):
    found = []
    for number, more in enumerate((["--sampler=dpm++2m"], ["--eta=0"], ["--guidance=0"], [])):
        more = [*more, "--steps=3"]  # in two steps, DPM-Solver++ is DDIM without noise
        out = f"--out={tmp_path}/{number}.npz"
        assert generate(f"{files}/me.png", f"{files}/sounds/c.wav", out, *more)[0] == 0
        with np.load(tmp_path / f"{number}.npz") as arrays:
            found.append(arrays["motion"])
    for i in range(4):
        assert found[i].shape == (10, 147)
        assert all(np.abs(found[i] - found[j]).max() > 1e-5 for j in range(i))
