"""The UCI digits (1797 grey images, 8x8, 10 classes; scikit-learn carries them): as PNG folders, and what a small CNN reaches on them in PyTorch.
usage: python digits.py --png DIR | python digits.py --train (in this folder; needs scikit-learn; --train writes ../digits.json)

README.md has the split and the order. DIR/CLASS/NNNN.png is image NNNN, pixel = 15 * value.
"""
import argparse
import json
import os
import struct
import time
import zlib

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

import formula
from models import Block

CONFIG = dict(seed=12, channels=[16, 32], batch=64, epochs=12, lr=3e-3, decay=1e-4, validation=5)


def png(image):
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    h, w = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def export(images, labels, folder):
    for i, (image, label) in enumerate(zip(images, labels)):
        os.makedirs(f"{folder}/{label}", exist_ok=True)
        with open(f"{folder}/{label}/{i:04d}.png", "wb") as f:
            f.write(png(image))


class CNN(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, a, 3, 1, 1), nn.BatchNorm2d(a)
        self.conv2, self.bn2 = nn.Conv2d(a, b, 3, 1, 1), nn.BatchNorm2d(b)
        self.block, self.fc = Block(b, b), nn.Linear(b, 10)

    def forward(self, x):
        h = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(self.block(F.max_pool2d(h, 2)).mean((2, 3)))


def train(images, labels, c):
    """Accuracy on the held-out fifth after each epoch."""
    held = formula.integers("split", c["seed"], (len(labels),), c["validation"]) == 0
    x = torch.from_numpy(images.astype(np.float32) / 255 * 2 - 1)[:, None]
    y = torch.from_numpy(labels)
    model = CNN(*c["channels"])
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = p.dim() == 1 and name.endswith(".weight")
            center, bound = (1.0, 0.1) if norm else (0.0, 0.05) if p.dim() == 1 else (0.0, float(np.prod(p.shape[1:])) ** -0.5)
            p.copy_(torch.from_numpy(formula.uniform(name, c["seed"], tuple(p.shape), bound, center)))
    groups = [dict(params=[p for p in model.parameters() if (p.dim() > 1) == d], weight_decay=c["decay"] * d) for d in (True, False)]
    opt, start, index, out = torch.optim.AdamW(groups, lr=c["lr"]), time.time(), np.flatnonzero(~held), []
    for epoch in range(c["epochs"]):
        order = index[np.argsort(formula.words(f"order.{epoch}", c["seed"], len(index)), kind="stable")]
        model.train()
        for i in range(0, len(order), c["batch"]):
            rows = torch.from_numpy(order[i : i + c["batch"]])
            loss = F.cross_entropy(model(x[rows]), y[rows])
            opt.zero_grad()
            loss.backward()
            opt.step()
        model.eval()
        with torch.no_grad():
            logits = model(x[held])
        out.append(dict(loss=round(F.cross_entropy(logits, y[held]).item(), 5), accuracy=round((logits.argmax(1) == y[held]).double().mean().item(), 5)))
        print(epoch, loss.item(), out[-1], f"{time.time() - start:.1f} s", flush=True)
    return dict(config=c, rows=[int((~held).sum()), int(held.sum())], epochs=out, seconds=round(time.time() - start, 1))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--png")
    a.add_argument("--train", action="store_true")
    a = a.parse_args()
    torch.set_num_threads(2)
    d = load_digits()
    images, labels = (d.images * 15).astype(np.uint8), d.target.astype(np.int64)
    if a.png:
        export(images, labels, a.png)
    if a.train:
        result = train(images, labels, CONFIG)
        with open("../digits.json", "w") as f:
            f.write("{\n" + ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in result.items()) + "\n}\n")


if __name__ == "__main__":
    main()
