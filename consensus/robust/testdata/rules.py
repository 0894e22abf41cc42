"""Writes rules.json: results of the rules by numpy and scipy, straight from the definitions.

    pip install numpy scipy && python3 rules.py
"""
import json

import numpy as np
from scipy.optimize import minimize
from scipy.stats import trim_mean

rng = np.random.default_rng(11)
n, d, f = 9, 11, 2
honest = rng.normal(1, 0.5, (n - f, d))
liars = rng.normal(-4, 2, (f, d))
x = np.concatenate([honest, liars])[rng.permutation(n)].astype(np.float32).astype(np.float64)
reference = rng.normal(1, 0.5, d).astype(np.float32).astype(np.float64)
weights = np.array([3, 1, 2, 5, 1, 0.5, 4, 2, 7])


def trimmed(x, f):
    return trim_mean(x, f / len(x) + 1e-9, axis=0)


def squares(x):
    return ((x[:, None] - x[None]) ** 2).sum(-1)


def krum(x, f, m):
    s = np.sort(squares(x), axis=1)  # the first is the point itself
    scores = s[:, 1 : len(x) - f - 1].sum(1)
    return x[np.argsort(scores)[:m]].mean(0)


def nnm(x, f):
    order = np.argsort(squares(x), axis=1)
    return np.stack([x[o[: len(x) - f]].mean(0) for o in order])


def geomedian(x):
    best = minimize(lambda z: np.linalg.norm(x - z, axis=1).sum(), np.median(x, 0), method="BFGS", options={"gtol": 1e-10})
    return best.x


def lower_median(v):
    return np.sort(v)[(len(v) - 1) // 2]


def moved(v, x, w, tau):
    diff = x - v
    length = np.linalg.norm(diff, axis=1)
    if tau is None:
        tau = lower_median(length)
    return v + (w[:, None] * diff * np.minimum(1, tau / length)[:, None]).sum(0)


def clip(x, v, tau):
    for _ in range(3):
        v = moved(v, x, np.full(len(x), 1 / len(x)), tau)
    return v


def norm(x):
    length = np.linalg.norm(x, axis=1)
    return (x * np.minimum(1, lower_median(length) / length)[:, None]).mean(0)


def sign(x):
    return np.sign(np.sign(x).sum(0)) * lower_median(np.linalg.norm(x, axis=1)) / np.sqrt(d)


mixing = weights / weights.sum() * 0.8
results = {
    "mean": x.mean(0),
    "weighted": np.average(x, axis=0, weights=weights),
    "median": np.median(x, 0),
    "trimmed:2": trimmed(x, 2),
    "krum:2": krum(x, 2, 1),
    "multikrum:2": krum(x, 2, 7),
    "multikrum:2:4": krum(x, 2, 4),
    "geomedian": geomedian(x),
    "norm": norm(x),
    "clip": clip(x, reference, None),
    "clip:0.7": clip(x, reference, 0.7),
    "gossip": moved(reference, x, mixing, None),
    "gossip:0.7": moved(reference, x, mixing, 0.7),
    "sign": sign(x),
    "nnm+trimmed:2": trimmed(nnm(x, 2), 2),
    "nnm:2+median": np.median(nnm(x, 2), 0),
    "nnm:2+geomedian": geomedian(nnm(x, 2)),
    "nnm:2+clip": clip(nnm(x, 2), reference, None),
    "nnm+krum:2": krum(nnm(x, 2), 2, 1),
}
out = {
    "updates": x.tolist(),
    "reference": reference.tolist(),
    "weights": weights.tolist(),
    "mixing": mixing.tolist(),
    "results": {k: v.tolist() for k, v in results.items()},
}
with open("rules.json", "w") as file:
    json.dump(out, file, indent=1)
    file.write("\n")
