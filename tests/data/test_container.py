"""Opening media: which files are media, which track is meant, and what a file says of its times."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from media import make_video, number_frame
from PIL import Image

from jaxgesture.core.errors import UserError
from jaxgesture.data import container, decoded, sound

RATE = 16000


def _frames(count, width=32, height=24):
    return [number_frame(i, width, height) for i in range(count)]


def _tone(seconds):
    return (0.3 * np.sin(np.arange(round(seconds * RATE)) / 20)).astype(np.float32)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Ten pictures and a longer sound track, as MP4 and as Matroska."""
    folder = tmp_path_factory.mktemp("spoken")
    return {
        suffix: make_video(folder / f"a{suffix}", _frames(10), sound=(_tone(0.6), RATE))
        for suffix in (".mp4", ".mkv")
    }


@pytest.mark.parametrize(
    "name", ["12:30.mp4", "#1 100%.mp4", "-v.mp4", "Größe 話す 🙂.mp4", "~a.mp4"]
)
def test_names_are_names_and_no_protocols(tmp_path, monkeypatch, name):
    make_video(tmp_path / "plain.mp4", _frames(3)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert container.check_file(name) == tmp_path / name
    with container.open_media(name, "video") as media:
        stream = container.video_stream(media)
        assert len(list(container.decode(media, stream, container.Damage()))) == 3


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.bin").write_bytes(b"x")
    assert container.check_file("~/a.bin") == tmp_path / "a.bin"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is a directory; give a file"),
        (b"", "is an empty file; copy or download it again"),
        (
            b"\x00" * 999,
            r"is not a readable video file \(.+\); give a video file, or copy it again",
        ),
        (b"a line of text\n" * 99, "a video file"),
    ],
)
def test_what_is_no_media_file(tmp_path, content, reason):
    path = tmp_path / "a.mp4"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=reason):
        container.open_media(path, "video")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".txt"])
def test_pictures_and_text_are_no_media(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".txt":
        path.write_text("\x1b[31mred\x1b[0m\n" * 50)
    else:
        Image.fromarray(number_frame(3, 32, 32)).save(path)
    with pytest.raises(UserError, match=r"is not a(n audio file| readable audio file)"):
        container.open_media(path, "audio")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\); check its perm"):
        container.check_file(path)


def test_cover_art_is_no_moving_picture(tmp_path, spoken):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as out:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 24, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        track = out.add_stream("aac", rate=RATE, layout="mono")
        out.mux(cover.encode(av.VideoFrame.from_ndarray(number_frame(1, 32, 24), format="rgb24")))
        out.mux(cover.encode(None))
        block = av.AudioFrame.from_ndarray(_tone(0.5)[np.newaxis], "fltp", "mono")
        block.sample_rate, block.time_base = RATE, Fraction(1, RATE)
        out.mux(track.encode(block))
        out.mux(track.encode(None))
    with container.open_media(path, "audio") as media:
        assert len(media.streams.video) == 1
        assert container.video_stream(media) is None
        assert container.audio_stream(media) is not None
    # So its clock is that of its sound, which has no picture to wait for.
    assert container.video_origin(path) is None
    samples, _ = sound.read_audio(path)
    assert abs(len(samples) / RATE - 0.5) < 0.07
    with container.open_media(spoken[".mp4"], "video") as media:
        assert container.video_stream(media) is media.streams.video[0]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_each_track_states_its_own_length(spoken, suffix):
    with container.open_media(spoken[suffix], "video") as media:
        pictures = container.stated_seconds(media, container.video_stream(media))
        track = container.stated_seconds(media, container.audio_stream(media))
    assert pictures == pytest.approx(0.4, abs=0.01)
    assert track == pytest.approx(0.6, abs=0.1) and track > pictures
    assert sound.stated_length(spoken[suffix]) == track


def test_a_file_without_sound_states_no_length_of_it(tmp_path):
    assert sound.stated_length(make_video(tmp_path / "mute.mp4", _frames(5))) is None


@pytest.mark.parametrize(
    ("tags", "alone", "duration", "expected"),
    [
        ({"DURATION": "00:01:02.500000000"}, False, None, 62.5),
        ({"DURATION-eng": "01:00:00.25"}, False, None, 3600.25),
        ({"DURATION": "a minute"}, True, 2_500_000, 2.5),
        ({"DURATION": "02.5"}, False, 2_500_000, None),
        ({}, False, 2_500_000, None),
        ({}, True, None, None),
    ],
)
def test_lengths_of_other_containers(tags, alone, duration, expected):
    class Streams:
        video = (object(),)
        audio = () if alone else (object(),)

    class File:
        streams = Streams

    class Stream:
        time_base = Fraction(1, 25)
        metadata = tags

    Stream.duration = None  # type: ignore[attr-defined]
    File.duration = duration  # type: ignore[attr-defined]
    assert container.stated_seconds(File, Stream) == expected  # type: ignore[arg-type]


def test_time_stamps():
    class Frame:
        pts, dts, time_base = 3, 9, Fraction(1, 25)

    frame = Frame()
    assert container.timestamp(frame) == Fraction(3, 25)
    frame.pts = None
    assert container.timestamp(frame) == Fraction(9, 25)
    frame.pts, frame.time_base = 0, None
    assert container.timestamp(frame) is None
    frame.dts, frame.pts, frame.time_base = None, None, Fraction(1, 25)
    assert container.timestamp(frame) is None


def test_the_origin_is_the_first_picture(tmp_path):
    times = [Fraction(k + 7, 25) for k in range(6)]
    late = make_video(tmp_path / "late.mkv", _frames(6), times=times)
    assert abs(container.video_origin(late) - times[0]) < Fraction(1, 500)
    assert container.video_origin(make_video(tmp_path / "a.mp4", _frames(2))) == 0


@pytest.mark.parametrize(
    ("aspect", "expected"),
    [(Fraction(4, 3), 4 / 3), (None, 1), (Fraction(0), 1), (Fraction(1, 50), 1), (99, 1)],
)
def test_nonsense_about_the_shape_of_pixels_is_passed_over(aspect, expected):
    class Stream:
        sample_aspect_ratio = aspect

    assert decoded.pixel_aspect(Stream) == pytest.approx(expected)
