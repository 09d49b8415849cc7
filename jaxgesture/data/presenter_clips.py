"""A frame dataset of the synthetic presenter."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from jaxgesture.core.errors import UserError
from jaxgesture.data import audio, boxes
from jaxgesture.data.clips import ClipData
from jaxgesture.data.frame_writer import frame_settings
from jaxgesture.data.prepare_report import PrepareReport, kept, write

_FPS = float(audio.FRAME_RATE)
# A clip's seed has so much room for its number, and for that of its identity.
_ROOM = 1000


@dataclasses.dataclass(frozen=True)
class _Take:
    """One clip of one identity."""

    identity: int
    take: int
    seed: int
    validation: bool
    seconds: float
    size: int

    @property
    def name(self) -> str:
        return f"presenter seed {self.seed} identity {self.identity}"

    def clips(self) -> Iterator[ClipData]:
        from jaxgesture.data import presenter

        play = presenter.perform(self.seed, self.identity, self.seconds, self.size, int(_FPS))
        rows = audio.features(play.audio, play.sample_rate, frames=len(play.frames))
        places = np.stack([play.boxes[part] for part in boxes.PARTS], axis=1)
        yield ClipData(
            id=f"identity{self.identity:02d}-take{self.take:03d}",
            split="validation" if self.validation else "train",
            frames=play.frames,
            audio=rows,
            speaker=f"identity{self.identity:02d}",
            source=self.name,
            boxes=boxes.within(places, (0, 0, self.size, self.size)),
        )


def prepare_presenter(
    out: str | os.PathLike,
    *,
    identities: int | Sequence[int] = 8,
    clips: int = 6,
    seconds: float = 8.0,
    size: int = 256,
    seed: int = 0,
    validation_clips: int = 1,
    validation_identities: Sequence[int] = (),
    image_format: str = "jpeg",
    quality: int = 95,
    workers: int = 0,
    progress: bool = True,
) -> PrepareReport:
    """Makes a frame dataset of the synthetic presenter. No two clips say the same.

    Args:
        out: folder of the dataset. One that the same call made is kept as it is, one that it
            began is gone on with.
        identities: how many identities are trained on (the first ones), or which.
        clips: clips of every identity, at most 1000.
        seconds: length of a clip.
        size: side of the frames, pixels, 32 to 1024.
        seed: another seed, other performances.
        validation_clips: of the clips of every identity, so many are for validation.
        validation_identities: more identities, for validation only, each with `validation_clips`
            clips, or one.
        image_format: "jpeg" or "png".
        quality: of JPEG, 1 to 100.
        workers: processes; 0 does the work in this one.
        progress: show a progress bar.

    Raises:
        UserError: `out` holds something else, or an argument is wrong.
    """
    known = tuple(range(identities)) if isinstance(identities, int) else tuple(identities)
    held_out = tuple(validation_identities)
    if not 0 < seconds < math.inf:
        raise UserError(f"clips of {seconds} s cannot be made; choose a number above 0")
    if not known or clips < 1 or not 0 <= validation_clips < clips:
        raise UserError(
            f"{len(known)} identities with {clips} clips, {validation_clips} of them for "
            "validation: at least one identity and one training clip are needed"
        )
    if clips > _ROOM:
        raise UserError(f"{clips} clips of an identity would say the same; choose at most {_ROOM}")
    if len({*known, *held_out}) != len(known) + len(held_out):
        raise UserError("an identity is named twice; training and validation ones must differ")
    arguments = {
        "made_by": "prepare_presenter",
        "identities": list(known),
        "clips": clips,
        "seconds": seconds,
        "seed": seed,
        "validation_clips": validation_clips,
        "validation_identities": list(held_out),
    }
    settings = frame_settings(size, _FPS, audio.AUDIO_SIZE, image_format, quality)
    report = PrepareReport(pathlib.Path(out).expanduser())
    if kept(report, settings, arguments):
        return report
    takes = []
    for identity in (*known, *held_out):
        count = max(validation_clips, 1) if identity in held_out else clips
        for take in range(count):
            validation = identity in held_out or take >= clips - validation_clips
            # One number per clip of any identity, so that no two clips share a performance.
            take_seed = (seed * _ROOM + identity) * _ROOM + take
            takes.append(_Take(identity, take, take_seed, validation, seconds, size))
    total = round(len(takes) * seconds * _FPS)
    write(report, takes, settings, arguments, total, progress, workers)
    return report
