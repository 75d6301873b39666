"""The origin of a figure inside its file: runs, configs, versions, view, and the command that makes it again."""

from __future__ import annotations

import html
import json
import re
import zlib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ncfigures.catalogue import FigureName, Format
from ncfigures.errors import FigureError
from ncfigures.figure_data import FigureRequest
from ncfigures.options import FigureOptions, format_export_command

COMMENT_PREFIX = "CollapseLab: "
"""Prefix of the provenance in formats that have comments only."""
COMMENT_WIDTH = 240
"""Characters a comment line in PostScript."""
HEADER_BYTES = 64 * 1024
"""The beginning of a file, in which comments are searched."""
MAX_FILE_BYTES = 64 * 2**20
MAX_CHARACTERS, MAX_LISTS, MAX_ROWS = 2**20, 20_000, 10_000
"""Limits of a file's provenance: characters, lists and objects, rows of the view matrix. A thousand runs need less."""
PNG = b"\x89PNG\r\n\x1a\n"


Text = Annotated[str, Field(max_length=10_000)]
TextByKey = Annotated[dict[Annotated[str, Field(max_length=100)], Text], Field(max_length=100)]
FiniteNumber = Annotated[float, Field(allow_inf_nan=False)]


class SourceRun(BaseModel):
    """A run that a figure shows."""

    model_config = ConfigDict(extra="ignore")
    id: str = Field(pattern=r"^[a-z0-9]{1,16}$")
    name: Text
    config_hash: Text
    last_seq: int = Field(ge=0, lt=2**31)
    versions: TextByKey


class Provenance(BaseModel):
    """The origin of a figure."""

    model_config = ConfigDict(extra="ignore")
    made_by: Text
    figure: FigureName
    format: Format
    runs: list[SourceRun] = Field(min_length=1, max_length=1000)
    options: TextByKey
    epochs: list[FiniteNumber] = Field(max_length=1000)
    view_matrix: list[Annotated[list[FiniteNumber], Field(max_length=3)]] | None = Field(max_length=MAX_ROWS)
    command: Annotated[str, Field(max_length=100_000)]

    @model_validator(mode="after")
    def _with_known_options(self) -> Self:
        """Raise ValueError for unknown options."""
        self.parsed()
        return self

    def parsed(self) -> FigureOptions:
        """Return the options that the figure was made with."""
        return FigureOptions.model_validate(self.options)

    def text(self) -> str:
        """Return the provenance as one line of ASCII, always the same."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def address(self) -> str:
        """Return the path of the page that shows the same view."""
        options = self.parsed()
        if len(self.runs) > 1:
            return f"/compare?runs={','.join(run.id for run in self.runs)}"
        query = {"view": options.view, "camera": options.camera, "classes": options.classes}
        parts = [f"{key}={value}" for key, value in query.items() if value]
        parts += [f"epoch={self.epochs[-1]:g}"] if self.epochs else []
        parts += ["unit=angle"] if options.unit == "angle" else []
        return f"/runs/{self.runs[0].id}" + ("?" + "&".join(parts) if parts else "")


def make_provenance(request: FigureRequest) -> Provenance:
    """Return the provenance of a request's figure."""
    captures = request.first_run().captures
    return Provenance(
        made_by=request.software,
        figure=request.figure,
        format=request.format,
        runs=[
            SourceRun(
                id=run.id,
                name=run.name,
                config_hash=run.config_hash,
                last_seq=run.last_seq,
                versions=dict(run.versions),
            )
            for run in request.all_runs()
        ],
        options=request.options.non_default(),
        epochs=[capture.epoch for capture in captures],
        view_matrix=captures[-1].view_matrix.tolist() if captures else None,
        command=format_export_command(
            [run.id for run in request.all_runs()],
            request.figure,
            request.format,
            request.options,
            f"{request.figure}.{request.format}",
        ),
    )


def make_file_metadata(provenance: Provenance, title: str) -> dict[str, Any]:
    """Return the metadata that matplotlib writes into the file; comments are added by `with_provenance_comment`."""
    if provenance.format == "pdf":
        nothing = {"CreationDate": None, "ModDate": None}
        texts = {"Subject": provenance.command, "Keywords": provenance.text(), "Creator": provenance.made_by}
        return {"Title": title, **texts, **nothing}
    if provenance.format == "svg":
        return {
            "Title": title,
            "Date": None,
            "Creator": provenance.made_by,
            "Source": provenance.command,
            "Description": provenance.text(),
        }
    if provenance.format == "png":
        return {
            "Title": title,
            "Software": provenance.made_by,
            "Source": provenance.command,
            "Description": provenance.text(),
        }
    return {"Creator": provenance.made_by}


def with_provenance_comment(provenance: Provenance, content: str) -> str:
    """Return a text file with its provenance as a comment in the format's syntax."""
    if provenance.format == "md":
        safe = provenance.text().replace("--", "-\\u002d")  # two hyphens would end the comment
        return f"<!-- {COMMENT_PREFIX}{safe} -->\n{content}"
    if provenance.format == "eps":
        content = re.sub("%%CreationDate: .*\n", "", content, count=1)  # the same bytes at any time
        line = provenance.text()
        cut = [line[place : place + COMMENT_WIDTH] for place in range(0, len(line), COMMENT_WIDTH)]
        comments = "".join(f"%{COMMENT_PREFIX}{part}\n" for part in cut)
        return content.replace("%%EndComments\n", f"%%EndComments\n{comments}", 1)
    return f"% {COMMENT_PREFIX}{provenance.text()}\n{content}"


def read_provenance_file(path: Path) -> Provenance:
    """Read the provenance of a file; raises FigureError if it has none or is too large to be a figure."""
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise FigureError(
            f"{path.name} has {size:,} bytes, and a figure has at most {MAX_FILE_BYTES:,}; choose another file"
        )
    return read_provenance(path.read_bytes())


def read_provenance(content: bytes) -> Provenance:
    """Read the provenance from a file's content; raises FigureError if it has none.

    Only the provenance is decoded: no image, no stream of a PDF, no tree of an SVG.
    """
    text = _provenance_text(content)
    if text is None:
        raise FigureError(
            "this file does not say where it comes from: it was not made here, or another program left the facts out; "
            "choose a PDF, SVG, PNG, EPS, PGF, LaTeX or Markdown file of `collapse export`"
        )
    if len(text) > MAX_CHARACTERS or text.count("[") + text.count("{") > MAX_LISTS:
        raise FigureError(
            f"what this file says of its origin is longer than the {MAX_CHARACTERS:,} characters, or holds more than "
            f"the {MAX_LISTS:,} lists, that it may have"
        )
    try:
        return Provenance.model_validate_json(text)
    except ValidationError as error:
        raise FigureError(f"what this file says of its origin cannot be read: {_first_message(error)}") from error


def _first_message(error: ValidationError) -> str:
    """Return the field and the message of the first error, at most 500 characters."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(step) for step in first["loc"])
    return f"{field}: {first['msg']}"[:500] if field else str(first["msg"])[:500]


def _provenance_text(content: bytes) -> str | None:
    if content.startswith(b"%PDF"):
        return _pdf_keywords(content)
    if content.startswith(PNG):
        return _png_description(content)
    head = content[:HEADER_BYTES].decode(errors="replace")
    if "<svg" in head:
        description = _between(head, "<dc:description>", "</dc:description>")
        return None if description is None else html.unescape(description)
    if head.startswith("%!PS"):
        return "".join(re.findall(rf"^%{COMMENT_PREFIX}(.*)$", head, re.MULTILINE)) or None
    line = re.search(rf"^% {COMMENT_PREFIX}(.*)$", head, re.MULTILINE)
    return line.group(1) if line else _between(head, f"<!-- {COMMENT_PREFIX}", " -->")


def _between(text: str, begin: str, end: str) -> str | None:
    """Return the text between the first `begin` and the next `end`."""
    _, begins, rest = text.partition(begin)
    inside, closed, _ = rest.partition(end)
    return inside if begins and closed else None


def _png_description(content: bytes) -> str | None:
    """Return the text "Description" of a PNG; chunks of pixels are skipped."""
    place = len(PNG)
    while place < len(content):
        size, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        body = content[place + 8 : place + 8 + size]
        if len(kind) < 4 or len(body) < size:
            raise FigureError("this PNG is damaged: it was cut short")
        if kind == b"IEND":
            return None
        keyword, _, value = body.partition(b"\0") if kind in (b"tEXt", b"zTXt", b"iTXt") else (b"", b"", b"")
        if keyword == b"Description":
            return _png_chunk_text(kind, value)
        place += 12 + size
    raise FigureError("this PNG is damaged: it was cut short")


def _png_chunk_text(kind: bytes, value: bytes) -> str:
    """Return the text of a chunk of a PNG, decompressed up to the limit only."""
    if kind == b"tEXt":
        return value.decode("latin-1")
    packed, coding = True, "latin-1"
    if kind == b"iTXt":
        # A flag and a method of compression, a language and a translated keyword come before the text.
        packed, coding = value[:1] == b"\1", "utf-8"
        _, _, value = value[2:].partition(b"\0")
        _, _, value = value.partition(b"\0")
    else:
        value = value[1:]
    if packed:
        try:
            value = zlib.decompressobj().decompress(value, MAX_CHARACTERS + 1)
        except zlib.error as error:
            raise FigureError(f"this PNG is damaged: {error}") from error
    return value.decode(coding, errors="replace")


def _pdf_keywords(content: bytes) -> str | None:
    """Return the keywords of a PDF's information dictionary, the last if there are several; nothing else is read.

    They stand there as they are: `collapse export` does not compress them. A program that puts them into a compressed
    stream has left the facts out.
    """
    place = content.rfind(b"/Keywords")
    if place < 0:
        return None
    value = content[place + len(b"/Keywords") :][: 2 * MAX_CHARACTERS].lstrip(b" \t\r\n\0\f")
    if value.startswith(b"("):
        written = _decode_pdf_string(value[1:])
    elif value.startswith(b"<"):
        digits = re.sub(rb"\s", b"", value[1:].partition(b">")[0])
        if not re.fullmatch(rb"[0-9A-Fa-f]*", digits):
            raise FigureError("this PDF is damaged: its keywords are no text")
        written = bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode())
    else:
        return None
    utf16 = written.startswith(b"\xfe\xff")
    text = written[2:].decode("utf-16-be", errors="replace") if utf16 else written.decode("latin-1")
    return text if text.startswith("{") else None


PDF_TOKEN = re.compile(rb"[()]|\\([0-7]{1,3}|\r\n|.)?", re.DOTALL)
ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\n": b"", b"\r": b"", b"\r\n": b""}


def _decode_pdf_string(value: bytes) -> bytes:
    """Decode a PDF string literal after its opening bracket; raises FigureError if it is not closed."""
    decoded, depth, place = bytearray(), 1, 0
    for token in PDF_TOKEN.finditer(value):
        decoded += value[place : token.start()]
        place = token.end()
        escaped = token.group(1)
        if token.group() in (b"(", b")"):
            depth += 1 if token.group() == b"(" else -1
            if not depth:
                return bytes(decoded)
            decoded += token.group()
        elif escaped is not None:
            octal = escaped[:1].isdigit() and escaped[:1] < b"8"
            decoded += bytes([int(escaped, 8) & 255]) if octal else ESCAPED.get(escaped, escaped)
    raise FigureError("this PDF is damaged: it was cut short in its keywords")
