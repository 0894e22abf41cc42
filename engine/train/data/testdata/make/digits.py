"""Writes scikit-learn's copy of the UCI handwritten digits (1,797 images of 8 x 8 pixels,
16 levels of gray) as PNG folders by class: OUT/train/0 ... 9 and OUT/validation/0 ... 9.

    python digits.py OUT [--validation 0.2]

Every image is in exactly one of the two; which one depends on its number alone. Values 0 to
16 become 0 to 255 as round(v * 255 / 16). Licence of the data: CC BY 4.0, E. Alpaydin and
C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""
import argparse
import hashlib
import pathlib

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument("out", type=pathlib.Path)
args.add_argument("--validation", type=float, default=0.2, help="part of the images for validation")
args = args.parse_args()

digits = load_digits()
counts = {"train": 0, "validation": 0}
for i, (image, label) in enumerate(zip(digits.images, digits.target)):
    draw = int.from_bytes(hashlib.sha256(b"digit %d" % i).digest()[:8], "big") / 2**64
    part = "validation" if draw < args.validation else "train"
    folder = args.out / part / str(label)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(image * 255 / 16).astype(np.uint8)).save(folder / f"{i:04d}.png")
    counts[part] += 1
print(counts)
