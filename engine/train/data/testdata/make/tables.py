"""Writes tables as people export them, and what pandas reads from them, told how.

    python tables.py ../tables

Made with Python 3.11, pandas 3.1.1, numpy 2.4.6, scikit-learn 1.9.1. The first four are read by pandas with
the arguments that are given; signs of currencies and of percent and blanks in numbers it does
not know, so they are removed before. Days such as 31.12.2024 it takes for numbers if the point
stands between thousands: here they are to be left out. dtypes and values in tables.json are pandas'. splits.json has how many samples
of each class scikit-learn puts aside.
"""
import io
import json
import sys

import numpy as np
import pandas as pd
from pandas._libs.parsers import STR_NA_VALUES
from sklearn.model_selection import train_test_split

out = sys.argv[1] + "/"
r = np.random.default_rng(3)
facts = []


def write(name, text, encoding):
    data = text.encode(encoding)
    open(out + name, "wb").write(data)
    return data


def fact(name, encoding, sep, t, label, ignored=()):
    columns = []
    for c in t.columns:
        v = t[c]
        number = pd.api.types.is_numeric_dtype(v)
        kind = "ignore" if c in ignored else "number" if number else "category"
        values = [None if pd.isna(x) else float(x) if number else str(x) for x in v]
        columns.append({"name": c, "kind": kind, "values": values})
    facts.append({"file": name, "encoding": encoding, "separator": sep, "label": label, "columns": columns})


# What a German spreadsheet exports.
def german(v, decimals):
    return f"{v:,.{decimals}f}".replace(",", "_").replace(".", ",").replace("_", ".")


rows = ["Stadt;Fläche;Miete;Gebühr;Einzug;Anteil;Straße;Zustand"]
for i in range(60):
    area = "n.a." if i % 10 == 3 else "-" if i % 17 == 5 else german(r.uniform(20, 180), 1)
    rent = german(r.uniform(300, 3000), 2)
    fee = f"€ {german(r.uniform(1, 90), 2)}" if i % 2 else f"{german(r.uniform(100, 2000), 2)} €"
    date = f"{r.integers(1, 29):02d}.{r.integers(1, 13):02d}.{r.integers(2015, 2025)}"
    share = f"{r.integers(1, 100)} %"
    street = ["Königsallee", "Möllerweg", "Müllerweg"][i % 3]
    rows.append(";".join([["Köln", "Düren", "Zürich"][r.integers(3)], area, rent, fee, date, share, street, ["gut", "mäßig"][i % 2]]))
text = "\r\n".join(rows) + "\r\n"
data = write("european.csv", text, "cp1252")
plain = data.replace("€ ".encode("cp1252"), b"").replace(" €".encode("cp1252"), b"").replace(b" %", b"")
t = pd.read_csv(io.BytesIO(plain), sep=";", decimal=",", thousands=".", encoding="cp1252", na_values=["n.a.", "-"])
fact("european.csv", "windows-1252", ";", t, "Zustand", ignored=["Einzug"])

# Excel's "Unicode text".
rows = ["name\tcount\tclass"] + [f"{['Äpfel', '橙', 'żółw'][i % 3]}\t{i * 7}\t{'ab'[i % 2]}" for i in range(12)]
data = write("unicode.txt", "\r\n".join(rows) + "\r\n", "utf-16")
fact("unicode.txt", "utf-16le", "\t", pd.read_csv(io.BytesIO(data), sep="\t", encoding="utf-16"), "class")

# An American bank's.
rows = ['id,amount,balance,rate,class']
for i in range(40):
    amount = r.uniform(1, 5000)
    rows.append(f'{i},"${amount:,.2f}","{r.integers(1, 2_000_000):,}",{"#N/A" if i % 9 == 4 else f"{r.uniform(0, 1):.4f}"},{["yes", "no"][i % 2]}')
data = write("american.csv", "\n".join(rows) + "\n", "utf-8-sig")
t = pd.read_csv(io.BytesIO(data.replace(b"$", b"")), thousands=",")
fact("american.csv", "utf-8", ",", t, "class", ["id"])

# Numbers with a blank between thousands, and an index that pandas wrote.
rows = [";Größe;Preis;Klasse"] + [f"{i};{i / 3:.3f}".replace(".", ",") + f";{i * 997:,}".replace(",", "\u00a0") + f";{'xy'[i % 2]}" for i in range(1, 31)]
data = write("blanks.csv", "\n".join(rows) + "\n", "utf-8")
t = pd.read_csv(io.BytesIO(data.replace("\u00a0".encode(), b"")), sep=";", decimal=",", index_col=0)
fact("blanks.csv", "utf-8", ";", t, "Klasse")

# Each word that pandas takes for missing, in a column of numbers and in one of words.
words = sorted(STR_NA_VALUES)
rows = ["number,word,class"] + [f'{i},w{i % 2},{"ab"[i % 2]}' for i in range(20)] + [f'"{w}","{w}",{"ab"[i % 2]}' for i, w in enumerate(words)]
data = write("missing.csv", "\n".join(rows) + "\n", "utf-8")
fact("missing.csv", "utf-8", ",", pd.read_csv(io.BytesIO(data)), "class")

json.dump(facts, open(out + "tables.json", "w"), ensure_ascii=False, indent=None, separators=(",", ":"))

# Numbers, each alone in a column beside two others: what pandas makes of them.
numbers = ["1e5", "1E+03", "0x10", "1_000", "+5", "007", ".5", "5.", "-3", "1d5", "TRUE", "1.2.3", "12:30", "1e-7", "--5", "5-", "1e", "e5"]
read = {}
for v in numbers:
    s = pd.read_csv(io.StringIO(f"a;y\n{v};1\n2;2\n"), sep=";")["a"]
    read[v] = float(s[0]) if pd.api.types.is_numeric_dtype(s) and not pd.api.types.is_bool_dtype(s) else None
european = ["1.234,5", "1.234", "1,234", "1.234.567,8", "-0,5"]
for v in european:
    s = pd.read_csv(io.StringIO(f"a;y\n{v};1\n2;2\n"), sep=";", decimal=",", thousands=".")["a"]
    read["european " + v] = float(s[0])
json.dump(read, open(out + "numbers.json", "w"), indent=1)

splits = []
for counts, fraction in [([50, 30, 20], 0.2), ([97, 2, 31], 0.25), ([7, 8, 9, 100], 0.33), ([400, 3, 60], 0.1)]:
    y = np.repeat(np.arange(len(counts)), counts)
    n = int(np.floor(fraction * len(y) + 0.5))
    _, v = train_test_split(y, test_size=n, stratify=y, random_state=0)
    splits.append({"counts": counts, "fraction": fraction, "validation": np.bincount(v, minlength=len(counts)).tolist()})
json.dump(splits, open(out + "splits.json", "w"), indent=1)
