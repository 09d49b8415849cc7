import json
import math

import pytest
import toy

from jaxgesture.core import loop, sharding
from jaxgesture.core.checkpoint import CheckpointConfig, restore_networks
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.export import restore_trained

SCORES = {2: 1.0, 4: 3.0, 6: 2.0, 8: 3.0, 10: 2.5}


def run(workdir, steps, *, scores=SCORES, every=3, eval_every=2, **config):
    stage = toy.stage(evaluate=lambda now, step, writer: {"score": scores.get(step, 0.5), "b": 1})
    return loop.run(
        stage,
        toy.batches,
        workdir,
        loop.TrainConfig(steps=steps, log_every=10, eval_every=eval_every),
        CheckpointConfig(every_steps=every, **config),
        sharding.MeshConfig(),
    )


def steps(workdir):
    names = (path.name for path in (workdir / "checkpoints").iterdir())
    return sorted(int(name) for name in names if name.isdigit())


def test_the_newest_and_every_so_many_steps_stay(tmp_path):
    run(tmp_path, 13, every=1, keep=2, keep_every_steps=5)
    assert steps(tmp_path) == [5, 10, 12, 13]
    run(tmp_path, 14, every=1, keep=1, keep_every_steps=0)
    assert steps(tmp_path) == [14]
    run(tmp_path, 17, every=1, keep=0)
    assert steps(tmp_path) == [14, 15, 16, 17]


def test_the_best_step_stays_whenever_it_was_evaluated(tmp_path):
    run(tmp_path, 7, keep=1, best_metric="score")
    # Step 4 is not one of the every three, and it is the best.
    assert steps(tmp_path) == [4, 7]
    assert restore_networks(tmp_path, step="best")[1]["step"] == 4
    assert restore_networks(tmp_path)[1]["step"] == 7
    # Equal is not better.
    run(tmp_path, 11, keep=1, best_metric="score")
    assert steps(tmp_path) == [4, 11]
    assert restore_trained(f"{tmp_path}@best", "one", "toy")[1]["step"] == 4
    saved = json.loads((tmp_path / "checkpoints" / "scores.json").read_text())
    assert saved["steps"]["4"] == {"score": 3.0, "b": 1.0}
    # What counts may be changed; the scores of what is on disk are known.
    run(tmp_path, 13, keep=1, best_metric="score", best_mode="min")
    assert restore_networks(tmp_path, step="best")[1]["step"] == 11
    assert steps(tmp_path) == [11, 13]


def test_a_best_step_that_is_gone_is_followed_by_the_next(tmp_path):
    run(tmp_path, 8, keep=0, every=1, best_metric="score")
    assert restore_networks(f"{tmp_path}@best")[1]["step"] == 4
    (tmp_path / "checkpoints" / "4" / "meta" / "metadata").unlink()
    with pytest.raises(UserError, match="can be read .*meta/metadata is missing"):
        restore_networks(f"{tmp_path}@best")
    (tmp_path / "checkpoints" / "4").rename(tmp_path / "checkpoints" / "4.damaged")
    assert restore_networks(f"{tmp_path}@best")[1]["step"] == 8


def test_what_is_not_finite_is_never_best(tmp_path):
    run(tmp_path, 6, scores={2: math.nan, 4: 1.0, 6: math.inf}, keep=1, best_metric="score")
    assert restore_networks(f"{tmp_path}@best")[1]["step"] == 4


@pytest.mark.parametrize("last", [2, 4])
def test_a_metric_that_is_not_measured_names_those_that_are(tmp_path, last):
    scores = {2: 5.0, 4: 1.0}
    with pytest.raises(UserError, match="best_metric='psnr' .* it measures b, score; .* goes on"):
        run(tmp_path, last, scores=scores, best_metric="psnr")
    assert steps(tmp_path) == [2]  # none was due, and nothing that was trained is lost
    run(tmp_path, last, scores=scores, keep=1, best_metric="score")
    assert restore_networks(f"{tmp_path}@best")[1]["step"] == 2


def test_wrong_wishes_are_refused(tmp_path):
    with pytest.raises(UserError, match="best_metric='score' needs evaluations"):
        run(tmp_path, 2, best_metric="score", eval_every=0)
    with pytest.raises(UserError, match="best_mode='most' must be max or min"):
        CheckpointConfig(best_mode="most")
    with pytest.raises(UserError, match="keep_every_steps=-1"):
        CheckpointConfig(keep_every_steps=-1)
    run(tmp_path, 2)
    with pytest.raises(UserError, match=r"had no checkpoint\.best_metric; .* instead, 2"):
        restore_networks(f"{tmp_path}@best")
    (tmp_path / "checkpoints" / "scores.json").write_text("{")
    with pytest.raises(UserError, match="scores.json is damaged .* delete it"):
        run(tmp_path, 4)


def test_scores_that_cannot_be_written_do_not_end_the_run(tmp_path):
    (tmp_path / "checkpoints" / "scores.tmp").mkdir(parents=True)
    with pytest.warns(DataWarning, match="measured at step 2 could not be written"):
        run(tmp_path, 2, best_metric="score")
    assert steps(tmp_path) == [2]
