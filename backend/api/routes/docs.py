"""The API's interactive description: Swagger UI from the package `fastapi-offline`, without inline scripts.

FastAPI's own page loads Swagger UI from a CDN and starts it inline, both of which our Content-Security-Policy forbids.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

router = APIRouter(prefix="/api/docs", include_in_schema=False)

PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>API · Collapse Lab</title>
    <link rel="icon" href="/api/docs/favicon.png">
    <link rel="stylesheet" href="/api/docs/swagger-ui.css">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="/api/docs/swagger-ui-bundle.js"></script>
    <script src="/api/docs/start.js"></script>
  </body>
</html>"""
START = """SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: false,
  validatorUrl: null,
});
"""


def _assets() -> Path:
    # Only the files are of use to us: the package is found, not imported.
    found = importlib.util.find_spec("fastapi_offline")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("fastapi-offline is not installed, which holds Swagger UI; install collapse-lab anew")
    return Path(found.origin).with_name("static")


ASSETS = _assets()


@router.get("")
def page() -> HTMLResponse:
    """Return the page of Swagger UI."""
    return HTMLResponse(PAGE)


@router.get("/{name}")
def asset(name: Literal["start.js", "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"]) -> Response:
    """Return one of the page's files."""
    headers = {"cache-control": "no-cache"}
    if name == "start.js":
        return Response(START, media_type="text/javascript", headers=headers)
    return FileResponse(ASSETS / name, headers=headers)
