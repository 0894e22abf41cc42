"""Writes ../vectors.json: first values of a few streams, so that another implementation of formula.py can check itself.
usage: python vectors.py (in this folder)"""
import json
import math

import formula

CASES = [
    ("fc1.weight", 1, 1 / math.sqrt(24), 0.0), ("fc1.bias", 1, 0.05, 0.0), ("bn1.weight", 2, 0.1, 1.0), ("model.layers.0.self_attn.q_proj.weight", 5, 0.125, 0.0),
    ("inputs", 1, 1.0, 0.0), ("", 0, 1.0, 0.0), ("é", (1 << 64) - 1, 1 / math.sqrt(3), 0.0),
]

rows = []
for name, seed, bound, center in CASES:
    rows.append({
        "name": name, "seed": str(seed), "bound": bound, "center": center,
        "words": [f"{int(w):016x}" for w in formula.words(name, seed, 4)],
        "values": [f"{int(v):08x}" for v in formula.uniform(name, seed, (4,), bound, center).view("uint32")],
        "modulo100": [int(v) for v in formula.integers(name, seed, (4,), 100)],
    })
with open("../vectors.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]\n")
