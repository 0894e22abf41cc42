"""Writes ../ops.json: single operations where a mistake is easy, in float64, as PyTorch computes them. usage: python ops.py (in this folder)

Inputs are float32 values of the streams NAME with seed 7 (bound 1, center 0, formula.py) and are also stored.
"""
import json
import math

import torch
import torch.nn.functional as F

import formula

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
SEED = 7


def stream(name, *shape, bound=1.0, center=0.0):
    return torch.from_numpy(formula.uniform(name, SEED, shape, bound, center)).double()


def optimisers():
    grads = stream("optim.grads", 5, 7)
    grads[:, 6] = 0  # a parameter that gets no gradient still decays
    grads[3, 5] = 0
    cases = {
        "sgd": (torch.optim.SGD, dict(lr=0.1)),
        "sgd decay": (torch.optim.SGD, dict(lr=0.1, weight_decay=0.01)),
        "momentum": (torch.optim.SGD, dict(lr=0.1, momentum=0.9)),
        "momentum decay": (torch.optim.SGD, dict(lr=0.1, momentum=0.9, weight_decay=0.01)),
        "nesterov": (torch.optim.SGD, dict(lr=0.1, momentum=0.9, nesterov=True)),
        "nesterov decay": (torch.optim.SGD, dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)),
        "adam": (torch.optim.Adam, dict(lr=0.01, betas=(0.9, 0.999), eps=1e-8)),
        "adam decay": (torch.optim.Adam, dict(lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)),
        "adamw": (torch.optim.AdamW, dict(lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)),
        "adamw decay": (torch.optim.AdamW, dict(lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)),
        "adamw betas": (torch.optim.AdamW, dict(lr=0.01, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1)),
    }
    out = []
    for name, (kind, kw) in cases.items():
        p = torch.nn.Parameter(stream("optim.params", 7))
        opt, steps = kind([p], **kw), []
        for g in grads:
            p.grad = g.clone()
            opt.step()
            steps.append(p.tolist())
        out.append(dict(name=name, kind=kind.__name__.lower(), **{**kw, "betas": list(kw.get("betas", []))}, params=steps))
    return dict(params=stream("optim.params", 7).tolist(), grads=grads.tolist(), cases=out)


def schedules():
    """Factors of the rate at steps 0..20, from PyTorch's schedulers: linear warm-up starts at 1/warmup and reaches 1 at step warmup - 1."""
    S = torch.optim.lr_scheduler

    def factors(make):
        opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        s, out = make(opt), []
        for _ in range(21):
            out.append(opt.param_groups[0]["lr"])
            opt.step()
            s.step()
        return out

    warm = lambda o, n: S.LinearLR(o, start_factor=1 / n, end_factor=1.0, total_iters=n - 1)
    then = lambda o, n, rest: S.SequentialLR(o, [warm(o, n), rest], milestones=[n])
    cases = {
        "constant": (dict(), lambda o: S.ConstantLR(o, factor=1.0)),
        "warmup": (dict(warmup=5), lambda o: warm(o, 5)),
        "cosine": (dict(steps=20), lambda o: S.CosineAnnealingLR(o, 20)),
        "cosine min": (dict(steps=20, min=0.1), lambda o: S.CosineAnnealingLR(o, 20, eta_min=0.1)),
        "warmup cosine": (dict(warmup=5, steps=20), lambda o: then(o, 5, S.CosineAnnealingLR(o, 15))),
        "warmup cosine min": (dict(warmup=5, steps=20, min=0.1), lambda o: then(o, 5, S.CosineAnnealingLR(o, 15, eta_min=0.1))),
        "step": (dict(every=6, factor=0.5), lambda o: S.StepLR(o, 6, gamma=0.5)),
        "steps": (dict(at=[4, 9, 15], factor=0.1), lambda o: S.MultiStepLR(o, [4, 9, 15], gamma=0.1)),
        "linear": (dict(steps=20), lambda o: S.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=20)),
    }
    return [dict(name=n, **kw, factors=factors(make)) for n, (kw, make) in cases.items()]


def cross_entropy():
    logits, targets = stream("ce.logits", 5, 7, bound=4.0), [3, -1, 0, 6, -1]
    out = []
    for smoothing in (0.0, 0.1, 0.3):
        x = logits.clone().requires_grad_()
        loss = F.cross_entropy(x, torch.tensor(targets), ignore_index=-1, label_smoothing=smoothing)
        loss.backward()
        out.append(dict(smoothing=smoothing, loss=loss.item(), grad=x.grad.tolist()))
    return dict(logits=logits.tolist(), targets=targets, counted=3, cases=out)


def batch_norm():
    """Two training batches of different sizes, then evaluation on the first: running variance is unbiased, the normalising one is not."""
    bn = torch.nn.BatchNorm2d(3, eps=1e-5, momentum=0.1)
    with torch.no_grad():
        bn.weight.copy_(stream("bn.weight", 3, bound=0.1, center=1.0))
        bn.bias.copy_(stream("bn.bias", 3))
    out = dict(eps=1e-5, momentum=0.1, weight=bn.weight.tolist(), bias=bn.bias.tolist(), batches=[])
    for n, batch in enumerate((4, 3)):
        x = stream(f"bn.x{n}", batch, 3, 2, 2, bound=2.0, center=0.5).requires_grad_()
        dy = stream(f"bn.dy{n}", batch, 3, 2, 2)
        bn.zero_grad()
        y = bn(x)
        y.backward(dy)
        out["batches"].append(dict(
            batch=batch, x=x.flatten().tolist(), dy=dy.flatten().tolist(), y=y.flatten().tolist(), dx=x.grad.flatten().tolist(), dweight=bn.weight.grad.tolist(),
            dbias=bn.bias.grad.tolist(), runningMean=bn.running_mean.tolist(), runningVar=bn.running_var.tolist()))
    bn.eval()
    out["eval"] = bn(stream("bn.x0", 4, 3, 2, 2, bound=2.0, center=0.5)).flatten().tolist()
    return out


def pools():
    """Windows that reach over the border, and ties: the average counts the padding, the maximum goes to the first of equal elements."""
    out = []
    ties = (stream("pool.x", 2, 5, 6) * 4).round() / 4
    for kind, k, stride, pad, x in [("avg", 3, 2, 1, stream("pool.x", 2, 5, 6)), ("avg", 2, 2, 0, stream("pool.x", 2, 5, 6)), ("max", 3, 2, 1, stream("pool.x", 2, 5, 6) - 2),
                                    ("max", 2, 2, 0, stream("pool.x", 2, 5, 6)), ("max", 3, 1, 1, ties)]:
        x = x.clone().requires_grad_()
        y = (F.avg_pool2d if kind == "avg" else F.max_pool2d)(x, k, stride, pad)
        dy = stream(f"pool.dy.{kind}{k}{stride}{pad}", *y.shape)
        y.backward(dy)
        out.append(dict(kind=kind, planes=2, h=5, w=6, k=k, stride=stride, pad=pad, outH=y.shape[1], outW=y.shape[2],
                        x=x.flatten().tolist(), y=y.flatten().tolist(), dy=dy.flatten().tolist(), dx=x.grad.flatten().tolist()))
    return out


def norms():
    out = {}
    for name in ("layer", "rms"):
        x, dy = stream("norm.x", 3, 6, bound=2.0, center=0.5).requires_grad_(), stream("norm.dy", 3, 6)
        w, b = stream("norm.weight", 6, bound=0.1, center=1.0).requires_grad_(), stream("norm.bias", 6).requires_grad_()
        y = F.layer_norm(x, (6,), w, b, 1e-5) if name == "layer" else F.rms_norm(x, (6,), w, 1e-5)
        y.backward(dy)
        out[name] = dict(eps=1e-5, rows=3, width=6, x=x.flatten().tolist(), weight=w.tolist(), bias=b.tolist() if name == "layer" else [], dy=dy.flatten().tolist(),
                         y=y.flatten().tolist(), dx=x.grad.flatten().tolist(), dweight=w.grad.tolist(), dbias=b.grad.tolist() if name == "layer" else [])
    return out


def rope():
    """Hugging Face's rotation of halves (element i with i + dim/2) at positions 0, 1, 7 and 1000, theta 10000."""
    x, positions, dim = stream("rope.x", 4, 8), torch.tensor([0, 1, 7, 1000]), 8
    angle = positions[:, None] * 10000.0 ** (-torch.arange(0, dim, 2) / dim)
    cos, sin, (a, b) = angle.cos(), angle.sin(), x.chunk(2, -1)
    y = torch.cat((a * cos - b * sin, b * cos + a * sin), -1)
    return dict(dim=dim, theta=10000.0, positions=positions.tolist(), x=x.flatten().tolist(), y=y.flatten().tolist())


def activations():
    x = torch.tensor([-20.0, -5, -3, -1.5, -1, -0.5, -1e-3, 0, 1e-3, 0.5, 1, 1.5, 3, 5, 20]).requires_grad_()
    kinds = dict(relu=F.relu, gelu=F.gelu, gelu_tanh=lambda v: F.gelu(v, approximate="tanh"), silu=F.silu, tanh=torch.tanh, sigmoid=torch.sigmoid)
    out = []
    for name, f in kinds.items():
        x.grad = None
        y = f(x)
        y.sum().backward()
        out.append(dict(name=name, y=y.tolist(), dydx=x.grad.tolist()))
    return dict(x=x.tolist(), cases=out)


def splitmix(x):
    x = (x + 0x9E3779B97F4A7C15) & formula.MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & formula.MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & formula.MASK
    return x ^ x >> 31


def kept(batch, heads, seq, rate, seed):
    """What dropout keeps of the weights of attention, (batch, heads, queries, keys), seq at most 64: README.md has the formula."""
    out = torch.zeros(batch, heads, seq, seq)
    for head in range(batch * heads):
        key = splitmix(seed ^ splitmix(head))
        for q in range(seq):
            for k in range(seq):
                x = (key + (64 * k + q) * 0x9E3779B9) & 0xFFFFFFFF
                x = (x ^ x >> 16) * 0x85EBCA6B & 0xFFFFFFFF
                x = (x ^ x >> 13 ^ key >> 32) * 0xC2B2AE35 & 0xFFFFFFFF
                out[head // heads, head % heads, q, k] = (x ^ x >> 16) >= int(rate * 2**32)
    return out


def attention():
    """Grouped-query attention, causal and with key lengths and dropout, and its gradients. q, k, v and out are (batch, seq, heads, dim) row-major."""
    out = []
    for name, causal, lengths, rate in (("causal", True, None, 0), ("full", False, None, 0), ("lengths", False, [5, 2], 0), ("dropout", True, None, 0.25)):
        q, k, v = stream("attn.q", 2, 5, 4, 3).requires_grad_(), stream("attn.k", 2, 5, 2, 3).requires_grad_(), stream("attn.v", 2, 5, 2, 3).requires_grad_()
        dy = stream("attn.dy", 2, 5, 4, 3)
        wide = lambda t: t.repeat_interleave(2, 2).transpose(1, 2)
        score = q.transpose(1, 2) @ wide(k).transpose(2, 3) / math.sqrt(3)
        if causal:
            score = score.masked_fill(torch.ones(5, 5, dtype=torch.bool).triu(1), -math.inf)
        if lengths:
            score = score.masked_fill((torch.arange(5) >= torch.tensor(lengths)[:, None])[:, None, None], -math.inf)
        weights = score.softmax(-1)
        if rate:
            weights = weights * kept(2, 4, 5, rate, SEED) / (1 - rate)
        y = (weights @ wide(v)).transpose(1, 2)
        y.backward(dy)
        out.append(dict(name=name, causal=causal, lengths=lengths or [], dropout=rate, seed=SEED, batch=2, seq=5, heads=4, kvHeads=2, headDim=3, scale=1 / math.sqrt(3),
                        q=q.flatten().tolist(), k=k.flatten().tolist(), v=v.flatten().tolist(), out=y.flatten().tolist(), dout=dy.flatten().tolist(),
                        dq=q.grad.flatten().tolist(), dk=k.grad.flatten().tolist(), dv=v.grad.flatten().tolist()))
    return out


def clip():
    """Gradients of two tensors scaled by max / (norm + 1e-6) where the norm of all together is larger than max."""
    out = []
    for limit in (1.0, 10.0):
        ps = [torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2, 2))]
        grads = [stream("clip.a", 3, bound=2.0), stream("clip.b", 2, 2, bound=2.0)]
        for p, g in zip(ps, grads):
            p.grad = g.clone()
        norm = torch.nn.utils.clip_grad_norm_(ps, limit).item()
        out.append(dict(max=limit, norm=norm, grads=[g.flatten().tolist() for g in grads], clipped=[p.grad.flatten().tolist() for p in ps]))
    return out


def text(x, depth=0):
    one = json.dumps(x)
    if depth >= 4 or len(one) < 140 or not isinstance(x, (dict, list)) or isinstance(x, list) and not isinstance(x[0], (dict, list)):
        return one
    pad = " " * (depth + 1)
    items = [f"{json.dumps(k)}: {text(v, depth + 1)}" for k, v in x.items()] if isinstance(x, dict) else [text(v, depth + 1) for v in x]
    a, b = "{}" if isinstance(x, dict) else "[]"
    return f"{a}\n" + ",\n".join(pad + i for i in items) + "\n" + " " * depth + b


def short(x):
    if isinstance(x, float):
        return float(f"{x:.14g}")
    return {k: short(v) for k, v in x.items()} if isinstance(x, dict) else [short(v) for v in x] if isinstance(x, list) else x


everything = dict(optimisers=optimisers(), schedules=schedules(), crossEntropy=cross_entropy(), batchNorm=batch_norm(), pools=pools(), norms=norms(), rope=rope(),
                  activations=activations(), attention=attention(), clip=clip())
with open("../ops.json", "w") as f:
    f.write(text(short(everything)) + "\n")
