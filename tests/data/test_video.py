import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
from media import make_video, number_frame, set_display_matrix

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data.video import probe, read_frames


def numbers(frames) -> list[int]:
    """The numbers that `number_frame` painted."""
    return [round((float(frame.mean()) - 30) / 4) for frame in frames]


def painted(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    return [number_frame(index, width, height) for index in range(count)]


def quarters(width: int, height: int) -> np.ndarray:
    """Red, green / blue, white quarters."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (255, 0, 0)
    picture[: height // 2, width // 2 :] = (0, 255, 0)
    picture[height // 2 :, : width // 2] = (0, 0, 255)
    picture[height // 2 :, width // 2 :] = (255, 255, 255)
    return picture


def corners(frame: np.ndarray) -> str:
    names = {(255, 0, 0): "r", (0, 255, 0): "g", (0, 0, 255): "b", (255, 255, 255): "w"}
    h, w = frame.shape[:2]
    found = ""
    for y, x in ((h // 4, w // 4), (h // 4, 3 * w // 4), (3 * h // 4, w // 4), (-h // 4, -w // 4)):
        pixel = frame[y, x].astype(int)
        found += min(names.items(), key=lambda item: np.abs(pixel - item[0]).sum())[1]
    return found


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "fps"),
    [
        ("a.mp4", "libx264", "yuv420p", 25),
        ("a.mkv", "libx265", "yuv420p10le", 25),
        ("a.webm", "libvpx-vp9", "yuv420p", 25),
        ("a.avi", "mpeg4", "yuv420p", 25),
        ("a.mov", "mjpeg", "yuvj420p", 25),
        ("a.ts", "libx264", "yuv420p", 25),
        ("a.h264", "libx264", "yuv420p", 25),
        ("a.mp4", "libx264", "yuv444p", Fraction(24000, 1001)),
        ("a.mkv", "ffv1", "yuv422p10le", 50),
    ],
)
def test_containers_and_codecs(tmp_path, name, codec, pix_fmt, fps):
    path = make_video(tmp_path / name, painted(20), codec=codec, pix_fmt=pix_fmt, fps=fps)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames = list(read_frames(path, size=32))
        info = probe(path)
    count = int(20 / fps * 25 + 0.5)
    assert len(frames) == count
    assert frames[0].shape == (32, 32, 3) and frames[0].dtype == np.uint8
    expected = [min(range(20), key=lambda j: abs(j / fps - k / 25)) for k in range(count)]
    assert numbers(frames) == expected
    assert (info.width, info.height, info.rotation, info.has_audio) == (64, 48, 0, False)
    assert info.fps == pytest.approx(float(fps), rel=1e-3)
    assert info.seconds == pytest.approx(float(20 / fps), abs=0.05)


@pytest.mark.parametrize("fps", [10, 15, 30, 60, 120])
def test_frame_rates(tmp_path, fps):
    path = make_video(tmp_path / "a.mp4", painted(40), fps=fps)
    frames = numbers(read_frames(path, size=16))
    assert len(frames) == int(40 / fps * 25 + 0.5)
    for k, number in enumerate(frames):
        assert abs(number / fps - k / 25) <= 0.5 / fps + 1e-6 or number == 39


def test_variable_frame_rate_follows_the_time_stamps(tmp_path):
    times = [Fraction(t, 100) for t in (0, 4, 8, 48, 52, 56, 60, 61, 62, 63, 64, 68, 72, 76, 80)]
    path = make_video(tmp_path / "a.mkv", painted(len(times)), times=times)
    frames = numbers(read_frames(path, size=16))
    # Ties go to the earlier frame: 0.28 s lies between the frames of 0.08 s and 0.48 s.
    expected = [
        min(range(len(times)), key=lambda j: (abs(times[j] - Fraction(k, 25)), j))
        for k in range(len(frames))
    ]
    assert frames == expected
    assert len(frames) == 21


def test_start_and_end(tmp_path):
    path = make_video(tmp_path / "a.mp4", painted(50), options={"g": "12"})
    assert numbers(read_frames(path, size=16, start=0.4, end=0.8)) == list(range(10, 20))
    assert numbers(read_frames(path, size=16, start=1.8)) == list(range(45, 50))
    assert numbers(read_frames(path, size=16, start=1.8, end=9)) == list(range(45, 50))
    with pytest.raises(UserError, match=r"a\.mp4 is 2\.00 s long"):
        list(read_frames(path, start=2.5))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_seeking_gives_the_same_frames(tmp_path, name):
    frames = [number_frame(index % 50, 64, 64) for index in range(150)]
    path = make_video(tmp_path / name, frames, options={"g": "20"})
    whole = numbers(read_frames(path, size=16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert numbers(read_frames(path, size=16, start=4.0)) == whole[100:]
        assert numbers(read_frames(path, size=16, start=3.0, end=3.4)) == whole[75:85]


# (a, b, c, d) of the display matrix, and the quarters as they are to be seen.
@pytest.mark.parametrize(
    ("matrix", "seen", "rotation"),
    [
        ((1, 0, 0, 1), "rgbw", 0),
        ((0, 1, -1, 0), "brwg", 90),
        ((-1, 0, 0, -1), "wbgr", 180),
        ((0, -1, 1, 0), "gwrb", 270),
        ((-1, 0, 0, 1), "grwb", None),
        ((1, 0, 0, -1), "bwrg", None),
    ],
)
def test_rotation_and_mirrors(tmp_path, matrix, seen, rotation):
    path = make_video(tmp_path / "a.mp4", [quarters(96, 64)] * 3)
    set_display_matrix(path, *matrix)
    frame = next(read_frames(path, crop=None))
    assert corners(frame) == seen
    turned = matrix[0] == 0
    assert frame.shape == ((96, 64, 3) if turned else (64, 96, 3))
    info = probe(path)
    assert (info.width, info.height) == ((64, 96) if turned else (96, 64))
    if rotation is not None:
        assert info.rotation == rotation


@pytest.mark.parametrize(("width", "height"), [(454, 256), (63, 47), (1, 1), (33, 200)])
def test_odd_sizes(tmp_path, width, height):
    path = make_video(
        tmp_path / "a.mkv", painted(3, width, height), codec="ffv1", pix_fmt="yuv444p"
    )
    side = min(width, height)
    assert next(read_frames(path)).shape == (side, side, 3)
    assert next(read_frames(path, size=40)).shape == (40, 40, 3)
    assert next(read_frames(path, crop=None)).shape == (height, width, 3)


def test_crops(tmp_path):
    picture = np.zeros((40, 120, 3), np.uint8)
    picture[:, :40], picture[:, 40:80], picture[:, 80:] = 50, 150, 250
    path = make_video(tmp_path / "a.mkv", [picture], codec="ffv1", pix_fmt="yuv444p")
    for crop, level in (("left", 50), ("center", 150), ("right", 250), ((42, 2, 30), 150)):
        frame = next(read_frames(path, size=16, crop=crop))
        # The filter reaches a little over the edge of the crop.
        assert np.abs(frame[:, 2:-2].astype(int) - level).max() <= 2, crop
    with pytest.raises(UserError, match="leaves the 120 x 40 picture"):
        next(read_frames(path, crop=(100, 0, 30)))
    with pytest.raises(UserError, match="unknown crop 'middle'"):
        next(read_frames(path, crop="middle"))


def test_pixels_that_are_not_square(tmp_path):
    path = make_video(tmp_path / "a.mp4", [quarters(64, 96)] * 2, aspect=Fraction(3, 1))
    assert (probe(path).width, probe(path).height) == (192, 96)
    frame = next(read_frames(path, crop=None))
    assert frame.shape == (96, 192, 3) and corners(frame) == "rgbw"
    # The square in the middle is 32 stored columns wide.
    assert corners(next(read_frames(path, size=64))) == "rgbw"


def flat_yuv(path, rgb, *, matrix, full, size=(64, 64), bits=8, tagged=True):
    """Writes a flat lossless video whose YUV values follow from the standard's equations."""
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    r, g, b = np.asarray(rgb) / 255
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    top = 2**bits - 1
    values = (
        (y * top, u * top + 2 ** (bits - 1), v * top + 2 ** (bits - 1))
        if full
        else tuple(x * 2 ** (bits - 8) for x in (16 + 219 * y, 128 + 224 * u, 128 + 224 * v))
    )
    pix_fmt = "yuv444p" if bits == 8 else "yuv444p10le"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.options = {"qp": "0", "preset": "ultrafast"}
        if tagged:
            stream.codec_context.colorspace = matrix
            stream.codec_context.color_range = 2 if full else 1
        frame = av.VideoFrame(*size, pix_fmt)
        for plane, value in zip(frame.planes, values, strict=True):
            dtype = np.uint8 if bits == 8 else np.uint16
            level = int(np.clip(round(value), 0, top))
            plane.update(np.full(plane.buffer_size // dtype().itemsize, level, dtype).tobytes())
        if tagged:
            frame.colorspace, frame.color_range = matrix, 2 if full else 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_colour_matrix_and_range(tmp_path, matrix, full, bits):
    rgb = (200, 60, 120)
    path = flat_yuv(tmp_path / "a.mkv", rgb, matrix=matrix, full=full, bits=bits)
    for size in (None, 16):
        frame = next(read_frames(path, size=size))
        assert np.abs(frame.astype(int) - rgb).max() <= 1


def test_untagged_colour_goes_by_the_size(tmp_path):
    rgb = (200, 60, 120)
    small = flat_yuv(tmp_path / "a.mkv", rgb, matrix=6, full=False, tagged=False)
    large = flat_yuv(tmp_path / "b.mkv", rgb, matrix=1, full=False, tagged=False, size=(1280, 720))
    for path in (small, large):
        assert np.abs(next(read_frames(path, size=16)).astype(int) - rgb).max() <= 1


def test_reduction_does_not_alias(tmp_path):
    stripes = np.zeros((480, 480, 3), np.uint8)
    stripes[:, ::2] = 255
    path = make_video(tmp_path / "a.mkv", [stripes], codec="ffv1", pix_fmt="yuv444p")
    frame = next(read_frames(path, size=64))
    assert np.abs(frame[4:-4, 4:-4].astype(int) - 127).max() <= 6


def test_no_frames_are_kept(tmp_path):
    def resident() -> int:
        with open("/proc/self/statm") as stream:
            return int(stream.read().split()[1]) * 4096

    frames = [number_frame(index % 50, 640, 640) for index in range(20)]
    path = make_video(tmp_path / "a.mp4", frames * 10, options={"preset": "ultrafast"})
    reader = read_frames(path)
    for _ in range(60):
        next(reader)
    before = resident()
    assert sum(1 for _ in reader) == 140
    # The frames left would take 172 MB.
    assert resident() - before < 40e6


def test_frames_do_not_share_memory(tmp_path):
    path = make_video(tmp_path / "a.mp4", painted(2), fps=5)
    frames = list(read_frames(path, size=16))
    frames[0][:] = 0
    assert len(frames) == 10 and frames[1].mean() > 20


def test_a_still_that_lasts_is_streamed(tmp_path):
    times = [Fraction(0), Fraction(3600)]
    path = make_video(tmp_path / "a.mkv", painted(2), times=times)
    reader = read_frames(path, size=16)
    assert numbers(next(reader) for _ in range(500)) == [0] * 500


def error_of(path) -> str:
    with pytest.raises(UserError) as caught:
        list(read_frames(path))
    with pytest.raises(UserError):
        probe(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and (";" in message)
    return message


def test_errors(tmp_path, shared):
    assert "does not exist" in error_of(tmp_path / "missing.mp4")
    assert "is a directory" in error_of(tmp_path)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "is an empty file" in error_of(empty)
    text = tmp_path / "notes.txt"
    text.write_text("hello\n" * 100)
    assert "not a" in error_of(text)
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    assert "not a readable video" in error_of(noise)
    assert "not a video" in error_of(shared / "data/stills/pats_001.png")
    assert "no video track" in error_of(shared / "data/speech/jfk.flac")
    for bad in ({"fps": 0}, {"start": -1}, {"start": 2, "end": 1}):
        with pytest.raises(UserError):
            read_frames(noise, **bad)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_video_with_no_frames(tmp_path, name):
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 32
        container.start_encoding()
    message = error_of(path)
    assert "no video track" in message or "is not a readable video" in message


def test_video_with_no_frame_that_decodes(tmp_path):
    path = make_video(tmp_path / "a.mp4", painted(20))
    data = bytearray(path.read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[begin:end] = bytes(end - begin)
    path.write_bytes(bytes(data))
    assert "holds no frame that can be decoded" in error_of(path)


def test_truncated_file_without_index(tmp_path):
    path = make_video(tmp_path / "a.mp4", painted(20))
    path.write_bytes(path.read_bytes()[:-600])
    assert "not a readable video" in error_of(path)


@pytest.mark.parametrize(
    ("name", "format", "options"), [("a.mkv", None, {}), ("a.mp4", None, {"faststart": "1"})]
)
def test_truncated_file_is_used_as_far_as_it_goes(tmp_path, name, format, options):
    frames = [
        np.random.default_rng(index).integers(0, 255, (64, 64, 3)).astype(np.uint8)
        for index in range(100)
    ]
    path = tmp_path / name
    if options:
        from jaxgesture.generation.writer import VideoWriter

        with VideoWriter(path, 64) as writer:
            writer.write(np.stack(frames))
    else:
        make_video(path, frames)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(DataWarning, match=r"frames could not be read") as caught:
        got = list(read_frames(path, size=16))
    assert 20 < len(got) < 70
    assert sum("cut off" in str(w.message) for w in caught) == 1


def test_damage_in_the_middle_is_counted(tmp_path):
    frames = [
        np.random.default_rng(index).integers(0, 255, (64, 64, 3)).astype(np.uint8)
        for index in range(100)
    ]
    path = make_video(tmp_path / "a.mkv", frames, codec="mpeg4", options={"g": "10"})
    data = bytearray(path.read_bytes())
    for begin in range(len(data) // 2, len(data) // 2 + 4000, 4):
        data[begin] = 0
    path.write_bytes(bytes(data))
    with pytest.warns(DataWarning, match="cut off or damaged"):
        got = list(read_frames(path, size=16))
    assert len(got) > 50


def test_real_files(shared):
    counts = {"clips/seated_man.mp4": 500, "clips/sofa_man.mp4": 121, "clips/ted_silent_1.mp4": 161}
    for name, count in counts.items():
        path = shared / "data" / name
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            frames = sum(1 for frame in read_frames(path, size=64) if frame.shape == (64, 64, 3))
        assert frames == count
        assert probe(path).has_audio == ("silent" not in name)
    original = shared / "data/originals/seated_man_1080x1920_30fps_hevc.mp4"
    assert (probe(original).width, probe(original).height) == (1080, 1920)
    assert sum(1 for _ in read_frames(original, size=64, end=1.0)) == 25
