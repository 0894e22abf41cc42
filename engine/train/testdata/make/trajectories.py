"""Writes ../{model}.json: losses of 20 steps from the same weights and batches, in float64 (the reference) and float32 (what precision alone does).
usage: python trajectories.py [model ...] (in this folder, with the versions of requirements.txt). README.md describes the files."""
import json
import math
import sys

import torch
import torch.nn.functional as F

import formula
from models import BATCHES, MODELS, widen

STEPS, WARMUP, NUDGES = 20, 5, 7
torch.set_num_threads(1)


def tensors(spec):
    """Name, shape, center, bound and decay of each trained tensor: the rules of README.md."""
    out = []
    for name, p in spec["make"]().named_parameters():
        shape, norm = list(p.shape), p.dim() == 1 and name.endswith(".weight")
        center, bound = (1.0, 0.1) if norm else (spec["shift"], 0.05) if "bn" in name or "downsample.1" in name else (0.0, 0.05) if p.dim() == 1 else (0.0, 1 / math.sqrt(math.prod(shape[1:])))
        out.append(dict(name=name, shape=shape, center=center, bound=bound, decay=p.dim() > 1))
    return out


def runs(spec):
    sgd = dict(kind="sgd", lr=spec["lr"]["sgd"], momentum=0.9, nesterov=True, decay=1e-4)
    adam = dict(kind="adam", lr=spec["lr"]["adam"], beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0)
    adamw = dict(adam, kind="adamw", decay=0.01)
    plain = dict(schedule=[1.0] * STEPS, clip=0.0, smoothing=0.0, ignore=0)
    scheduled = dict(schedule=[factor(s) for s in range(STEPS)], clip=spec["clip"], smoothing=0.1, ignore=spec.get("ignore", 0))
    last = adamw if "vocab" in spec["config"] else sgd
    every = {"sgd": (sgd, plain), "adam": (adam, plain), "adamw": (adamw, plain), "scheduled": (last, scheduled)}
    return {name: every[name] for name in spec.get("runs") or every}


def factor(s):
    """Linear warm-up from 1/WARMUP, then a half cosine to 0 at STEPS."""
    return (s + 1) / WARMUP if s < WARMUP else 0.5 * (1 + math.cos(math.pi * (s - WARMUP) / (STEPS - WARMUP)))


def optimiser(model, table, o):
    if o["kind"] == "sgd":
        return torch.optim.SGD(model.parameters(), o["lr"], momentum=o["momentum"], nesterov=o["nesterov"], weight_decay=o["decay"], foreach=False)
    with_decay = {t["name"]: t["decay"] for t in table}
    groups = [dict(params=[p for n, p in model.named_parameters() if with_decay[n] == d], weight_decay=o["decay"] if d else 0.0) for d in (True, False)]
    kind = torch.optim.Adam if o["kind"] == "adam" else torch.optim.AdamW
    return kind(groups, o["lr"], betas=(o["beta1"], o["beta2"]), eps=o["eps"], foreach=False)


def build(spec, table, dtype, nudge=0):
    """The model with its first weights; a nudge other than 0 moves each weight by up to one part in 2**21, at random."""
    torch.manual_seed(0)
    model = spec["make"]().train()
    with torch.no_grad():
        params = dict(model.named_parameters())
        for t in table:
            params[t["name"]].copy_(torch.from_numpy(formula.uniform(t["name"], spec["seed"], t["shape"], t["bound"], t["center"])))
            if nudge:
                params[t["name"]].mul_(1 + (torch.randint(3, t["shape"], generator=torch.Generator().manual_seed(nudge)) - 1) * 2.0**-21)
    return widen(model) if dtype == torch.float64 else model


def loss_of(model, spec, i, how, dtype):
    inputs, target = spec["batch"](spec["seed"], i % BATCHES, how["ignore"])
    inputs = {k: torch.from_numpy(v).to(dtype) if v.dtype.kind == "f" else torch.from_numpy(v) for k, v in inputs.items()}
    out = model(**inputs)
    logits = out if torch.is_tensor(out) else out.logits
    return F.cross_entropy(logits.flatten(0, -2), torch.from_numpy(target).flatten(), ignore_index=-1, label_smoothing=how["smoothing"])


def measures(named, seed):
    """The norm of each tensor and its product with the stream NAME.probe (bound 1), which sees an exchange of elements."""
    out = {}
    for name, x in named:
        if x.is_floating_point():
            x = x.detach().double()
            probe = torch.from_numpy(formula.uniform(name + ".probe", seed, tuple(x.shape), 1.0)).double()
            out[name] = [x.norm().item(), (x * probe).sum().item()]
    return out


def train(spec, table, o, how, dtype, nudge=0):
    model = build(spec, table, dtype, nudge)
    opt = optimiser(model, table, o)
    base = [g["lr"] for g in opt.param_groups]
    r = dict(loss=[], gradNorm=[])
    for s in range(STEPS):
        for g, lr in zip(opt.param_groups, base):
            g["lr"] = lr * how["schedule"][s]
        opt.zero_grad()
        loss = loss_of(model, spec, s, how, dtype)
        loss.backward()
        if s == 0:
            r["grad0"] = measures([(n, p.grad) for n, p in model.named_parameters()], spec["seed"])
        r["gradNorm"].append(torch.nn.utils.clip_grad_norm_(model.parameters(), how["clip"] or math.inf).item())
        opt.step()
        r["loss"].append(loss.item())
    r["final"] = measures(list(model.named_parameters()) + list(buffers(model)), spec["seed"])
    r["buffers"] = {n: b.tolist() for n, b in buffers(model)}
    model.eval()
    with torch.no_grad():
        r["evalLoss"] = loss_of(model, spec, 0, how, dtype).item()
    return r


def buffers(model):
    return ((n, b) for n, b in model.named_buffers() if n.endswith(("running_mean", "running_var")))


def apart(a, b):
    return max(abs(x - y) / abs(y) for x, y in zip(a, b))


def fixture(name, spec):
    table = tensors(spec)
    out = dict(model=name, seed=spec["seed"], config=spec["config"], batches=BATCHES, streams=spec["shapes"], tensors=table, runs=[])
    for run, (o, how) in runs(spec).items():
        ref, low = (train(spec, table, o, how, t) for t in (torch.float64, torch.float32))
        free = spec["free"] if o["kind"] != "sgd" else []
        moved = max((abs(low["final"][n][i] - v[i]) / v[0], n) for n, v in ref["final"].items() if n not in free for i in (0, 1))
        far = max(apart(train(spec, table, o, how, torch.float32, n)["loss"] if n else low["loss"], ref["loss"]) for n in range(NUDGES + 1))
        ev = apart([low["evalLoss"]], [ref["evalLoss"]])
        print(f"{name:10s} {run:10s} loss {ref['loss'][0]:.4f} -> {ref['loss'][-1]:.4f} float32 {far:.1e} final {moved[0]:.1e} {moved[1]} eval {ref['evalLoss']:.4f} {ev:.1e} "
              f"clipped {sum(g > how['clip'] for g in ref['gradNorm']) if how['clip'] else 0}", flush=True)
        assert far < 2e-5, (name, run, far)
        row = dict(name=run, optimizer=o, **how, free=free, loss=ref["loss"], loss32=low["loss"], apart32=far, gradNorm=ref["gradNorm"])
        if run in ("sgd", "scheduled"):
            row["grad0"] = ref["grad0"]
        row["final"] = ref["final"]
        if name == "cnn":
            row["buffers"] = ref["buffers"]
        if ref["buffers"] and not free:
            row["evalLoss"] = ref["evalLoss"]
        out["runs"].append(row)
    return out


def short(x):
    """Rounds what was computed; bounds and rates keep every digit."""
    if isinstance(x, float):
        return float(f"{x:.12g}")
    if isinstance(x, list):
        return [short(v) for v in x]
    return {k: v if k in ("tensors", "optimizer", "schedule", "config") else short(v) for k, v in x.items()} if isinstance(x, dict) else x


def compact(x, indent=0):
    """JSON with one line per tensor and per list of a run, so that a change can be read as a diff."""
    one = json.dumps(x)
    if indent >= 3 or len(one) < 120 or not isinstance(x, (dict, list)):
        return one
    pad = " " * (indent + 1)
    if isinstance(x, dict):
        return "{\n" + ",\n".join(f"{pad}{json.dumps(k)}: {compact(v, indent + 1)}" for k, v in x.items()) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(pad + compact(v, indent + 1) for v in x) + "\n" + " " * indent + "]"


for name in sys.argv[1:] or MODELS:
    text = compact(short(fixture(name, MODELS[name])))
    with open(f"../{name}.json", "w") as f:
        f.write(text + "\n")
