"""Writes split.zip: the model of llama3-f16.zip in three files, as gguf-py splits one.

    python split.py          # in this folder

Made with Python 3.11 and gguf 0.19.0. Metadata is in the first file; each has split.no,
split.count and split.tensors.count, as llama.cpp's gguf-split writes them.
"""
import pathlib
import tempfile
import zipfile

import gguf

here = pathlib.Path(__file__).resolve().parent.parent
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    with zipfile.ZipFile(here / "llama3-f16.zip") as z:
        name = next(n for n in z.namelist() if n.endswith(".gguf"))
        z.extract(name, folder)
    reader = gguf.GGUFReader(folder / name)
    arch = reader.get_field("general.architecture").contents()
    writer = gguf.GGUFWriter(folder / "tiny.gguf", arch, split_max_tensors=-(-len(reader.tensors) // 3))
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        sub = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=sub)
    for t in reader.tensors:
        writer.add_tensor(t.name, t.data, raw_dtype=t.tensor_type)
    writer.write_header_to_file(folder / "tiny.gguf")
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with zipfile.ZipFile(here / "split.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for part in sorted(folder.glob("tiny-*.gguf")):
            info = zipfile.ZipInfo(part.name, (2026, 1, 1, 0, 0, 0))
            z.writestr(info, part.read_bytes(), zipfile.ZIP_DEFLATED, 9)
