"""Writes f16.txt: hashes of what numpy makes of float16, for TestFloat16OfNumpy.

Usage: python3 f16.py > f16.txt        (numpy 2.4.6)
"""

import hashlib

import numpy as np

bits = np.arange(0, 2**32, 251, dtype=np.uint64).astype(np.uint32)
bits = bits[(bits & 0x7F800000) != 0x7F800000]
x = np.clip(bits.view(np.float32), -65504, 65504)
print("encode", hashlib.sha256(x.astype("<f2").tobytes()).hexdigest())

halves = np.arange(2**16, dtype=np.uint16)
halves = halves[(halves & 0x7C00) != 0x7C00]
print("decode", hashlib.sha256(halves.view(np.float16).astype("<f4").tobytes()).hexdigest())
