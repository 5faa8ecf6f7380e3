#!/usr/bin/env python3
"""Writes the golden vectors beside this file from the layouts of docs/protocol.md.

It shares no code with the TypeScript codec, so that the two check each other, and it needs nothing but Python 3.
Each vector lists its bytes piece by piece, with what the piece is; the packet is their concatenation.
"""
import json
import math
import struct
from pathlib import Path

HERE = Path(__file__).parent
NAMES = [line.strip().strip("',") for line in (HERE / "../src/motion/expressions.ts").read_text().splitlines()
         if line.startswith("  '")]
assert len(NAMES) == 52, NAMES


def piece(field, data):
    return {"field": field, "hex": data.hex()}


def fixed(value):
    return struct.pack("<h", max(-32768, min(32767, math.floor(value * 8192 + 0.5))))


def motion(name, sequence, time_ms, pose, expression, keypoints=None):
    full = {**dict.fromkeys(["pitch", "yaw", "roll", "tx", "ty", "logScale"], 0), **pose}
    pieces = [
        piece("kind: fixed motion", b"\x01"),
        piece("flags: " + ("bit 0, keypoints follow" if keypoints else "none"), b"\x01" if keypoints else b"\x00"),
        piece(f"sequence {sequence}", struct.pack("<H", sequence)),
        piece(f"timeMs {time_ms}", struct.pack("<H", time_ms)),
    ]
    pieces += [piece(f"{field} {value} x 8192", fixed(value)) for field, value in full.items()]
    levels = bytes(math.floor(expression.get(each, 0) * 255 + 0.5) for each in NAMES)
    pieces.append(piece("52 coefficients x 255", levels))
    if keypoints:
        pieces.append(piece(f"K = {len(keypoints)}", bytes([len(keypoints)])))
        pieces += [piece(f"keypoint {index} x, y, z x 8192", b"".join(map(fixed, point)))
                   for index, point in enumerate(keypoints)]
    sample = {"sequence": sequence, "timeMs": time_ms, "pose": full, "expression": expression}
    if keypoints:
        sample["keypoints"] = keypoints
    return {"name": name, "sample": sample, "bytes": pieces}


def frame(name, header, payload):
    codec = ["jpeg", "vp8", "vp9"].index(header["codec"])
    pieces = [
        piece("kind: frame", b"\x10"),
        piece("flags: " + ("bit 0, key frame" if header["keyFrame"] else "none"), bytes([header["keyFrame"]])),
        piece(f"codec {header['codec']}", bytes([codec])),
        piece("reserved", b"\x00"),
        piece(f"stream {header['stream']}", struct.pack("<I", header["stream"])),
        piece(f"motionSequence {header['motionSequence']}", struct.pack("<H", header["motionSequence"])),
        piece(f"motionTimeMs {header['motionTimeMs']}", struct.pack("<H", header["motionTimeMs"])),
        piece(f"serverTimeMs {header['serverTimeMs']}", struct.pack("<I", header["serverTimeMs"])),
        piece(f"width {header['width']}", struct.pack("<H", header["width"])),
        piece(f"height {header['height']}", struct.pack("<H", header["height"])),
        piece("payload", payload),
    ]
    return {"name": name, "header": header, "payload": payload.hex(), "bytes": pieces}


def msgpack(value):
    """The shortest form of each value; numbers that are not whole are float 64."""
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int) and value >= 0:
        for limit, prefix, form in ((0x80, b"", ">B"), (1 << 8, b"\xcc", ">B"), (1 << 16, b"\xcd", ">H"), (1 << 32, b"\xce", ">I")):
            if value < limit:
                return prefix + struct.pack(form, value)
    if isinstance(value, (int, float)):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return head(len(data), 0xA0, 32, b"\xd9", b"\xda") + data
    if isinstance(value, list):
        return head(len(value), 0x90, 16, None, b"\xdc") + b"".join(map(msgpack, value))
    return head(len(value), 0x80, 16, None, b"\xde") + b"".join(msgpack(k) + msgpack(v) for k, v in value.items())


def head(length, short, limit, one_byte, two_bytes):
    if length < limit:
        return bytes([short | length])
    if one_byte and length < 256:
        return one_byte + bytes([length])
    return two_bytes + struct.pack(">H", length)


def control(message):
    pieces = [piece("kind: control", b"\x00"), piece(f"map of {len(message)}", bytes([0x80 | len(message)]))]
    pieces += [piece(f"{key}: {json.dumps(value, ensure_ascii=False)}", msgpack(key) + msgpack(value))
               for key, value in message.items()]
    return {"name": message["type"], "message": message, "bytes": pieces}


PIXEL = {"id": "p1", "name": "Ada", "role": "player", "avatar": "mira", "bot": False}
WATCHER = {"id": "p2", "name": "Zoë", "role": "viewer", "bot": True}

VECTORS = {
    "motion": [
        motion("neutral", 0, 0, {}, {}),
        motion("talking", 258, 40000, {"pitch": 0.1, "yaw": -0.25, "roll": 0.05, "tx": 0.02, "ty": -0.01, "logScale": 0.03},
               {"jawOpen": 0.5, "mouthSmileLeft": 0.25, "eyeBlinkRight": 1.0}),
        motion("extreme", 65535, 65535, {"pitch": math.pi, "yaw": -math.pi, "roll": 3.0, "tx": 3.9998, "ty": -4.0, "logScale": -4.0},
               dict.fromkeys(NAMES, 1.0)),
        motion("keypoints", 1, 2, {"yaw": 0.5}, {"tongueOut": 1.0}, [[0.0, 0.5, -0.5], [1.0, -4.0, 0.001]]),
    ],
    "frame": [
        frame("vp9 key frame", {"keyFrame": True, "codec": "vp9", "stream": 7, "motionSequence": 258, "motionTimeMs": 40000,
                                "serverTimeMs": 4294967295, "width": 256, "height": 256}, b"\x82\x49\x83\x42"),
        frame("vp8 delta frame", {"keyFrame": False, "codec": "vp8", "stream": 4294967295, "motionSequence": 65535, "motionTimeMs": 0,
                                  "serverTimeMs": 1000, "width": 512, "height": 512}, b"\x31\x02"),
        frame("jpeg", {"keyFrame": True, "codec": "jpeg", "stream": 0, "motionSequence": 0, "motionTimeMs": 0, "serverTimeMs": 0,
                       "width": 128, "height": 128}, b"\xff\xd8\xff\xd9"),
    ],
    "clientControl": [
        control({"type": "join", "version": 1, "room": "lobby", "role": "player", "name": "Ada", "avatar": "mira",
                 "codecs": ["vp9", "vp8", "jpeg"]}),
        control({"type": "subscribe", "request": 1, "participant": "p2", "size": 256, "framesPerSecond": 30,
                 "view": {"yaw": 0.25, "pitch": -0.1}}),
        control({"type": "update", "stream": 70000, "size": 512, "framesPerSecond": 12.5, "view": {"yaw": 0, "pitch": 0}}),
        control({"type": "unsubscribe", "stream": 7}),
        control({"type": "keyFrame", "stream": 7}),
        control({"type": "setAvatar", "avatar": "mira"}),
        control({"type": "ping", "clientTimeMs": 1234.5}),
        control({"type": "leave"}),
    ],
    "serverControl": [
        control({"type": "welcome", "version": 1, "participant": "p1", "room": "lobby", "serverTimeMs": 5000000000.25, "codec": "vp9",
                 "sizes": [128, 256, 512], "participants": [PIXEL, WATCHER]}),
        control({"type": "participantJoined", "participant": WATCHER}),
        control({"type": "participantUpdated", "participant": {**PIXEL, "avatar": "noor"}}),
        control({"type": "participantLeft", "participant": "p2"}),
        control({"type": "subscribed", "request": 1, "stream": 7, "participant": "p2", "size": 256, "codec": "vp9"}),
        control({"type": "ended", "stream": 7}),
        control({"type": "pong", "clientTimeMs": 1234.5, "serverTimeMs": 98765.125}),
        control({"type": "error", "code": "avatar_unknown", "message": "there is no avatar \"nobody\"", "received": "nobody",
                 "remedy": "GET /api/avatars lists them", "request": 2}),
    ],
}

for name, vectors in VECTORS.items():
    (HERE / f"{name}.json").write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")
