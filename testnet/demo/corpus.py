"""Text for the demo model, from the Go distribution that every machine with Go has.

documents(goroot): comments with the declaration they belong to, prose of doc/*.html, and short function bodies.
chats(goroot): (question, answer) pairs made of the first sentences of the standard library's doc comments.
Both are lists in a fixed order, so the same Go version and seed give the same training data.
"""
import html
import os
import re

COMMENTED = re.compile(r"((?:^//[^\n]*\n)+)^(func|type) ([^\n]*)\n((?:(?!^//)[^\n]*\n){0,24})", re.M)
PACKAGE = re.compile(r"((?:^//[^\n]*\n)+)^package (\w+)$|^/\*\n(.*?)\*/\npackage (\w+)$", re.M | re.S)
METHOD = re.compile(r"^\((?:\w+ )?\*?(\w+)(?:\[[^\]]*\])?\) (\w+)")

HELLO = [
    ("Hello", "Hello! Ask me about Go's standard library, for example: What does strings.Contains do?"),
    ("Hello!", "Hello! Ask me about Go's standard library, for example: What does strings.Contains do?"),
    ("Hi", "Hello! Ask me about Go's standard library, for example: What does strings.Contains do?"),
    ("Hi there!", "Hello! Ask me about Go's standard library, for example: What does strings.Contains do?"),
    ("Who are you?", "I am Covey's demo model, a very small language model trained on the text of the Go distribution."),
    ("What are you?", "I am Covey's demo model, a very small language model trained on the text of the Go distribution."),
    ("What is Covey?", "Covey turns the machines people already own into one AI computer with no centre."),
    ("What can you do?", "I can say what a function or type of Go's standard library is for. I am very small, so check what I say."),
    ("Help", "Ask me about Go's standard library, for example: What does strings.Contains do?"),
    ("What is Go?", "Go is a general-purpose language designed with systems programming in mind. It is strongly typed and garbage-collected and has explicit support for concurrent programming."),
    ("Thank you!", "You are welcome."),
    ("Thanks", "You are welcome."),
]
ASK = ["What does {} do?", "What is {}?", "What is {} for?", "Explain {}.", "Tell me about {}."]


def sources(goroot):
    src = os.path.join(goroot, "src")
    for folder, dirs, files in os.walk(src):
        rel = os.path.relpath(folder, src)
        dirs[:] = sorted(d for d in dirs if d not in ("internal", "testdata", "vendor", "cmd", "simd", "syscall"))
        for name in sorted(files):
            if name.endswith(".go") and not name.endswith("_test.go") and not name.startswith("z"):
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    yield rel, f.read()


def plain(comment):
    lines = [line[2:].removeprefix(" ") for line in comment.strip().split("\n")]
    lines = [line for line in lines if not re.match(r"(go|line|nolint|export|sys|lint):?", line)]
    return "\n".join(lines).strip()


def sentence(text, limit=200):
    """The first sentence, or first two if both are short; without a doc link's brackets."""
    flat = re.sub(r"\s+", " ", text.split("\n\n")[0]).replace("[", "").replace("]", "")
    parts = re.split(r"(?<=[.!?]) (?=[A-Z])", flat)
    out = parts[0]
    if len(parts) > 1 and len(out) + len(parts[1]) < 120:
        out += " " + parts[1]
    return out if len(out) <= limit and out.endswith(".") else ""


def documents(goroot):
    docs = []
    for rel, text in sources(goroot):
        for m in COMMENTED.finditer(text):
            body = m.group(4)
            end = re.search(r"^}\n", body, re.M)
            body = body[: end.end()] if end else ""
            docs.append(f"{m.group(1)}{m.group(2)} {m.group(3)}\n{body}")
        for m in PACKAGE.finditer(text):
            docs.append(f"package {m.group(2) or m.group(4)}\n\n{plain(m.group(1)) if m.group(1) else m.group(3).strip()}\n")
    for name in ("go_spec.html", "go_mem.html"):
        with open(os.path.join(goroot, "doc", name), encoding="utf-8") as f:
            prose = html.unescape(re.sub(r"<[^>]+>", "", f.read()))
        for part in re.split(r"\n{3,}", prose):
            if len(part) > 80:
                docs.append(re.sub(r"\n{2,}", "\n\n", part.strip()) + "\n")
    return docs


def chats(goroot):
    pairs, seen = [], set()
    for rel, text in sources(goroot):
        package = rel.split("/")[-1]
        for m in COMMENTED.finditer(text):
            answer = sentence(plain(m.group(1)))
            method = METHOD.match(m.group(3))
            name = f"{method.group(1)}.{method.group(2)}" if method else re.match(r"\w*", m.group(3)).group()
            last = name.split(".")[-1]
            if not answer or not name[:1].isupper() or not last[:1].isupper() or last not in answer:
                continue
            full = f"{package}.{name}"
            if full not in seen:
                seen.add(full)
                pairs.append((full, answer))
        for m in PACKAGE.finditer(text):
            name = m.group(2) or m.group(4)
            answer = sentence(plain(m.group(1)) if m.group(1) else m.group(3).strip())
            if answer.startswith("Package ") and f"package {name}" not in seen:
                seen.add(f"package {name}")
                pairs.append((f"package {name}", answer))
    return pairs
