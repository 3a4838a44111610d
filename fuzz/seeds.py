#!/usr/bin/env python3
"""Fills fuzz/corpus from the golden vectors: inputs for the fuzz targets to start from."""

import json
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
VECTORS = FUZZ.parent / "tests" / "vectors"


def rows(name, field):
    return [bytes.fromhex(row[field]) for row in json.loads((VECTORS / name).read_text())]


def fill(target, inputs):
    corpus = FUZZ / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(inputs):
        (corpus / f"vector-{number}").write_bytes(data)
    print(f"{len(inputs)} inputs in {corpus}")


fill(
    "scan_block",
    rows("chain.json", "rmp_hex")
    + rows("negative.json", "rmp_hex")
    + rows("decode_cases.json", "input_hex"),
)
# The first byte of an input of this target says how the rest is cut into pieces.
stream = (VECTORS / "blocks_by_range_1_20.stream.bin").read_bytes()
responses = rows("rpc_responses.json", "wire_hex") + rows("rpc_decode_cases.json", "wire_hex")
responses.append(stream)
fill("framing", [bytes([number % 256]) + wire for number, wire in enumerate(responses)])
