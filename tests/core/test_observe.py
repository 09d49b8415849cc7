import json
import pathlib
import types

import jax
import numpy as np
import pytest
import toy

from jaxgesture.core import loop, observe
from jaxgesture.core.checkpoint import CheckpointConfig
from jaxgesture.core.errors import UserError
from jaxgesture.core.sharding import MeshConfig, make_mesh


def speed(monkeypatch, kind, stats=None, examples=64):
    device = types.SimpleNamespace(device_kind=kind, memory_stats=lambda: stats)
    monkeypatch.setattr(observe.jax, "local_devices", lambda: [device])
    return observe.Speed(types.SimpleNamespace(size=4), examples)  # pyright: ignore


def test_speed_of_a_chip_whose_peak_is_known(monkeypatch):
    counted = speed(monkeypatch, "TPU v5 lite", {"peak_bytes_in_use": 2**31})
    program = types.SimpleNamespace(
        cost_analysis=lambda: {"flops": 197e12 / 4}, as_text=lambda: "no loop"
    )
    counted.compiled(program)
    found = counted.values(steps=10, seconds=5.0, waited=1.0)
    assert found.pop("host_memory_gib") > 0.01
    assert found == pytest.approx(
        {
            "examples_per_second": 128, "examples_per_second_per_device": 32, "step_seconds": 0.5,
            "data_wait": 0.2, "device_memory_gib": 2.0, "share_of_peak": 0.5,
        }
    )  # fmt: skip


def test_of_a_step_with_a_loop_no_share_of_the_peak_is_told(monkeypatch):
    """The compiler counts one turn of it."""
    counted = speed(monkeypatch, "TPU v5 lite")
    matrix = np.ones((8, 8), np.float32)
    loop = jax.jit(lambda x: jax.lax.fori_loop(0, 9, lambda i, y: y @ x, x)).lower(matrix)
    counted.compiled(loop.compile())
    assert "share_of_peak" not in counted.values(1, 1.0, 0.0)
    counted.compiled(jax.jit(lambda x: x @ x).lower(matrix).compile())
    assert counted.values(1, 1.0, 0.0)["share_of_peak"] > 0


def test_nothing_is_claimed_of_a_device_that_is_not_known():
    counted = observe.Speed(make_mesh(MeshConfig(), jax.devices()[:1]), 8)
    program = jax.jit(lambda x: x @ x).lower(np.ones((8, 8), np.float32)).compile()
    counted.compiled(program)
    assert {"share_of_peak", "device_memory_gib"}.isdisjoint(counted.values(1, 1.0, 0.0))


def test_hosts_that_lag_are_named():
    waits = np.full((8, 2), 0.01)
    assert observe.lagging(waits) == ""
    waits[3] = 0.4, 0.05
    line = observe.lagging(waits)
    assert line.startswith("lagging: process 3 (40% waiting for data, 5% at other work)")
    assert line.endswith("the usual one spends 2% so")


def test_a_trace_of_two_steps(tmp_path, capsys):
    train = loop.TrainConfig(steps=5, log_every=5)
    loop.run(
        toy.stage(), toy.batches, tmp_path, train, CheckpointConfig(), MeshConfig(), profile="2:3"
    )
    assert "traced steps 2 to 3 into" in capsys.readouterr().err
    assert list(pathlib.Path(tmp_path, "profile").rglob("*.xplane.pb"))
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["speed/step_seconds"] > 0


def test_a_trace_of_steps_that_are_not_done(tmp_path):
    train = loop.TrainConfig(steps=3, log_every=5)
    run = (toy.stage(), toy.batches, tmp_path, train, CheckpointConfig(), MeshConfig())
    with pytest.raises(UserError, match=r"--profile=4:5: this run does steps 1 to 3; name some"):
        loop.run(*run, profile="4:5")


def test_a_trace_that_the_run_ends_before(tmp_path):
    train = loop.TrainConfig(steps=2, log_every=5)
    run = (toy.stage(), toy.batches, tmp_path, train, CheckpointConfig(), MeshConfig())
    loop.run(*run, profile="2:9")
    assert list(pathlib.Path(tmp_path, "profile").rglob("*.xplane.pb"))


@pytest.mark.parametrize("text", ["5", "0:2", "4:3", "a:b", "1:2:3"])
def test_steps_that_are_no_range(tmp_path, text):
    with pytest.raises(UserError, match=r"--profile=.* give FIRST:LAST"):
        observe.Trace(text, tmp_path)
