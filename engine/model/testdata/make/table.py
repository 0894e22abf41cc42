"""Writes table.json: perceptrons on tables with PyTorch's answers, in float64.

    python table.py > ../table.json

Each model has its config.json, its tensors, rows as text in the order of its columns, and
what comes out for each row: scores of the labels, or one number. Made with Python 3.11,
torch 2.15.0 (CPU). The inputs are made here anew from the columns' description: a number is
(value - mean) / std, or the value itself where std is 0 or absent; a category is one input
for each of its values. A missing number becomes 0 where it is standardised, else the mean; a
missing category becomes zeros.
"""
import json
import random
import sys

import torch

torch.manual_seed(1)
draw = random.Random(2)
COLUMNS = [
    {"name": "age", "kind": "number", "mean": 41.5, "std": 12.25},
    {"name": "colour", "kind": "category", "categories": ["blue", "green", "red"]},
    {"name": "raw", "kind": "number", "mean": 0.25},
    {"name": "plan b", "kind": "category", "categories": ["0", "1"]},
]
ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid, "silu": torch.nn.SiLU,
               "gelu": torch.nn.GELU, "gelu_tanh": lambda: torch.nn.GELU(approximate="tanh")}


def inputs(row):
    out = []
    for column, field in zip(COLUMNS, row):
        std, mean = column.get("std", 0.0), column.get("mean", 0.0)
        if column["kind"] == "category":
            out += [1.0 if field == c else 0.0 for c in column["categories"]]
        elif field == "":
            out.append(0.0 if std else mean)
        else:
            out.append((float(field) - mean) / std if std else float(field))
    return out


def row(missing):
    fields = [f"{draw.gauss(40, 15):.3f}", draw.choice(["blue", "green", "red"]), f"{draw.gauss(0, 1):.4f}", draw.choice("01")]
    if missing and draw.random() < 0.5:
        fields[draw.randrange(4)] = ""
    return fields


def model(activation, hidden, labels, fill):
    widths = [7, *hidden, len(labels) or 1]
    layers, tensors = [], {}
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        layer = torch.nn.Linear(a, b)  # drawn in float32, computed in float64
        tensors[f"fc{i + 1}.weight"] = {"shape": [b, a], "data": layer.weight.detach().flatten().tolist()}
        tensors[f"fc{i + 1}.bias"] = {"shape": [b], "data": layer.bias.detach().tolist()}
        layers += [layer.double()] + ([ACTIVATIONS[activation]()] if i + 2 < len(widths) else [])
    net = torch.nn.Sequential(*layers)
    rows = [row(fill) for _ in range(9)]
    with torch.no_grad():
        out = net(torch.tensor([inputs(r) for r in rows], dtype=torch.float64))
    config = {"model_type": "covey-mlp", "architectures": ["CoveyMLP"], "torch_dtype": "float32", "columns": COLUMNS,
              "model": {"kind": "mlp", "mlp": {"input": 7, "hidden": hidden, "output": widths[-1], "activation": activation, "dropout": 0.5}}}
    if labels:
        config["labels"] = labels
    else:
        config["model"]["mlp"]["regression"] = True
        config["target"] = "price"
    if fill:
        config["fill_missing"] = True
    return {"config": config, "tensors": tensors, "rows": rows, "outputs": out.tolist()}


json.dump({
    "classes": model("relu", [16, 8], ["cat", "dog", "owl"], False),
    "number": model("tanh", [12], [], True),
    "no hidden layer": model("relu", [], ["no", "yes"], True),
    "gelu": model("gelu", [20], [], False),
    "silu": model("silu", [5], ["a", "b", "c", "d"], False),
}, sys.stdout, indent=None, separators=(",", ":"))
print()
