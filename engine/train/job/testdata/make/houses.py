"""Writes houses.csv and houses.json: prices of 500 houses, and how far least squares is off.

The price is nearly linear in size, age, rooms and district, and the noise has a deviation of
7,000. Made with numpy 2.4.6, pandas 3.1.1 and scikit-learn 1.9.1:

    python houses.py ..
"""
import json
import sys

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression
from sklearn.metrics import root_mean_squared_error

out = sys.argv[1]
r = np.random.default_rng(7)
n = 500
size = r.uniform(40, 220, n).round(1)
age = r.integers(0, 90, n)
rooms = (size / 28 + r.uniform(-0.5, 1.5, n)).round().astype(int)
district = r.choice(["north", "south", "west"], n)
price = 62_000 + 1_750 * size - 600 * age + 4_000 * rooms + 30_000 * (district == "west") + r.normal(0, 7_000, n)
t = pd.DataFrame({"size": size, "age": age, "rooms": rooms, "district": district, "price": price.round()})
t.to_csv(out + "/houses.csv", index=False, float_format="%.10g")

t = pd.read_csv(out + "/houses.csv")
x = pd.get_dummies(t.drop(columns="price"), dtype=float)
model = LinearRegression().fit(x, t.price)
facts = {
    "mean": float(t.price.mean()),
    "std": float(t.price.std(ddof=0)),
    "least_squares_rmse": float(root_mean_squared_error(t.price, model.predict(x))),
    "first": [float(v) for v in model.predict(x)[:5]],
}
json.dump(facts, open(out + "/houses.json", "w"), indent=1)
