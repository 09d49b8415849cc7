"""The .json beside a result: everything needed to make it again, and whether that was done.

NAME.mp4.json says what NAME.mp4 was made from (hashes of picture, recording and weights), with
which options, versions and device, how long it took, and the command that makes it again. It is
written after the result, so that a result without it is none of ours, or was not finished.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shlex
from collections.abc import Mapping
from typing import Any

import jax

from jaxgesture.core import meta, tree
from jaxgesture.core.errors import UserError
from jaxgesture.data.container import check_file
from jaxgesture.generation.jobs import Job, read_record, record_path
from jaxgesture.generation.outputs import FPS
from jaxgesture.generation.target import Target

# Further differences are only counted: a message is one line.
_SHOWN = 4


@functools.lru_cache(maxsize=1024)
def _sha256(path: str, size: int, changed: int) -> str:
    del size, changed
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_sha256(path: str | os.PathLike[str]) -> str:
    """A hash of a file's bytes, or of the names and bytes of the files in a folder.

    Raises:
      UserError: it is missing or cannot be read.
    """
    folder = pathlib.Path(path).expanduser()
    if folder.is_dir():
        parts = [f"{file.name} {file_sha256(file)}\n" for file in sorted(folder.iterdir())]
        return hashlib.sha256("".join(parts).encode()).hexdigest()
    file = check_file(path)
    status = file.stat()
    return _sha256(str(file), status.st_size, status.st_mtime_ns)


@dataclasses.dataclass(frozen=True)
class Sources:
    """What all results of a call are made with.

    Attributes:
      animation: path of the base model, and the hash of its weights.
      motion: path of the motion model, and the hash of its weights.
      features: name of the audio features.
      wavlm: folder of their model, if they have one.
      options: of the motion: seed, candidates, steps, sampler, guidance, eta, selection,
        smooth_seams.
      batch: frames drawn at once.
      rows: recordings sampled at once.
      watermark: text in the frames, or None.
      provenance: the metadata of videos and pictures say what made them.
    """

    animation: tuple[str, str]
    motion: tuple[str, str]
    features: str
    wavlm: str | None
    options: Mapping[str, Any]
    batch: int
    rows: int
    watermark: str | None = None
    provenance: bool = True

    def made_from(self, job: Job) -> dict[str, Any]:
        """What a result is a function of: the part of its record that decides if it is kept.

        Raises:
          UserError: a file that cannot be read.
        """
        # A key for what is there, none for what is not: so are the records of older versions.
        marks: dict[str, Any] = {}
        if job.format != "motion":
            marks.update({"provenance": True} if self.provenance else {})
            marks.update({} if self.watermark is None else {"watermark": self.watermark})
        return {
            "image_sha256": file_sha256(job.image),
            "audio_sha256": file_sha256(job.audio),
            "animation_sha256": self.animation[1],
            "motion_sha256": self.motion[1],
            "features": self.features,
            "format": job.format,
            **self.options,
            **marks,
        }

    def command(self, job: Job) -> str:
        """The command that makes the result again, from any folder."""
        values = {
            "image": _absolute(job.image),
            "audio": _absolute(job.audio),
            "animation": _absolute(self.animation[0]),
            "motion": _absolute(self.motion[0]),
            "wavlm": _absolute(self.wavlm) if self.wavlm else None,
            "out": _absolute(job.out),
            "format": job.format,
            "preview": job.preview,
            "motion_out": _absolute(job.motion_out) if job.motion_out else None,
            **self.options,
            "watermark": self.watermark,
            "provenance": self.provenance,
            "batch": self.batch,
            "together": self.rows,
        }
        given = [f"--{name}={value}" for name, value in values.items() if value is not None]
        return shlex.join(["jaxgesture", "generate", *given])

    def write(self, job: Job, frames: int, size: int, seconds: Mapping[str, float]) -> None:
        """Writes the record of a result that is complete.

        Raises:
          UserError: it cannot be written.
        """
        about = {
            "output": job.out.name,
            "output_sha256": file_sha256(job.out),
            **({"motion_out_sha256": file_sha256(job.motion_out)} if job.motion_out else {}),
            "made_from": self.made_from(job),
            "paths": {
                "image": _absolute(job.image),
                "audio": _absolute(job.audio),
                "animation": _absolute(self.animation[0]),
                "motion": _absolute(self.motion[0]),
            },
            "frames": frames,
            "fps": FPS,
            "size": size,
            "batch": self.batch,
            "together": self.rows,
            "command": self.command(job),
            "versions": meta.versions(),
            "commit": meta.commit(),
            "device": f"{jax.devices()[0].platform}: {jax.devices()[0].device_kind}",
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
        }
        target = Target(record_path(job.out), (".json",))
        target.create()
        with target.guard():
            target.part.write_text(json.dumps(about, indent=2) + "\n")
            target.publish()

    def is_made(self, job: Job, overwrite: bool = False) -> bool:
        """Whether a result is there, whole and made from just this.

        Args:
          job: which one.
          overwrite: make it anew where something else has its name.

        Raises:
          UserError: something else has its name, saying what differs.
        """
        wanted = self.made_from(job)
        record = record_path(job.out)
        found = read_record(record)
        advice = "choose another --out, or --overwrite to replace it"
        if not job.out.exists():
            self._check_motion(job, found, overwrite)
            return False
        if found is None:
            if overwrite:
                return False
            raise UserError(
                f"{job.out} exists, and no {record.name} says how it was made; {advice}"
            )
        stored = found["made_from"]
        changed = [
            f"{name} was {_short(stored.get(name))}, now {_short(wanted.get(name))}"
            for name in sorted({*stored, *wanted})
            if stored.get(name) != wanted.get(name)
        ]
        if not changed and found.get("output_sha256") != file_sha256(job.out):
            changed = ["its content is no longer what was written"]
        if changed and not overwrite:
            more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            raise UserError(
                f"{job.out} was made from something else ({'; '.join(changed[:_SHOWN])}{more}); "
                f"{advice}"
            )
        return not changed and self._check_motion(job, found, overwrite)

    def _check_motion(self, job: Job, found: dict[str, Any] | None, overwrite: bool) -> bool:
        """Whether the motion features that are wanted beside a result are there, of its making.

        Raises:
          UserError: something else has their name.
        """
        if job.motion_out is None or not job.motion_out.exists():
            return job.motion_out is None
        if (found or {}).get("motion_out_sha256") == file_sha256(job.motion_out):
            return True
        if overwrite:
            return False
        raise UserError(
            f"{job.motion_out} exists, and no {record_path(job.out).name} says that it was made "
            f"with {job.out.name}; choose another --motion_out, or --overwrite to replace it"
        )


def sources(
    animation: tuple[str, Any],
    motion: tuple[str, Any],
    *,
    wavlm: str | None,
    options: Mapping[str, Any],
    batch: int,
    rows: int,
    watermark: str | None = None,
    provenance: bool = True,
) -> Sources:
    """The sources of a call, from the paths of both models and the loaded models."""
    return Sources(
        animation=(animation[0], animation[1].sha256),
        motion=(motion[0], tree.sha256(motion[1].variables)),
        features=motion[1].features,
        wavlm=wavlm,
        options=dict(options),
        batch=batch,
        rows=rows,
        watermark=watermark,
        provenance=provenance,
    )


def _absolute(path: Any) -> str:
    return str(pathlib.Path(path).expanduser().absolute())


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
