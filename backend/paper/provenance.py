"""Where a figure comes from, inside its file: runs, configs, versions, view, and the command that makes it again."""

from __future__ import annotations

import html
import io
import json
import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.errors import Invalid
from backend.figure_catalogue import FigureName, Format
from backend.figure_options import Options, command
from backend.paper.request import FigureRequest
from ncengine import __version__

MARK = "CollapseLab: "
"""Before the facts, in formats that know comments alone."""
COMMENT = 240
"""Characters a line of a comment in PostScript."""
FIRST_BYTES = 64 * 1024
"""Where comments stand: nobody searches a whole picture for them."""


class Source(BaseModel):
    """A run that a figure is of."""

    model_config = ConfigDict(extra="ignore")
    id: str = Field(pattern=r"^[a-z0-9]{1,16}$")
    name: str
    config_hash: str
    last_seq: int
    versions: dict[str, str]


class Provenance(BaseModel):
    """Where a figure comes from."""

    model_config = ConfigDict(extra="ignore")
    made_by: str
    figure: FigureName
    format: Format
    runs: list[Source] = Field(min_length=1, max_length=1000)
    options: dict[str, str]
    epochs: list[float]
    view_matrix: list[list[float]] | None
    command: str

    def parsed(self) -> Options:
        """Return the options that the figure was made with."""
        return Options.model_validate(self.options)

    def text(self) -> str:
        """Return the facts as one line of ASCII, the same every time."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def address(self) -> str:
        """Return the page's path that shows the same view."""
        options = self.parsed()
        if len(self.runs) > 1:
            return f"/compare?runs={','.join(run.id for run in self.runs)}"
        query = {"view": options.view, "camera": options.camera, "classes": options.classes}
        parts = [f"{key}={value}" for key, value in query.items() if value]
        parts += [f"epoch={self.epochs[-1]:g}"] if self.epochs else []
        parts += ["unit=angle"] if options.unit == "angle" else []
        return f"/runs/{self.runs[0].id}" + ("?" + "&".join(parts) if parts else "")


def provenance(request: FigureRequest) -> Provenance:
    """Return where a request's figure comes from."""
    members = [member for entry in request.entries for member in entry.members]
    captures = request.first().captures
    return Provenance(
        made_by=f"Collapse Lab {__version__}",
        figure=request.figure,
        format=request.format,
        runs=[
            Source(
                id=member.run.id,
                name=member.run.name,
                config_hash=member.config_hash,
                last_seq=member.run.last_seq,
                versions=member.versions,
            )
            for member in members
        ],
        options=request.options.given(),
        epochs=[capture.epoch for capture in captures],
        view_matrix=captures[-1].view_matrix if captures else None,
        command=command(
            [member.run.id for member in members],
            request.figure,
            request.format,
            request.options,
            f"{request.figure}.{request.format}",
        ),
    )


def metadata(found: Provenance, title: str) -> dict[str, Any]:
    """Return what matplotlib writes into a file of the format; comments are put in by `commented`."""
    if found.format == "pdf":
        nothing = {"CreationDate": None, "ModDate": None}
        words = {"Subject": found.command, "Keywords": found.text(), "Creator": found.made_by}
        return {"Title": title, **words, **nothing}
    if found.format == "svg":
        return {
            "Title": title,
            "Date": None,
            "Creator": found.made_by,
            "Source": found.command,
            "Description": found.text(),
        }
    if found.format == "png":
        return {"Title": title, "Software": found.made_by, "Source": found.command, "Description": found.text()}
    return {"Creator": found.made_by}


def commented(found: Provenance, content: str) -> str:
    """Return a text file with its provenance in comments of its kind."""
    if found.format == "md":
        safe = found.text().replace("--", "-\\u002d")  # two hyphens would end the comment
        return f"<!-- {MARK}{safe} -->\n{content}"
    if found.format == "eps":
        content = re.sub("%%CreationDate: .*\n", "", content, count=1)  # the same bytes at any time
        line = found.text()
        cut = [line[place : place + COMMENT] for place in range(0, len(line), COMMENT)]
        comments = "".join(f"%{MARK}{part}\n" for part in cut)
        return content.replace("%%EndComments\n", f"%%EndComments\n{comments}", 1)
    return f"% {MARK}{found.text()}\n{content}"


def read(content: bytes) -> Provenance:
    """Return where a file comes from; raises Invalid where it does not say."""
    text = _text(content)
    if text is None:
        raise Invalid(
            "this file does not say where it comes from: it was not made here, or another program left the facts out; "
            "choose a PDF, SVG, PNG, EPS, PGF, LaTeX or Markdown file of `collapse export`"
        )
    try:
        return Provenance.model_validate_json(text)
    except ValidationError as error:
        raise Invalid(f"what this file says of its origin cannot be read: {error.errors()[0]['msg']}") from error


def _text(content: bytes) -> str | None:
    if content.startswith(b"%PDF"):
        return _of_pdf(content)
    if content.startswith(b"\x89PNG"):
        from PIL import Image

        try:
            with Image.open(io.BytesIO(content)) as image:
                return getattr(image, "text", {}).get("Description")
        except (OSError, ValueError) as error:
            raise Invalid(f"this PNG is damaged: {error}") from error
    head = content[:FIRST_BYTES].decode(errors="replace")
    if "<svg" in head:
        found = re.search(r"<dc:description>(.*?)</dc:description>", head, re.DOTALL)
        return html.unescape(found.group(1)) if found else None
    if head.startswith("%!PS"):
        parts = re.findall(rf"^%{MARK}(.*)$", head, re.MULTILINE)
        return "".join(parts) or None
    found = re.search(rf"^% {MARK}(.*)$", head, re.MULTILINE) or re.search(rf"<!-- {MARK}(.*?) -->", head)
    return found.group(1) if found else None


def _of_pdf(content: bytes) -> str | None:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        found = PdfReader(io.BytesIO(content)).metadata
    except (PyPdfError, ValueError, KeyError, TypeError, OSError) as error:
        raise Invalid(f"this PDF is damaged: {error}") from error
    text = None if found is None else found.get("/Keywords")
    return str(text) if text and str(text).startswith("{") else None
