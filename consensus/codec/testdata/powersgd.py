"""Writes powersgd.txt: what PowerSGD makes of a matrix, for TestPowerSGDOfNumpy.

Algorithm 1 of Vogels, Karimireddy and Jaggi (2019) in float64, without quantisation, from a
given Q, with error feedback, two steps; and the least that rank 2 can lose (by the SVD).

Usage: python3 powersgd.py > powersgd.txt        (numpy 2.4.6)
"""

import numpy as np

ROWS, COLS, RANK = 24, 20, 2
rng = np.random.default_rng(5)
m = rng.standard_normal((ROWS, 3)) @ np.diag([3, 2, 0.5]) @ rng.standard_normal((3, COLS))
m = (m + 0.3 * rng.standard_normal((ROWS, COLS))).astype(np.float32)
q = rng.standard_normal((COLS, RANK)).astype(np.float32)


def show(name, a):
    print(name, *(f"{v:.9g}" for v in np.asarray(a).ravel()))


show("matrix", m)
show("q", q.T)
error = np.zeros((ROWS, COLS))
for _ in range(2):
    x = m + error
    p, _ = np.linalg.qr(x @ q)
    q = x.T @ p
    sent = p @ q.T
    error = x - sent
    show("sent", sent)
s = np.linalg.svd(m.astype(np.float64), compute_uv=False)
show("least", np.sqrt((s[RANK:] ** 2).sum() / (s**2).sum()))
