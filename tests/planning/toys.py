"""A small subject: two products in a named scope, one step of gradient descent."""

import jax
import jax.numpy as jnp

from jaxgesture.core.accumulate import gradients
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.planning.subjects import EVERYWHERE, KEY, ROWS, STATE, Argument, Subject, array

WIDTH = 128


def toy(mesh: MeshConfig | None = None) -> Subject:
    def loss(weights, rows):
        with jax.named_scope("first"):
            hidden = jnp.tanh(rows @ weights["first"])
        with jax.named_scope("second"):
            return (hidden @ weights["second"]).mean()

    def step(weights, rows, key):
        del key
        value, slope, *_ = gradients(
            lambda weights, rows, *_: (loss(weights, rows), ({}, {}, {})), weights, rows, {}, 1
        )
        return jax.tree.map(lambda w, s: w - s, weights, slope), value

    weights = {"first": array(WIDTH, WIDTH), "second": array(WIDTH, WIDTH)}
    return Subject(
        stage="toy", what="train", function=step,
        arguments=(
            Argument("weights", STATE, weights),
            Argument("rows", ROWS, array(WIDTH)),
            Argument("key", EVERYWHERE, KEY),
        ),
        results=(STATE, EVERYWHERE), parameters={"toy": 2 * WIDTH**2}, unit="examples", frames=0,
        batch_size=4, steps=3600, mesh=mesh or MeshConfig(), dtype="float32", network="Toy",
    )  # fmt: skip
