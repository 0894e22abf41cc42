"""Makes ../formats: small files of many kinds and the pixels that Pillow finds in them.

Run with Pillow and numpy installed; cases.json records the versions that made the committed
files. Of 16-bit gray the upper bytes are wanted, as Pillow gives them of 16-bit colours.
"""
import io
import json
import pathlib
import struct

import numpy as np
import PIL
from PIL import Image, ImageOps

out = pathlib.Path(__file__).parent.parent / "formats"
out.mkdir(exist_ok=True)
for old in out.iterdir():
    old.unlink()
rng = np.random.default_rng(7)
cases = []


def picture(w, h, noise=20):
    y, x = np.mgrid[0:h, 0:w] / max(w, h)
    a = np.stack([np.sin(5 * x + 2 * y), np.cos(4 * y - x), np.sin(9 * x * y)], -1) * 110 + 128
    return Image.fromarray(np.clip(a + rng.normal(0, noise, a.shape), 0, 255).astype(np.uint8))


def case(name, tolerance=0, want=None):
    with Image.open(out / name) as im:
        if want is None and im.mode.startswith("I;16"):
            want = Image.fromarray((np.array(im) >> 8).astype(np.uint8))
        want = ImageOps.exif_transpose(want or im).convert("RGB")
    result = f"{len(cases):02d}.png"
    Image.fromarray(np.array(want)).save(out / result, optimize=True)
    cases.append(dict(op="decode", source=name, result=result, tolerance=tolerance))


def save(name, im, tolerance=0, **options):
    im.save(out / name, **options)
    case(name, tolerance)


def write(name, data, tolerance=0):
    (out / name).write_bytes(data)
    case(name, tolerance)


small = picture(13, 10)
rgba = small.copy()
rgba.putalpha(Image.fromarray(rng.integers(0, 256, (10, 13), dtype=np.uint8)))
table = small.convert("P", palette=Image.Palette.ADAPTIVE, colors=11)
bits = small.convert("1")

# 16-bit gray over its whole range
deep = Image.fromarray(np.linspace(0, 65535, 130).reshape(10, 13).astype(np.uint16))
save("gray16.png", deep)
save("gray16.tif", deep)
save("gray16b.tif", Image.frombytes("I;16B", (13, 10), np.array(deep).astype(">u2").tobytes()))

save("whole.gif", table)
save("gray.gif", small.convert("L"))
save("transparent.gif", table, transparency=3)
save("interlaced.gif", picture(13, 21).convert("P", palette=Image.Palette.ADAPTIVE, colors=30), interlace=1)
save("animated.gif", table, save_all=True, append_images=[table.transpose(Image.Transpose.FLIP_TOP_BOTTOM)], duration=50)


def gif(transparent=None, background=2, local=False, screen=(6, 4), corner=(2, 1), size=(3, 2)):
    """A frame that does not cover the screen."""
    colours = bytes([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    data = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x81, background, 0) + colours
    if transparent is not None:
        data += b"\x21\xf9\x04\x01\0\0" + bytes([transparent, 0])
    data += b"\x21\xfe\x05hello\0" + b"\x2c" + struct.pack("<HHHHB", *corner, *size, 0x81 if local else 0)
    if local:
        data += colours[::-1]
    codes, value = [4] + [3, 1, 0, 2, 3, 1][:size[0] * size[1]] + [5], 0
    widths = [3, 3, 3, 3, 4, 4, 4, 4][:len(codes)]  # the table of codes grows
    at = 0
    for code, width in zip(codes, widths):
        value |= code << at
        at += width
    packed = value.to_bytes((at + 7) // 8, "little")
    return data + b"\x02" + bytes([len(packed)]) + packed + b"\0;"


write("part.gif", gif())
write("parttransparent.gif", gif(transparent=1))
write("partlocal.gif", gif(transparent=3, local=True))
write("beyond.gif", gif(screen=(1, 1)))

save("bits.bmp", bits)
save("table.bmp", table)
save("gray.bmp", small.convert("L"))
save("colour.bmp", small)
save("alpha.bmp", rgba)
b = bytearray((out / "colour.bmp").read_bytes())
struct.pack_into("<i", b, 22, -10)
write("topdown.bmp", bytes(b))

for compression in ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"]:
    save(f"{compression}.tif", small, compression=compression)
save("group3.tif", bits, compression="group3")
save("group4.tif", bits, compression="group4")
b = (out / "group4.tif").read_bytes()
write("group4white.tif", b.replace(struct.pack("<HHII", 262, 3, 1, 1), struct.pack("<HHII", 262, 3, 1, 0)))
save("gray.tif", small.convert("L"))
save("table.tif", table)
save("alpha.tif", rgba)
save("strips.tif", picture(20, 33), compression="tiff_lzw", tiffinfo={278: 7, 317: 2})
pages = io.BytesIO()
small.save(pages, "TIFF", save_all=True, append_images=[small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])
write("pages.tif", pages.getvalue())
for o in range(2, 9):
    save(f"turn{o}.tif", picture(5, 4), tiffinfo={0x0112: o})


def tiff(samples, tags, order="<"):
    """An uncompressed TIFF of an array (height, width, samples)."""
    h, w, n = samples.shape
    data = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    bits = samples.dtype.itemsize * 8
    head = 8 + len(data)
    entries = [(256, 3, [w]), (257, 3, [h]), (258, 3, [bits] * n), (259, 3, [1]), (262, 3, [2]), (273, 4, [8]), (277, 3, [n]), (278, 3, [h]),
               (279, 4, [len(data)])] + tags
    extra, rows = b"", b""
    for tag, kind, values in sorted(entries):
        packed = b"".join(struct.pack(order + ("H" if kind == 3 else "I"), v) for v in values)
        if len(packed) > 4:
            value = struct.pack(order + "I", head + 2 + 12 * len(entries) + 4 + len(extra))
            extra += packed
        else:
            value = packed.ljust(4, b"\0")
        rows += struct.pack(order + "HHI", tag, kind, len(values)) + value
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", head) + data + struct.pack(order + "H", len(entries)) + rows + struct.pack(order + "I", 0) + extra


wide = rng.integers(0, 65536, (6, 5, 4), dtype=np.uint16)
write("rgb16.tif", tiff(wide[..., :3], []))
write("rgb16b.tif", tiff(wide[..., :3], [], ">"))
alpha = np.array(rgba)
premultiplied = (alpha[..., :3].astype(int) * alpha[..., 3:] // 255).astype(np.uint8)
write("premultiplied.tif", tiff(np.concatenate([premultiplied, alpha[..., 3:]], -1), [(338, 3, [1])]))

moving = [picture(13, 10), picture(13, 10)]
save("animated.webp", moving[0], save_all=True, append_images=moving[1:], quality=80)
save("animatedlossless.webp", moving[0], save_all=True, append_images=moving[1:], lossless=True)
save("animatedalpha.webp", rgba, save_all=True, append_images=moving[1:], quality=80)


def placed(name, canvas, corner):
    """The first frame of an animation, moved on a larger canvas."""
    b = bytearray((out / name).read_bytes())
    b[24:30] = (canvas[0] - 1).to_bytes(3, "little") + (canvas[1] - 1).to_bytes(3, "little")
    at = b.index(b"ANMF") + 8
    b[at:at + 6] = (corner[0] // 2).to_bytes(3, "little") + (corner[1] // 2).to_bytes(3, "little")
    return bytes(b)


write("placed.webp", placed("animatedlossless.webp", (20, 14), (4, 2)))
write("placedalpha.webp", placed("animatedalpha.webp", (17, 19), (2, 6)))

for name, mode, options in [("cmykprogressive", "CMYK", dict(progressive=True)), ("grayprogressive", "L", dict(progressive=True)),
                            ("rgb", "RGB", dict(keep_rgb=True, subsampling="4:4:4"))]:
    save(f"{name}.jpg", picture(45, 35, 12).convert(mode), 2, quality=90, **options)
exif = Image.Exif()
exif[0x0112] = 8
save("turnprogressive.jpg", picture(45, 35, 12), 3, quality=90, progressive=True, exif=exif)
save("turngray.jpg", picture(9, 7, 12).convert("L"), 2, quality=90, exif=exif)

# large ones of few bytes, whose decoders' memory is measured
large = Image.new("RGB", (1000, 760), (200, 30, 90))
large.save(out / "large.progressive.jpg", progressive=True, subsampling="4:2:0")
large.save(out / "large.progressive444.jpg", progressive=True, subsampling="4:4:4")
large.convert("CMYK").save(out / "large.cmyk.jpg")
large.save(out / "large.rgb.jpg", keep_rgb=True, subsampling="4:4:4")
large.save(out / "large.webp")
large.save(out / "large.lossless.webp", lossless=True)
large.putalpha(Image.linear_gradient("L").resize(large.size))
large.save(out / "large.alpha.webp")
large.save(out / "large.strips.tif", compression="tiff_adobe_deflate")
large.convert("P").save(out / "large.gif", interlace=1)

versions = dict(pillow=PIL.__version__, numpy=np.__version__)
lines = ",\n".join("  " + json.dumps(c) for c in cases)
(out / "cases.json").write_text(f'{{\n "versions": {json.dumps(versions)},\n "cases": [\n{lines}\n ]\n}}\n')
print(len(cases), "cases", sum(p.stat().st_size for p in out.iterdir()), "bytes")
