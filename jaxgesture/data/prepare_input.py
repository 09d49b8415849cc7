"""The videos that a dataset is made of, with the sound and the landmarks beside them."""

import dataclasses
import pathlib
from collections.abc import Mapping

from jaxgesture.data import cuts, landmarks, sources
from jaxgesture.data.cuts import Media
from jaxgesture.data.prepare_report import PrepareReport


@dataclasses.dataclass(frozen=True)
class VideoInput:
    """Videos that can be read, by their names.

    Attributes:
        paths: the files.
        sha256: hashes of their bytes; their order is that of the work.
        sounds: sound files beside them, None where there is none.
        landmarks: files of landmarks beside them, None where there is none.
    """

    paths: Mapping[str, pathlib.Path]
    sha256: Mapping[str, str]
    sounds: Mapping[str, pathlib.Path | None]
    landmarks: Mapping[str, pathlib.Path | None]

    @classmethod
    def read(
        cls, paths: Mapping[str, pathlib.Path], report: PrepareReport, progress: bool
    ) -> "VideoInput":
        """Reads the files for their hashes; those that cannot be read go into the report."""
        sha256, failed = sources.hashes(dict(paths), progress)
        report.skipped.update(failed)
        sounds = {name: sources.sound_beside(paths[name]) for name in sha256}
        marks = {name: landmarks.beside(paths[name]) for name in sha256}
        return cls(paths, sha256, sounds, marks)

    def digests(self) -> dict[str, Mapping[str, str]]:
        """Hashes of all files, as a dataset records what it was made from."""
        return {
            "files": self.sha256,
            "sounds": sources.digests(self.sounds),
            "landmarks": sources.digests(self.landmarks),
        }

    def open(self, name: str) -> Media:
        """A video with what lies beside it.

        Raises:
            UserError: it cannot be used.
        """
        return cuts.open_media(self.paths[name], name, self.sounds[name], self.landmarks[name])
