"""Trains a small Llama on bytes of the Go distribution and writes configuration, losses and the validation loss to ../lm_go.json.
usage: python lm_go.py [--goroot DIR] [--nudge N] [--steps N] (in this folder; about three minutes on one free core)

README.md describes data, order and weights: everything follows from file names and formula.py. With --nudge the first weights move by up
to one part in 2**23 and nothing is written: the change of the validation loss is what rounding alone does.
"""
import argparse
import glob
import hashlib
import json
import math
import os
import subprocess
import time

import numpy as np
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM

import formula

CONFIG = dict(
    seed=11, vocab=257, eos=256, hidden=128, layers=4, heads=4, kvHeads=2, headDim=32, intermediate=344, rmsEps=1e-5, ropeTheta=10000.0, tied=True,
    length=128, batch=16, steps=600, lr=3e-3, warmup=40, minFactor=0.1, beta1=0.9, beta2=0.95, eps=1e-8, decay=0.1, clip=1.0, everyValidation=10, validationRows=256,
    packages=["bufio", "bytes", "container/heap", "container/list", "errors", "fmt", "io", "sort", "strconv", "strings", "time", "unicode/utf8"], docs=["go_mem.html", "go_spec.html"])


def files(goroot, c):
    """Paths in one order: those of each package by name, without tests, then the documents."""
    for package in c["packages"]:
        for path in sorted(glob.glob(os.path.join(goroot, "src", package, "*.go"))):
            if not path.endswith("_test.go"):
                yield path
    for name in c["docs"]:
        yield os.path.join(goroot, "doc", name)


def streams(goroot, c):
    """Bytes of all files for training and for validation (file 9, 19, ...), each file followed by the end token."""
    out = [[], []]
    for i, path in enumerate(files(goroot, c)):
        with open(path, "rb") as f:
            out[i % c["everyValidation"] == c["everyValidation"] - 1] += [*f.read(), c["eos"]]
    return [np.array(s, dtype=np.int64) for s in out]


def rows(stream, length):
    """Row i is the length + 1 tokens from i * length on; what does not fill a row is left."""
    n = (len(stream) - 1) // length
    return np.stack([stream[i * length : i * length + length + 1] for i in range(n)])


def model(c, nudge):
    m = LlamaForCausalLM(LlamaConfig(
        vocab_size=c["vocab"], hidden_size=c["hidden"], intermediate_size=c["intermediate"], num_hidden_layers=c["layers"], num_attention_heads=c["heads"],
        num_key_value_heads=c["kvHeads"], head_dim=c["headDim"], max_position_embeddings=2 * c["length"], rms_norm_eps=c["rmsEps"], tie_word_embeddings=c["tied"],
        rope_parameters={"rope_type": "default", "rope_theta": c["ropeTheta"]}, bos_token_id=c["eos"], eos_token_id=c["eos"], use_cache=False, attn_implementation="sdpa"))
    with torch.no_grad():
        for name, p in m.named_parameters():
            center, bound = (1.0, 0.1) if p.dim() == 1 else (0.0, 1 / math.sqrt(p.shape[1]))
            p.copy_(torch.from_numpy(formula.uniform(name, c["seed"], tuple(p.shape), bound, center)))
            if nudge:
                p.mul_(1 + (torch.randint(3, p.shape, generator=torch.Generator().manual_seed(nudge)) - 1) * 2.0**-23)
    return m


def factor(s, c):
    w, n = c["warmup"], c["steps"]
    return (s + 1) / w if s < w else c["minFactor"] + (1 - c["minFactor"]) * 0.5 * (1 + math.cos(math.pi * (s - w) / (n - w)))


def loss_of(m, x):
    return F.cross_entropy(m(x[:, :-1]).logits.flatten(0, 1), x[:, 1:].flatten())


def validate(m, data, c):
    """The mean over all targets of the rows, in nats."""
    m.eval()
    with torch.no_grad():
        total = sum(loss_of(m, torch.from_numpy(data[i : i + 32])).item() * len(data[i : i + 32]) for i in range(0, len(data), 32))
    m.train()
    return total / len(data)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--goroot", default=subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True).stdout.strip())
    a.add_argument("--nudge", type=int, default=0)
    a.add_argument("--steps", type=int, default=CONFIG["steps"])
    a.add_argument("--threads", type=int, default=1)
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    c = dict(CONFIG, steps=a.steps)
    text, held = streams(a.goroot, c)
    sums = [hashlib.sha256(s.astype("<u2").tobytes()).hexdigest() for s in (text, held)]
    train, valid = rows(text, c["length"]), rows(held, c["length"])[: c["validationRows"]]
    order = formula.integers("order", c["seed"], (c["steps"], c["batch"]), len(train))
    m = model(c, a.nudge)
    print(f"{sum(p.numel() for p in m.parameters())} parameters, {len(text)} + {len(held)} tokens, {len(train)} + {len(valid)} rows", flush=True)
    groups = [dict(params=[p for p in m.parameters() if p.dim() > 1], weight_decay=c["decay"]), dict(params=[p for p in m.parameters() if p.dim() == 1], weight_decay=0.0)]
    opt = torch.optim.AdamW(groups, lr=c["lr"], betas=(c["beta1"], c["beta2"]), eps=c["eps"])
    losses, curve, start = [], [], time.time()
    for s in range(c["steps"]):
        for g in opt.param_groups:
            g["lr"] = c["lr"] * factor(s, c)
        if s % 200 == 0:
            curve.append([s, validate(m, valid, c)])
            print(f"step {s} validation {curve[-1][1]:.4f} {time.time() - start:.0f} s", flush=True)
        loss = loss_of(m, torch.from_numpy(train[order[s]]))
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(m.parameters(), c["clip"])
        opt.step()
        losses.append(loss.item())
    curve.append([c["steps"], validate(m, valid, c)])
    seconds = time.time() - start
    print(f"validation loss {curve[-1][1]:.5f} nats a byte after {c['steps']} steps, {seconds:.0f} s", flush=True)
    if not a.nudge and c == CONFIG:
        result = dict(config=c, go=subprocess.run(["go", "version"], capture_output=True, text=True).stdout.split()[2], tokens=[len(text), len(held)],
                      sha256=sums, rows=[len(train), len(valid)], first=order[0].tolist(), validation=curve, validationLoss=curve[-1][1],
                      train=[[s, losses[s]] for s in [*range(10), *range(19, c["steps"], 20)]], seconds=round(seconds))
        with open("../lm_go.json", "w") as f:
            f.write("{\n" + ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in result.items()) + "\n}\n")


if __name__ == "__main__":
    main()
