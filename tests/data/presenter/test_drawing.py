"""Drawing the presenter: every style, outfit and room, and what is known against what is seen."""

import dataclasses

import numpy as np
import pytest

from jaxgesture.data.presenter import arms, canvas, hair, head, outfit, perform, room
from jaxgesture.data.presenter.drawing import JOINTS, Figure, Painter
from jaxgesture.data.presenter.looks import HAIR_STYLES, OUTFITS, ROOMS, look_of
from jaxgesture.data.presenter.motion import Motion, move
from jaxgesture.data.presenter.score import write_score

SIZE = 48
FRAMES = 6


@pytest.fixture(scope="module")
def motion() -> Motion:
    return move(write_score(2, 4.0), 2, np.linspace(0.5, 3.9, FRAMES))


def _look(**changes):
    return dataclasses.replace(look_of(0), **changes)


def _still(motion, **changes):
    """The motion without any turn, tilt or shift of the head."""
    names = ("yaw", "pitch", "roll", "head", "torso", "gaze", "brow", "blink")
    still = {name: np.zeros_like(getattr(motion, name)) for name in names}
    return dataclasses.replace(motion, **{**still, **changes})


@pytest.mark.parametrize("identity", [-5, 0, 7, 239, 240, 10**18])
def test_a_look_is_drawn_from_its_number_alone(identity):
    look = look_of(identity)
    assert look == look_of(identity)
    colours = [value for value in dataclasses.astuple(look) if isinstance(value, tuple)]
    levels = [level for colour in colours for level in np.ravel(colour)]
    assert 0 <= min(levels) and max(levels) <= 255
    assert look.hair_style in HAIR_STYLES and look.outfit in OUTFITS and look.room in ROOMS
    assert 95 <= look.voice.pitch <= 230 and 0 < look.voice.breath < 1


def test_looks_can_be_told_apart():
    found = [look_of(identity) for identity in range(240)]
    assert len(set(found)) == len(found) and look_of(3) != look_of(243)
    # Hair can be seen on the skin, and those who have none have a beard.
    assert min(canvas.distance(look.hair, look.skin) for look in found) > 40
    assert {look.beard for look in found if look.hair_style == "bald"} == {"full"}
    assert all(look.beard == "none" for look in found if look.lashes)
    pitches = np.array([look.voice.pitch for look in found])
    assert ((pitches < 145) | (pitches > 165)).all(), "low voices and high ones"


@pytest.mark.parametrize("style", HAIR_STYLES)
@pytest.mark.parametrize("beard", ["none", "stubble", "full", "moustache"])
def test_hair_sits_on_the_head(style, beard):
    look = _look(hair_style=style, beard=beard, glasses="round", earrings=True)
    back, chin, front = hair.hair_shapes(look)
    assert (len(chin) > 0) == (beard != "none") and front
    for shape in [*back, *chin, *front]:
        assert shape.points.ndim == 2 and np.isfinite(shape.points).all()
        assert np.abs(shape.points).max() < 0.4 and 0 < shape.alpha <= 1
        assert all(move.shape == shape.points.shape for move in shape.blends.values())
    for shape in chin:
        # Below the nose, and within the face but for the hair's own thickness.
        assert shape.points[:, 1].min() > 0.0
        assert np.abs(shape.points[:, 0]).max() < look.face_width + 0.02


@pytest.mark.parametrize("glasses", ["none", "round", "square"])
def test_glasses_lie_about_the_eyes(glasses):
    plain = hair.hair_shapes(_look(glasses="none", earrings=False))[2]
    shapes = hair.hair_shapes(_look(glasses=glasses, earrings=False))[2][len(plain) :]
    assert bool(shapes) == (glasses != "none")
    if shapes:
        points = np.concatenate([shape.points for shape in shapes])
        low, high = points.min(0), points.max(0)
        assert low[1] < head.EYE_Y < high[1] and low[0] < 0 < high[0]
        assert low[0] == pytest.approx(-high[0], abs=1e-9)


def test_open_curves_keep_their_ends():
    points = [(0.0, 0.0), (1.0, 1.0), (2.0, 0.0)]
    curve = hair.smooth_open(points, steps=4)
    assert len(curve) == 2 * 4 + 1
    np.testing.assert_allclose(curve[::4], points)


@pytest.mark.parametrize("name", ROOMS)
def test_rooms_fill_the_picture(name):
    look = _look(room=name, mirrored_room=False)
    picture = np.asarray(room.paint_room(SIZE, look)).astype(int)
    side = SIZE * canvas.supersampling(SIZE)
    assert picture.shape == (side, side, 3)
    assert picture.std() > 5 and (picture.max(-1) > 0).all(), "no hole shows black"
    mirrored = np.asarray(room.paint_room(SIZE, dataclasses.replace(look, mirrored_room=True)))

    # The furniture is mirrored, the light, which has no edges, is not.
    def edges(pixels):
        return np.abs(np.diff(pixels.astype(int), axis=1)).sum(-1).reshape(-1)

    assert np.corrcoef(edges(mirrored[:, ::-1]), edges(picture))[0, 1] > 0.9
    assert np.abs(mirrored - picture).mean() > 1


@pytest.mark.parametrize("name", OUTFITS)
def test_a_torso_is_a_sprite_with_a_neck(name):
    sprite = outfit.paint_torso(SIZE, _look(outfit=name))
    side = SIZE * canvas.supersampling(SIZE)
    assert sprite.mode == "RGBA" and sprite.width == side and side < sprite.height < 1.1 * side
    alpha = np.asarray(sprite)[..., 3]
    assert not alpha[: side // 2].any(), "nothing of it lies where the face is"
    assert (alpha[round(0.9 * side), round(0.4 * side) : round(0.6 * side)] == 255).all()
    # Below the frame it goes on as its last row, so that breathing opens no gap.
    np.testing.assert_array_equal(alpha[side:], alpha[side - 1 : side].repeat(len(alpha) - side, 0))
    width = (alpha > 128).sum(axis=1)
    assert width[round(0.9 * side)] > width[round(0.53 * side)]


def test_the_outline_of_a_face():
    look = _look(jaw=0.2)
    outline, grown = head.face_outline(look), head.face_outline(look, 0.01)
    assert outline[:, 1].min() == pytest.approx(head.TOP, abs=1e-3)
    assert outline[:, 1].max() == pytest.approx(head.CHIN, abs=1e-3)
    np.testing.assert_allclose(np.ptp(grown, axis=0), np.ptp(outline, axis=0) + 0.02, atol=0.003)
    narrow = head.face_outline(dataclasses.replace(look, jaw=0.4))
    lower, upper = outline[:, 1] > 0.1, outline[:, 1] <= 0
    assert np.abs(narrow[lower, 0]).max() < np.abs(outline[lower, 0]).max()
    np.testing.assert_array_equal(narrow[upper], outline[upper])


def test_a_head_is_its_shapes_moved_by_channels():
    points = np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1]])
    far, near = (head.shape(points, (1, 2, 3), depth) for depth in (0.0, 1.0))
    up = head.shape(points + 0.1, (4, 5, 6), alpha=0.5, blends={"brow": np.array([0.0, -1.0])})
    made = head.compile_head(([far], [near, up], []), near)
    assert made.base.shape == (9, 2) and made.face == (3, 6)
    assert made.pieces == ([(0, 3, (1, 2, 3), 1.0)], [(3, 6, (1, 2, 3), 1.0),
                                                      (6, 9, (4, 5, 6), 0.5)], [])  # fmt: skip
    channels = np.zeros((2, len(head.CHANNELS)))
    channels[1, head.CHANNELS.index("yaw")] = 0.02
    channels[1, head.CHANNELS.index("brow")] = 0.03
    rest, moved = made.vertices(channels)
    np.testing.assert_array_equal(rest, made.base)
    shift = np.zeros((9, 2))
    shift[3:6, 0], shift[6:, 1] = 0.02, -0.03
    np.testing.assert_allclose(moved - rest, shift, atol=1e-12)


def test_the_jaw_takes_the_chin_along_and_leaves_the_brow():
    outline = head.face_outline(_look())
    jaw = head.shape(outline, (0, 0, 0), jaw=1.0).blends["jaw"]
    assert not jaw[:, 0].any() and not jaw[outline[:, 1] < 0].any()
    assert jaw[:, 1].max() == pytest.approx(head.JAW_DROP, rel=0.01)


def test_the_head_tilts_about_the_neck(motion):
    roll = np.linspace(-0.3, 0.3, FRAMES)
    turned = _still(motion, roll=roll)
    pivot = head.to_frame(np.tile(head.PIVOT, (FRAMES, 1, 1)), turned, slice(None))
    np.testing.assert_allclose(pivot[:, 0], np.tile(head.CENTRE + head.PIVOT, (FRAMES, 1)))
    top = head.to_frame(np.array([[0.0, head.TOP]]), turned, 0)[0] - (head.CENTRE + head.PIVOT)
    assert np.linalg.norm(top) == pytest.approx(head.PIVOT[1] - head.TOP)
    assert np.arctan2(top[0], -top[1]) == pytest.approx(-0.3)


@pytest.mark.parametrize("turn", [-1.0, 0.0, 1.0])
def test_hands_turn_about_themselves(motion, turn):
    hand = dataclasses.replace(motion.left, turn=np.full(FRAMES, turn))
    shape = arms.hand_shape(hand)
    assert shape.fingers.shape == (FRAMES, 5, 3, 2) and shape.palm.shape[::2] == (FRAMES, 2)
    across = ((shape.palm - hand.wrist[:, None]) * hand.thumb_side[:, None]).sum(-1)
    # Edge on a hand is thinner, and never a line.
    assert np.ptp(across, axis=1) == pytest.approx(0.0738 * max(abs(np.tanh(3 * turn)), 0.5), 0.01)
    thumb = ((shape.fingers[:, 0, 0] - hand.wrist) * hand.thumb_side).sum(-1)
    np.testing.assert_allclose(thumb, 0.0252 * np.tanh(3 * turn), atol=1e-9)
    # Fingers grow away from the wrist.
    along = ((shape.fingers - hand.wrist[:, None, None]) * hand.direction[:, None, None]).sum(-1)
    assert (along[:, 1:, 0] > 0.05).all()


def test_a_fist_is_smaller_than_a_hand(motion):
    sizes = []
    for curl in (0.0, 0.5, 1.0):
        hand = dataclasses.replace(motion.right, curl=np.full((FRAMES, 5), curl))
        shape = arms.hand_shape(hand)
        sizes.append(np.linalg.norm(shape.fingers[:, 2, 2] - hand.wrist, axis=-1))
        boxes = shape.boxes()
        points = np.concatenate([shape.palm, shape.fingers.reshape(FRAMES, -1, 2)], axis=1)
        assert (boxes[:, None, :2] <= points).all() and (points <= boxes[:, None, 2:]).all()
    assert (sizes[0] > sizes[1]).all() and (sizes[1] > sizes[2]).all()


def test_a_closed_eye_shows_no_white(motion):
    look = _look(glasses="none")
    open_, closed = (
        Painter(Figure(look, _still(motion, blink=np.full(FRAMES, blink))), 256).frame(0)
        for blink in (0.0, 1.0)
    )
    eyes = slice(64, 87), slice(96, 160)
    white = [(picture[eyes] > 225).all(-1).sum() for picture in (open_, closed)]
    assert white[0] > 20 and white[1] < 0.1 * white[0], white


def test_joints_lie_on_what_they_name(motion):
    figure = Figure(_look(), motion)
    joints = dict(zip(JOINTS, np.moveaxis(figure.joints(), 1, 0), strict=True))
    boxes = figure.boxes()
    assert all(
        (joints["chin"][:, 1] > joints[n][:, 1]).all() for n in ("mouth", "nose", "left_eye")
    )
    assert (joints["left_eye"][:, 0] > joints["right_eye"][:, 0]).all()
    assert (joints["left_shoulder"][:, 0] > joints["right_shoulder"][:, 0]).all()
    for part, names in {
        "face": ("nose", "mouth", "left_eye", "right_eye"), "lips": ("mouth",),
        "left_hand": ("left_middle_tip",), "right_hand": ("right_middle_tip",),
    }.items():  # fmt: skip
        low, high = boxes[part][:, :2], boxes[part][:, 2:]
        for name in names:
            assert ((low <= joints[name]) & (joints[name] <= high)).all(), (part, name)


@pytest.mark.parametrize("size", [32, 33, 100])
def test_frames_at_odd_sizes(size):
    clip = perform(1, 3, 0.12, size)
    assert clip.frames.shape == (3, size, size, 3)
    np.testing.assert_array_equal(clip.frame(-1), clip.frames[2])
    np.testing.assert_array_equal(list(clip.stream(1, 99)), clip.frames[1:])
    assert list(clip.stream(2, 2)) == []
    with pytest.raises(IndexError):
        clip.frame(3)


def test_painting_a_frame_changes_no_other(motion):
    painter = Painter(Figure(look_of(4), motion), SIZE)
    first = painter.frame(2)
    for number in (0, 5, 2):
        again = painter.frame(number)
    np.testing.assert_array_equal(first, again)
