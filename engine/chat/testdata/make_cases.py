"""Writes own_cases.json: templates with the idioms of published ones, conversations, and the text (or error) that
Jinja as transformers sets it up gives for each pair; and expressions.json: single expressions with their text.

Made with Python 3.11.7, jinja2 3.1.6, transformers 5.23.0:  python make_cases.py
With a folder of other templates:                            python make_cases.py FOLDER OUT.json
The templates below are written for this test; none is a published one.
"""
import datetime as dt, glob, json, os, sys

import jinja2, transformers
from transformers.utils import chat_template_utils as u


class Clock(dt.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26, 13, 5, 9, 42)


u.datetime = Clock
HERE = os.path.dirname(os.path.abspath(__file__))

TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Weather now\nand later.", "parameters": {
    "type": "object", "properties": {
        "city": {"type": "string", "description": "City & <country>"},
        "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
        "days": {"type": ["integer", "null"], "minimum": 1, "maximum": 1.5e3},
        "tags": {"type": "array", "items": {"type": "string"}},
        "at": {"type": "object", "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}}, "required": ["lat"]}},
    "required": ["city"]}, "return": {"type": "string"}}}
TOOL2 = {"type": "function", "function": {"name": "stop", "description": "Stops.", "parameters": {"type": "object", "properties": {}}}}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"type": "function", "id": "abcdefghi", "function": {"name": "get_weather", "arguments": {"city": "Århus \"x\"", "days": 2, "f": 0.5, "on": True, "no": None, "l": [1, [2]]}}}]}
CONVERSATIONS = {
    "hi": {"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True},
    "system": {"messages": [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "1 < 2 & 'a'? "}, {"role": "assistant", "content": " Yes.\n"},
                            {"role": "user", "content": "Größe 你好 👍🏽"}], "add_generation_prompt": True},
    "finished": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "add_generation_prompt": False},
    "twice": {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "add_generation_prompt": True},
    "thinking": {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "<think>\nhmm\n\n</think>\n\nanswer"}, {"role": "user", "content": "again"},
                              {"role": "assistant", "reasoning_content": "second\nthought", "content": "fine"}, {"role": "user", "content": "more"}], "add_generation_prompt": True, "enable_thinking": True},
    "no_thinking": {"messages": [{"role": "user", "content": "q"}], "add_generation_prompt": True, "enable_thinking": False, "reasoning_effort": "high"},
    "tools": {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Weather?"}, CALL, {"role": "tool", "tool_call_id": "abcdefghi", "name": "get_weather", "content": "{\"t\": -3}"},
                           {"role": "assistant", "content": "Minus three."}, {"role": "user", "content": "Thanks"}], "tools": [TOOL, TOOL2], "add_generation_prompt": True},
    "tool_end": {"messages": [{"role": "user", "content": "Weather?"}, CALL, {"role": "tool", "tool_call_id": "abcdefghi", "content": "7"}, {"role": "tool", "tool_call_id": "abcdefghi", "content": "8"}],
                 "tools": [TOOL], "add_generation_prompt": True},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "image", "image": "x"}, {"type": "text", "text": "what?"}]}], "add_generation_prompt": True},
    "documents": {"messages": [{"role": "user", "content": "Sum up."}], "documents": [{"title": "T1", "text": "one"}, {"title": "T2", "text": "two", "source": "s"}], "add_generation_prompt": True},
    "empty": {"messages": [], "add_generation_prompt": True},
}
TEMPLATES = {os.path.basename(f)[:-6]: open(f, encoding="utf-8").read() for f in sorted(glob.glob(os.path.join(HERE, "templates", "*.jinja")))}


def render(template, conv):
    conv = dict(conv, messages=u._alias_reasoning_fields(conv["messages"]))
    kw = {"bos_token": "<s>", "eos_token": "</s>", "tools": None, "documents": None, **conv}
    try:
        return {"text": u._compile_jinja_template(template).render(**kw)}
    except Exception as e:
        return {"error": (type(e).__name__ + ": " + (str(e).splitlines() or [""])[0])[:120]}


def write(path, templates, conversations):
    out = [{"template": t, "conversation": c, **render(templates[t], conversations[c])} for t in templates for c in conversations]
    versions = f"python {sys.version.split()[0]}, jinja2 {jinja2.__version__}, transformers {transformers.__version__}"
    json.dump({"made_with": versions, "templates": templates, "conversations": conversations, "rendered": out}, open(path, "w"), indent=1, ensure_ascii=False)
    print(path, len(out), "errors:", sum("error" in o for o in out))


if len(sys.argv) == 3:
    files = sorted(glob.glob(os.path.join(sys.argv[1], "*.jinja")))
    write(sys.argv[2], {os.path.basename(f): open(f, encoding="utf-8").read() for f in files}, CONVERSATIONS)
else:
    write(os.path.join(HERE, "own_cases.json"), TEMPLATES, CONVERSATIONS)
    lines = [l for l in open(os.path.join(HERE, "expressions.txt"), encoding="utf-8").read().split("\n") if l and not l.startswith("## ")]
    lines = [l.replace("\\n\\", "\n") for l in lines]
    out = [{"template": l, **render(l, CONVERSATIONS["tools"])} for l in lines]
    json.dump(out, open(os.path.join(HERE, "expressions.json"), "w"), indent=0, ensure_ascii=False)
    print("expressions", len(out), "errors:", sum("error" in o for o in out))
