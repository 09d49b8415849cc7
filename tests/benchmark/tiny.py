"""The smallest benchmark: few layers, one level of the pyramid, two repeats."""

from animation.training import MODEL

from jaxgesture.benchmark.animation import Options
from jaxgesture.demo.settings import load_config

CHANGES = {
    **{f"model.{name}": value for name, value in MODEL.items()},
    "discriminator.widths": (4, 6),
    "discriminator.strides": (2, 1),
    "discriminator.kernel": 3,
    "optim.warmup_steps": 0,
}
# All that stage 1 has; features random.
LOSSES = {
    "loss.scales": (1,),
    "loss.perceptual": 1.0,
    "loss.local": 1.0,
    "loss.local_size": 8,
    "loss.adversarial": 0.1,
    "loss.adversarial_start": 10,
}


def make_config(**changes):
    config = load_config("stage1", "debug")
    config.update_from_flattened_dict({**CHANGES, **changes})
    return config


def options(**changes):
    default = {
        "batches": (2,), "train_batch": 2, "precisions": ("float32",), "ways": ("eager",),
        "repeats": 2, "seconds": 1.0,
    }  # fmt: skip
    return Options(**{**default, **changes})
