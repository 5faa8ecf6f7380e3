"""Compact motion packets, written from docs/protocol-compact.md alone (Python 3.11, standard library only).

Encoder.encode(sample) -> bytes, Decoder.decode(packet) -> sample. A sample is a dict: sequence, timeMs, pose (6 numbers),
expression (52), keypoints (3K, optional). Decoded samples carry `steps` and `denominators` besides.
"""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

EXPRESSION_NAMES = """eyeBlinkLeft eyeLookDownLeft eyeLookInLeft eyeLookOutLeft eyeLookUpLeft eyeSquintLeft eyeWideLeft
eyeBlinkRight eyeLookDownRight eyeLookInRight eyeLookOutRight eyeLookUpRight eyeSquintRight eyeWideRight jawForward
jawLeft jawRight jawOpen mouthClose mouthFunnel mouthPucker mouthLeft mouthRight mouthSmileLeft mouthSmileRight
mouthFrownLeft mouthFrownRight mouthDimpleLeft mouthDimpleRight mouthStretchLeft mouthStretchRight mouthRollLower
mouthRollUpper mouthShrugLower mouthShrugUpper mouthPressLeft mouthPressRight mouthLowerDownLeft mouthLowerDownRight
mouthUpperUpLeft mouthUpperUpRight browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff
cheekSquintLeft cheekSquintRight noseSneerLeft noseSneerRight tongueOut""".split()
POSE, FACE = 6, 58
KNOTS = (
    [22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768]
    + [40793, 47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514]
)
SQUASH = [(KNOTS[i >> 7] * (128 - (i & 127)) + KNOTS[(i >> 7) + 1] * (i & 127) + 64) >> 7 for i in range(4096)]
STAY = 33 / 64
TIME_START = (-131072, 0, 0, 0, 0, 0, 0, 0)
SETTINGS = (
    ("poseDenominator", 12),
    ("expressionDenominator", 10),
    ("keypointDenominator", 12),
    ("expressionCount", 6),
    ("keypointCount", 8),
    ("keypointsSent", 8),
)


DEFAULTS = dict(zip((name for name, _ in SETTINGS), (256, 52, 256, 52, 0, 0), strict=True))


class PacketError(Exception):
    """`code` is one of docs/protocol.md's: packet_truncated, packet_oversized, packet_bad_value, …"""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code} {message}")
        self.code = code


def _coding_order() -> list[int]:
    order = [EXPRESSION_NAMES.index(name) for name in ("jawOpen", "mouthClose", "mouthFunnel", "mouthPucker")]
    for index, name in enumerate(EXPRESSION_NAMES):
        pair = name[:-4] + "Right" if name.endswith("Left") else name
        for each in (index, EXPRESSION_NAMES.index(pair) if pair in EXPRESSION_NAMES else index):
            if each not in order:
                order.append(each)
    return [*range(POSE), *(POSE + each for each in order)]


CODING_ORDER = _coding_order()


def load_tables(path: Path = Path(__file__).parents[2] / "docs" / "compact-tables.json") -> dict[str, list[int]]:
    return json.loads(path.read_text("utf8"))


def clamp(value, low, high):
    return low if value < low else high if value > high else value


def log(x: int) -> int:
    """log2 in eighths; x from 1 on"""
    top = x.bit_length() - 1
    return 8 * top + (((8 * x) >> top) & 7)


def squash(total: int) -> int:
    return SQUASH[clamp(total >> 8, -2047, 2047) + 2048]


def i32(x: int) -> int:
    return (x + 0x80000000) % 0x100000000 - 0x80000000


def sign(x: int) -> int:
    return (x > 0) - (x < 0)


class Coder:
    """Section 2. `packet` None: encoding."""

    def __init__(self, packet: bytes | None = None) -> None:
        self.encoding = packet is None
        self.low, self.range = 0x400000, 0xC00000
        self.out = bytearray()
        self.packet = packet or b""
        self.position = 3
        if packet is not None:
            self.offset = int.from_bytes((packet + b"\0\0\0")[:3], "big") - 0x400000

    def code(self, bit: int, p: int) -> int:
        bound = ((self.range >> 8) * (p >> 1)) >> 7
        if self.encoding:
            if bit:
                self.range = bound
            else:
                self.low += bound
                self.range -= bound
            while self.range < 0x10000:
                self._put()
                self.range <<= 8
            return bit
        bit = 1 if self.offset < bound else 0
        if bit:
            self.range = bound
        else:
            self.offset -= bound
            self.range -= bound
        while self.range < 0x10000:
            if self.position >= len(self.packet) + 3:
                raise PacketError("packet_truncated")
            byte = self.packet[self.position] if self.position < len(self.packet) else 0
            self.offset = (self.offset << 8) | byte
            self.position += 1
            self.range <<= 8
        return bit

    def raw(self, value: int, bits: int) -> int:
        result = 0
        for shift in range(bits - 1, -1, -1):
            result = result << 1 | self.code(value >> shift & 1, 32768)
        return result

    def escape(self, rest: int) -> int:
        x, bits = rest + 1, 0
        while self.raw(1 if x >> (bits + 1) else 0, 1):
            bits += 1
            if bits > 15:
                raise PacketError("packet_bad_value")
        return (1 << bits | self.raw(x & ((1 << bits) - 1), bits)) - 1

    def finish(self) -> bytes:
        if self.encoding:
            self.low, count = self._end(self.low)
            for _ in range(count):
                self._put()
            self._carry()
            return bytes(self.out)
        shifted = self.position - 3
        window = int.from_bytes((self.packet + b"\0" * 6)[shifted : shifted + 3], "big")
        low = window - self.offset
        value, count = self._end(low + (1 << 24) if low < 0 else low)
        if len(self.packet) < shifted + count:
            raise PacketError("packet_truncated")
        if len(self.packet) > shifted + count:
            raise PacketError("packet_oversized")
        if value & 0xFFFFFF != window:
            raise PacketError("packet_bad_value")
        return self.packet

    def _end(self, low: int) -> tuple[int, int]:
        for count in range(3):
            mask = (1 << (24 - 8 * count)) - 1
            value = (low + mask) & ~mask
            if value < low + self.range:
                return value, count
        return low, 3

    def _put(self) -> None:
        self._carry()
        self.out.append(self.low >> 16)
        self.low = (self.low & 0xFFFF) << 8

    def _carry(self) -> None:
        if self.low < 1 << 24:
            return
        self.low -= 1 << 24
        at = len(self.out) - 1
        while self.out[at] == 0xFF:
            self.out[at] = 0
            at -= 1
        self.out[at] += 1


class Model:
    """All that adapts: sections 4 (t), 5 (w) and 6 (v)."""

    def __init__(self, tables: dict[str, list[int]], adaptive: bool) -> None:
        self.adaptive = adaptive
        self.t = list(TIME_START)
        self.w = [each * 4096 for each in tables["questions"]]
        self.v = [each * 256 for each in tables["weights"]]

    def copy(self) -> Model:
        other = copy.copy(self)
        other.t, other.w, other.v = list(self.t), list(self.w), list(self.v)
        return other

    def time(self, coder: Coder, bit: int, index: int) -> int:
        p = squash(self.t[index])
        bit = coder.code(bit, p)
        if self.adaptive:
            self.t[index] += (bit * 65536 - p + 4) >> 3
        return bit

    def answer(self, coder: Coder, bit: int, question: int, contexts: tuple[int, ...]) -> int:
        weights = [8 * context + question for context in contexts]
        p = squash(i32(sum(self.w[each] for each in weights)))
        bit = coder.code(bit, p)
        error = bit * 65536 - p
        if self.adaptive and abs(error) >= 1024:
            for each in weights:
                self.w[each] = i32(self.w[each] + ((error + 16) >> 5))
        return bit


@dataclass
class Scalar:
    value: int = 0
    change: int = 0
    before: int = 0
    lively: int = 512
    lively_long: int = 8192
    mean: int = 0


@dataclass
class State:
    settings: dict[str, int]
    sequence: int = 0
    time: int = 0
    clock: int = 0
    interval: int = 8533
    scalars: list[Scalar] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = FACE + 3 * self.settings["keypointCount"]
        self.scalars += [Scalar() for _ in range(count - len(self.scalars))]


def travels(settings: dict[str, int], ranks: list[int], i: int) -> bool:
    if i < POSE:
        return True
    if i < FACE:
        return ranks[i - POSE] < settings["expressionCount"]
    return i < FACE + 3 * settings["keypointsSent"]


def denominator(settings: dict[str, int], i: int) -> int:
    return settings["poseDenominator" if i < POSE else "expressionDenominator" if i < FACE else "keypointDenominator"]


def limits(settings: dict[str, int], i: int) -> tuple[int, int]:
    d = denominator(settings, i)
    if POSE <= i < FACE:
        return 0, d
    high = (d * 3216) >> 10 if i < 3 else 4 * d
    return -high, high


def valid(s: dict[str, int]) -> bool:
    return (
        all(s[name] >= 1 for name, _ in SETTINGS[:3])
        and s["expressionCount"] <= 52
        and s["keypointCount"] <= 128
        and s["keypointsSent"] <= s["keypointCount"]
    )


class Body:
    """What encoder and decoder share: sections 3 (settings), 4 and 6."""

    def __init__(self, tables: dict[str, list[int]], adaptive: bool) -> None:
        self.tables = tables
        self.model = Model(tables, adaptive)

    def settings(self, coder: Coder, settings: dict[str, int]) -> dict[str, int]:
        if not coder.raw(int(settings != DEFAULTS), 1):
            return dict(DEFAULTS)
        result = {name: coder.raw(settings[name], bits) for name, bits in SETTINGS}
        if not valid(result):
            raise PacketError("packet_bad_value")
        return result

    def settings_change(self, coder: Coder, state: State, settings: dict[str, int]) -> State:
        """Returns the state in the packet's settings."""
        if not coder.code(0 if state.settings == settings else 1, 64):
            return state
        settings = self.settings(coder, settings)
        count = FACE + 3 * settings["keypointCount"]
        after = State(settings, state.sequence, state.time, state.clock, state.interval)
        for i, old in enumerate(state.scalars[:count]):
            new = after.scalars[i]
            new.lively, new.lively_long = old.lively, old.lively_long
            if travels(settings, self.tables["ranks"], i):
                was, will = denominator(state.settings, i), denominator(settings, i)
                new.value = clamp((2 * old.value * will + was) // (2 * was), *limits(settings, i))
                new.mean = new.value * 256
        return after

    def time(self, coder: Coder, state: State, time: int, step: int) -> None:
        step = clamp(step, 1, 64)
        clock = (state.clock + state.interval * step) % (1 << 24)
        predicted = ((clock + 128) >> 8) % 65536
        residual = (time - predicted + 32768) % 65536 - 32768
        residual = self._residual(coder, residual)
        state.time = (predicted + residual) % 65536
        if abs(residual) > 100:
            state.clock = state.time * 256
        else:
            state.clock = (clock + residual * 128) % (1 << 24)
            state.interval = clamp(state.interval + (residual * 32) // step, 256, 256000)

    def _residual(self, coder: Coder, residual: int) -> int:
        ask = self.model.time
        if not ask(coder, int(residual != 0), 0):
            return 0
        negative = ask(coder, int(residual < 0), 1)
        size = 1
        while size <= 6 and ask(coder, int(abs(residual) > size), 1 + size):
            size += 1
        if size > 6:
            size += coder.escape(abs(residual) - size)
        return -size if negative else size

    def scalars(self, coder: Coder, state: State, values: list[int], alone: bool) -> None:
        """Codes all scalars and moves the state on; `values` matter when encoding."""
        ranks = self.tables["ranks"]
        alive = expectation = 512
        changes: dict[int, int] = {}
        predictions: dict[int, int] = {}
        result = [0] * len(state.scalars)
        for i in [*CODING_ORDER, *range(FACE, len(state.scalars))]:
            if not travels(state.settings, ranks, i):
                continue
            scalar = state.scalars[i]
            expected = (scalar.lively + (scalar.lively_long >> 4)) >> 1
            ratio = log(alive) - log(expectation)
            predicted = predictions[i] = 0 if alone else self._predict(state, i, changes)
            target = values[i] - scalar.value if coder.encoding else 0
            change = self._change(coder, state, i, target, predicted, expected, ratio)
            result[i] = scalar.value + change
            low, high = limits(state.settings, i)
            if not low <= result[i] <= high:
                raise PacketError("packet_bad_value")
            changes[i] = clamp(change, -63, 63)
            alive += min(abs(change), 8) * 256
            expectation += expected
        coder_result = coder.finish()  # nothing may change before the packet has proved whole
        if self.model.adaptive and not alone:
            for i, predicted in predictions.items():
                if i < FACE:
                    self._learn(state.scalars[i], i, result[i], predicted, changes)
        for scalar, value in zip(state.scalars, result, strict=True):
            self._advance(scalar, value, alone)
        self.packet = coder_result

    def _predict(self, state: State, i: int, changes: dict[int, int]) -> int:
        row = i if i < FACE else FACE + (i - FACE) % 3
        v = self.model.v[17 * row : 17 * row + 17]
        scalar = state.scalars[i]
        if i < FACE:
            total = sum(v[n] * changes.get(self.tables["predecessors"][12 * row + n], 0) for n in range(12))
        else:
            total = sum(v[n] * changes.get(i - o, 0) for n, o in enumerate((3, 6, 1, 2)) if i - o >= FACE)
        total += v[12] * clamp(scalar.change, -63, 63) + v[13] * clamp(scalar.before, -63, 63)
        total += i32(v[14] * clamp(scalar.value * 256 - scalar.mean, -4096, 4096)) >> 8
        coefficient = POSE <= i < FACE
        total = i32(total + (v[15] if coefficient and scalar.value == 0 else 0) + v[16]) >> 8
        return max(total, -scalar.value * 256) if coefficient else total

    def _learn(self, scalar: Scalar, i: int, value: int, predicted: int, changes: dict[int, int]) -> None:
        mistake = (value - scalar.value) * 256 - predicted
        if abs(mistake) < 256:
            return
        x = [changes.get(other, 0) for other in self.tables["predecessors"][12 * i : 12 * i + 12]]
        x += [clamp(scalar.change, -63, 63), clamp(scalar.before, -63, 63)]
        d = clamp(scalar.value * 256 - scalar.mean, -4096, 4096)
        energy = 4 + sum(each * each for each in x) + ((d * d) >> 16)
        gain = min(abs(mistake), 1536) * 1024 // energy * sign(mistake)
        v = self.model.v
        for n, each in enumerate(x):
            v[17 * i + n] = i32(v[17 * i + n] + ((gain * each + 32) >> 6))
        v[17 * i + 14] = i32(v[17 * i + 14] + ((gain * d + 8192) >> 14))

    def _change(
        self, coder: Coder, state: State, i: int, change: int, predicted: int, expected: int, ratio: int
    ) -> int:
        scalar = state.scalars[i]
        coefficient = POSE <= i < FACE
        top = state.settings["expressionDenominator"]
        zone = 0 if i < POSE else 1 if i >= FACE else 3 if scalar.value == 0 else 2
        row = i if i < FACE else FACE + (i - FACE) % 3
        size = clamp(((log(max(expected, 1)) + ratio + 1) >> 2) - 7, 0, 15)
        alive = clamp((ratio >> 2) + 4, 0, 7)
        pace = clamp((predicted + 16) >> 5, -31, 31)
        lean = 2 + sign(pace) * (0 if abs(pace) < 3 else 1 if abs(pace) < 10 else 2)
        level = 0
        if coefficient:
            level = sum(scalar.value >= start for start in (1, 2, 3, 4, 8, 16))
            level += level == 6 and scalar.value == top
        past = 3 * sign(scalar.change) + sign(scalar.before) + 4
        contexts = (
            817 + row * 8 + level,
            512 + row * 5 + lean,
            1305 + (zone * 9 + past) * 16 + size,
            1881 + zone * 64 + 32 + pace,
        )

        def ask(question: int, bit: bool, last: int = alive) -> int:
            return self.model.answer(coder, int(bit), question, ((zone * 16 + size) * 8 + last, *contexts))

        if not ask(0, change != 0):
            return 0
        if coefficient and scalar.value in (0, top):
            negative = int(scalar.value == top)
        else:
            negative = ask(1, change < 0)
        m = 1
        while m <= 14:
            bit = ask(2 * min(m, 3) + negative, abs(change) > m, alive if m < 3 else min(m - 3, 7))
            if not bit:
                break
            m += 1
        if m > 14:
            m += coder.escape(abs(change) - m)
        return -m if negative else m

    @staticmethod
    def _advance(scalar: Scalar, value: int, alone: bool) -> None:
        if alone:
            scalar.value, scalar.change, scalar.before = value, 0, 0
            scalar.mean = value * 256
            scalar.lively, scalar.lively_long = 128, 2048
            return
        difference = value - scalar.value
        m = min(abs(difference), 8)
        scalar.before, scalar.change = scalar.change, difference
        scalar.lively += (m * 256 - scalar.lively) >> 2
        scalar.lively_long += (m * 4096 - scalar.lively_long) >> 5
        scalar.mean += (value * 256 - scalar.mean) >> 4
        scalar.value = value


class Encoder:
    def __init__(self, delivery: str = "ordered", tables: dict[str, list[int]] | None = None, **quality) -> None:
        self.tables = tables or load_tables()
        self.lossy = delivery == "acknowledged"
        self.quality = quality
        self.known: State | None = None
        self.sent: dict[int, State] = {}
        self.body = Body(self.tables, adaptive=not self.lossy)
        self.counter = 0

    def configure(self, **quality) -> None:
        self.quality |= quality

    def reset(self) -> None:
        self.known = None
        self.sent.clear()

    def acknowledge(self, sequence: int) -> None:
        state = self.sent.get(sequence)
        if state is None:
            return
        if self.known is None or (sequence - self.known.sequence + 32768) % 65536 - 32768 > 0:
            self.known = state

    def encode(self, sample: dict) -> bytes:
        settings = self._settings(len(sample.get("keypoints", ())) // 3)
        values = self._quantise(sample, settings)
        sequence, time = sample["sequence"] % 65536, sample["timeMs"] % 65536
        step = (sequence - self.known.sequence) % 65536 if self.known else 0
        coder = Coder()
        alone = self.known is None or step == 0 or (self.lossy and step > 64)
        if alone:
            self.counter = 0
            coder.code(1, 1024)
            coder.code(1, 4096)
            coder.raw(0 if self.lossy else 1, 1)
            coder.raw(sequence, 16)
            coder.raw(time, 16)
            self.body = Body(self.tables, adaptive=not self.lossy)
            state = State(self.body.settings(coder, settings), time=time, clock=time * 256)
        else:
            state = copy.deepcopy(self.known)
            if self.lossy:
                coder.code(1, 1024)
                coder.code(0, 4096)
                coder.raw(sequence & 1023, 10)
                coder.raw(step - 1, 6)
            else:
                self.counter = (self.counter + 1) % 4
                coder.code(0, 1024)
                coder.raw(self.counter, 2)
                if coder.code(int(step != 1), 256):
                    coder.raw(step, 16)
            state = self.body.settings_change(coder, state, settings)
            self.body.time(coder, state, time, step)
        self.body.scalars(coder, state, values, alone)
        state.sequence = sequence
        if self.lossy:
            self.sent = {number: each for number, each in self.sent.items() if (sequence - number) % 65536 < 64}
            self.sent[sequence] = state
        else:
            self.known = state
        return self.body.packet

    def _settings(self, keypoints: int) -> dict[str, int]:
        def steps(name: str, default: int) -> int:
            return math.floor(1 / self.quality[name] + 0.5) if name in self.quality else default

        return {
            "poseDenominator": steps("poseStep", 256),
            "expressionDenominator": steps("expressionStep", 52),
            "keypointDenominator": steps("keypointStep", 256),
            "expressionCount": self.quality.get("expressionCount", 52),
            "keypointCount": keypoints,
            "keypointsSent": min(self.quality.get("keypointsSent", keypoints), keypoints),
        }

    def _quantise(self, sample: dict, settings: dict[str, int]) -> list[int]:
        numbers = [*sample["pose"], *sample["expression"], *sample.get("keypoints", ())]
        values = []
        for i, number in enumerate(numbers):
            if i < 3 and not -math.pi <= number <= math.pi:
                number -= 2 * math.pi * math.floor((number + math.pi) / (2 * math.pi))
            value = math.floor(clamp(number, -1000, 1000) * denominator(settings, i) + 0.5)
            value = clamp(value, *limits(settings, i)) if travels(settings, self.tables["ranks"], i) else 0
            if POSE <= i < FACE and self.known and self.known.settings == settings and travels(settings, self.tables["ranks"], i):
                last = self.known.scalars[i].value
                value = last if abs(number * denominator(settings, i) - last) <= STAY else value
            values.append(value)
        return values


class Decoder:
    def __init__(self, tables: dict[str, list[int]] | None = None) -> None:
        self.tables = tables or load_tables()
        self.chain: State | None = None
        self.body = Body(self.tables, adaptive=True)
        self.counter = 0
        self.history: dict[int, State] = {}
        self.newest: int | None = None

    def decode(self, packet: bytes) -> dict:
        if not packet:
            raise PacketError("packet_truncated")
        if packet[0] < 0x40:
            raise PacketError("packet_unknown_kind")
        coder = Coder(packet)
        if not coder.code(0, 1024):
            return self._chained(coder)
        if coder.code(0, 4096):
            return self._alone(coder)
        return self._from_baseline(coder)

    def _chained(self, coder: Coder) -> dict:
        counter = coder.raw(0, 2)
        step = coder.raw(0, 16) if coder.code(0, 256) else 1
        if self.chain is None:
            raise PacketError("packet_no_baseline")
        if counter == self.counter:
            raise PacketError("packet_stale")
        if counter != (self.counter + 1) % 4:
            self.chain = None
            raise PacketError("packet_no_baseline")
        before = self.body.model.copy()
        try:
            state = self._difference(coder, self.body, self.chain, (self.chain.sequence + step) % 65536, step)
        except PacketError:
            self.body.model = before
            raise
        self.chain, self.counter = state, counter
        return self._sample(state)

    def _alone(self, coder: Coder) -> dict:
        adaptive, sequence, time = coder.raw(0, 1), coder.raw(0, 16), coder.raw(0, 16)
        body = Body(self.tables, adaptive=bool(adaptive))
        state = State(body.settings(coder, dict.fromkeys((name for name, _ in SETTINGS), 1)))
        state.time, state.clock = time, time * 256
        body.scalars(coder, state, [], True)
        state.sequence = sequence
        if adaptive:
            self.chain, self.counter, self.body = state, 0, body
        else:
            self._remember(state)
        return self._sample(state)

    def _from_baseline(self, coder: Coder) -> dict:
        low, distance = coder.raw(0, 10), coder.raw(0, 6) + 1
        if self.newest is None:
            raise PacketError("packet_no_baseline")
        sequence = (self.newest + (low - self.newest + 512) % 1024 - 512) % 65536
        known = self.history.get((sequence - distance) % 65536)
        if known is None:
            raise PacketError("packet_no_baseline")
        state = self._difference(coder, Body(self.tables, adaptive=False), known, sequence, distance)
        self._remember(state)
        return self._sample(state)

    def _difference(self, coder: Coder, body: Body, known: State, sequence: int, step: int) -> State:
        state = body.settings_change(coder, copy.deepcopy(known), known.settings)
        body.time(coder, state, 0, step)
        body.scalars(coder, state, [], False)
        state.sequence = sequence
        return state

    def _remember(self, state: State) -> None:
        ahead = 0 if self.newest is None else (state.sequence - self.newest + 32768) % 65536 - 32768
        if self.newest is None or ahead > 0 or abs(ahead) >= 512:
            self.newest = state.sequence
        self.history[state.sequence] = state
        self.history = {n: each for n, each in self.history.items() if abs((n - self.newest + 32768) % 65536 - 32768) <= 128}

    @staticmethod
    def _sample(state: State) -> dict:
        steps = [scalar.value for scalar in state.scalars]
        numbers = [value / denominator(state.settings, i) for i, value in enumerate(steps)]
        sample = {"sequence": state.sequence, "timeMs": state.time, "pose": numbers[:POSE]}
        sample |= {"expression": numbers[POSE:FACE], "steps": steps}
        sample["denominators"] = [state.settings[name] for name, _ in SETTINGS[:3]]
        return sample | ({"keypoints": numbers[FACE:]} if len(steps) > FACE else {})
