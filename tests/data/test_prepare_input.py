"""Videos and what lies beside them: hashes of all of it, and what cannot be read."""

import hashlib

import numpy as np
from media import make_video

from jaxgesture.data.prepare_input import VideoInput
from jaxgesture.data.prepare_report import PrepareReport


def test_what_lies_beside_a_video_goes_with_it(tmp_path):
    pictures = [np.full((32, 32, 3), 90, np.uint8)] * 3
    paths = {f"{name}.mp4": tmp_path / f"{name}.mp4" for name in ("a", "b", "lost")}
    for name in ("a", "b"):
        make_video(paths[f"{name}.mp4"], pictures)
    (tmp_path / "a.wav").write_bytes(b"sound")
    report = PrepareReport(tmp_path / "set")
    found = VideoInput.read(paths, report, progress=False)
    assert list(report.skipped) == ["lost.mp4"] and "cannot be read" in report.skipped["lost.mp4"]
    assert found.digests() == {
        "files": {
            name: hashlib.sha256(paths[name].read_bytes()).hexdigest()
            for name in ("a.mp4", "b.mp4")
        },
        "sounds": {"a.mp4": hashlib.sha256(b"sound").hexdigest()},
        "landmarks": {},
    }
    assert found.open("a.mp4").sound == tmp_path / "a.wav"
    assert found.open("b.mp4").sound is None and found.open("b.mp4").info.width == 32
