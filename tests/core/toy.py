"""A stage small enough to train in a test: two layers, noise, statistics, an average."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgesture.core import loop, rng, state

OPTIMIZER = optax.adam(1e-2)
WIDTH = 8


def init(key):
    def params(name):
        return {"kernel": jax.random.normal(rng.stream(key, name), (4, WIDTH)) / 2}

    return state.create_state(
        one=state.create_network(params("one"), OPTIMIZER, stats={"mean": jnp.zeros(4)}, ema=True),
        two=state.create_network({"out": jax.random.normal(rng.stream(key, "two"), (WIDTH, 1))},
                                 OPTIMIZER),
    )  # fmt: skip


def step(train_state, batch, key):
    one, two = train_state.networks["one"], train_state.networks["two"]

    def loss_fn(kernel, out):
        x = batch["x"] + 0.01 * jax.random.normal(key, batch["x"].shape)
        return jnp.mean((jnp.tanh(x @ kernel["kernel"]) @ out["out"] - batch["y"]) ** 2)

    loss, grads = jax.value_and_grad(loss_fn, argnums=(0, 1))(one.params, two.params)
    stats = {"mean": 0.9 * one.stats["mean"] + 0.1 * jnp.mean(batch["x"], axis=0)}
    one, norm = state.apply_gradients(one, grads[0], OPTIMIZER, ema_decay=0.9, stats=stats)
    two, _ = state.apply_gradients(two, grads[1], OPTIMIZER)
    return train_state.replace(networks={"one": one, "two": two}), {"loss": loss, "update": norm}


def batches(start, size=8, bad=None):
    index = start
    while True:
        x = np.random.Generator(np.random.PCG64(index)).standard_normal((size, 4)).astype("f4")
        if index == bad:
            x[0, 0] = np.nan
        yield {"x": x, "y": x[:, :1] * 2.0}
        index += 1


def stage(width=WIDTH, **changes):
    meta = {"config": {"model": {"width": width}, "train": {"steps": 1, "seed": 0}}, "note": "x"}
    return loop.Stage(**{"name": "toy", "init": init, "step": step, "meta": meta, **changes})
