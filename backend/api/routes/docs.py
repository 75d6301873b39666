"""Documentation: the site that `make docs` builds at `/docs`, and the API's interactive description at `/api/docs`.

Both work without a network and without inline scripts, which our Content-Security-Policy forbids: FastAPI's own page
loads Swagger UI from a CDN and starts it inline, so Swagger UI's files are taken from the package `fastapi-offline`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from backend.api.responses import TEMPLATES, render_page

API_DOCS = "/api/docs"
SITE = Path(__file__).parents[1] / "site"
"""Where `make docs` writes the documentation; a wheel that is built afterwards contains it."""
REVALIDATE = {"cache-control": "no-cache"}
router = APIRouter(include_in_schema=False)


def _swagger_directory() -> Path:
    # The package is located, not imported: only its files are needed.
    package = importlib.util.find_spec("fastapi_offline")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("fastapi-offline, which holds Swagger UI, is missing; reinstall collapse-lab")
    return Path(package.origin).with_name("static")


SWAGGER = _swagger_directory()


def is_site_built() -> bool:
    """Return whether the documentation is there to be served."""
    return (SITE / "index.html").is_file()


@router.get("/docs")
def site() -> Response:
    """Redirect to the documentation's first page, whose links are relative to its folder."""
    return RedirectResponse("/docs/")


@router.get("/docs/{path:path}")
def site_file(path: str) -> Response:
    """Return a file of the documentation, or a page that says how to build it."""
    root = SITE.resolve()
    file = (root / (path or "index.html")).resolve()
    if file.is_relative_to(root) and file.is_file():
        return FileResponse(file, headers=REVALIDATE)
    return HTMLResponse(render_page("documentation_missing.html", is_built=is_site_built()), status_code=404)


@router.get(API_DOCS)
def api_page() -> HTMLResponse:
    """Return the page of Swagger UI."""
    return HTMLResponse(render_page("api_docs.html", base=API_DOCS, openapi_url="/api/v1/openapi.json"))


@router.get(f"{API_DOCS}/{{name}}")
def api_page_file(name: Literal["start.js", "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"]) -> FileResponse:
    """Return one of the files of Swagger UI's page."""
    directory = TEMPLATES if name == "start.js" else SWAGGER
    return FileResponse(directory / name, headers=REVALIDATE)
