"""The measurement adds up and says what it measured."""

import json
import time

import numpy as np
import pytest
from cli import calling

from jaxgesture.core.errors import UserError
from jaxgesture.data import throughput
from jaxgesture.data.datasets import ClipData, write_frames


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    images = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    out = tmp_path_factory.mktemp("frames") / "set"
    return write_frames(out, [ClipData("a", "train", images)], size=64)


def test_parts_and_rates(frames):
    found = throughput.measure(frames, workers=(0,), seconds=0.2, batch_size=4)
    assert found.size == 64 and found.image_format == "jpeg" and found.augment_on == "device"
    parts = found.read + found.decode + found.augment
    # The whole also draws and looks up; both are the fastest rounds on a busy machine.
    assert 0.7 * parts < found.pair < 5 * parts
    assert found.decode_limit == pytest.approx(1 / found.decode)
    assert found.rates.keys() == {0} and found.rates[0] > 0
    assert found.share == pytest.approx(found.core_rate * found.decode)
    on_host = throughput.measure(frames, workers=(0,), seconds=0.2, batch_size=4, augment_on="host")
    assert on_host.augment > 2 * found.augment


def test_a_slow_part_is_seen(frames, monkeypatch):
    before = throughput.measure(frames, workers=(0,), seconds=0.1, batch_size=4)
    read = frames.records.read

    def slow(split, index):
        end = time.thread_time() + 1e-3
        while time.thread_time() < end:
            pass
        return read(split, index)

    monkeypatch.setattr(frames.records, "read", slow)
    found = throughput.measure(frames, workers=(0,), seconds=0.1, batch_size=4)
    assert found.read > 2e-3 > before.read
    assert found.pair > 2e-3 and found.decode < 2e-3
    assert found.core_rate < 500


@pytest.mark.slow
def test_workers(frames):
    found = throughput.measure(frames, workers=(2,), seconds=0.2, batch_size=4)
    assert found.rates.keys() == {2} and found.rates[2] > 0
    assert found.core_rate is None and found.share is None
    assert "of decoding alone" not in found.markdown()


def test_table_and_values():
    found = throughput.Throughput(
        size=256, image_format="jpeg", augment_on="host", read=1e-4, decode=5e-4, augment=3e-4,
        pair=1e-3, rates={0: 812.4, 2: 1500.0}, core_rate=800.0, cores=2,
    )  # fmt: skip
    text = found.markdown()
    assert "256-pixel JPEG frames, changed on host; 2 cores" in text
    rows = ["0 | 812", "2 | 1500", "read | 100 | 10%", "decode | 500 | 50%", "augment | 300 | 30%"]
    for row in (*rows, "rest | 100 | 10%", "all | 1000 | 100%"):
        assert f"| {row} |" in text.splitlines()
    assert "800 pairs per second of a core" in text and "40% of the 2000" in text
    assert json.loads(json.dumps(found.values()))["decode_limit"] == 2000


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"seconds": 0}, "0 seconds of measuring"),
        ({"workers": ()}, "such as 0,1,2"),
        ({"workers": (0, -1)}, "such as 0,1,2"),
        ({"augment_on": "moon"}, "use 'device' or 'host'"),
        ({"split": "test"}, "no 'test' clips"),
    ],
)
def test_wrong_arguments(frames, keywords, message):
    with pytest.raises(UserError, match=message):
        throughput.measure(frames, **keywords)


def test_the_command(tmp_path, capsys):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 32, 32, 3), np.uint8)
    write_frames(tmp_path / "set", [ClipData("a", "train", images)], size=32)
    files = [tmp_path / "speed.md", tmp_path / "speed.json"]
    command = ["benchmark", "data", f"--data={tmp_path / 'set'}", "--workers=0", "--seconds=0.2"]
    assert calling.call(*command, f"--out={files[0]},{files[1]}") == 0
    assert files[0].read_text().strip() == capsys.readouterr().out.strip()
    assert json.loads(files[1].read_text())["size"] == 32
    assert calling.call(*command, "--workers=x") == 1
    assert "--workers=x must be whole numbers" in capsys.readouterr().err
