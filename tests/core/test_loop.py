import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from jaxgesture.core import loop, rng, state
from jaxgesture.core.checkpoint import CheckpointConfig, restore_networks
from jaxgesture.core.errors import UserError
from jaxgesture.core.loop import TrainConfig
from jaxgesture.core.metrics import read_scalars
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.core.types import Weighted


def run(workdir, steps, *, stage=None, batches=toy.batches, every=0, log=2, limit=None, **options):
    train = TrainConfig(
        steps=steps,
        log_every=log,
        eval_every=options.pop("eval_every", 0),
        seed=options.pop("seed", 0),
    )
    return loop.run(
        stage or toy.stage(),
        batches,
        workdir,
        train,
        CheckpointConfig(every_steps=every),
        MeshConfig(),
        time_limit_s=limit,
        **options,
    )


def assert_same(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_six_steps_are_three_and_three(tmp_path):
    whole = run(tmp_path / "whole", 6)
    run(tmp_path / "parts", 3, log=3)
    parts = run(tmp_path / "parts", 6)
    assert int(whole.step) == 6
    assert_same(whole, parts)
    again = run(tmp_path / "again", 6, every=1)
    assert_same(whole, again)
    other = run(tmp_path / "seed", 6, seed=1)
    assert not np.array_equal(whole.networks["one"].params["kernel"],
                              other.networks["one"].params["kernel"])  # fmt: skip


def test_the_loop_does_what_a_plain_loop_does(tmp_path):
    key = jax.random.key(0)
    expected = toy.init(rng.stream(key, "init"))
    data = toy.batches(0)
    for index in range(4):
        batch = {name: jnp.asarray(rows) for name, rows in next(data).items()}
        expected, _ = toy.step(expected, batch, rng.step_key(key, index))
    got = run(tmp_path, 4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        got.networks,
        expected.networks,
    )


def test_a_step_traces_once(tmp_path):
    traces = []

    def step(*arguments):
        traces.append(1)
        return toy.step(*arguments)

    run(tmp_path, 5, stage=toy.stage(step=step), every=2, log=1)
    assert len(traces) == 1


def test_the_opening_has_a_step_of_its_own(tmp_path):
    traces = []

    def opening(now, batch, key):
        traces.append("opening")
        new, metrics = toy.step(now, batch, key)
        kept = {**new.networks, "two": now.networks["two"]}
        return new.replace(networks=kept), {"read": metrics["loss"]}

    def step(*arguments):
        traces.append("step")
        return toy.step(*arguments)

    judged = []

    def evaluate(now, step, writer):
        judged.append(step)
        return {}

    stage = toy.stage(step=step, opening=opening, opening_steps=3, evaluate=evaluate)
    whole = run(tmp_path / "whole", 6, stage=stage, eval_every=1)
    assert judged == [4, 5, 6]
    # The step is traced before the opening, so that a mistake in it shows at once.
    assert traces == ["step", "opening", "step"]
    lines = [x for x in read_scalars(tmp_path / "whole") if "speed/data_wait" in x]
    first, second, third = lines
    assert "train/loss" not in first and "train/read" in first
    # Steps 3 and 4 are of either kind: each mean is of the steps that have the metric.
    assert second["train/loss"] > 0 and second["train/read"] > 0
    assert "train/read" not in third
    alone = run(tmp_path / "parts", 3, stage=stage, log=3)
    start = toy.init(rng.stream(jax.random.key(0), "init"))
    assert_same(alone.networks["two"], start.networks["two"])
    assert_same(whole, run(tmp_path / "parts", 6, stage=stage))
    run(tmp_path / "early", 2, stage=stage)
    assert_same(whole, run(tmp_path / "early", 6, stage=stage))


def test_frozen_arrays_go_to_every_step_and_into_no_checkpoint(tmp_path):
    seen = []

    def step(train_state, batch, key, frozen):
        seen.append(frozen)
        new, metrics = toy.step(train_state, batch, key)
        return new, {**metrics, "scale": frozen["scale"].sum()}

    meta = toy.stage().meta
    frozen = {"scale": np.full(3, 2.0, np.float32)}
    given = {**meta, "frozen_sha256": "one"}
    stage = toy.stage(step=step, frozen=frozen, opening=step, opening_steps=2, meta=given)
    plain = run(tmp_path / "plain", 4, stage=toy.stage(opening=toy.step, opening_steps=2))
    judged = run(tmp_path / "judged", 4, stage=stage)
    assert_same(plain, judged)
    values = [line["train/scale"] for line in read_scalars(tmp_path / "judged")]
    assert values == [6.0, 6.0]
    # Traced, so that no program holds them as constants.
    assert all(isinstance(f["scale"], jax.core.Tracer) for f in seen)
    for other in (meta, {**meta, "frozen_sha256": "two"}):
        changed = toy.stage(step=step, frozen=frozen, meta=other)
        with pytest.raises(UserError, match="other weights of the networks in its loss"):
            run(tmp_path / "judged", 6, stage=changed)
    with pytest.raises(UserError, match="other weights of the networks in its loss"):
        run(tmp_path / "plain", 6, stage=stage)


def test_metrics_are_window_means_and_resume_without_duplicates(tmp_path):
    run(tmp_path / "each", 6, log=1)
    losses = [line["train/loss"] for line in read_scalars(tmp_path / "each")]
    run(tmp_path / "pairs", 6, log=2)
    lines = read_scalars(tmp_path / "pairs")
    assert [line["step"] for line in lines] == [2, 4, 6]
    np.testing.assert_allclose(
        [line["train/loss"] for line in lines], np.mean(np.reshape(losses, (3, 2)), 1), rtol=1e-6
    )
    assert all(line["speed/examples_per_second"] > 0 for line in lines)
    assert all(0 <= line["speed/data_wait"] <= 1 for line in lines)
    # As after a kill -9: lines beyond the checkpoint, the last one cut.
    with (tmp_path / "each" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "train/loss": 1}\n{"step": 8, "tr')
    run(tmp_path / "each", 8, log=1)
    assert [line["step"] for line in read_scalars(tmp_path / "each")] == list(range(1, 9))


def test_evaluation_and_hooks(tmp_path):
    seen, hooked = [], []

    def evaluate(now, step, writer):
        seen.append((step, int(now.step)))
        return {"score": step}

    stage = toy.stage(evaluate=evaluate)
    hooks = [lambda step, now, metrics: hooked.append((step, sorted(metrics)))]
    run(tmp_path, 5, stage=stage, eval_every=2, hooks=hooks)
    assert seen == [(2, 2), (4, 4), (5, 5)]
    assert hooked == [(s, ["loss", "update"]) for s in (2, 4, 5)]
    scores = {line["step"]: line["eval/score"] for line in read_scalars(tmp_path)
              if "eval/score" in line}  # fmt: skip
    assert scores == {2: 2.0, 4: 4.0, 5: 5.0}
    run(tmp_path, 5, stage=stage)
    assert len(seen) == 3
    # Killed between the last save and its evaluation.
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:-1]))
    run(tmp_path, 5, stage=stage)
    assert seen[3:] == [(5, 5)]


@pytest.mark.parametrize("log", [1, 4, 100])
def test_the_first_step_that_is_not_finite_is_named_and_never_saved(tmp_path, log):
    def batches(start):
        return toy.batches(start, bad=5)

    with pytest.raises(UserError, match=r"loss is nan.* at step 6 of toy; .*checkpoint 4 is good"):
        run(tmp_path, 20, batches=batches, every=2, log=log)
    networks, meta = restore_networks(tmp_path)
    assert meta["step"] == 4
    assert np.all(np.isfinite(networks["one"].params["kernel"]))


def test_a_bad_state_behind_good_metrics_is_not_saved(tmp_path):
    def step(now, batch, key):
        now, metrics = toy.step(now, batch, key)
        one = now.networks["one"]
        spoil = jnp.where(now.step == 3, jnp.nan, 0.0)
        one = one.replace(stats={"mean": one.stats["mean"] + spoil})
        return now.replace(networks={**now.networks, "one": one}), metrics

    with pytest.raises(UserError, match=r"one/stats/mean holds .* at step 4 .*checkpoint 2"):
        run(tmp_path, 20, stage=toy.stage(step=step), every=2)
    assert restore_networks(tmp_path)[1]["step"] == 2


def test_a_workdir_of_another_configuration(tmp_path):
    run(tmp_path, 1)
    with pytest.raises(UserError, match=r"model\.width was 8, now 9.* another --workdir"):
        run(tmp_path, 2, stage=toy.stage(width=9))
    with pytest.raises(UserError, match="of stage 'toy', not 'other'"):
        run(tmp_path, 2, stage=toy.stage(name="other"))
    run(tmp_path, 2, stage=toy.stage(width=9), free=("model", "train"))
    meta = restore_networks(tmp_path)[1]
    assert meta["note"] == "x" and meta["config"]["model"]["width"] == 9
    assert meta["versions"]["jax"] == jax.__version__


def test_a_folder_with_other_files_is_fine_and_a_file_is_not(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    run(tmp_path, 1)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(UserError, match="is a file"):
        run(tmp_path / "notes.txt", 1)


def test_data_that_ends_and_data_that_fails(tmp_path):
    def short(start):
        data = toy.batches(start)
        return iter([next(data), next(data)])

    with pytest.raises(UserError, match="data ends before step 3 of 6"):
        run(tmp_path / "short", 6, batches=short)

    def broken(start):
        yield next(toy.batches(start))
        raise UserError("clip 3 is damaged; delete it")

    with pytest.raises(UserError, match="clip 3"):
        run(tmp_path / "broken", 6, batches=broken)


def test_a_time_limit_saves_and_evaluates(tmp_path, capsys):
    def slow(start):
        for batch in toy.batches(start):
            time.sleep(0.05)
            yield batch

    evaluated = []
    stage = toy.stage(evaluate=lambda now, step, writer: evaluated.append(step) or {})
    now = run(tmp_path, 100_000, stage=stage, batches=slow, limit=1.0, log=1000)
    done = int(now.step)
    assert 0 < done < 100_000 and evaluated == [done]
    assert restore_networks(tmp_path)[1]["step"] == done
    assert read_scalars(tmp_path)[0]["step"] == done
    assert "stopped at the time limit" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_save_and_exit(tmp_path, capsys, number, status):
    def batches(start):
        for index, batch in enumerate(toy.batches(start), start):
            if index == 6:
                os.kill(os.getpid(), number)
            yield batch

    handlers = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(SystemExit) as caught:
        run(tmp_path, 10_000, batches=batches)
    assert caught.value.code == status
    assert handlers == [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    done = restore_networks(tmp_path)[1]["step"]
    assert 0 < done < 10_000
    assert f"saved step {done} of 10000; the same command resumes" in capsys.readouterr().err
    assert_same(run(tmp_path, done + 2), run(tmp_path / "whole", done + 2))


def test_metrics_must_be_scalars(tmp_path):
    stage = toy.stage(step=lambda now, batch, key: (now, {"loss": jnp.zeros(3)}))
    with pytest.raises(ValueError, match=r"metric 'loss' has shape \(3,\)"):
        run(tmp_path, 1, stage=stage)


def test_a_weighted_metric_is_averaged_over_what_was_seen(tmp_path):
    def step(now, batch, key):
        now, metrics = toy.step(now, batch, key)
        odd = (now.step % 2).astype(jnp.float32)
        seen = Weighted(odd * now.step, odd)
        never = Weighted(jnp.zeros(()), jnp.zeros(()))
        return now, {**metrics, "seen": seen, "never": never}

    run(tmp_path, 6, stage=toy.stage(step=step), log=3)
    lines = [line for line in read_scalars(tmp_path) if "train/loss" in line]
    # Of the steps 0 to 2 only 1 counts, of 3 to 5 both odd ones.
    assert [line["train/seen"] for line in lines] == [1.0, 4.0]
    assert not any("train/never" in line for line in lines)


def test_wrong_lengths_are_refused():
    with pytest.raises(UserError, match="train.log_every=0"):
        TrainConfig(log_every=0)


KILLED = """
import sys, toy
from jaxgesture.core import loop, checkpoint, sharding
loop.run(toy.stage(), toy.batches, sys.argv[1], loop.TrainConfig(steps=100000, log_every=1),
         checkpoint.CheckpointConfig(every_steps=3), sharding.MeshConfig())
"""


def test_kill_9_loses_at_most_the_steps_since_the_last_save(tmp_path):
    here = os.path.dirname(os.path.abspath(__file__))
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])},
        stderr=subprocess.DEVNULL,
    )
    try:
        folder, end = tmp_path / "killed" / "checkpoints", time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            if folder.is_dir() and any(int(d.name) >= 6 for d in folder.iterdir()
                                       if d.name.isdigit()):  # fmt: skip
                break
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    done = restore_networks(tmp_path / "killed")[1]["step"]
    assert done >= 6 and done % 3 == 0
    assert_same(run(tmp_path / "killed", done + 2), run(tmp_path / "whole", done + 2))
    steps = [line["step"] for line in read_scalars(tmp_path / "killed")]
    assert steps == sorted(set(steps)) and steps[-1] == done + 2


def test_initial_values_do_not_depend_on_weak_types(tmp_path):
    from jaxgesture.core import sharding

    def init(key):
        return state.create_state(n=state.create_network({"a": jnp.full(2, 1.0)}, toy.OPTIMIZER))

    made = state.initialize(init, jax.random.key(0), sharding.make_mesh(MeshConfig()))
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(made))


def test_a_run_keeps_others_out_of_its_folder_and_asks_the_other_processes(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(loop.meta, "check_processes", lambda *given: asked.append(given))

    def second(step, state, means):
        with pytest.raises(UserError, match="another run is at work in"):
            run(tmp_path, 2)

    run(tmp_path, 2, hooks=[second])
    stage, given = asked[0]
    assert stage == toy.stage().name and given["workdir"] == tmp_path.name
    assert given["config"] == toy.stage().meta["config"]
    run(tmp_path, 4)
