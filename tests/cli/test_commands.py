"""Commands in this process: help, and one line that says what to do for whatever goes wrong."""

import av
import numpy as np
import pytest
import soundfile
from cli import calling
from media import make_video
from PIL import Image

from jaxgesture.cli import main as cli
from jaxgesture.data.datasets import FrameDataset

STAGE1 = f"--config={calling.ROOT}/configs/stage1.py:debug"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with files of each kind, good and bad."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    (folder / "empty.mp4").touch()
    with av.open(str(folder / "frameless.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 32
        container.start_encoding()
    rng = np.random.default_rng(0)
    frames = list(rng.integers(0, 256, (6, 32, 32, 3), np.uint8))
    make_video(folder / "good.mp4", frames)
    Image.fromarray(frames[0]).save(folder / "me.png")
    soundfile.write(folder / "speech.wav", 0.1 * rng.standard_normal(8000), 16000)
    soundfile.write(folder / "none.wav", np.zeros(0), 16000)
    return folder


def test_help_lists_the_commands(call):
    for arguments in (["--help"], ["-h"], ["help"]):
        status, out, err = call(*arguments)
        assert (status, err) == (0, "")
        for name, text in cli.COMMANDS.items():
            assert any(line.split(None, 1) == [name, text] for line in out.splitlines())
    status, out, _ = call()
    assert status == 1 and "usage: jaxgesture COMMAND" in out


@pytest.mark.parametrize(
    ("name", "flags"),
    {
        "prepare": "videos out size fps crop validation segments max_seconds quality wavlm workers "
        "intervals subset speakers crops list_downloads identities clips seconds seed",
        "landmarks": "videos model overwrite",
        "inspect": "data out",
        "train": "config workdir minutes",
        "extract": "animation data out batch",
        "generate": "image audio animation motion out format pairs preview motion_out seed "
        "candidates steps sampler guidance eta selection wavlm batch together overwrite",
        "evaluate": "weights data split clips frames lpips lpips_weights lpips_heads compare out "
        "generated reference model videos i3d pose_embedding motion_embedding size fvd_windows",
        "study": "systems out answers key",
        "plan": "config topology batch json",
        "convert": "source out to preset",
        "benchmark": "data workers config batches train_batch precisions torch repeats seconds out "
        "steps animation motion audio",
        "demo": "out long smoke",
    }.items(),
)
def test_help_of_a_command_lists_its_flags_and_no_others(call, name, flags):
    status, out, err = call(name, "--help")
    assert (status, err) == (0, "")
    listed = [line.split(":")[0][4:] for line in out.splitlines() if line.startswith("  --")]
    assert set(flags.split()) <= set(listed) and len(listed) == len(set(listed))
    assert out.startswith(f"jaxgesture {name}: ") and "Try:" in out
    assert not {"logtostderr", "help", "pdb", "subject"} & set(listed)
    assert call(name, "-h")[1] == out


def test_every_command_has_a_test_of_its_help():
    assert set(cli.COMMANDS) == {
        "prepare", "landmarks", "inspect", "train", "extract", "generate", "evaluate", "convert",
        "benchmark", "demo", "study", "plan",
    }  # fmt: skip


def test_unknown_command(fails):
    assert "no command 'trian'; did you mean 'train'?" in fails("trian")
    assert "no command 'xyz'; known are: benchmark, convert" in fails("xyz", "--help=no")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_unknown_flag_and_stray_argument(fails, name):
    message = fails(name, "--wrokdir=x")
    assert "wrokdir" in message and f"jaxgesture {name} --help" in message
    message = fails(name, *["first"] * (name == "inspect"), "stray.mp4")
    assert "'stray.mp4'" in message and f"see jaxgesture {name} --help" in message


def test_positional_value_and_dashes(call, fails):
    assert "no folder at nowhere" in fails("inspect", "nowhere") or "nowhere" in fails(
        "inspect", "nowhere"
    )
    assert fails("inspect", "nowhere") == fails("inspect", "--data=nowhere")
    assert "the first word may stand for --data" in call("inspect", "--help")[1]
    assert fails("prepare", "folder", "--max-seconds=x") == fails(
        "prepare", "folder", "--max_seconds=x"
    )
    assert "--list_downloads is not for `prepare folder`" in fails(
        "prepare", "folder", "--list-downloads"
    )


@pytest.mark.parametrize("name", ["benchmark", "convert", "evaluate"])
def test_subjects(call, fails, name):
    _, out, _ = call(name, "--help")
    assert "subject, in front of the flags:\n  animation" in out and ": what to " in out
    assert call(name, "animation", "--help") == call(name, "--help")
    message = fails(name)
    assert "name a subject, animation" in message
    assert f"jaxgesture {name} animation ...; see" in message
    message = fails(name, "animatio")
    assert f"{name} has no subject 'animatio'; did you mean 'animation'?" in message
    assert "stray" in fails(name, "animation", "--stray=1")
    message = fails(name, "animation", "motion")
    assert "'motion'" in message and "other arguments are flags" in message
    # Flags in front of it do not make it one.
    assert "'animation'" in fails(name, "--out=x.md", "animation")


def test_the_subject_reaches_the_command(monkeypatch):
    from jaxgesture.cli import convert

    found = []
    monkeypatch.setattr(convert, "SUBJECTS", ("animation", "motion"))
    monkeypatch.setattr(convert, "run", lambda: found.append(convert.FLAGS.subject))
    assert cli.run("convert", ["convert", "motion", "--out=x"]) == 0
    assert cli.run("convert", ["convert", "animation"]) == 0
    assert found == ["motion", "animation"]


def test_a_misspelt_flag_names_the_nearest(fails):
    assert "workdir" in fails("train", STAGE1, "--workdri=x").split("wor", 1)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare"], "name a subject, folder or pats or presenter"),
        (["prepare", "folder"], "--out is missing"),
        (["prepare", "folder", "--out=x"], "--videos is missing: name a folder of videos"),
        (["prepare", "pats", "--out=x"], "--intervals is missing"),
        (["prepare", "pats", "--list_downloads"], "--intervals is missing"),
        (["train"], "--config is missing: name a file, such as configs/stage1.py:debug"),
        (["train", STAGE1], "--workdir is missing"),
        (["train", STAGE1, "--workdir=runs/a@777"], "copy runs/a, delete the newer ones"),
        (["train", STAGE1, "--workdir=runs/a@best"], "ends in @best means a checkpoint"),
        (["extract"], "--animation is missing"),
        (["extract", "--animation=x"], "--data is missing"),
        (["extract", "--animation=x", "--data=y"], "--out is missing"),
        (["generate"], "--image is missing"),
        (["generate", "--image=x"], "--audio is missing"),
        (["generate", "--image=x", "--audio=y"], "--animation is missing"),
        (["generate", "--image=x", "--audio=y", "--animation=z"], "--motion is missing"),
        (["convert", "animation"], "--source is missing: name the weights to convert"),
        (["convert", "animation", "--source=x"], "--out is missing"),
        (["benchmark", "data"], "--data is missing"),
        (["evaluate", "animation"], "--weights is missing: name the workdir"),
        (["evaluate", "animation", "--weights=x"], "--data is missing"),
    ],
)  # fmt: skip
def test_missing_flags(fails, arguments, message):
    assert message in fails(*arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["prepare", "folder", "--size=large"], "size"),
        (["generate", "--guidance=much"], "guidance"),
        (["train", STAGE1, "--minutes=x"], "minutes"),
        (["train", STAGE1, "--workdir=x", "--minutes=0"], "--minutes=0 trains nothing"),
        (["train", STAGE1, "--config.optim.learning_rate=fast"], "learning_rate"),
        (["train", STAGE1, "--config.model.encoder_widths=1"], "encoder_widths"),
        (["train", STAGE1, "--config.train.seed=99999999999999999999"], "train.seed=99999"),
        (["train", STAGE1, "--start_timeout_s=nan"], "--start_timeout_s=nan"),
        (["train", STAGE1, "--peer_timeout_s=inf"], "at most 1728000, 20 days"),
        (["train", STAGE1, "--profiler_port=-1"], "profiler_port"),
        (
            ["train", STAGE1, "--config.optim.lr=1"],
            "no such key in the configuration: --config.optim.lr",
        ),
        (["plan", STAGE1, "--topology=gpu:8xh200", "--batch=\u00b2"], "give a number, or max"),
        (["plan", STAGE1, "--topology=v5e:2x2", "--json=p.txt"], "--json=p.txt: name a file"),
    ],
)
def test_values_of_the_wrong_kind(fails, tmp_path, arguments, named):
    if arguments[0] == "train":
        arguments = [*arguments, f"--workdir={tmp_path / 'w'}"]
    assert named in fails(*arguments)


def test_misspelt_configuration(fails, tmp_path):
    workdir = f"--workdir={tmp_path / 'w'}"
    message = fails("train", STAGE1, "--config.optim.learning_rat=1", workdir)
    assert "learning_rat" in message and "did you mean" in message.lower(), message
    assert "learning_rate" in message.replace("optim.learning_rat=", "")
    assert "no preset 'debgu'" in fails(
        "train", f"--config={calling.ROOT}/configs/stage1.py:debgu", workdir
    )
    message = fails(
        "train", f"--config={calling.ROOT}/configs/stage1.py:debug,no_deviatio", workdir
    )
    assert "did you mean 'no_deviation'?" in message
    message = fails("train", f"--config={tmp_path}/none.py:debug", workdir)
    assert f"{tmp_path}/none.py" in message and "give FILE:PRESET" in message
    assert not (tmp_path / "w").exists()


def test_train_without_its_data(fails, tmp_path):
    workdir = f"--workdir={tmp_path / 'w'}"
    assert "data.directory is empty" in fails("train", STAGE1, workdir)
    message = fails("train", STAGE1, workdir, f"--config.data.directory={tmp_path / 'none'}")
    assert str(tmp_path / "none") in message and "check the path" in message
    stage2 = STAGE1.replace("stage1", "stage2")
    assert "jaxgesture extract" in fails("train", stage2, workdir)
    message = fails("train", stage2, workdir, f"--config.data.directory={tmp_path / 'none'}")
    assert str(tmp_path / "none") in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "no such video or folder"),
        ("missing.mp4", "no such video or folder"),
        ("text.mp4", "text.mp4 is not a"),
        ("empty.mp4", "empty.mp4 is an empty file"),
        ("frameless.mkv", "frameless.mkv"),
        ("me.png", "is not a video file"),
    ],
)
def test_prepare_of_what_is_no_video(fails, files, tmp_path, name, message):
    out = tmp_path / "out"
    text = fails("prepare", "folder", f"--videos={files / name}", f"--out={out}", "--size=32")
    assert message in text
    assert not out.exists()


def test_prepare_uses_what_it_can(call, files, tmp_path):
    videos = f"--videos={files / 'good.mp4'},{files / 'text.mp4'}"
    out = f"--out={tmp_path / 'set'}"
    command = ("prepare", "folder", videos, out, "--size=32", "--validation=none", "--workers=0")
    status, out, _ = call(*command)
    assert status == 0 and "skipped  text.mp4" in out and "1 train clips" in out
    assert "1 of 1 videos has no sound: they serve stage 1 only" in out
    assert FrameDataset(tmp_path / "set").clips()[0].frames == 6
    status, out, _ = call(*command)
    assert status == 0 and "kept, it was made by the same command" in out


def test_prepare_into_another_dataset(call, fails, files, tmp_path):
    where = (f"--videos={files / 'good.mp4'}", f"--out={tmp_path / 'set'}", "--workers=0")
    command = ("prepare", "folder", *where)
    assert call(*command, "--size=32", "--validation=none")[0] == 0
    assert "size" in fails(*command, "--size=16", "--validation=none")
    message = fails(*command, "--size=32", "--validation=lost:4")
    assert "is not understood; use 'last:4.0'" in message
    assert "crop '1,x,2' is not understood; use center" in fails(*command, "--crop=1,x,2")
    assert "--workers=-1 must be 0 or more" in fails(*command, "--workers=-1")
    (tmp_path / "file").touch()
    assert "file" in fails("prepare", "presenter", f"--out={tmp_path / 'file'}", "--size=32")


@pytest.fixture
def generate_fails(fails, files, tmp_path):
    """Runs `generate` where it fails and writes nothing; returns the message."""

    def run(image, audio, animation, motion):
        out = tmp_path / "v.mp4"
        text = fails(
            "generate", f"--image={files / image}", f"--audio={files / audio}",
            f"--animation={animation}", f"--motion={motion}", f"--out={out}",
        )  # fmt: skip
        assert not out.exists()
        return text

    return run


@pytest.mark.parametrize(
    ("image", "audio", "message"),
    [
        ("none.png", "speech.wav", "none.png does not exist; check the path"),
        ("me.png", "nowhere.wav", "nowhere.wav does not exist; check the path"),
        ("empty.mp4", "speech.wav", "empty.mp4 is an empty file"),
        ("me.png", "speech.wav", "no folder"),
    ],
)
def test_generate_without_its_input(generate_fails, tmp_path, image, audio, message):
    assert message in generate_fails(image, audio, tmp_path / "a", tmp_path / "m")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    from generation.models import make_motion, save_models

    folder = tmp_path_factory.mktemp("models")
    save_models(folder)
    make_motion("0" * 64).save(folder / "stranger")
    return folder


@pytest.mark.parametrize(
    ("image", "audio", "motion", "message"),
    [
        ("me.png", "none.wav", "motion", "none.wav holds no audio sample"),
        ("me.png", "text.mp4", "motion", "text.mp4 is not"),
        ("me.png", "good.mp4", "motion", "good.mp4 has no audio track"),
        ("speech.wav", "speech.wav", "motion", "speech.wav"),
        ("me.png", "speech.wav", "stranger", "features of another base model"),
        ("me.png", "speech.wav", "animation", "holds a model of 'animation'; give one of 'motion'"),
    ],
)
def test_generate_with_input_of_another_kind(generate_fails, models, image, audio, motion, message):
    assert message in generate_fails(image, audio, models / "animation", models / motion)


def test_extract_without_its_input(fails, models, tmp_path):
    arguments = (f"--data={tmp_path / 'data'}", f"--out={tmp_path / 'out'}")
    assert "no folder" in fails("extract", f"--animation={tmp_path / 'none'}", *arguments)
    message = fails("extract", f"--animation={models / 'animation'}", *arguments)
    assert str(tmp_path / "data") in message


def test_numbers_that_make_no_dataset(fails, files, tmp_path):
    out = f"--out={tmp_path / 'set'}"
    assert "nan s" in fails("prepare", "presenter", out, "--seconds=nan")
    assert "inf s" in fails("prepare", "presenter", out, "--seconds=inf")
    message = fails(
        "prepare", "folder", f"--videos={files / 'good.mp4'}", out, "--validation=last:inf"
    )
    assert "is not understood" in message
