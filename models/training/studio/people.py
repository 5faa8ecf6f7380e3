"""The built-in portraits' people."""

from .backdrop import Room
from .clothes import Outfit
from .eyes import Eyes
from .facial_hair import FacialHair
from .hairstyles import HairStyle
from .identity import Shape
from .lights import three_point
from .person import Person
from .skin import Skin

FEMININE = {
    "jaw_width": -0.95, "jaw_angle": -0.7, "chin_width": -0.7, "chin_length": -0.35, "brow_ridge": -0.8, "lip_upper": 0.5,
    "lip_lower": 0.45, "nose_width": -0.5, "nose_tip": -0.2, "eye_size": 0.9, "neck": -1.0, "cheekbones": 0.45,
    "mouth_corner": 0.7, "mouth_width": -0.1, "eyes_tilt": 0.35,
}
MASCULINE = {
    "jaw_width": 0.35, "jaw_angle": 0.5, "chin_width": 0.35, "brow_ridge": 0.5, "chin_forward": 0.3, "eye_size": 0.5,
    "neck": 0.5, "mouth_corner": 0.55,
}


# A calm look: the amplified eyes would stare otherwise.
CALM = {
    "eyeBlink_L": 0.13, "eyeBlink_R": 0.13, "eyeSquint_L": 0.15, "eyeSquint_R": 0.15, "mouthSmile_L": 0.10, "mouthSmile_R": 0.10,
}


def _with(base: dict[str, float], **more: float) -> dict[str, float]:
    return {**base, **{k: base.get(k, 0.0) + v for k, v in more.items()}}


PEOPLE: tuple[Person, ...] = (
    Person(
        "ada", "Ada",
        Shape(21, 0.52, _with(FEMININE, cheekbones=0.2), CALM),
        Skin(tone=(0.80, 0.60, 0.48), lips=(0.70, 0.38, 0.36), blush=0.55, age=0.1, make_up=0.35, liner=0.75, seed=1),
        Eyes(iris=(0.30, 0.19, 0.10), inner=(0.46, 0.30, 0.15), seed=1),
        HairStyle("long", 40000, 1.0, part=1.6, fibre={"curl": 0.4, "turns": 1.3}, seed=1),
        (0.25, 0.15, 0.10),
        facial=FacialHair(brow=0.8, brow_width=0.36, brow_arch=0.0, lashes=0.95, seed=1),
        outfit=Outfit("crew", (0.20, 0.42, 0.42), build=0.90, seed=1),
        room=Room((0.60, 0.56, 0.52), (0.86, 0.62, 0.38), seed=1),
        lights=three_point(side=-1, warmth=0.5),
        turn=(3.0, 0.5, -1.5),
    ),
    Person(
        "bruno", "Bruno",
        Shape(5, 0.52, MASCULINE, CALM),
        Skin(tone=(0.83, 0.64, 0.53), lips=(0.66, 0.43, 0.39), blush=0.45, age=0.55, stubble=0.4, seed=2),
        Eyes(iris=(0.22, 0.34, 0.42), inner=(0.42, 0.52, 0.56), seed=2),
        HairStyle("side_part", 30000, 0.9, part=2.8, hairline={"temples": 0.7, "forehead": 0.2}, seed=2),
        (0.24, 0.16, 0.11),
        facial=FacialHair(brow=1.0, brow_width=0.40, lashes=0.55, beard=0.9, seed=2),
        outfit=Outfit("shirt", (0.62, 0.70, 0.80), build=1.04, seed=2),
        room=Room((0.42, 0.46, 0.50), (0.70, 0.52, 0.36), seed=2),
        lights=three_point(side=1, warmth=0.3),
        turn=(-3.5, 0.0, 1.0),
    ),
    Person(
        "chidi", "Chidi",
        Shape(33, 0.52, _with(MASCULINE, nose_width=0.7, lip_lower=0.6, lip_upper=0.5), CALM),
        Skin(tone=(0.42, 0.27, 0.20), lips=(0.46, 0.28, 0.25), blush=0.3, age=0.15, stubble=0.25, scalp=(0.16, 0.11, 0.09), oil=0.5, seed=3),
        Eyes(iris=(0.20, 0.12, 0.07), inner=(0.30, 0.18, 0.10), seed=3),
        HairStyle("buzz", 42000, 1.0, seed=3),
        (0.10, 0.08, 0.07),
        facial=FacialHair(brow=0.9, brow_width=0.44, lashes=0.6, seed=3),
        outfit=Outfit("hoodie", (0.78, 0.52, 0.16), (0.92, 0.91, 0.88), build=1.02, seed=3),
        room=Room((0.38, 0.50, 0.52), (0.80, 0.66, 0.46), seed=3),
        lights=three_point(side=-1, key=3.2, fill=0.8, warmth=0.2),
        turn=(2.5, 1.0, 1.0),
    ),
    Person(
        "dara", "Dara",
        Shape(14, 0.48, _with(FEMININE, eye_size=-0.3, nose_width=0.7, lip_lower=0.4, lip_upper=0.4), CALM),
        Skin(tone=(0.52, 0.34, 0.25), lips=(0.55, 0.27, 0.27), blush=0.4, age=0.1, make_up=0.4, liner=0.85, oil=0.5, scalp=(0.16, 0.11, 0.09), seed=4),
        Eyes(iris=(0.22, 0.13, 0.07), inner=(0.34, 0.21, 0.11), seed=4),
        HairStyle("afro", 30000, 1.0, seed=4),
        (0.13, 0.09, 0.07),
        facial=FacialHair(brow=0.8, brow_width=0.36, brow_arch=0.0, lashes=0.95, seed=4),
        outfit=Outfit("crew", (0.72, 0.24, 0.22), build=0.90, seed=4),
        room=Room((0.66, 0.58, 0.46), (0.40, 0.52, 0.50), seed=4),
        lights=three_point(side=1, key=3.0, fill=0.7, warmth=0.4),
        turn=(-2.5, 0.5, -1.0),
    ),
    Person(
        "emi", "Emi",
        Shape(4, 0.30, _with(FEMININE, nose_bridge=-0.4, face_width=0.2), CALM),
        Skin(tone=(0.90, 0.74, 0.63), lips=(0.80, 0.46, 0.44), blush=0.6, age=0.05, make_up=0.25, liner=0.8, seed=5),
        Eyes(iris=(0.20, 0.12, 0.08), inner=(0.30, 0.19, 0.12), seed=5),
        HairStyle("bob", 36000, 1.0, seed=5),
        (0.09, 0.075, 0.08),
        facial=FacialHair(brow=0.7, brow_width=0.34, lashes=0.8, seed=5),
        outfit=Outfit("turtleneck", (0.86, 0.82, 0.74), build=0.88, knit=1.0, seed=5),
        room=Room((0.58, 0.62, 0.66), (0.86, 0.56, 0.56), seed=5),
        lights=three_point(side=-1, warmth=0.1),
        turn=(4.0, 0.0, 1.0),
    ),
    Person(
        "farid", "Farid",
        Shape(40, 0.52, _with(MASCULINE, nose_bridge=0.5), CALM),
        Skin(tone=(0.72, 0.53, 0.41), lips=(0.60, 0.38, 0.34), blush=0.4, age=0.3, stubble=0.85, seed=6),
        Eyes(iris=(0.26, 0.20, 0.09), inner=(0.42, 0.36, 0.16), seed=6),
        HairStyle("slick", 32000, 0.95, hairline={"temples": 0.4}, seed=6),
        (0.10, 0.08, 0.07),
        facial=FacialHair(brow=1.1, brow_width=0.48, lashes=0.75, seed=6),
        outfit=Outfit("jacket", (0.17, 0.19, 0.24), (0.88, 0.87, 0.85), build=1.02, seed=6),
        room=Room((0.50, 0.46, 0.42), (0.82, 0.58, 0.34), seed=6),
        lights=three_point(side=1, warmth=0.5),
        turn=(-4.0, 0.0, -1.0),
    ),
    Person(
        "greta", "Greta",
        Shape(11, 0.42, _with(FEMININE, lip_upper=-0.4, lip_lower=-0.3, cheek_full=0.2, eye_size=-0.2), CALM),
        Skin(tone=(0.88, 0.71, 0.62), lips=(0.72, 0.45, 0.43), blush=0.55, age=0.9, make_up=0.2, liner=0.4, seed=7),
        Eyes(iris=(0.30, 0.52, 0.42), inner=(0.50, 0.56, 0.52), seed=7),
        HairStyle("bun", 30000, 1.0, seed=7),
        (0.47, 0.455, 0.44),
        highlights=0.12,
        brow_colour=(0.48, 0.44, 0.40),
        facial=FacialHair(brow=0.6, brow_width=0.34, brow_arch=0.1, lashes=0.5, seed=7),
        outfit=Outfit("jacket", (0.36, 0.26, 0.38), (0.86, 0.84, 0.80), build=0.92, knit=1.0, seed=7),
        room=Room((0.52, 0.58, 0.50), (0.80, 0.66, 0.50), seed=7),
        lights=three_point(side=-1, warmth=0.3),
        turn=(3.0, 0.0, 1.0),
    ),
    Person(
        "hugo", "Hugo",
        Shape(28, 0.52, _with(MASCULINE, jaw_width=-0.3, brow_ridge=-0.2), CALM),
        Skin(tone=(0.91, 0.72, 0.62), lips=(0.76, 0.48, 0.44), blush=0.7, freckles=0.8, age=0.1, stubble=0.1, seed=8),
        Eyes(iris=(0.24, 0.36, 0.26), inner=(0.46, 0.52, 0.30), seed=8),
        HairStyle("crop", 30000, 1.15, seed=8),
        (0.62, 0.30, 0.14),
        facial=FacialHair(brow=0.9, brow_width=0.42, lashes=0.6, seed=8),
        brow_colour=(0.46, 0.25, 0.14),
        outfit=Outfit("crew", (0.24, 0.30, 0.46), build=0.98, seed=8),
        room=Room((0.46, 0.54, 0.60), (0.84, 0.70, 0.48), seed=8),
        lights=three_point(side=1, warmth=0.2),
        turn=(-3.0, 0.5, 1.5),
    ),
    Person(
        "ines", "Ines",
        Shape(17, 0.48, _with(FEMININE, cheek_full=0.2), CALM),
        Skin(tone=(0.87, 0.69, 0.58), lips=(0.80, 0.47, 0.44), blush=0.6, freckles=0.35, age=0.1, make_up=0.3, liner=0.6, seed=9),
        Eyes(iris=(0.26, 0.38, 0.50), inner=(0.46, 0.56, 0.62), seed=9),
        HairStyle("ponytail", 32000, 1.0, seed=9),
        (0.60, 0.45, 0.28),
        brow_colour=(0.42, 0.31, 0.20),
        facial=FacialHair(brow=0.75, brow_width=0.36, lashes=0.85, seed=9),
        outfit=Outfit("shirt", (0.84, 0.80, 0.74), build=0.90, seed=9),
        room=Room((0.50, 0.52, 0.58), (0.84, 0.62, 0.44), seed=9),
        lights=three_point(side=1, warmth=0.4),
        turn=(-4.0, 0.5, 1.5),
    ),
)
