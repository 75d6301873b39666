"""The API's interactive documentation: Swagger UI from the package `fastapi-offline`, without inline scripts.

FastAPI's own page loads Swagger UI from a CDN and starts it inline; our Content-Security-Policy forbids both.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

from backend.api.responses import TEMPLATES, render_page

PREFIX = "/api/docs"
router = APIRouter(prefix=PREFIX, include_in_schema=False)


def _swagger_directory() -> Path:
    # The package is located, not imported: only its files are needed.
    package = importlib.util.find_spec("fastapi_offline")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("fastapi-offline, which holds Swagger UI, is missing; reinstall collapse-lab")
    return Path(package.origin).with_name("static")


SWAGGER = _swagger_directory()


@router.get("")
def page() -> HTMLResponse:
    """Return the page of Swagger UI."""
    return HTMLResponse(render_page("api_docs.html", base=PREFIX, openapi_url="/api/v1/openapi.json"))


@router.get("/{name}")
def asset(name: Literal["start.js", "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"]) -> FileResponse:
    """Return one of the page's files."""
    directory = TEMPLATES if name == "start.js" else SWAGGER
    return FileResponse(directory / name, headers={"cache-control": "no-cache"})
