import numpy as np
import pytest
from PIL import Image

from jaxgesture.core.errors import UserError
from jaxgesture.data.image import BACKGROUND, read_image


def save(path, array, mode=None, **options):
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


@pytest.fixture
def picture():
    y, x = np.mgrid[0:60, 0:100]
    return np.stack([x * 2, y * 4, 255 - x * 2], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff"])
def test_formats(tmp_path, picture, name):
    image = read_image(save(tmp_path / name, picture), 32)
    assert image.shape == (32, 32, 3) and image.dtype == np.float32
    reference = read_image(picture, 32)
    assert np.abs(image - reference).max() < 0.05
    assert 0 <= image.min() and image.max() <= 1


def test_crops_keep_their_place(picture):
    for crop, x in (("left", 0), ("center", 20), ("right", 40), ((20, 0, 60), 20)):
        expected = picture[:, x : x + 60].astype(np.float32) / 255
        np.testing.assert_array_equal(read_image(picture, crop=crop), expected)
    tall = picture.transpose(1, 0, 2)
    for crop, y in (("top", 0), ("left", 20), ("bottom", 40)):
        np.testing.assert_array_equal(
            read_image(tall, crop=crop), tall[y : y + 60].astype(np.float32) / 255
        )
    assert read_image(picture, 30, crop=None).shape == (30, 50, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "CMYK", "1", "RGBA"])
def test_modes(tmp_path, picture, mode):
    path = save(tmp_path / ("a.tiff" if mode == "CMYK" else "a.png"), picture, mode)
    image = read_image(path, 48)
    assert image.shape == (48, 48, 3)
    if mode in ("L", "LA"):
        grey = read_image(np.asarray(Image.fromarray(picture).convert("L")), 48)
        np.testing.assert_allclose(image, grey, atol=1e-6)
        np.testing.assert_array_equal(image[..., 0], image[..., 2])
    elif mode != "1":
        assert np.abs(image - read_image(picture, 48)).mean() < 0.1


def test_transparency_is_shown_on_grey(tmp_path):
    array = np.zeros((20, 20, 4), np.uint8)
    array[:, 10:] = (255, 0, 0, 255)
    image = read_image(save(tmp_path / "a.png", array))
    np.testing.assert_allclose(image[:, :10], BACKGROUND / 255, atol=1e-6)
    np.testing.assert_allclose(image[:, 10:], np.broadcast_to([1.0, 0, 0], (20, 10, 3)))
    np.testing.assert_allclose(read_image(array), image)
    np.testing.assert_allclose(read_image(array.astype(np.float32) / 255), image, atol=1e-6)
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 255, 255, 0, 0])
    palette.save(tmp_path / "p.png", transparency=0)
    np.testing.assert_allclose(read_image(tmp_path / "p.png"), BACKGROUND / 255, atol=1e-6)


def test_sixteen_bits(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[np.newaxis].repeat(64, 0)
    image = read_image(save(tmp_path / "a.png", ramp))
    np.testing.assert_allclose(image[..., 1], ramp / 65535, atol=1 / 255)


def test_exif_rotation(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", picture, exif=exif)
    np.testing.assert_array_equal(
        read_image(path, crop=None), np.rot90(picture, -1).astype(np.float32) / 255
    )


def test_large_and_tiny(tmp_path):
    large = np.zeros((3000, 4000, 3), np.uint8)
    large[:, ::2] = 255
    image = read_image(save(tmp_path / "a.jpg", large, quality=60), 256)
    # Fine stripes become grey: nothing aliases.
    assert np.abs(image - 0.5).max() < 0.06
    assert read_image(np.zeros((1, 1, 3), np.uint8), 32).shape == (32, 32, 3)


def test_arrays():
    image = np.random.default_rng(0).random((32, 32, 3), np.float32)
    np.testing.assert_array_equal(read_image(image, 32), image)
    again = read_image(image, 16)
    assert again.shape == (16, 16, 3)
    np.testing.assert_allclose(again.mean(), image.mean(), atol=0.01)
    eight = (image * 255).astype(np.uint8)
    np.testing.assert_allclose(read_image(eight, 16), read_image(eight / 255.0, 16), atol=0.005)
    assert read_image(image[..., 0], 32).shape == (32, 32, 3)
    sharp = np.zeros((64, 64, 3), np.float32)
    sharp[:, 32:] = 1
    assert 0 <= read_image(sharp, 24).min() and read_image(sharp, 24).max() <= 1


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 8, 8), np.float32), "channels last"),
        (np.zeros((2, 8, 8, 3), np.float32), "one image"),
        (np.zeros((0, 8, 3), np.float32), "shape"),
        (np.full((8, 8, 3), 200.0), "divide by 255"),
        (np.full((8, 8, 3), -0.5), "divide by 255"),
        (np.full((8, 8, 3), np.nan), "NaN"),
        (np.zeros((8, 8, 3), np.int64), "int64"),
    ],
)
def test_wrong_arrays(array, reason):
    with pytest.raises(UserError, match=reason):
        read_image(array, 8)


def test_errors(tmp_path, picture):
    with pytest.raises(UserError, match="does not exist"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(UserError, match="is a directory"):
        read_image(tmp_path)
    text = tmp_path / "a.png"
    text.write_text("not a picture")
    with pytest.raises(UserError, match=r"a\.png is not a picture; give"):
        read_image(text)
    cut = save(
        tmp_path / "cut.jpg", np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)
    )
    cut.write_bytes(cut.read_bytes()[:2000])
    with pytest.raises(UserError, match="is damaged"):
        read_image(cut)
    with pytest.raises(UserError, match="leaves the 100 x 60 picture"):
        read_image(picture, crop=(90, 0, 20))
    with pytest.raises(UserError, match="at least 1 pixel"):
        read_image(picture, 0)


def test_real_stills(shared):
    for path in sorted((shared / "data/stills").glob("*.png")):
        assert read_image(path, 64).std() > 0.1
