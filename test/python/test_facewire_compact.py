"""The golden packets of proto/golden/compact.json, through the second implementation: same bytes, same motions.

python3 -m unittest discover -s test/python
"""

import json
import random
import unittest
from pathlib import Path

from facewire_compact import Decoder, Encoder, PacketError, load_tables

GOLDEN = json.loads((Path(__file__).parents[2] / "proto" / "golden" / "compact.json").read_text("utf8"))
TABLES = load_tables()


class GoldenPackets(unittest.TestCase):
    def test_encodes_and_decodes_every_step_identically(self) -> None:
        for script in GOLDEN:
            encoder, decoder = Encoder(tables=TABLES, **script["options"]), Decoder(TABLES)
            for number, step in enumerate(script["steps"]):
                with self.subTest(script=script["name"], step=number):
                    if "configure" in step:
                        encoder.configure(**step["configure"])
                    elif "acknowledge" in step:
                        encoder.acknowledge(step["acknowledge"])
                    elif "reset" in step:
                        encoder.reset()
                    else:
                        self.assertEqual(encoder.encode(step["encode"]).hex(), step["packet"])
                        decoded = decoder.decode(bytes.fromhex(step["packet"]))
                        for name in ("sequence", "timeMs", "steps", "denominators"):
                            self.assertEqual(decoded[name], step["decoded"][name], name)

    def test_altered_packets_are_refused_or_decode_within_range(self) -> None:
        source = random.Random(5)
        packets = [bytes.fromhex(step["packet"]) for step in GOLDEN[0]["steps"]]
        refused = 0
        for _ in range(60):
            decoder = Decoder(TABLES)
            decoder.decode(packets[0])
            for packet in packets[1:4]:
                broken = bytearray(packet)
                broken[source.randrange(len(broken))] ^= 1 << source.randrange(8)
                broken[0] = 0x40 | broken[0] & 0x3F
                try:
                    sample = decoder.decode(bytes(broken))
                    self.assertTrue(all(0 <= each <= 1 for each in sample["expression"]))
                except PacketError:
                    refused += 1
        self.assertGreater(refused, 90)


if __name__ == "__main__":
    unittest.main()
