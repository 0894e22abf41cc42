"""Trains the demo model that is embedded in the binary and writes it as a Hugging Face directory.

usage: train.py [--goroot DIR] [--out DIR] [--steps N]
The versions the committed model was made with are in requirements.txt and model/README.md; the seed is fixed. Two CPU cores, about an hour.
"""
import argparse
import json
import math
import os
import random
import subprocess
import time

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

import corpus

# The loss grows from about 256 tokens on, as no row of the training data is longer than CONTEXT: the model takes 256 at most.
SEED, VOCAB, CONTEXT, BATCH = 20261124, 4096, 192, 32
SPECIAL = ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] | trim + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


def tokenizer(texts):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tok


def chat(tok, turns):
    text = "".join(f"<|{role}|>\n{content}<|end|>\n" for role, content in turns)
    return tok.encode("<|endoftext|>" + text).ids


def batches(docs, dialogues, tok, rng):
    """Rows of CONTEXT + 1 tokens: half text, half chats; each is packed without padding."""
    def text_stream():
        while True:
            order = list(range(len(docs)))
            rng.shuffle(order)
            for i in order:
                yield from docs[i]

    def chat_stream():
        while True:
            order = list(range(len(dialogues)))
            rng.shuffle(order)
            for i in order:
                name, answer = dialogues[i]
                yield from chat(tok, [("user", rng.choice(corpus.ASK).format(name)), ("assistant", answer)])
                if rng.random() < 0.06:
                    question, reply = rng.choice(corpus.HELLO)
                    yield from chat(tok, [("user", question), ("assistant", reply)])

    streams = [text_stream(), chat_stream()]
    while True:
        rows = [[next(streams[r % 2]) for _ in range(CONTEXT + 1)] for r in range(BATCH)]
        yield torch.tensor(rows)


def export(model, tok, out):
    os.makedirs(out, exist_ok=True)
    model.to(torch.float16).save_pretrained(out)
    tok.save(f"{out}/tokenizer.json", pretty=False)
    with open(f"{out}/tokenizer_config.json", "w") as f:
        json.dump({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "chat_template": TEMPLATE, "model_max_length": 256}, f, indent=1)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--goroot", default=subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True).stdout.strip())
    args.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "model"))
    args.add_argument("--steps", type=int, default=2400)
    args = args.parse_args()
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    texts, pairs = corpus.documents(args.goroot), corpus.chats(args.goroot)
    tok = tokenizer(texts + [a for _, a in pairs])
    docs = [tok.encode("<|endoftext|>" + t).ids for t in texts]
    print(f"{len(docs)} documents, {sum(map(len, docs)) / 1e6:.2f} M tokens; {len(pairs)} questions", flush=True)
    held, docs = docs[::100], [d for i, d in enumerate(docs) if i % 100]
    config = LlamaConfig(
        vocab_size=tok.get_vocab_size(), hidden_size=256, intermediate_size=640, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=64,
        max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=0, eos_token_id=[0, tok.token_to_id("<|end|>")],
    )
    model = LlamaForCausalLM(config)
    print(sum(p.numel() for p in model.parameters()) / 1e6, "M parameters", flush=True)
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}], lr=3e-3, betas=(0.9, 0.95))
    warm = 80
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda s: min((s + 1) / warm, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, s / args.steps)))))
    start, mean = time.time(), None
    for step, rows in enumerate(batches(docs, pairs, tok, rng)):
        if step == args.steps:
            break
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(rows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        schedule.step()
        mean = loss.item() if mean is None else 0.95 * mean + 0.05 * loss.item()
        if step % 50 == 0:
            print(f"step {step} loss {mean:.3f} {(time.time() - start) / (step + 1):.2f} s/step", flush=True)
        if step and step % 400 == 0:
            torch.save(model.state_dict(), args.out + ".ckpt")
    model.eval()
    with torch.no_grad():
        total = count = 0
        for d in held:
            if len(d) > 2:
                ids = torch.tensor([d[: CONTEXT + 1]])
                total += torch.nn.functional.cross_entropy(model(ids[:, :-1]).logits[0], ids[0, 1:], reduction="sum").item()
                count += ids.numel() - 1
        print(f"held-out text: {total / count:.3f} nats a token", flush=True)
    export(model, tok, args.out)


if __name__ == "__main__":
    main()
