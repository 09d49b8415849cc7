"""jaxgesture: speech-driven gesture video.

One picture of a speaker and any speech recording in; a video of that person talking and gesturing
in time with the speech out.

    animation = jaxgesture.load_animation("runs/stage1")
    motion = jaxgesture.load_motion("runs/stage2")
    jaxgesture.generate("me.png", "speech.wav", animation=animation, motion=motion, out="me.mp4")

Nothing heavy is imported before one of these names is used.
"""

import importlib

__version__ = "0.1.0"

_LAZY = {
    "Animation": "jaxgesture.animation.model",
    "Motion": "jaxgesture.motion.model",
    "UserError": "jaxgesture.core.errors",
    "extract": "jaxgesture.generation.extraction",
    "generate": "jaxgesture.generation.pipeline",
    "load_animation": "jaxgesture.animation.model",
    "load_motion": "jaxgesture.motion.model",
    "read_audio": "jaxgesture.data.sound",
    "read_image": "jaxgesture.data.image",
}

__all__ = ["__version__", *sorted(_LAZY)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    """Imports a public name at its first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'jaxgesture' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
