"""The colours of the documentation, from the palette of the pages and from Pygments, for both colour schemes."""

from __future__ import annotations

from pygments.formatters import HtmlFormatter

from ncfigures.palette import TOKENS, Theme

CODE_STYLES: dict[Theme, str] = {"light": "xcode", "dark": "github-dark"}


def palette_css() -> str:
    """Return the palette as CSS variables and the colours of code, dark ones where the browser prefers them."""
    return f"{_scheme('light')}\n@media (prefers-color-scheme: dark) {{\n{_scheme('dark')}\n}}\n"


def _scheme(theme: Theme) -> str:
    variables = "".join(f"--{name}:{value};" for name, value in TOKENS[theme].items())
    code = HtmlFormatter(style=CODE_STYLES[theme], nobackground=True).get_style_defs(".highlight")
    return f":root{{{variables}color-scheme:{theme}}}\n{code}"
