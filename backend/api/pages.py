"""HTML pages that the API itself serves, from Jinja2 templates with autoescape."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")
_environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)


def render_page(template: str, **values: object) -> str:
    """Return a template of `backend/api/templates` filled with values, which are escaped."""
    return _environment.get_template(template).render(values)
