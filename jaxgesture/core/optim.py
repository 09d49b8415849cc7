"""Optimisers and learning-rate schedules, made from one configuration section."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping

import jax.numpy as jnp
import optax

from jaxgesture.core.adan import adan
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Array, PyTree

OPTIMIZERS = ("adam", "adamw", "adan", "sgd")
SCHEDULES = ("constant", "cosine", "step")


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """How parameters are updated.

    Attributes:
        name: "adam", "adamw", "adan" or "sgd" (with momentum `b1`).
        learning_rate: the peak rate.
        b1: decay of the first moment; for "adan" the weight of the newest gradient.
        b2: decay of the second moment; for "adan" the weight of the newest gradient change.
        b3: for "adan" only, the weight of the newest squared gradient.
        eps: added to the root of the second moment.
        weight_decay: decoupled for "adamw", proximal for "adan"; the others take none.
        clip_norm: gradients are scaled down to this global norm; 0 leaves them alone.
        schedule: "constant", "cosine" (to `final_fraction` of the peak at the last step) or
            "step" (times `decay_factor` at each of `boundaries`).
        warmup_steps: steps of linear growth from 0, before the schedule starts.
        boundaries: steps, counted from the start of this optimiser, of the "step" schedule.
        decay_factor: see `schedule`.
        final_fraction: see `schedule`.
        ema_decay: weight of the old value in the running average of the parameters, the one
            that is used after training; 0 keeps no average.
        ema_warmup: start with a shorter average, min(ema_decay, (1 + step) / (10 + step)).
        accumulate: parts into which a batch is cut; their gradients are averaged before the one
            update, so that only a part must fit into memory. Batch statistics are those of the
            parts.
    """

    name: str = "adam"
    learning_rate: float = 2e-4
    b1: float = 0.9
    b2: float = 0.999
    b3: float = 0.01
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    schedule: str = "constant"
    warmup_steps: int = 0
    boundaries: tuple[int, ...] = ()
    decay_factor: float = 0.1
    final_fraction: float = 0.0
    ema_decay: float = 0.0
    ema_warmup: bool = False
    accumulate: int = 1

    def __post_init__(self):
        if not 0 <= self.learning_rate < math.inf:
            raise UserError(
                f"optim.learning_rate={self.learning_rate} learns nothing; choose 0 or more"
            )
        if self.name == "adan":  # weights of the newest value
            self._check_weights(("b1", "b2", "b3"), lambda b: 0 < b <= 1, "more than 0, at most 1")
        else:
            self._check_weights(("b1", "b2"), lambda b: 0 <= b < 1, "0 or more, below 1")
        self._check_weights(("ema_decay",), lambda b: 0 <= b < 1, "0 or more, below 1")
        if self.warmup_steps < 0:
            raise UserError(f"optim.warmup_steps={self.warmup_steps} must not be negative")
        if self.accumulate < 1:
            raise UserError(f"optim.accumulate={self.accumulate} must be 1 (whole batches) or more")

    def _check_weights(self, names: Iterable[str], fits: Callable[[float], bool], bounds: str):
        for name in names:
            if not fits(getattr(self, name)):
                raise UserError(f"optim.{name}={getattr(self, name)} is no weight; choose {bounds}")


def make_schedule(config: OptimConfig, total_steps: int) -> optax.Schedule:
    """Returns the learning rate as a function of the number of steps already done.

    Raises:
        UserError: for an unknown schedule, or a warm-up longer than the training.
    """
    rate, warmup = config.learning_rate, config.warmup_steps
    if config.schedule == "constant":
        schedule = optax.constant_schedule(rate)
    elif config.schedule == "cosine":
        if warmup >= total_steps:
            raise UserError(
                f"optim.warmup_steps={warmup} leaves nothing of train.steps={total_steps} for the "
                "cosine schedule; lower optim.warmup_steps or train longer"
            )
        schedule = optax.cosine_decay_schedule(rate, total_steps - warmup, config.final_fraction)
    elif config.schedule == "step":
        scales = {boundary - warmup: config.decay_factor for boundary in config.boundaries}
        if min(scales, default=1) <= 0:
            raise UserError(
                f"optim.boundaries={config.boundaries} must lie after "
                f"optim.warmup_steps={warmup}; move the boundary or shorten the warm-up"
            )
        schedule = optax.piecewise_constant_schedule(rate, scales)
    else:
        raise UserError(
            f"optim.schedule={config.schedule!r} is not known; use one of {', '.join(SCHEDULES)}"
        )
    if not warmup:
        return schedule
    return optax.join_schedules([optax.linear_schedule(0.0, rate, warmup), schedule], [warmup])


def make_optimizer(config: OptimConfig, total_steps: int) -> optax.GradientTransformation:
    """Returns the optimiser, schedule and clipping included; its updates are added to parameters.

    Raises:
        UserError: for an unknown name, or a weight decay the optimiser does not have.
    """
    rate = make_schedule(config, total_steps)
    if config.weight_decay and config.name in ("adam", "sgd"):
        raise UserError(
            f"optim.weight_decay={config.weight_decay} has no effect with "
            f"optim.name={config.name!r}; use adamw or adan, or set it to 0"
        )
    if config.name == "adam":
        optimizer = optax.adam(rate, config.b1, config.b2, config.eps)
    elif config.name == "adamw":
        optimizer = optax.adamw(
            rate, config.b1, config.b2, config.eps, weight_decay=config.weight_decay
        )
    elif config.name == "adan":
        optimizer = adan(
            rate,
            b1=config.b1,
            b2=config.b2,
            b3=config.b3,
            eps=config.eps,
            weight_decay=config.weight_decay,
        )
    elif config.name == "sgd":
        optimizer = optax.sgd(rate, momentum=config.b1 or None)
    else:
        raise UserError(
            f"optim.name={config.name!r} is not known; use one of {', '.join(OPTIMIZERS)}"
        )
    if config.clip_norm:
        return optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)
    return optimizer


def grad_norms(grads: Mapping[str, PyTree], name: str = "grad_norm") -> dict[str, Array]:
    """The gradient's global norm, `name`, and the norm of each part, `name`_PART.

    Parts are what the parameters are named by; numbered ones, as "layer_0" and "layer_1", are one.
    """
    squares: dict[str, Array] = {}
    for part, values in grads.items():
        one = optax.tree.norm(values, squared=True)
        part = part.rstrip("0123456789").rstrip("_") or part
        squares[part] = squares[part] + one if part in squares else one
    norms = {f"{name}_{part}": jnp.sqrt(square) for part, square in squares.items()}
    return {name: jnp.sqrt(sum(squares.values())), **norms}


def free_keys(config: OptimConfig) -> tuple[str, ...]:
    """The keys of a training configuration that may differ when a run is resumed."""
    free = ("data.directory", "data.workers", "train.log_every", "train.eval_every",
            "checkpoint", "eval", "mesh", "model.remat", "model.remat_policy",
            "optim.accumulate")  # fmt: skip
    # A cosine schedule hangs on the number of steps: another number is another training.
    return free if config.schedule == "cosine" else (*free, "train.steps")
