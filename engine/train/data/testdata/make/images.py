"""Makes ../images: small source images and what Pillow and torchvision make of them.

Run with Pillow, torch, torchvision and numpy installed; cases.json records the versions
that made the committed files.
"""
import io
import json
import pathlib
import struct
import zlib

import numpy as np
import PIL
import torch
import torchvision
import torchvision.transforms.functional as F
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode as Mode

out = pathlib.Path(__file__).parent.parent / "images"
out.mkdir(exist_ok=True)
for old in out.iterdir():
    old.unlink()
rng = np.random.default_rng(1)
cases = []


def picture(w, h, noise=40):
    """Smooth colours with noise on top."""
    y, x = np.mgrid[0:h, 0:w] / max(w, h)
    a = np.stack([np.sin(5 * x + 2 * y), np.cos(4 * y - x), np.sin(9 * x * y)], -1) * 110 + 128
    return Image.fromarray(np.clip(a + rng.normal(0, noise, a.shape), 0, 255).astype(np.uint8))


def save(name, im):
    im.save(out / name, optimize=True)


def case(op, source, result, **args):
    name = f"{len(cases):03d}.png"
    save(name, Image.fromarray(np.array(result)))  # without EXIF and transparency
    cases.append(dict(op=op, source=source, result=name, **args))


sources = {"a.png": picture(37, 29), "tall.png": picture(12, 40), "tiny.png": picture(5, 4), "line.png": picture(1, 9),
           "square.png": picture(24, 24)}
for name, im in sources.items():
    save(name, im)

filters = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
for source, sizes in {"a.png": [(18, 14), (60, 45), (37, 10), (9, 29), (7, 50), (1, 1), (36, 30)], "tall.png": [(6, 20), (31, 17), (3, 21), (12, 7)],
                      "tiny.png": [(31, 23), (2, 3), (4, 4)], "line.png": [(3, 4), (8, 30)]}.items():
    for size in sizes:
        for f, code in filters.items():
            case("resize", source, sources[source].resize(size, code), w=size[0], h=size[1], filter=f)

modes = {"nearest": Mode.NEAREST, "bilinear": Mode.BILINEAR, "bicubic": Mode.BICUBIC}
for source in ["a.png", "tall.png", "tiny.png"]:
    for size in [7, 16, 29]:
        for f in ["bilinear", "bicubic"]:
            case("shorter", source, F.resize(sources[source], size, modes[f]), w=size, filter=f)
    for w, h in [(10, 8), (11, 9), (37, 29), (40, 33), (41, 12)]:
        case("centercrop", source, F.center_crop(sources[source], [h, w]), w=w, h=h)
    case("flip", source, F.hflip(sources[source]))
    for left, top, w, h in [(1, 2, 3, 2), (0, 0, 5, 4), (-2, -1, 8, 9)]:
        case("crop", source, F.crop(sources[source], top, left, h, w), left=left, top=top, w=w, h=h)

fill = [10, 200, 90]
for source in ["a.png", "square.png"]:
    for f in ["nearest", "bilinear"]:
        for angle in [0, 17.5, -30, 45, 90, 180, 270, 123.4]:
            case("rotate", source, F.rotate(sources[source], angle, modes[f], fill=fill), degrees=angle, filter=f, fill=fill)
        for angle, move, zoom, shear in [(0, (0, 0), 1.3, (0, 0)), (0, (0, 0), 0.6, (0, 0)), (0, (3, -2), 1, (0, 0)), (0, (0, 0), 1, (15, 0)),
                                         (0, (0, 0), 1, (-10, 20)), (33, (2, 1), 0.8, (5, -7)), (-90, (0, 0), 1, (0, 0))]:
            case("affine", source, F.affine(sources[source], angle, move, zoom, shear, modes[f], fill=fill),
                 degrees=angle, move=move, zoom=zoom, shear=shear, filter=f, fill=fill)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(name, array, colour, extra=b""):
    """A PNG of 16 bits, which Pillow does not write in colour."""
    h, w = array.shape[:2]
    rows = b"".join(b"\0" + r.astype(">u2").tobytes() for r in array.reshape(h, -1))
    (out / name).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, colour, 0, 0, 0)) + extra +
                             chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def decoded(name, tolerance=0):
    with Image.open(out / name) as im:
        if im.mode.startswith("I;16"):  # convert makes all above 255 white; colours of 16 bits it takes the upper bytes of
            im = Image.fromarray((np.array(im) >> 8).astype(np.uint8))
        case("decode", name, ImageOps.exif_transpose(im).convert("RGB"), tolerance=tolerance)


small = picture(13, 10, 20)
small.convert("L").save(out / "gray.png")
small.convert("1").save(out / "bits.png")
small.convert("P", palette=Image.Palette.ADAPTIVE, colors=11).save(out / "palette.png")
small.convert("P", palette=Image.Palette.ADAPTIVE, colors=11).save(out / "palettealpha.png", transparency=3)
rgba = small.copy()
rgba.putalpha(Image.fromarray(rng.integers(0, 256, (10, 13), dtype=np.uint8)))
rgba.save(out / "rgba.png")
rgba.convert("LA").save(out / "la.png")
Image.fromarray((np.arange(130).reshape(10, 13) * 3).astype(np.uint16)).save(out / "gray16.png")
wide = rng.integers(0, 65536, (6, 5, 4), dtype=np.uint16)
png16("rgb16.png", wide[..., :3], 2)
png16("rgba16.png", wide, 6)
png16("la16.png", wide[..., :2], 4)
png16("gray16trns.png", wide[..., :1] // 128, 0, chunk(b"tRNS", struct.pack(">H", 7)))
for name in ["gray", "bits", "palette", "palettealpha", "rgba", "la", "gray16", "rgb16", "rgba16", "la16", "gray16trns"]:
    decoded(name + ".png")

jpeg = picture(45, 35, 12)
for name, mode, options in [("444", "RGB", dict(subsampling="4:4:4")), ("422", "RGB", dict(subsampling="4:2:2")), ("420", "RGB", dict(subsampling="4:2:0")),
                            ("progressive", "RGB", dict(progressive=True)), ("gray", "L", {}), ("cmyk", "CMYK", {})]:
    jpeg.convert(mode).save(out / f"{name}.jpg", quality=90, **options)
    decoded(f"{name}.jpg", 2 if mode == "RGB" else 1)
for w, h in [(1, 1), (4, 3), (5, 6), (16, 17)]:
    picture(w, h, 12).save(out / f"{w}x{h}.jpg", quality=90)
    decoded(f"{w}x{h}.jpg", 2)

for name, im, options in [("lossy", jpeg, dict(quality=85)), ("even", jpeg.crop((0, 0, 44, 34)), dict(quality=60)), ("thin", jpeg.crop((3, 0, 4, 9)), dict(quality=85)),
                          ("lossless", small, dict(lossless=True)), ("alpha", rgba, dict(lossless=True)), ("lossyalpha", rgba, dict(quality=80, exact=True))]:
    im.save(out / f"{name}.webp", **options)
    decoded(f"{name}.webp")

for o in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = o
    sources["tiny.png"].save(out / f"turn{o}.png", exif=exif)
    decoded(f"turn{o}.png")
exif[0x0112] = 6
picture(9, 6, 5).save(out / "turn.jpg", exif=exif, quality=95, subsampling="4:4:4")
decoded("turn.jpg", 2)
picture(9, 6, 5).save(out / "turn.webp", exif=exif, lossless=True)
decoded("turn.webp")

mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
t = F.normalize(F.to_tensor(F.center_crop(F.resize(sources["a.png"], 20), [16, 18])), mean, std)
(out / "pipeline.f32").write_bytes(t.numpy().astype("<f4").tobytes())
t = F.to_tensor(F.rgb_to_grayscale(sources["a.png"]))
(out / "gray.f32").write_bytes(t.numpy().astype("<f4").tobytes())

versions = dict(pillow=PIL.__version__, torch=torch.__version__, torchvision=torchvision.__version__, numpy=np.__version__)
lines = ",\n".join("  " + json.dumps(c) for c in cases)
(out / "cases.json").write_text(f'{{\n "versions": {json.dumps(versions)},\n "cases": [\n{lines}\n ]\n}}\n')
print(len(cases), "cases", sum(p.stat().st_size for p in out.iterdir()), "bytes")
