"""The tiny models and batches of the trajectories. Names of tensors are those of torchvision (ResNet) and of Hugging Face checkpoints (BERT, Llama).

Each entry of MODELS says how to build the module, its batches and its loss. A batch function gives numpy arrays for one of the BATCHES batches.
"""
import functools
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama

import formula

BATCHES = 4


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(24, 32), nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 16, 3, 1, 1), nn.BatchNorm2d(16)
        self.block, self.fc = BasicBlock(16, 16), nn.Linear(16, 10)

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        h = F.max_pool2d(F.relu(self.bn2(self.conv2(h))), 2)
        return self.fc(self.block(h).mean((2, 3)))


class Narrow(ResNet):
    """torchvision's ResNet with another number of channels than 64; small is the stem for small images (3x3, stride 1, no pooling)."""

    def __init__(self, block, layers, width, classes, small=False, channels=3):
        nn.Module.__init__(self)
        self._norm_layer, self.inplanes, self.dilation, self.groups, self.base_width = nn.BatchNorm2d, width, 1, 1, 64
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False) if small else nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU()
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        for n, count in enumerate(layers):
            self.add_module(f"layer{n + 1}", self._make_layer(block, width << n, count, stride=1 if n == 0 else 2))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear((width << 3) * block.expansion, classes)


def bert():
    return BertForSequenceClassification(BertConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=32, num_labels=3,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager"))


SCALINGS = {
    "linear": dict(rope_type="linear", factor=4.0),
    "llama3": dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64),
}


def llama(tied, scaling=None):
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512 if scaling else 32,
        rms_norm_eps=1e-5, rope_parameters=dict(SCALINGS.get(scaling, dict(rope_type="default")), rope_theta=10000.0), tie_word_embeddings=tied, attention_dropout=0.0,
        use_cache=False, attn_implementation="sdpa"))


def widen(model):
    """Makes transformers' Llama compute in float64 throughout: its norm and its rotary angles are in float32 whatever the weights are."""
    for m in model.modules():
        if isinstance(m, modeling_llama.LlamaRMSNorm):
            m.forward = lambda x, m=m: m.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + m.variance_epsilon)
        if isinstance(m, modeling_llama.LlamaRotaryEmbedding):
            m.forward = functools.partial(rotary, model.config.rope_parameters)
    return model.double()


def rotary(rope, x, position_ids, dim=16):
    inv = rope["rope_theta"] ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    if rope["rope_type"] == "linear":
        inv = inv / rope["factor"]
    if rope["rope_type"] == "llama3":
        turns = rope["original_max_position_embeddings"] * inv / (2 * math.pi)
        smooth = ((turns - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])).clamp(0, 1)
        inv = inv * (smooth + (1 - smooth) / rope["factor"])
    angle = position_ids[..., None].double() * inv
    angle = torch.cat((angle, angle), -1)
    return angle.cos(), angle.sin()


def images(shape, classes, batch):
    def make(seed, i, ignore):
        x = formula.uniform("inputs", seed, (BATCHES, batch, *shape), 1.0)
        y = formula.integers("labels", seed, (BATCHES, batch), classes)
        return {"x": x[i]}, y[i]
    return make


def padded(seed, i, ignore, batch=4, length=16, vocab=100, classes=3):
    """Rows of ids in [1, vocab) of which the first lengths[row] count, then padding with 0."""
    ids = 1 + formula.integers("ids", seed, (BATCHES, batch, length), vocab - 1)
    lengths = length // 2 + formula.integers("lengths", seed, (BATCHES, batch), length // 2 + 1)
    mask = (range(length) < lengths[..., None]).astype("int64")
    labels = formula.integers("labels", seed, (BATCHES, batch), classes)
    return {"input_ids": (ids * mask)[i], "attention_mask": mask[i]}, labels[i]


def causal(seed, i, ignore, batch=4, length=24, vocab=128):
    """Rows of length + 1 ids: the first length are read, the last length are the targets; with ignore some targets are -1."""
    ids = formula.integers("ids", seed, (BATCHES, batch, length + 1), vocab)[i]
    targets = ids[:, 1:].copy()
    if ignore:
        targets[formula.integers("ignore", seed, (BATCHES, batch, length), ignore)[i] == 0] = -1
    return {"input_ids": ids[:, :-1]}, targets


def resnet(block, layers, width, seed, lr, clip, runs=None):
    """A ResNet with few channels for images of 16 x 16; runs are those of trajectories.py that it does, all if None."""
    return dict(
        seed=seed, shift=2.0, make=lambda: Narrow(block, layers, width, 10, small=True), batch=images((3, 16, 16), 10, 8), lr=lr, free=[], clip=clip, runs=runs,
        config=dict(input=[3, 16, 16], width=width, stem="cifar", classes=10, bnEps=1e-5, bnMomentum=0.1), shapes=dict(inputs=[8, 3, 16, 16], labels=[8]))


def scaled(scaling):
    """A Llama with scaled rotary frequencies."""
    return dict(
        seed=5, shift=0.0, make=lambda: llama(True, scaling), batch=causal, lr=dict(sgd=0.1, adam=0.002), free=[], clip=1.7, runs=("sgd",), shapes=dict(ids=[4, 25], ignore=[4, 24]),
        config=dict(vocab=128, hidden=64, layers=2, heads=4, kvHeads=2, headDim=16, intermediate=96, rmsEps=1e-5, ropeTheta=10000.0, ropeScaling=SCALINGS[scaling], tied=True))


BERT_KEYS = [f"bert.encoder.layer.{i}.attention.self.key.bias" for i in range(2)]

# shift: the centre of batch norm's biases. A ReLU whose input is within rounding of 0 changes the gradient by a jump. A ResNet has 140,000 of them a step and more, one jump brings on the
# next, and after 20 steps the losses of two roundings differ by 1e-3 with most seeds. So the ResNets' batch norms are shifted up by 2 (one input in 80 is below 0, in the CNN it is half), and
# seeds and rates are some (as is the CNN's) whose trajectories do not meet a jump: trajectories.py checks that under nudged weights.
# clip: chosen so that some steps are clipped and some are not.
# free: tensors whose gradient is zero but for rounding (a bias before batch norm; the bias of attention's keys). Adam divides by the
# gradient's size, so it moves them by the sign of rounding errors; the loss does not depend on them.
MODELS = {
    "mlp": dict(seed=1, shift=0.0, make=MLP, batch=images((24,), 5, 16), lr=dict(sgd=0.2, adam=0.01), free=[], clip=0.27,
                config=dict(input=[24], hidden=[32, 32], classes=5, activation="relu"), shapes=dict(inputs=[16, 24], labels=[16])),
    "cnn": dict(seed=52, shift=0.0, make=CNN, batch=images((3, 12, 12), 10, 8), lr=dict(sgd=0.02, adam=0.001), clip=1.83,
                free=["conv1.bias", "conv2.bias", "bn1.running_mean", "bn2.running_mean"],
                config=dict(input=[3, 12, 12], channels=[8, 16], classes=10, bnEps=1e-5, bnMomentum=0.1), shapes=dict(inputs=[8, 3, 12, 12], labels=[8])),
    "resnet18": resnet(BasicBlock, (2, 2, 2, 2), 8, seed=5, lr=dict(sgd=0.001, adam=0.0002), clip=18.0),
    "resnet34": resnet(BasicBlock, (3, 4, 6, 3), 4, seed=5, lr=dict(sgd=0.001, adam=0.0002), clip=18.0, runs=("sgd", "scheduled")),
    "resnet50": resnet(Bottleneck, (3, 4, 6, 3), 4, seed=5, lr=dict(sgd=0.0003, adam=0.0002), clip=31.0, runs=("sgd", "scheduled")),
    "bert": dict(seed=4, shift=0.0, make=bert, batch=padded, lr=dict(sgd=0.02, adam=0.001), free=BERT_KEYS, clip=1.4,
                 config=dict(vocab=100, hidden=32, layers=2, heads=4, intermediate=64, maxPositions=32, types=2, labels=3, lnEps=1e-12, activation="gelu"),
                 shapes=dict(ids=[4, 16], lengths=[4], labels=[4])),
    "lm_tied": dict(seed=5, shift=0.0, make=lambda: llama(True), batch=causal, lr=dict(sgd=0.1, adam=0.002), free=[], clip=1.7, ignore=8,
                    config=dict(vocab=128, hidden=64, layers=2, heads=4, kvHeads=2, headDim=16, intermediate=96, rmsEps=1e-5, ropeTheta=10000.0, tied=True), shapes=dict(ids=[4, 25], ignore=[4, 24])),
    "lm_untied": dict(seed=6, shift=0.0, make=lambda: llama(False), batch=causal, lr=dict(sgd=0.1, adam=0.002), free=[], clip=1.7, ignore=8,
                      config=dict(vocab=128, hidden=64, layers=2, heads=4, kvHeads=2, headDim=16, intermediate=96, rmsEps=1e-5, ropeTheta=10000.0, tied=False), shapes=dict(ids=[4, 25], ignore=[4, 24])),
    "lm_linear": scaled("linear"), "lm_llama3": scaled("llama3"),
}
