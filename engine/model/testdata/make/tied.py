"""Writes tied.json: what transformers makes of a checkpoint that says its output is its
embedding (tie_word_embeddings) and has lm_head.weight too.

    python tied.py > ../tied.json

Made with Python 3.11, torch and transformers as the file names them. Each case is the same
tiny Llama with another pair of matrices: which tensors the file has beside the blocks', and
the logits of the last of a few tokens after it was saved and loaded by AutoModelForCausalLM.
"""
import json
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

VOCAB, DIM = 12, 16
TOKENS = [3, 7, 0, 9, 11]
EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"

torch.manual_seed(5)
config = transformers.LlamaConfig(
    vocab_size=VOCAB, hidden_size=DIM, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
    head_dim=8, max_position_embeddings=32, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)
base = transformers.LlamaForCausalLM(config)
with torch.no_grad():
    for p in base.parameters():
        p.copy_((torch.randn_like(p) * 80).round() / 256)  # short in JSON, exact
other = torch.randn(VOCAB, DIM).mul(64).round() / 64


def case(change):
    with tempfile.TemporaryDirectory() as folder:
        base.save_pretrained(folder)
        tensors = load_file(folder + "/model.safetensors")
        tensors.pop(OUTPUT, None)
        change(tensors)
        tensors = {name: t.clone().contiguous() for name, t in tensors.items()}
        save_file(tensors, folder + "/model.safetensors", metadata={"format": "pt"})
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        with torch.no_grad():
            logits = model(torch.tensor([TOKENS])).logits[0, -1]
        text = json.loads(open(folder + "/config.json").read())
        return {"config": text, "logits": logits.tolist(),
                "tensors": {n: {"shape": list(t.shape), "data": t.flatten().tolist()} for n, t in tensors.items()}}


def one_value(t):
    t[OUTPUT] = t[EMBEDDING].clone()
    t[OUTPUT][7, 3] += 1


def only_output(t):
    t[OUTPUT] = t.pop(EMBEDDING)


cases = {
    "one": case(lambda t: None),
    "the same twice": case(lambda t: t.update({OUTPUT: t[EMBEDDING].clone()})),
    "other output": case(lambda t: t.update({OUTPUT: other})),
    "one value differs": case(one_value),
    "output only": case(only_output),
}
json.dump({"versions": {"torch": torch.__version__, "transformers": transformers.__version__}, "tokens": TOKENS, "cases": cases}, sys.stdout)
