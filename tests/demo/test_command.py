"""`jaxgesture demo`: which line the command runs, and what it prints."""

import pytest
from cli import calling

from jaxgesture.demo import line
from jaxgesture.demo.settings import LONG, DemoSettings

RESULTS = {
    "stage1/psnr": 23.456, "stage1/psnr_mean_frame": 22.0, "stage1/psnr_wrong_driving": 21.0,
    "stage1/psnr_source_unchanged": 20.0, "stage2/mouth_own_speech": 0.37,
    "stage2/mouth_other_speech": 0.06,
}  # fmt: skip


@pytest.fixture
def ran(monkeypatch):
    """The demos that were run, without doing anything."""
    found = []

    def run(demo):
        found.append((demo.settings, demo.record["command"], demo.out))
        return RESULTS

    monkeypatch.setattr(line.Demo, "run", run)
    return found


@pytest.mark.parametrize(
    ("words", "settings"),
    [((), DemoSettings()), (("--long",), LONG)],
    ids=["usual", "long"],
)
def test_settings_and_results(ran, capsys, tmp_path, words, settings):
    assert calling.call("demo", f"--out={tmp_path / 'x'}", *words) == 0
    command = " ".join((f"jaxgesture demo --out={tmp_path / 'x'}", *words))
    assert ran == [(settings, command, tmp_path / "x")]
    out = capsys.readouterr().out
    assert "held-out clips: 23.46 dB; mean frame 22.00, wrong driving 21.00, source" in out
    assert "own speech 0.37, other speech 0.06" in out
    assert out.endswith(f"see {tmp_path / 'x' / 'index.html'}\n")


def test_a_smoke_test_is_small_and_has_someone_new(ran, tmp_path):
    assert calling.call("demo", "--smoke", f"--out={tmp_path}") == 0
    ((settings, command, _),) = ran
    assert settings.stage1_steps < 10 > settings.stage2_steps and command.endswith(" --smoke")
    assert settings.held_out and settings.clips > 1
    assert {speech.identity for speech in settings.measured} <= {*range(2), *settings.held_out}


def test_a_folder_of_other_settings_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(line.Demo, "run", lambda demo: demo._save_record() or RESULTS)
    assert calling.call("demo", "--smoke", f"--out={tmp_path}") == 0
    capsys.readouterr()
    assert calling.call("demo", f"--out={tmp_path}") == 1
    told = capsys.readouterr()
    assert not told.out and told.err.startswith(f"jaxgesture: error: {tmp_path} was made with oth")
    assert told.err.count("\n") == 1


def test_a_file_in_place_of_the_folder_is_one_line(ran, capsys, tmp_path):
    (tmp_path / "x").touch()
    assert calling.call("demo", f"--out={tmp_path / 'x'}") == 1 and not ran
    err = capsys.readouterr().err
    assert err.startswith("jaxgesture: error: ") and "File exists" in err
