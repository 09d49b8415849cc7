"""Sizes of the demo: who is held out, and which configurations it starts from."""

import importlib.metadata

import pytest

import jaxgesture
from jaxgesture.core.errors import UserError
from jaxgesture.demo import settings
from jaxgesture.demo.settings import LONG, DemoSettings


@pytest.mark.parametrize("sizes", [DemoSettings(), LONG], ids=["usual", "long"])
def test_nobody_who_is_held_out_was_trained_on(sizes):
    trained = set(range(sizes.identities))
    assert sizes.held_out and trained.isdisjoint(sizes.held_out)
    assert sizes.performance.identity in sizes.held_out
    # The last clip of each speaker is held out; one at least is left to train on.
    assert sizes.clips > 1


@pytest.mark.parametrize(
    ("sizes", "cast"),
    [
        (DemoSettings(), [0, 1, 2, 100, 101, 0]),
        (DemoSettings(identities=1, held_out=(7,), speeches=4), [0, 7, 0, 7]),
        (DemoSettings(identities=9, held_out=(50,), speeches=3), [0, 1, 2]),
        (DemoSettings(speeches=0), []),
    ],
)
def test_speakers_of_the_measured_speeches_take_turns(sizes, cast):
    assert [speech.identity for speech in sizes.measured] == cast


def test_every_measured_speech_has_words_of_its_own():
    sizes = DemoSettings(speeches=20)
    seeds = [speech.seed for speech in sizes.measured]
    assert len(set(seeds)) == 20 and sizes.performance.seed not in seeds


@pytest.mark.parametrize("name", ["stage1", "stage2", "pose_autoencoder"])
def test_a_configuration_is_read_anew_each_time(name):
    first, second = (settings.load_config(name, "debug") for _ in range(2))
    assert first.to_dict() == second.to_dict() and "train" in first
    first.train.steps = 12345
    assert second.train.steps != 12345 != settings.load_config(name, "debug").train.steps


def test_a_preset_that_there_is_not():
    with pytest.raises(UserError, match="no preset 'debgu' .*did you mean 'debug'"):
        settings.load_config("stage1", "debgu")


def test_without_a_clone_around_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(jaxgesture, "__file__", str(tmp_path / "site" / "jaxgesture/__init__.py"))
    monkeypatch.setattr(importlib.metadata, "files", lambda name: None)
    with pytest.raises(UserError, match=r"site/configs/stage1\.py is missing; .* from a clone"):
        settings.load_config("stage1", "debug")


def test_of_an_installed_package_they_are_where_pip_put_them(tmp_path, monkeypatch):
    """Beside the package there is no clone, and pip lists what it installed."""
    put = tmp_path / "share" / "jaxgesture" / "configs" / "stage1.py"
    put.parent.mkdir(parents=True)
    put.write_text(settings.config_file("stage1").read_text())
    site = tmp_path / "lib" / "site"
    site.mkdir(parents=True)
    monkeypatch.setattr(jaxgesture, "__file__", str(site / "jaxgesture" / "__init__.py"))

    def listed(name):
        file = importlib.metadata.PackagePath("../../share/jaxgesture/configs/stage1.py")
        other = importlib.metadata.PackagePath("../../share/other/stage1.py")
        for path in (file, other):
            path.dist = importlib.metadata.PathDistribution(site / "jaxgesture.dist-info")
        return [other, file]

    monkeypatch.setattr(importlib.metadata, "files", listed)
    assert settings.config_file("stage1") == put
    assert settings.load_config("stage1", "debug").model.size == 64
    with pytest.raises(UserError, match=r"configs/stage2\.py is missing; install jaxgesture anew"):
        settings.config_file("stage2")
