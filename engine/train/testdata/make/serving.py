"""Writes ../../../model/testdata/vision.json: scores that torchvision's ResNets (with few channels) and the CNN and MLP of models.py give in eval mode.
usage: python serving.py (in this folder, with the versions of requirements.txt and torchvision). README.md describes the file."""
import json
import math

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision import transforms
from torchvision.models.resnet import BasicBlock, Bottleneck

import formula
from models import CNN, MLP, Narrow

SEED, IMAGES = 21, 2
torch.set_num_threads(1)


class Flat(MLP):
    def forward(self, x):
        return super().forward(x.flatten(1))


# name: module, input (channels, height, width)
MODELS = {
    "resnet18": (lambda: Narrow(BasicBlock, [2, 2, 2, 2], 8, 7), (3, 64, 48)),
    "resnet18-small": (lambda: Narrow(BasicBlock, [2, 2, 2, 2], 4, 5, small=True, channels=1), (1, 28, 28)),
    "resnet50": (lambda: Narrow(Bottleneck, [3, 4, 6, 3], 4, 6), (3, 32, 32)),
    "cnn": (CNN, (3, 32, 32)),
    "mlp": (Flat, (3, 2, 4)),
}


def tensors(model):
    out = []
    for name, p in model.state_dict().items():
        kind, shape = name.rsplit(".", 1)[1], list(p.shape)
        if kind == "num_batches_tracked":
            continue
        if kind == "running_var":
            center, bound = 1.0, 0.5
        elif kind == "running_mean":
            center, bound = 0.0, 0.1
        elif p.dim() > 1:
            center, bound = 0.0, math.sqrt((6 if p.dim() == 4 else 1) / math.prod(shape[1:]))
        elif kind == "weight":
            center, bound = 1.0, 0.1
        else:
            center, bound = 0.0, 0.05
        out.append(dict(name=name, shape=shape, center=center, bound=bound))
    return out


def build(make):
    model = make().eval()
    table = tensors(model)
    state = {t["name"]: torch.from_numpy(formula.uniform(t["name"], SEED, t["shape"], t["bound"], t["center"])) for t in table}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(m.endswith("num_batches_tracked") for m in missing)
    return model, table


def picture():
    """52 x 44 pixels whose values are word % 256 of the stream picture: (height, width, 3)."""
    return Image.fromarray(formula.integers("picture", SEED, (44, 52, 3), 256).astype(np.uint8), "RGB")


def prepared():
    """The scores of resnet50 for the picture as torchvision prepares it."""
    model, _ = build(MODELS["resnet50"][0])
    steps = transforms.Compose([
        transforms.Resize(36, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(32), transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    with torch.no_grad():
        return model(steps(picture())[None])[0].tolist()


def main():
    out = dict(seed=SEED, models={}, prepared=prepared())
    for name, (make, shape) in MODELS.items():
        model, table = build(make)
        x = torch.from_numpy(formula.uniform("inputs", SEED, (IMAGES, *shape), 1.0))
        with torch.no_grad():
            logits, exact = model(x), model.double()(x.double())
        print(f"{name}: largest score {exact.abs().max():.3f}, float32 is off by {(logits - exact).abs().max():.2g}")
        out["models"][name] = dict(input=shape, tensors=table, logits=[[round(v, 7) for v in row] for row in exact.tolist()])
    with open("../../../model/testdata/vision.json", "w") as f:
        json.dump(out, f, separators=(",", ":"))


if __name__ == "__main__":
    main()
