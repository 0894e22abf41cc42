"""Writes scikit-learn's copy of the UCI wines (178 rows: 13 measured properties, and which of
three cultivars the wine is from) as a file of comma-separated values with a header.

    python wine.py OUT.csv

Licence of the data: CC BY 4.0, S. Aeberhard and M. Forina, UCI Machine Learning Repository.
Made with Python 3.11, scikit-learn 1.7.
"""
import csv
import sys

from sklearn.datasets import load_wine

wines = load_wine()
with open(sys.argv[1], "w", newline="") as f:
    out = csv.writer(f)
    out.writerow([*wines.feature_names, "cultivar"])
    for row, label in zip(wines.data, wines.target):
        out.writerow([*(repr(float(v)) for v in row), "ABC"[label]])
