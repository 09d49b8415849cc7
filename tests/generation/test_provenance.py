"""The entry that says what made a video or picture, read back with other readers."""

import json
import struct

import av
import numpy as np
import pytest
from animation.training import write_clips
from generation.models import make_animation
from PIL import Image

import jaxgesture
from jaxgesture.core.errors import UserError
from jaxgesture.data.video import read_frames
from jaxgesture.generation import held_out_videos, provenance
from jaxgesture.generation.outputs import FrameFolder
from jaxgesture.generation.watermark import Watermark
from jaxgesture.generation.writer import VideoWriter

FACTS = {"seed": 7, "image_sha256": "ab" * 32, "guidance": 2.0, "sampler": "ddim"}
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
SENTENCE = f"synthetic: made by jaxgesture {jaxgesture.__version__}"


def write(path, comment, count=4):
    frames = np.arange(count * 48 * 48 * 3, dtype=np.uint8).reshape(count, 48, 48, 3)
    with VideoWriter(path, 48, comment=comment) as writer:
        writer.write(frames)
    return path


def metadata(path, **options):
    with av.open(str(path), options=options) as container:
        return {name.lower(): text for name, text in container.metadata.items()}


def boxes(data: bytes):
    """(type, content) of the outermost boxes of an MP4 file."""
    while data:
        length, kind = struct.unpack(">I4s", data[:8])
        yield kind.decode(), data[8:length]
        data = data[length:]


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".webm"])
def test_the_comment_of_a_video(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", provenance.describe(FACTS))
    text = metadata(path)["comment"]
    assert text.startswith(SENTENCE + " {") and text.isascii()
    about = json.loads(text[len(SENTENCE) :])
    assert about == {"digital_source_type": TRAINED, **FACTS}
    assert provenance.read(path) == (SENTENCE, about)
    assert len(list(read_frames(path))) == 4


def test_mp4_has_the_tags_that_all_readers_know(tmp_path):
    path = write(tmp_path / "a.mp4", provenance.describe(FACTS))
    data = path.read_bytes()
    # The atom of iTunes and of file managers, not the keys of QuickTime.
    assert b"\xa9cmt" in data and b"mdta" not in data
    found = list(boxes(data))
    assert [kind for kind, _ in found] == ["ftyp", "moov", "free", "mdat", "uuid"]
    # FFmpeg knows the box of XMP by its number.
    packet = metadata(path, export_xmp="1")["xmp"]
    assert f'Iptc4xmpExt:DigitalSourceType="{TRAINED}"' in packet
    assert found[-1][1].endswith(packet.encode())


def test_a_copy_keeps_the_comment(tmp_path):
    """By FFmpeg, without coding the frames anew, into either container."""
    for suffix, other in ((".mp4", ".mkv"), (".webm", ".webm"), (".mp4", ".mp4")):
        path = write(tmp_path / f"a{suffix}", provenance.describe(FACTS))
        with av.open(str(path)) as given, av.open(str(tmp_path / f"b{other}"), "w") as copy:
            copy.metadata.update(given.metadata)
            stream = copy.add_stream_from_template(given.streams.video[0])
            for packet in given.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    copy.mux(packet)
        assert provenance.read(tmp_path / f"b{other}") == provenance.read(path)


def test_pictures(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    for name, comment in (("with", provenance.describe(FACTS)), ("without", None)):
        with FrameFolder(tmp_path / name, comment) as folder:
            folder.write(frames)
    for number in range(2):
        path = tmp_path / f"with/{number:06d}.png"
        assert provenance.read(path) == (SENTENCE, {"digital_source_type": TRAINED, **FACTS})
        with Image.open(path) as picture:
            assert TRAINED in picture.info["XML:com.adobe.xmp"]
            np.testing.assert_array_equal(np.asarray(picture), frames[number])
        assert b"tEXtComment\0synthetic: made by" in path.read_bytes()
        plain = tmp_path / f"without/{number:06d}.png"
        with Image.open(plain) as picture:
            assert not picture.info
        assert provenance.read(plain) is None


def test_without(tmp_path):
    for suffix in (".mp4", ".webm"):
        path = write(tmp_path / f"a{suffix}", None)
        assert provenance.read(path) is None
        assert "comment" not in metadata(path) and b"adobe" not in path.read_bytes()


def test_the_same_call_the_same_bytes(tmp_path):
    made = [write(tmp_path / f"{n}.mp4", provenance.describe(FACTS)).read_bytes() for n in "ab"]
    assert made[0] == made[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a comment",
        'synthetic: made by hand {"seed": ',
        "synthetic: made by hand",
        '{"seed": 0}',
    ],
)
def test_other_comments(text):
    assert provenance.parse(text) is None


def test_what_is_no_video_or_picture(tmp_path):
    for name, message in (
        ("a.png", "is not a readable PNG picture"),
        ("a.mp4", "not a readable video file"),
    ):
        (tmp_path / name).write_text("text")
        with pytest.raises(UserError, match=message):
            provenance.read(tmp_path / name)
    for name in ("none.png", "none.mp4"):
        with pytest.raises(UserError, match="does not exist"):
            provenance.read(tmp_path / name)


def test_videos_of_held_out_clips(tmp_path):
    """What is drawn says so, what was recorded does not; none has a watermark."""
    animation, dataset = make_animation(), write_clips(tmp_path / "frames", frames=4)
    clip = dataset.clip("b")
    making = held_out_videos.Making(animation, None, dataset, [clip], seed=5)
    folders = held_out_videos.make_videos(making, tmp_path / "out")
    (true,), (drawn,) = (folders[name].rglob("*.mp4") for name in ("true", "redrawn"))
    assert provenance.read(true) is None
    entry = provenance.read(drawn)
    assert entry is not None and entry.facts == {
        "digital_source_type": TRAINED,
        "set": "redrawn",
        "clip": "b",
        "animation_sha256": animation.sha256,
        "motion_sha256": None,
        "dataset_sha256": dataset.sha256,
        "seed": 5,
    }
    with np.load(drawn.with_suffix(".npz")) as arrays:
        motion = arrays["motion"]
    source = animation.encode_source(np.asarray(dataset.frames(clip)[0], np.float32) / 255)
    expected = np.concatenate(list(held_out_videos.render(animation, source, motion)))
    found, mark = np.stack(list(read_frames(drawn))), Watermark("AI-generated", 64)
    top, bottom, left, right = mark.box

    def darker(frames):
        return abs(float((frames.astype(float) - found)[:, top:bottom, left:right].mean()))

    # A plate would darken its box by more than the codec does.
    assert darker(expected) < 3 < 20 < darker(mark.draw(expected))
