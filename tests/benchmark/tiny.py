"""The smallest benchmarks: few layers, one level of the pyramid, two repeats."""

from animation.training import MODEL

from jaxgesture.benchmark import motion
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


MOTION = {
    "model.feature_size": 21,
    "model.audio_size": 35,
    "model.segment_frames": 8,
    "model.width": 16,
    "model.feedforward": 16,
    "model.heads": 2,
    "model.layers": 1,
    "model.audio_layers": 1,
}


def motion_config(**changes):
    config = load_config("stage2", "debug")
    config.update_from_flattened_dict({**MOTION, **changes})
    return config


def motion_options(**changes):
    default = {
        "batches": (2,), "train_batch": 4, "precisions": ("float32",), "ways": ("eager",),
        "repeats": 2, "seconds": 1.0, "steps": 3, "speech": 0.6,
    }  # fmt: skip
    return motion.Options(**{**default, **changes})
