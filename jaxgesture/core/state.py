"""The training state of a stage: one pytree, whatever the number of networks in it."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from jaxgesture.core import sharding
from jaxgesture.core.types import PyTree

T = TypeVar("T")


@flax.struct.dataclass
class Network:
    """One trained network.

    Attributes:
        params: its parameters.
        stats: its running statistics (Flax's "batch_stats"), `{}` where it has none.
        opt_state: what its optimiser remembers.
        ema: the exponential moving average of `params`, or None.
    """

    params: PyTree
    stats: PyTree
    opt_state: PyTree
    ema: PyTree | None = None

    @property
    def eval_params(self) -> PyTree:
        """What the network is judged and used with: the average where there is one."""
        return self.params if self.ema is None else self.ema


@flax.struct.dataclass
class TrainState:
    """Everything a step changes: the number of steps done, and the networks by name."""

    step: Int[Array, ""]
    networks: dict[str, Network]


def create_network(
    params: PyTree,
    optimizer: optax.GradientTransformation,
    *,
    stats: PyTree | None = None,
    ema: bool = False,
) -> Network:
    """Returns a network before its first step, from its initial parameters."""
    # Copies, because a donated state must not hold one buffer twice.
    average = jax.tree.map(jnp.copy, params) if ema else None
    return Network(params, {} if stats is None else stats, optimizer.init(params), average)


def create_state(**networks: Network) -> TrainState:
    """Returns the state at step 0."""
    return TrainState(jnp.zeros((), jnp.int32), dict(networks))


def abstract(init: Callable[[Array], T], key: Array) -> T:
    """Returns the state's shapes and types (`jax.ShapeDtypeStruct`) without computing anything."""
    return jax.eval_shape(init, key)


def initialize(
    init: Callable[[Array], T], key: Array, mesh: Mesh, rules: Sequence[sharding.Rule] = ()
) -> T:
    """Computes the initial state, every leaf born on the devices where it will live.

    The values do not depend on the mesh.
    """
    shardings = sharding.state_shardings(abstract(init, key), mesh, rules)

    def compute(key: Array) -> T:
        # A Python number's weak type would not survive a checkpoint, and may steer promotion.
        return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), init(key))

    # It runs once: compiling it with care takes longer than it saves.
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    options: Any = {"xla_backend_optimization_level": 0} if on_cpu else None
    lowered = jax.jit(compute, out_shardings=shardings).lower(key)
    return lowered.compile(compiler_options=options)(key)


@jax.named_scope("optimiser")
def apply_gradients(
    network: Network,
    grads: PyTree,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float | None = None,
    ema_warmup: bool = False,
    step: Int[Array, ""] | None = None,
    stats: PyTree | None = None,
    only: Sequence[str] | None = None,
) -> tuple[Network, Float[Array, ""]]:
    """Does one optimiser step, and moves the average of the parameters if there is one.

    Args:
        network: the network before the step.
        grads: a pytree like `network.params`.
        optimizer: the transformation that made `network.opt_state`.
        ema_decay: weight of the old average; required if, and only if, `network.ema` is there.
        ema_warmup: use min(ema_decay, (1 + step) / (10 + step)), so that the initial values are
            forgotten quickly.
        step: number of steps done before this one; needed by `ema_warmup`.
        stats: new running statistics; the old ones stay if None.
        only: the parts of `network.params` that move, by name; all of it if None. The optimiser's
            state advances for all.

    Returns:
        The network after the step, and the global norm of the parameters' change.

    Raises:
        ValueError: if the arguments on the average do not fit each other.
    """
    if (ema_decay is None) != (network.ema is None):
        raise ValueError("ema_decay must be given if, and only if, the network has an average")
    updates, opt_state = optimizer.update(grads, network.opt_state, network.params)
    if only is not None:
        # Weight decay would move parts whose gradient is zero.
        parts: Any = updates
        if unknown := set(only) - set(parts):
            raise ValueError(f"no part {', '.join(sorted(unknown))} in {', '.join(parts)}")
        updates = {
            name: part if name in only else jax.tree.map(jnp.zeros_like, part)
            for name, part in parts.items()
        }
    params = optax.apply_updates(network.params, updates)
    average = network.ema
    if ema_decay is not None:
        decay = jnp.asarray(ema_decay, jnp.float32)
        if ema_warmup:
            if step is None:
                raise ValueError("ema_warmup needs step")
            decay = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
        # e + (1 - d)(p - e) keeps an average that equals its parameters exactly where it is.
        average = jax.tree.map(
            lambda e, p: e + ((1.0 - decay) * (p - e)).astype(e.dtype), average, params
        )
    new = Network(params, network.stats if stats is None else stats, opt_state, average)
    return new, optax.tree.norm(updates)
