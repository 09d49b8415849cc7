"""Who a synthetic presenter is: face, hair, clothes, room and voice, all from one integer."""

import dataclasses

from jaxgesture.data.presenter.canvas import Colour, distance, luminance, mix
from jaxgesture.data.presenter.score import generator
from jaxgesture.data.presenter.voice import Voice

HAIR_STYLES = (
    "short",
    "long",
    "bun",
    "bald",
    "headscarf",
    "curly",
    "bob",
    "crop",
    "waves",
    "ponytail",
)
OUTFITS = ("jacket", "hoodie", "dress", "jumper", "shirt", "turtleneck", "cardigan", "tee")
ROOMS = ("studio", "shelf", "window", "gallery", "lamp")

_SKINS: tuple[Colour, ...] = (
    (250, 214, 186),
    (141, 92, 62),
    (226, 172, 130),
    (98, 64, 46),
    (240, 196, 160),
    (190, 132, 92),
    (255, 224, 200),
    (120, 78, 54),
)
_DARK_HAIR: tuple[Colour, ...] = ((38, 30, 34), (52, 38, 34), (70, 46, 34), (30, 32, 42))
_ANY_HAIR: tuple[Colour, ...] = (
    *_DARK_HAIR,
    (112, 72, 42),
    (156, 92, 46),
    (206, 160, 92),
    (228, 190, 128),
    (150, 146, 148),
)
_EYES: tuple[Colour, ...] = (
    (74, 48, 34),
    (58, 42, 36),
    (70, 104, 92),
    (72, 106, 140),
    (98, 78, 44),
)

# wall at the top, wall at the bottom, furniture, plant or ornament, clothes, second cloth, accent
_PALETTES: tuple[tuple[Colour, ...], ...] = (
    ((238, 214, 190), (222, 180, 150), (176, 120, 88), (94, 132, 104), (44, 82, 104),
     (244, 240, 232), (232, 168, 84)),
    ((92, 132, 146), (58, 92, 112), (38, 64, 82), (120, 168, 132), (240, 186, 92),
     (250, 244, 230), (52, 92, 112)),
    ((214, 226, 216), (168, 194, 184), (120, 140, 126), (70, 116, 92), (86, 78, 128),
     (238, 228, 240), (240, 180, 120)),
    ((64, 74, 106), (42, 48, 76), (30, 34, 58), (104, 142, 146), (116, 190, 178),
     (236, 244, 240), (246, 190, 110)),
    ((246, 222, 176), (236, 190, 130), (190, 134, 84), (110, 140, 90), (52, 104, 98),
     (250, 240, 220), (238, 214, 150)),
    ((206, 218, 238), (160, 180, 214), (104, 124, 164), (96, 142, 130), (66, 74, 108),
     (240, 242, 248), (246, 200, 120)),
    ((232, 206, 206), (206, 164, 172), (150, 108, 120), (116, 140, 112), (74, 110, 92),
     (248, 238, 230), (240, 200, 140)),
    ((126, 150, 128), (86, 112, 96), (58, 78, 68), (150, 180, 120), (232, 216, 186),
     (104, 86, 70), (214, 150, 82)),
    ((150, 138, 178), (104, 94, 140), (72, 64, 104), (126, 158, 140), (246, 206, 134),
     (252, 244, 228), (84, 96, 150)),
    ((226, 222, 214), (196, 190, 180), (132, 122, 112), (98, 126, 98), (104, 132, 168),
     (244, 244, 240), (226, 160, 92)),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Look:
    """Everything about a speaker that does not move. Lengths are fractions of the frame."""

    skin: Colour
    shade: Colour
    light: Colour
    palm: Colour
    lip: Colour
    blush: Colour
    blush_alpha: float
    hair: Colour
    hair_style: str
    iris: Colour
    brow_thickness: float
    lashes: bool
    beard: str
    glasses: str
    face_width: float
    jaw: float
    eye_gap: float
    eye_size: float
    nose: float
    freckles: bool
    earrings: bool
    outfit: str
    cloth: Colour
    second_cloth: Colour
    accent: Colour
    room: str
    wall: tuple[Colour, Colour]
    furniture: Colour
    plant: Colour
    mirrored_room: bool
    pattern: int
    voice: Voice


def look_of(identity: int) -> Look:
    """Draws a speaker. Neighbouring identities differ in every trait; any integer will do."""
    rng = generator(identity, 101)
    order = identity % 240

    style = HAIR_STYLES[(order * 3 + order // 10) % len(HAIR_STYLES)]
    outfit = OUTFITS[(order * 5 + order // 8) % len(OUTFITS)]
    skin = _SKINS[(order * 3 + order // 8) % len(_SKINS)]
    palette = _PALETTES[(order * 7 + order // 10) % len(_PALETTES)]
    room = ROOMS[(order * 2 + order // 5) % len(ROOMS)]

    dark = luminance(skin) < 120
    hairs = _DARK_HAIR if dark or rng.random() < 0.25 else _ANY_HAIR
    hairs = tuple(tone for tone in hairs if distance(tone, skin) > (45 if dark else 60))
    hair = hairs[int(rng.integers(len(hairs)))]
    high_voice = style in ("long", "bun", "headscarf", "bob", "waves", "ponytail")
    if style in ("curly", "crop"):
        high_voice = bool(rng.random() < 0.4)
    if outfit == "dress" and not high_voice:
        outfit = "shirt"
    beards = ("none", "stubble", "full", "moustache")
    beard = "none" if high_voice else beards[int(rng.choice(4, p=(0.5, 0.15, 0.25, 0.1)))]
    if style == "bald":
        beard = "full"
    cloth, second, accent = palette[4], palette[5], palette[6]
    wall = (palette[0], palette[1])
    pitch = rng.uniform(170, 230) if high_voice else rng.uniform(95, 140)
    return Look(
        skin=skin,
        shade=mix(skin, (158, 62, 48) if not dark else (40, 16, 26), 0.26),
        light=mix(skin, (255, 240, 220), 0.28 if not dark else 0.16),
        palm=mix(skin, (250, 196, 170), 0.12 if not dark else 0.28),
        lip=mix(skin, (200, 92, 84) if not dark else (176, 88, 80), 0.5),
        blush=mix(skin, (236, 110, 90), 0.6),
        blush_alpha=0.08 if dark else 0.22,
        hair=hair,
        hair_style=style,
        iris=_EYES[int(rng.integers(2 if dark else len(_EYES)))],
        brow_thickness=rng.uniform(0.0055, 0.0075) if high_voice else rng.uniform(0.0075, 0.0105),
        lashes=high_voice,
        beard=beard,
        glasses=("none", "round", "none", "square", "none")[(order + order // 5) % 5],
        face_width=rng.uniform(0.126, 0.137),
        jaw=rng.uniform(0.18, 0.28) if high_voice else rng.uniform(0.08, 0.2),
        eye_gap=rng.uniform(0.051, 0.057),
        eye_size=rng.uniform(0.95, 1.1) if high_voice else rng.uniform(0.86, 1.0),
        nose=rng.uniform(0.85, 1.15),
        freckles=bool(not dark and rng.random() < 0.2),
        earrings=bool(high_voice and style in ("bun", "curly", "ponytail", "crop")),
        outfit=outfit,
        cloth=cloth,
        second_cloth=second,
        accent=accent,
        room=room,
        wall=wall,
        furniture=palette[2],
        plant=palette[3],
        mirrored_room=bool(rng.random() < 0.5),
        pattern=int(rng.integers(4)),
        voice=Voice(
            pitch=float(pitch),
            tract=float(rng.uniform(1.1, 1.2) if high_voice else rng.uniform(0.94, 1.05)),
            breath=float(rng.uniform(0.1, 0.3)),
            liveliness=float(rng.uniform(0.8, 1.25)),
        ),
    )
