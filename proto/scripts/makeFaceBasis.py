"""Writes test/bench/faceBasis.json: how far each ARKit coefficient moves sampled points of a face.

Source: ICT-FaceKit Light (USC ICT Vision and Graphics Lab, github.com/ICT-VGL/ICT-FaceKit, MIT licence; Li et al.,
CVPR 2020), packed as one npz (neutral, expression_names, expression_delta, landmarks68, in cm).
Points: the 68 Multi-PIE landmarks and the front of both eyeballs. Needs numpy; run once, the result is committed.

    python3 makeFaceBasis.py ict-facekit.npz ../../test/bench/faceBasis.json
"""

import json
import re
import sys

import numpy as np

EYEBALLS = ((21451, 23021), (23021, 24591))  # vertex ranges, left and right
REGIONS = {"mouth": range(48, 68), "eyes": [*range(36, 48), 68, 69], "rest": range(0, 36)}


def main(source: str, target: str) -> None:
    kit = np.load(source, allow_pickle=True)
    neutral = kit["neutral"].astype(np.float64) * 10  # mm
    names = [str(name) for name in kit["expression_names"]]
    fronts = [first + int(np.argmax(neutral[first:last, 2])) for first, last in EYEBALLS]
    points = [*map(int, kit["landmarks68"]), *fronts]
    moves = {name: kit["expression_delta"][i].astype(np.float64)[points] * 10 for i, name in enumerate(names)}
    sides = {"_L": "Left", "_R": "Right"}
    coefficients: dict[str, np.ndarray] = {}
    for name in names:
        if name.startswith(("PupilDilate", "cheekRaiser")):
            continue
        if name.startswith(("browInnerUp", "cheekPuff")):  # ARKit has one of each for both sides
            arkit = name[:-2]
        else:
            arkit = re.sub(r"_[LR]$", lambda match: sides[match.group()], name)
        coefficients[arkit] = coefficients.get(arkit, 0) + moves[name]
    document = {
        "credit": "Computed from ICT-FaceKit (USC ICT, github.com/ICT-VGL/ICT-FaceKit), MIT licence.",
        "unit": "1/100 mm; x to the subject's left, y up, z forward",
        "regions": {name: list(indices) for name, indices in REGIONS.items()},
        "neutral": np.rint(neutral[points] * 100).astype(int).ravel().tolist(),
        "moves": {name: np.rint(each * 100).astype(int).ravel().tolist() for name, each in sorted(coefficients.items())},
    }
    with open(target, "w", encoding="utf8") as file:
        file.write(json.dumps(document, separators=(",", ":")).replace('],"', '],\n"') + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
