"""Files that are small to send and large to read: figures, archives and data sets, made with the standard library."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib

import numpy as np

from tests.backend.mutations import dumps, packed, parts_of, sealed

KIB, MIB = 2**10, 2**20


# ── figures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def origin(**changes):
    """Return what a figure says of its origin."""
    facts = {
        "made_by": "Collapse Lab",
        "figure": "curves",
        "format": "png",
        "runs": [{"id": "r3k5q7w9x1", "name": "a", "config_hash": "0" * 64, "last_seq": 1, "versions": {}}],
        "options": {},
        "epochs": [],
        "view_matrix": None,
        "command": "collapse export r3k5q7w9x1 curves -o a.png",
    }
    return json.dumps(facts | changes)


def chunk(kind, body, size=None):
    return (
        struct.pack(">I", len(body) if size is None else size)
        + kind
        + body
        + struct.pack(">I", zlib.crc32(kind + body))
    )


def png(*chunks, width=4, height=4, end=True):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + (chunk(b"IEND", b"") if end else b"")


def deflated(size):
    """Return so many zeros, packed a thousand to one."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB)) + packer.flush()


def pdf(body):
    return b"%PDF-1.7\n" + body + b"\ntrailer << /Root 1 0 R /Info 2 0 R >>\nstartxref\n9\n%%EOF\n"


def keywords(text):
    return b"2 0 obj << /Keywords (" + text + b") >> endobj"


def flate_pdf():
    data = deflated(512 * MIB)
    for _ in range(3):
        data = zlib.compress(data)
    filters = b"/FlateDecode " * 4
    return pdf(
        b"3 0 obj << /Type /ObjStm /N 100000 /Filter [" + filters + b"] >> stream\n" + data + b"endstream endobj"
    )


def svg(text):
    return b'<?xml version="1.0"?>\n' + text


ENTITIES = b"<!DOCTYPE svg [<!ENTITY a0 'x'>" + b"".join(
    b"<!ENTITY a%d '%s'>" % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 12)
)
SAID = b"% CollapseLab: "
FIGURES = {
    "a PNG of 60,000 × 60,000 pixels": lambda: png(chunk(b"IDAT", deflated(MIB)), width=60_000, height=60_000),
    "a PNG of 2³¹ × 2³¹ pixels with facts that are none": lambda: png(
        chunk(b"tEXt", b"Description\0{}"), width=2**31 - 1, height=2**31 - 1
    ),
    "a PNG whose text unpacks to 512 MiB": lambda: png(chunk(b"zTXt", b"Description\0\0" + deflated(512 * MIB))),
    "a PNG whose international text unpacks to 512 MiB": lambda: png(
        chunk(b"iTXt", b"Description\0\1\0\0\0" + deflated(512 * MIB))
    ),
    "a PNG whose text is packed and damaged": lambda: png(chunk(b"zTXt", b"Description\0\0" + b"\xff" * 100)),
    "a PNG whose chunk says that it has 4 GiB": lambda: png(chunk(b"tEXt", b"Description\0{}", size=2**32 - 1)),
    "a PNG of a hundred thousand chunks": lambda: png(chunk(b"tEXt", b"a\0b") * 100_000),
    "a PNG of a hundred thousand chunks of profiles": lambda: png(*[chunk(b"iCCP", b"a\0\0" + b"x")] * 100_000),
    "a PNG without an end": lambda: png(end=False),
    "a PNG of nothing but its signature": lambda: b"\x89PNG\r\n\x1a\n",
    "a PDF whose cross-reference points at itself": lambda: (
        b"%PDF-1.4\nxref\n0 1\ntrailer << /Size 1 /Prev 9 /Root 1 0 R /XRefStm 9 >>\nstartxref\n9\n%%EOF"
    ),
    "a PDF with streams in streams in streams": flate_pdf,
    "a PDF of a hundred thousand keywords that never end": lambda: pdf(b"/Keywords (" * 100_000),
    "a PDF with a million brackets": lambda: pdf(keywords(b"(" * MIB)),
    "a PDF with a million closed brackets": lambda: pdf(keywords(b"{" + b"(" * 500_000 + b")" * 500_000)),
    "a PDF whose keywords are escapes alone": lambda: pdf(keywords(b"{" + b"\\\\" * 700_000)),
    "a PDF with keywords in odd digits": lambda: pdf(b"2 0 obj << /Keywords <7B7B7G> >> endobj"),
    "a PDF whose objects hold themselves": lambda: pdf(b"2 0 obj << /Keywords 2 0 R >> endobj"),
    "a PDF of nested arrays": lambda: pdf(b"[" * 500_000 + b"]" * 500_000),
    "an SVG with entities of entities": lambda: svg(ENTITIES + b"]><svg><dc:description>&a11;</dc:description></svg>"),
    "an SVG that is a hundred thousand deep": lambda: svg(b"<svg>" + b"<g>" * 100_000 + b"</g>" * 100_000 + b"</svg>"),
    "an SVG of descriptions that never end": lambda: svg(b"<svg>" + b"<dc:description>" * 4000),
    "an SVG with a file from elsewhere": lambda: svg(
        b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg><dc:description>&x;</dc:description></svg>'
    ),
    "an EPS of comments": lambda: b"%!PS\n" + b"%CollapseLab: {\n" * 100_000,
    "a Markdown file of comments that never end": lambda: b"<!-- CollapseLab: " * 100_000,
    "a LaTeX file with a name of a megabyte": lambda: SAID + origin(command="x" * MIB).encode() + b"\n",
    "facts that are a thousand deep": lambda: SAID + b'{"made_by":' + b"[" * 20_000 + b"]" * 20_000 + b"}\n",
    "facts of empty lists": lambda: png(
        chunk(
            b"tEXt", b"Description\0" + origin(view_matrix="@").replace('"@"', "[" + "[]," * 600_000 + "[]]").encode()
        )
    ),
    "facts of numbers": lambda: png(chunk(b"tEXt", b"Description\0" + origin(epochs=[0] * 500_000).encode())),
    "facts with a number that is none": lambda: SAID + origin(epochs=["@"]).replace('"@"', "NaN").encode() + b"\n",
    "facts with an infinite number": lambda: SAID + origin(epochs=["@"]).replace('"@"', "1e999").encode() + b"\n",
    "facts with a number of a thousand digits": lambda: (
        SAID + origin().replace('"last_seq": 1', f'"last_seq": {10**1000}').encode() + b"\n"
    ),
    "facts with half a surrogate": lambda: SAID + origin(made_by="\ud800").encode() + b"\n",
    "facts of a thousand and one runs": lambda: png(
        chunk(b"tEXt", b"Description\0" + origin(runs=json.loads(origin())["runs"] * 1001).encode())
    ),
    "facts with an option that no figure has": lambda: SAID + origin(options={"evil": "1"}).encode() + b"\n",
    "facts with an option that is none": lambda: SAID + origin(options={"dpi": "9999999"}).encode() + b"\n",
    "nothing": lambda: b"",
    "two megabytes of nothing": lambda: bytes(2 * MIB),
    "more than may be sent": lambda: bytes(2 * MIB + 1),
    "a zip file of zip files": lambda: packed({"a.zip": packed({"b.zip": packed({"c": bytes(MIB)})})}),
}


# ── archives ────────────────────────────────────────────────────────────────────────────────────────────────────────


def overlapping(content):
    """Return an archive in whose table of contents all parts begin at the same bytes."""
    parts = parts_of(content)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, part in parts.items():
            opened.writestr(name, part)
        for info in opened.infolist()[1:]:
            info.header_offset = opened.infolist()[0].header_offset
        opened._didModify = True
    return file.getvalue()


def with_infos(change):
    """Return what makes an archive whose table of contents is changed."""

    def make(content):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, part in parts_of(content).items():
                opened.writestr(name, part)
            for info in opened.infolist():
                change(info)
            opened._didModify = True
        return file.getvalue()

    return make


def with_parts(change):
    """Return what makes an archive whose parts are changed, with hashes that hold."""

    def make(content):
        parts = parts_of(content)
        change(parts)
        return packed(sealed(parts))

    return make


def with_end(**changes):
    """Return what makes an archive whose last record says something else."""
    names = ("signature", "disk", "first", "here", "entries", "size", "offset", "comment")

    def make(content):
        held = dict(zip(names, struct.unpack("<4s4H2LH", content[-22:]), strict=True)) | changes
        return content[:-22] + struct.pack("<4s4H2LH", *held.values())

    return make


def with_end64(entries, size):
    """Return what makes an archive whose last record of 64 bits says that it has so many parts."""

    def make(content):
        end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, 0)
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(content) - 22, 1)
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        return content[:-22] + end64 + locator + end

    return make


def many_parts(content):
    parts = parts_of(content)
    parts |= {f"artifacts/geometry-{number:09d}-a9.safetensors": b"" for number in range(60_000)}
    return packed(parts, method=zipfile.ZIP_STORED)


def table_alone(content):
    """Return a table of contents of a million rows and nothing else."""
    row = (
        struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0)
        + b"run.json"
    )
    return row * 1_000_000 + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, len(row) * 1_000_000, 0, 0)


def grown(name, **changes):
    def change(parts):
        parts[name] = json.dumps(json.loads(parts[name]) | changes).encode()

    return with_parts(change)


def with_array(change):
    """Return what makes an archive whose first file of arrays is changed."""

    def edit(parts):
        name = next(name for name in parts if name.startswith("artifacts/geometry"))
        parts[name] = change(parts[name])

    return with_parts(edit)


def lines(make):
    def change(parts):
        parts["events.jsonl"] = make(parts["events.jsonl"])

    return with_parts(change)


def nested(levels):
    return b"[" * levels + b"]" * levels


ARCHIVES = {
    "parts that overlap": overlapping,
    "a part that says that it is encrypted": with_infos(lambda info: setattr(info, "flag_bits", 1)),
    "a part packed in a way of its own": with_infos(lambda info: setattr(info, "compress_type", 99)),
    "a part packed with bzip2": lambda content: packed(parts_of(content), method=zipfile.ZIP_BZIP2),
    "a part packed with LZMA": lambda content: packed(parts_of(content), method=zipfile.ZIP_LZMA),
    "a part that says that it has 2⁶² bytes": with_infos(lambda info: setattr(info, "file_size", 2**62)),
    "a part that says that it is packed in 2⁶² bytes": with_infos(lambda info: setattr(info, "compress_size", 2**62)),
    "a part that says that it has no bytes": with_infos(lambda info: setattr(info, "file_size", 0)),
    "parts far behind the file's end": with_infos(lambda info: setattr(info, "header_offset", 2**40)),
    "a part that unpacks to 512 MiB": with_parts(lambda parts: parts.update({"metrics.csv": bytes(512 * MIB)})),
    "run.json of 9 MiB": grown("run.json", notes="x" * 9 * MIB),
    "run.json that is deep": with_parts(lambda parts: parts.update({"run.json": nested(100_000)})),
    "run.json of empty lists": with_parts(lambda parts: parts.update({"run.json": b"[" + b"[]," * 2_000_000 + b"[]]"})),
    "manifest.json of 13 MiB": lambda content: packed(
        parts_of(content) | {"manifest.json": b" " * 13 * MIB}, method=zipfile.ZIP_STORED
    ),
    "manifest.json of empty lists": lambda content: packed(
        parts_of(content) | {"manifest.json": b"[" + b"[]," * 3_000_000 + b"[]]"}
    ),
    "a line of 5 MiB": lines(lambda held: b"x" * 5 * MIB + b"\n" + held),
    "a line without an end": lines(lambda held: held + b'{"seq": 1, "type": "' + b"x" * 64 * MIB),
    "a line of empty lists": lines(lambda held: b'{"seq": ' + b"[" + b"[]," * MIB + b"[]]}\n" + held),
    "a line of numbers": lines(lambda held: b'{"seq": ' + b"[" + b"1," * 2 * MIB + b"1]}\n" + held),
    "a line that is deep": lines(lambda held: b'{"seq": ' + nested(10_000) + b"}\n" + held),
    "two million lines": lines(lambda held: held + b"\n" * 2_000_000),
    "two million objects": lines(lambda held: held + b'{"a":1}\n' * 2_000_000),
    "a zip file for a file of arrays": with_array(lambda held: packed({"a": bytes(MIB)})),
    "a file of arrays with a header of 2⁶³ bytes": with_array(lambda held: struct.pack("<Q", 2**63) + held[8:]),
    "a file of arrays with a header that is deep": with_array(
        lambda held: struct.pack("<Q", 200_000) + nested(100_000) + held
    ),
    "a file of arrays with a header of empty lists": with_array(
        lambda held: struct.pack("<Q", 3 * MIB + 4) + b"[" + b"[]," * MIB + b"[]]"
    ),
    "a file of arrays that says that it has 2⁶² bytes": with_array(
        lambda held: held.replace(b'"data_offsets":[0,', b'"data_offsets":[9,', 1)
    ),
    "parts without number": many_parts,
    "a table of contents of a million rows": table_alone,
    "more rows than there are": with_end(entries=60_000),
    "fewer rows than there are": with_end(entries=1, here=1, size=46),
    "a table of contents that is longer than the file": with_end(size=2**31),
    "a comment of 64 KiB": lambda content: with_end(comment=65_535)(content) + bytes(65_535),
    "2⁶³ rows": with_end64(2**63, 100),
    "a table of contents of 2⁶³ bytes": with_end64(5, 2**63),
    "a name with a null": lambda content: packed(parts_of(content) | {"run.jso\x00n": b"{}"}),
    "a name of 60,000 characters": lambda content: packed(parts_of(content) | {"x" * 60_000: b""}),
    "a name that leads upwards": lambda content: packed(parts_of(content) | {"artifacts/../../x": b""}),
    "a name of another alphabet's digits": lambda content: packed(
        parts_of(content) | {"artifacts/geometry-٠٠٠٠٠٠٠٠١-a1.safetensors": b""}
    ),
    "a folder": lambda content: packed(parts_of(content) | {"artifacts/": b""}),
    "nothing": lambda content: b"",
    "an end and nothing else": lambda content: content[-22:],
    "zeros": lambda content: bytes(MIB),
    "gzip instead of zip": lambda content: zlib.compress(content),
}


# ── data sets ───────────────────────────────────────────────────────────────────────────────────────────────────────


def npy(shape, descr="|u1", body=b"", *, fortran=False, version=(1, 0)):
    """Return a .npy file whose header says what it likes."""
    head = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    head += b" " * ((-len(head) - 11) % 64) + b"\n"
    length = struct.pack("<H" if version[0] == 1 else "<I", len(head))
    return b"\x93NUMPY" + bytes(version) + length + head + body


def npz(method=zipfile.ZIP_STORED, **members):
    return packed({f"{name}.npy": body for name, body in members.items()}, method=method)


def array(values, dtype):
    file = io.BytesIO()
    np.save(file, np.asarray(values, dtype), allow_pickle=True)
    return file.getvalue()


LABELS = array([0, 1] * 8, "int64")
IMAGES = array(np.zeros((16, 4, 4)), "uint8")


def safetensors(header, body=b"", size=None):
    text = header if isinstance(header, bytes) else dumps(header)
    return struct.pack("<Q", len(text) if size is None else size) + text + body


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


DATA_SETS = {
    "images.npz: a header of terabytes": lambda: npz(images=npy((2**40, 4, 4)), labels=LABELS),
    "labels.npz: labels of terabytes": lambda: npz(images=npy((2**40, 4, 4)), labels=npy((2**40,), "<i8")),
    "packed.npz: labels packed 1000:1": lambda: npz(
        zipfile.ZIP_DEFLATED, images=npy((2**26, 4)), labels=npy((2**26,), "<i8", bytes(2**29))
    ),
    "images packed.npz: images packed 1000:1": lambda: npz(
        zipfile.ZIP_DEFLATED, images=npy((16, 8192, 4096), "|u1", bytes(2**29)), labels=LABELS
    ),
    "many.npz: more samples than there may be": lambda: npz(
        zipfile.ZIP_DEFLATED, images=npy((11_000_000, 1)), labels=npy((11_000_000,), "|u1", bytes(11_000_000))
    ),
    "object.npz: objects": lambda: npz(images=array([{"a": 1}] * 16, "object"), labels=LABELS),
    "records.npz: records": lambda: npz(images=npy((16,), [("a", "<i4"), ("b", "|O")]), labels=LABELS),
    "negative.npz: negative lengths": lambda: npz(images=npy((16, -4, -4)), labels=LABELS),
    "overflow.npz: lengths whose product overflows": lambda: npz(images=npy((2**32, 2**32, 2**32)), labels=LABELS),
    "dimensions.npz: a thousand dimensions": lambda: npz(images=npy((1,) * 1000), labels=LABELS),
    "strings.npz: names of gigabytes": lambda: npz(
        images=IMAGES, labels=LABELS, class_names=npy((2,), "<U500000000", b"")
    ),
    "names.npz: a name of a megabyte": lambda: npz(
        images=IMAGES, labels=LABELS, class_names=array(["a", "b" * MIB], "U")
    ),
    "classes.npz: a class of the number 2⁶²": lambda: npz(images=IMAGES, labels=array([0, 2**62] * 8, "int64")),
    "header.npz: a header of four gigabytes": lambda: npz(
        images=b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{", labels=LABELS
    ),
    "deep.npz: a header that is deep": lambda: npz(
        images=b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000, labels=LABELS
    ),
    "code.npz: a header with code": lambda: npz(
        images=b"\x93NUMPY\x01\x00" + struct.pack("<H", 40) + b"__import__('os').system('touch /tmp/evil')",
        labels=LABELS,
    ),
    "lying.npz: fewer rows than the header says": lambda: npz(images=npy((16, 4, 4)), labels=LABELS),
    "method.npz: packed with LZMA, damaged": lambda: npz(zipfile.ZIP_LZMA, images=IMAGES, labels=LABELS)[:-30],
    "table.npz: a table of contents of a million rows": lambda: table_alone(b""),
    "nothing.npz: nothing": lambda: b"",
    "big.safetensors: a header of 2⁶³ bytes": lambda: safetensors({}, size=2**63),
    "claims.safetensors: a header of a gigabyte": lambda: safetensors({}, size=2**30),
    "tera.safetensors: an array of terabytes": lambda: safetensors({"images": tensor("U8", [2**40], 0, 2**40)}),
    "shape.safetensors: a shape that overflows": lambda: safetensors(
        {"images": tensor("U8", [2**63, 2**63], 0, 0), "labels": tensor("I64", [16], 0, 128)}, bytes(128)
    ),
    "deep.safetensors: a header that is deep": lambda: safetensors(nested(100_000)),
    "type.safetensors: a type that NumPy lacks": lambda: safetensors(
        {"images": tensor("BF16", [16, 4], 0, 128), "labels": tensor("I64", [16], 128, 256)}, bytes(256)
    ),
}
