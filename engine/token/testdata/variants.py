"""Writes variants.json.gz: components of tokenizer.json that the fixtures in hf/ do not use, with what the
Hugging Face library makes of them. usage: python variants.py  (in this folder, with tokenizers 0.23.3)"""
import copy, gzip, json, random
from tokenizers import Regex, Tokenizer, decoders as D, normalizers as N, pre_tokenizers as P, processors as PP

rng = random.Random(7)
load = lambda name: json.load(gzip.open(f"hf/{name}.json.gz"))
base = {n: load(n) for n in ["gpt2", "llama3", "qwen2", "llama2", "unigram", "wordpiece"]}
base["wordpiece"]["padding"] = base["wordpiece"]["truncation"] = None
lines = [c["text"] for c in json.load(gzip.open("hf/gpt2.cases.json.gz"))]
edge = [chr(c) for c in [
    9, 10, 11, 12, 13, 0x1C, 0x20, 0x20, 0x20, 0x85, 0xA0, 0x1680, 0x2003, 0x2028, 0x202F, 0x3000, 0x180E, 0x200B, 0x200C, 0x200D, 0xFEFF, 0xAD, 0x7F, 0x8F,
    0x2581, 0xFFFD, 0x300, 0x301, 0x308, 0x323, 0x345, 0x903, 0x93E, 0x94D, 0x915, 0xE33, 0xE01, 0x1100, 0x1161, 0x11A8, 0xAC00, 0xAC01, 0xB9, 0xB2, 0x2160,
    0x661, 0xFF11, 0x1D7D8, 0x3007, 0x4E00, 0x3042, 0x30AB, 0xFF76, 0xFF9E, 0x130, 0x131, 0x17F, 0x212A, 0x1E9E, 0xDF, 0x3A3, 0x1C5, 0x2B0, 0xAA, 0x1F600,
    0x1F468, 0x1F3FB, 0x1F1E9, 0xA9, 0xFB01, 0x2126, 0x212B, 0xE9, 0x1EA5, 0x24B6, 0x600, 0x627, 0x64B, 0x5D0, 0x10348, 0xE000, 0x20E3, 0xF900, 0x2F800, 0xBD]]
words = ["hello", "World", "the", " the", "Hello", "it's", "IT'S", "'S", "'ll", "LL", "'ſ", "123", "12345", "a1b2", "...", "--", "!?", "\r\n", "\n\n", "   ", "  x",
         "\t\tx", "don't", "can't do not", "a'm", "<s>", "</s>", "<unk>", "<|endoftext|>", "<|eot_id|>", "[CLS]", "[MASK]", "[UNK]", "<0x41>", "▁▁", "XY", "foo",
         "Foo_bar", "e\u0301", "a" * 60, "ababababab", "    "]


def text():
    out = []
    for _ in range(rng.randint(1, 12)):
        r = rng.random()
        out.append(rng.choice(edge) if r < .35 else rng.choice(words) if r < .75 else rng.choice(lines)[:rng.randint(0, 30)] if r < .85 else rng.choice("abcdefXYZ 019.,'\"-_()\n"))
    return "".join(out)


V = {}
js = lambda x: json.loads(x.__getstate__())
put = lambda name, b, **kw: V.__setitem__(name, (b, {k: (v(copy.deepcopy(base[b])) if callable(v) else v) for k, v in kw.items()}))
BL = P.ByteLevel(add_prefix_space=False, use_regex=False)
UP, LOW = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CON, REST = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
for n, p in {
    "gpt4o": rf"[^\r\n\p{{L}}\p{{N}}]?{UP}*{LOW}+{CON}|[^\r\n\p{{L}}\p{{N}}]?{UP}+{LOW}*{CON}|" + REST,
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "deepseek": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "bloom": r" ?[^(\s|[.,!?…。，、।۔،])]+", "word": r"\w+|\d+|[^\w\s]", "negated": r"[^\W\d_]+", "cjk": r"[一-龥぀-ゟ゠-ヿ]+", "lazy": r"a+?b|a{2,3}?|(?:ab|a)*?c|x(?=y)",
    "anchors": r"^\w+|\s+$", "scripts": r"\p{Han}+|\p{Latin}{2,4}|\P{L}", "atomic": r"(?>a|ab)c|(?i)hello|[a-f&&[^c]]+", "nested": r"(?:(?:[A-Z][a-z]*)+ ?){1,3}|(\d+[.,])*\d+",
}.items():
    put("split " + n, "gpt2", pre_tokenizer=js(P.Sequence([P.Split(Regex(p), "isolated"), BL])))
for how in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]:
    for inv in [False, True]:
        put(f"behavior {how} {inv}", "gpt2", pre_tokenizer=js(P.Sequence([P.Split(Regex(r"[a-e]+| |\d"), how, invert=inv), BL])))
    put(f"string {how}", "gpt2", pre_tokenizer=js(P.Sequence([P.Split(" ", how), BL])))
    put(f"punctuation {how}", "gpt2", pre_tokenizer=js(P.Sequence([P.Punctuation(how), BL])))
for n, p in {"Whitespace": P.Whitespace(), "WhitespaceSplit": P.WhitespaceSplit(), "Digits": P.Digits(True), "Digits runs": P.Digits(False), "Bert": P.BertPreTokenizer(), "CharDelimiterSplit": P.CharDelimiterSplit("e")}.items():
    put("pre " + n, "gpt2", pre_tokenizer=js(P.Sequence([p, BL])))
put("pre digits and pattern", "gpt2", pre_tokenizer=js(P.Sequence([P.Digits(True), P.ByteLevel(add_prefix_space=False, use_regex=True)])))
put("pre prefix space", "gpt2", pre_tokenizer=js(P.ByteLevel(add_prefix_space=True)))
put("pre byte level first", "gpt2", pre_tokenizer=js(P.Sequence([P.ByteLevel(add_prefix_space=False), P.Digits(True)])))
for sch in ["always", "first", "never"]:
    for sp in [True, False]:
        m = dict(prepend_scheme=sch, split=sp)
        put(f"metaspace {sch} {sp}", "unigram", normalizer=None, pre_tokenizer=js(P.Metaspace(**m)), decoder=js(D.Metaspace(**m)))
        put(f"metaspace bpe {sch} {sp}", "llama2", normalizer=None, pre_tokenizer=js(P.Metaspace(**m)), decoder=js(D.Sequence([D.ByteFallback(), D.Metaspace(**m)])))
for n, x in {"NFC": N.NFC(), "NFD": N.NFD(), "NFKC": N.NFKC(), "NFKD": N.NFKD(), "Lowercase": N.Lowercase(), "Strip": N.Strip(), "Strip left": N.Strip(right=False), "StripAccents": N.StripAccents(), "Nmt": N.Nmt(),
             "Replace regex": N.Replace(Regex(r"\s+"), "_"), "Replace": N.Replace("a", "bb"), "Prepend": N.Prepend("x "), "Sequence": N.Sequence([N.NFD(), N.StripAccents(), N.Lowercase(), N.Strip()]), "ByteLevel": N.ByteLevel()}.items():
    put("norm " + n, "gpt2", normalizer=js(x))
for o in [(a, b, c, d) for a in [True, False] for b in [True, False] for c in [None, True, False] for d in [True, False]]:
    put(f"bert {o}", "wordpiece", normalizer=js(N.BertNormalizer(*o)))


def added(d):
    vocab = d["model"]["vocab"]
    ids = vocab if isinstance(vocab, dict) else {x[0]: i for i, x in enumerate(vocab)}
    n = max(len(ids), max(x["id"] for x in d["added_tokens"]) + 1)
    for content, kw in [("foo", dict(single_word=True)), ("the", dict(normalized=True)), ("XY", dict(lstrip=True, special=True)), ("World", dict(rstrip=True)), ("Hello", dict(lstrip=True, rstrip=True, normalized=True)),
                        ("  ", {}), ("hel", {}), ("hello w", {}), ("123", dict(normalized=True, single_word=True, special=True))]:
        e = dict(id=ids.get(content, n), content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
        n += content not in ids
        d["added_tokens"].append(dict(e, **kw))
    return sorted(d["added_tokens"], key=lambda x: x["id"])


def model(**kw):
    def f(d):
        return {"+": kw}  # changes to the base's model
    return f


for b in base:
    put("added " + b, b, added_tokens=added)
put("bpe unknown alone", "llama2", model=model(fuse_unk=False, byte_fallback=False))
put("bpe unknown fused", "llama2", model=model(byte_fallback=False))
put("bpe unknown dropped", "llama2", model=model(byte_fallback=False, unk_token=None))
put("roberta", "gpt2", post_processor=js(PP.RobertaProcessing(("b", 5), ("a", 7))))
put("bert processing", "gpt2", post_processor=js(PP.BertProcessing(("b", 5), ("a", 7))))
put("no decoder", "gpt2", decoder=None)
put("bpe decoder", "gpt2", decoder=js(D.BPEDecoder("e")))
put("strip each", "llama2", decoder=js(D.Sequence([D.Replace("▁", " "), D.Strip(" ", 1, 0)])))
put("wordpiece no cleanup", "wordpiece", decoder=js(D.WordPiece("##", False)))
put("replace regex", "gpt2", decoder=js(D.Sequence([D.Replace(Regex("[aeiou]"), "*"), D.ByteLevel()])))

out = []
for name, (b, change) in V.items():
    d = dict(copy.deepcopy(base[b]), **{k: v for k, v in change.items() if k != "model"})
    if "model" in change:
        d["model"].update(change["model"]["+"])
    t = Tokenizer.from_str(json.dumps(d))
    cases = []
    for _ in range(30):
        s, r = text(), [rng.randrange(t.get_vocab_size()) for _ in range(rng.randint(1, 8))]
        p, e = t.encode(s, add_special_tokens=False).ids, t.encode(s).ids
        cases.append(dict(text=s, ids=p, special=e, decoded=t.decode(e, skip_special_tokens=True), random=r, random_decoded=t.decode(r, skip_special_tokens=False)))
    out.append(dict(name=name, base=b, change=change, cases=cases))
with open("variants.json.gz", "wb") as f, gzip.GzipFile(filename="", fileobj=f, mode="wb", mtime=0) as z:
    z.write(json.dumps(out, ensure_ascii=False, separators=(",", ":")).encode())
print(len(out), sum(len(v["cases"]) for v in out))
