"""A folder of made-up videos, and how the tests prepare it."""

import numpy as np

from jaxgesture.data.prepare import prepare_folder

SIZE = 32
RATE = 16000


def grey_levels(frames: int) -> np.ndarray:
    """The grey level that tells which frame it is: coarse enough to survive a lossy codec."""
    return 20 + (np.arange(frames) * 37) % 210


def video(path, frames: int, sound_seconds: float | None = None, fps: int = 25) -> None:
    """A made-up video whose frames are plain grey, with clicks at every second as its sound."""
    import av

    with av.open(str(path), "w") as out:
        picture = out.add_stream("libx264", rate=fps, options={"crf": "10", "g": "12"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        voice = out.add_stream("aac", rate=RATE, layout="mono") if sound_seconds else None
        for level in grey_levels(frames):
            image = np.full((48, 64, 3), level, np.uint8)
            out.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(picture.encode())
        if voice is not None:
            samples = np.random.default_rng(0).normal(size=round((sound_seconds or 0) * RATE)) / 20
            samples[::RATE] = 0.9
            frame = av.AudioFrame.from_ndarray(
                samples.astype(np.float32)[None], format="fltp", layout="mono"
            )
            frame.sample_rate = RATE
            out.mux(voice.encode(frame))
            out.mux(voice.encode())


def folder_of_videos(folder):
    """Fills a folder: two videos with sound, one without, and three files that are none."""
    (folder / "jon").mkdir()
    video(folder / "jon" / "a long one.mp4", 100, sound_seconds=4.0)
    video(folder / "mute #1.mkv", 30)
    video(folder / "short.mp4", 30, sound_seconds=1.2)
    (folder / "text.mp4").write_text("not a video at all")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def prepare_quickly(videos, out, **keywords):
    settings = {"size": SIZE, "image_format": "png", "progress": False, "validation": "last:1.2"}
    return prepare_folder(videos, out, **{**settings, **keywords})
