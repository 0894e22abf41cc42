"""Weights and batches of the fixtures, computed from names: README.md states the formula, the Go tests have the same one.

Nothing here draws from a library's random generator, so a fixture need not store a single weight.
"""
import numpy as np

MASK = (1 << 64) - 1


def fnv1a(name):
    """FNV-1a, 64 bits, over the UTF-8 bytes of the name."""
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001B3) & MASK
    return h


def words(name, seed, n):
    """The n first 64-bit words of the stream of a name: splitmix64's output function at (fnv1a(name) xor seed) + i."""
    with np.errstate(over="ignore"):
        z = np.arange(n, dtype=np.uint64) + np.uint64(fnv1a(name) ^ seed) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(name, seed, shape, bound, center=0.0):
    """center + [-bound, bound) in float32: the product is rounded in float64, then to float32, then the sum is rounded to float32."""
    n = int(np.prod(shape))
    unit = (words(name, seed, n) >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1
    v = (unit * np.float64(bound)).astype(np.float32)
    return (np.float32(center) + v).reshape(shape)


def integers(name, seed, shape, below):
    """Integers in [0, below): the word modulo below."""
    n = int(np.prod(shape))
    return (words(name, seed, n) % np.uint64(below)).astype(np.int64).reshape(shape)
