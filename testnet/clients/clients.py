"""Runs the official OpenAI Python client, unchanged, against a node: COVEY_URL, and COVEY_EMBED for an embedding model.
Checked with openai 3.54.0. run.sh starts the node."""
import os

import openai

client = openai.OpenAI(base_url=os.environ["COVEY_URL"] + "/v1", api_key="none", max_retries=0)
print("openai", openai.__version__)
print("models:", [m.id for m in client.models.list()])
question = dict(model="demo", temperature=0, max_tokens=40, messages=[{"role": "user", "content": "What does strings.Contains do?"}])
whole = client.chat.completions.create(**question)
print("chat:", whole.choices[0].message.content, whole.usage)
parts = [c.choices[0].delta.content or "" for c in client.chat.completions.create(stream=True, **question) if c.choices]
assert "".join(parts) == whole.choices[0].message.content, parts
print("streamed in", len(parts), "pieces, the same text")
text = client.completions.create(model="demo", prompt="// Copyright", max_tokens=12, temperature=0, logprobs=2)
print("completion:", repr(text.choices[0].text), text.choices[0].logprobs.token_logprobs[:3])
ids = client.completions.create(model="demo", prompt=[[5, 6, 7], [8, 9]], max_tokens=3, temperature=0)
assert [c.index for c in ids.choices] == [0, 1] and ids.usage.prompt_tokens == 5, ids
print("prompts of token ids:", [c.text for c in ids.choices])
newer = client.chat.completions.create(**{**question, "max_completion_tokens": 3})
assert newer.usage.completion_tokens == 3, newer.usage
try:
    client.completions.create(model="demo", prompt=[1, None])
    raise SystemExit("null was taken for a token")
except openai.BadRequestError as e:
    assert e.param == "prompt" and e.code, e.body
    print("null for a token:", e.code)
try:
    client.chat.completions.create(**{**question, "model": "nothing"})
    raise SystemExit("an unknown model was accepted")
except openai.NotFoundError as e:
    print("unknown model:", e.code)
if embed := os.environ.get("COVEY_EMBED"):
    vectors = client.embeddings.create(model=embed, input=["a cat", "a kitten", "monetary policy"]).data  # base64 on the wire
    dot = lambda a, b: sum(x * y for x, y in zip(a.embedding, b.embedding))
    near, far = dot(vectors[0], vectors[1]), dot(vectors[0], vectors[2])
    assert near > far + 0.2, (near, far)
    tokens = client.embeddings.create(model=embed, input=[[101, 7592, 102], [101, 102]])
    assert len(tokens.data) == 2 and tokens.usage.prompt_tokens == 5, tokens.usage
    print("embeddings:", len(vectors[0].embedding), "numbers, near %.3f, far %.3f" % (near, far))
