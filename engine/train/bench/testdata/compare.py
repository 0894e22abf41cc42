"""Compares steps of training with PyTorch's on the CPU: the models of `covey bench train`, by
turns, so that whatever else the machine does slows both.

    python compare.py COVEY [--threads 1 2] [--rounds 3] [--model mlp ...]

COVEY is the built program. Prints for each model and number of threads the median step of
each in milliseconds and PyTorch's over Covey's. Made for torch 2.15 (CPU), Python 3.11.
"""
import argparse
import json
import statistics
import subprocess
import sys
import time

import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self, into, out, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True),
            nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out))
        self.short = nn.Sequential()
        if stride != 1 or into != out:
            self.short = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        return torch.relu(self.body(x) + self.short(x))


class Decoder(nn.Module):
    """Two blocks of 128 channels: RMS norm, four heads, SwiGLU; no positions; tied head."""

    def __init__(self, vocab=512, dim=128, heads=4, inner=344, blocks=2):
        super().__init__()
        self.heads, self.embed, self.last = heads, nn.Embedding(vocab, dim), nn.RMSNorm(dim)
        linear = lambda i, o: nn.Linear(i, o, bias=False)
        self.blocks = nn.ModuleList(nn.ModuleDict({
            "norm1": nn.RMSNorm(dim), "qkv": linear(dim, 3 * dim), "out": linear(dim, dim),
            "norm2": nn.RMSNorm(dim), "gate": linear(dim, inner), "up": linear(dim, inner), "down": linear(inner, dim)}) for _ in range(blocks))

    def forward(self, ids):
        x = self.embed(ids)
        n, t, c = x.shape
        for b in self.blocks:
            q, k, v = b["qkv"](b["norm1"](x)).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + b["out"](y.transpose(1, 2).reshape(n, t, c))
            h = b["norm2"](x)
            x = x + b["down"](nn.functional.silu(b["gate"](h)) * b["up"](h))
        return self.last(x).flatten(0, 1) @ self.embed.weight.T


def conv(i, o, bias):
    return [nn.Conv2d(i, o, 3, 1, 1, bias=bias), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]


def build(name):
    image = lambda n: torch.randn(n, 3, 32, 32)
    if name == "mlp":
        net = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
        return net, torch.randn(128, 784), torch.randint(10, (128,))
    if name == "gpt":
        return Decoder(), torch.randint(512, (8, 64)), torch.randint(512, (8 * 64,))
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if name == "cnn":
        net = nn.Sequential(*conv(3, 32, True), *conv(32, 64, True), nn.MaxPool2d(2), Residual(64, 64, 1), *tail, nn.Linear(64, 10))
        return net, image(16), torch.randint(10, (16,))
    widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
    stages = [Residual(i, o, 1 if i == o else 2) for i, o in zip(widths, widths[1:])]
    return nn.Sequential(*conv(3, 64, False), *stages, *tail, nn.Linear(512, 10)), image(8), torch.randint(10, (8,))


def torch_step(name, threads, steps):
    torch.set_num_threads(threads)
    net, x, y = build(name)
    optimizer, loss = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True), nn.CrossEntropyLoss()  # the fastest that it has
    times = []
    for _ in range(3 + steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss(net(x), y).backward()
        optimizer.step()
        times.append(1e3 * (time.perf_counter() - start))
    return sum(p.numel() for p in net.parameters()), statistics.median(times[3:])


def covey_step(program, name, threads, steps):
    out = subprocess.run([program, "bench", "train", "--model", name, "--threads", str(threads), "--steps", str(steps), "--json"], check=True, capture_output=True)
    r = json.loads(out.stdout)[0]
    return r["parameters"], r["median_ms"]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("covey")
    a.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--model", nargs="+", default=["mlp", "cnn", "gpt", "resnet18"])
    a = a.parse_args()
    print(f"torch {torch.__version__}\n{'model':9} threads   torch ms   covey ms   torch / covey, of each round")
    for name in a.model:
        steps = 10 if name == "resnet18" else 30
        for threads in a.threads:
            rounds = []
            for _ in range(a.rounds):
                theirs, t = torch_step(name, threads, steps)
                ours, c = covey_step(a.covey, name, threads, steps)
                if theirs != ours:
                    sys.exit(f"{name}: {theirs} and {ours} parameters: not the same model")
                rounds.append((t, c))
            ratios = " ".join(f"{t / c:.2f}" for t, c in rounds)
            t, c = (statistics.median(v) for v in zip(*rounds))
            print(f"{name:9} {threads:7} {t:10.2f} {c:10.2f}   {ratios}", flush=True)


main()
