import warnings

import jax
import numpy as np
import pytest
import toy

from jaxgesture.core import checkpoint, sharding, state
from jaxgesture.core.checkpoint import CheckpointConfig, Checkpoints, restore_networks
from jaxgesture.core.errors import DataWarning, UserError

KEY = jax.random.key(0)
# Orbax leaves reads behind when one of several fails; they end after their event loop.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh(sharding.MeshConfig(), jax.devices()[:1])


@pytest.fixture(scope="module")
def first(mesh):
    return state.initialize(toy.init, KEY, mesh)


@pytest.fixture(scope="module")
def target(mesh):
    shapes = state.abstract(toy.init, KEY)
    return sharding.with_shardings(shapes, sharding.state_shardings(shapes, mesh))


def changed(value, amount):
    return jax.tree.map(lambda x: x + np.asarray(amount, x.dtype), value)


def damage(folder):
    """Cuts every data file of a step short."""
    files = [path for path in (folder / "state").rglob("*") if path.is_file()]
    for path in files:
        if "_METADATA" not in path.name:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def assert_same(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_save_restore_and_cadence(tmp_path, first, target):
    with Checkpoints(tmp_path, CheckpointConfig(every_steps=2, keep=2)) as checkpoints:
        assert checkpoints.latest() is None and checkpoints.meta() is None
        saved = [checkpoints.save(s, changed(first, s), {"batch": s}, {"m": [1]}) for s in range(7)]
        assert saved == [True, False] * 3 + [True]
        assert checkpoints.save(7, changed(first, 7), {"batch": 7}, {}, force=True)
        assert not checkpoints.save(7, first, {}, {}, force=True)
        checkpoints.wait()
        assert checkpoints.latest() == 7
        got, data, meta = checkpoints.restore(target)
        assert_same(got, changed(first, 7))
        assert (data, meta) == ({"batch": 7}, {})
        got, data, meta = checkpoints.restore(target, step=6)
        assert_same(got, changed(first, 6))
        assert (data, meta) == ({"batch": 6}, {"m": [1]})
        with pytest.raises(UserError, match="no checkpoint of step 2 .* there are 6, 7"):
            checkpoints.restore(target, step=2)


def test_a_saved_state_may_be_donated_at_once(tmp_path, first, target):
    bump = jax.jit(lambda s: changed(s, 1), donate_argnums=0)
    now = jax.tree.map(lambda x: x + 0, first)
    with Checkpoints(tmp_path, CheckpointConfig(every_steps=1, keep=0)) as checkpoints:
        for s in range(4):
            checkpoints.save(s, now, {}, {})
            now = bump(now)
        checkpoints.wait()
        for s in range(4):
            assert int(checkpoints.restore(target, step=s)[0].step) == s


def test_a_damaged_newest_step_is_set_aside(tmp_path, first, target):
    with Checkpoints(tmp_path, CheckpointConfig(every_steps=1)) as checkpoints:
        for s in (1, 2):
            checkpoints.save(s, changed(first, s), {"batch": s}, {"stage": "toy"})
    damage(tmp_path / "checkpoints" / "2")
    with pytest.warns(DataWarning, match="step 1 is used"):
        networks, meta = restore_networks(tmp_path)
    assert meta["step"] == 1 and (tmp_path / "checkpoints" / "2").exists()
    assert_same(networks["one"].params, changed(first, 1).networks["one"].params)
    with Checkpoints(tmp_path, CheckpointConfig(every_steps=1)) as checkpoints:
        with pytest.warns(DataWarning, match="checkpoints/2 cannot be read"):
            got, data, _ = checkpoints.restore(target)
        assert_same(got, changed(first, 1))
        assert data == {"batch": 1} and checkpoints.latest() == 1
        assert checkpoints.save(2, changed(first, 2), {"batch": 2}, {"stage": "toy"})
    assert (tmp_path / "checkpoints" / "2.damaged").is_dir()
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints, warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        assert_same(checkpoints.restore(target)[0], changed(first, 2))


def test_only_damaged_steps_are_an_error(tmp_path, first, target):
    with Checkpoints(tmp_path, CheckpointConfig(every_steps=1)) as checkpoints:
        checkpoints.save(1, first, {}, {})
    damage(tmp_path / "checkpoints" / "1")
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        with pytest.raises(UserError, match="no checkpoint in .* can be read"):
            checkpoints.restore(target)
    assert (tmp_path / "checkpoints" / "1").is_dir()


def test_leftovers_of_a_kill_are_removed_and_do_not_count(tmp_path, first, target):
    with Checkpoints(tmp_path, CheckpointConfig(every_steps=1)) as checkpoints:
        checkpoints.save(1, first, {}, {})
    leftover = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    (leftover / "state").mkdir(parents=True)
    assert restore_networks(tmp_path)[1]["step"] == 1
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        assert checkpoints.latest() == 1
        checkpoints.save(2, first, {}, {}, force=True)
    assert not leftover.exists() and restore_networks(tmp_path)[1]["step"] == 2


def test_another_network_is_named(tmp_path, first, target):
    with Checkpoints(tmp_path, CheckpointConfig(every_steps=1)) as checkpoints:
        checkpoints.save(1, first, {}, {})
        two = target.networks["two"]
        wider = jax.ShapeDtypeStruct((9, 1), np.float32, sharding=two.params["out"].sharding)
        other = target.replace(
            networks={**target.networks, "two": two.replace(params={"out": wider})}
        )
        with pytest.raises(
            UserError, match=r"networks/two/params/out with \(\(8, 1\), 'float32'\)"
        ):
            checkpoints.restore(other)
    assert (tmp_path / "checkpoints" / "1").is_dir()


def test_networks_alone(tmp_path, first):
    with Checkpoints(tmp_path, CheckpointConfig(every_steps=1)) as checkpoints:
        checkpoints.save(4, first, {}, {"config": {"a": 1}})
    before = sorted(path.name for path in (tmp_path / "checkpoints").rglob("*"))
    networks, meta = restore_networks(tmp_path)
    assert meta == {"config": {"a": 1}, "step": 4}
    for name, network in first.networks.items():
        assert_same(networks[name].params, network.params)
        assert_same(networks[name].stats, network.stats)
        assert networks[name].opt_state is None
    assert_same(networks["one"].ema, first.networks["one"].ema)
    assert networks["two"].ema is None
    assert networks["one"].params["kernel"].devices() == {jax.devices()[0]}
    some, _ = restore_networks(tmp_path, names=["one"], parts=("ema", "stats"))
    assert list(some) == ["one"] and some["one"].params is None
    assert_same(some["one"].stats, first.networks["one"].stats)
    with pytest.raises(UserError, match="no network 'three'; it has one, two"):
        restore_networks(tmp_path, names=["three"])
    assert before == sorted(path.name for path in (tmp_path / "checkpoints").rglob("*"))


def test_a_folder_without_checkpoints(tmp_path, target):
    with pytest.raises(UserError, match="holds no trained model; train one there"):
        restore_networks(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
    with Checkpoints(tmp_path, CheckpointConfig()) as checkpoints:
        with pytest.raises(UserError, match="holds no trained model"):
            checkpoints.restore(target)


def test_folder_name_is_stable():
    assert checkpoint.FOLDER == "checkpoints"
