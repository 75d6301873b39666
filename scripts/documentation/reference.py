"""Reference of the Python API, the HTTP client (both filled by mkdocstrings) and the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer

import ncengine
from documentation.markdown import cell, code, table, text

SECTIONS = {
    "geometry": "Geometry",
    "heads": "Heads",
    "measurement": "Measurement",
    "metrics": "Measurement",
    "config": "Training",
    "preset_configs": "Training",
    "training": "Training",
    "data": "Training",
    "milestones": "Training",
    "plugins": "Training",
    "client": "Stored runs",
}
"""Sections of the page, in order, by the module that a public name is from."""
CLIENT_NAMES = ("Client", "AsyncClient", "RetryWait", "ApiError", "calls")


def python_page() -> str:
    """Return the page of ncengine's public names."""
    lines = ["# Python API\n", "The public names of `ncengine`: `import ncengine as nc`. They load on first use.\n"]
    for section in dict.fromkeys(SECTIONS.values()):
        lines.append(f"## {section}\n")
        for name, (module, attribute) in ncengine._WHERE.items():
            if SECTIONS[module.split(".")[1]] == section:
                lines.append(_docstring_of(f"{module}.{attribute}", heading=f"nc.{name}", toc_label=name))
    events = _docstring_of("ncengine.events", show_root_heading="false")
    return "\n".join([*lines, "## Events\n", "What `nc.run` yields.\n", events])


def client_page() -> str:
    """Return the page of the HTTP client."""
    head = _docstring_of("backend.client", show_root_heading="false", members="false")
    return "\n".join(["# HTTP client\n", head, *(_docstring_of(f"backend.client.{name}") for name in CLIENT_NAMES)])


def _docstring_of(path: str, **options: str) -> str:
    """Return what mkdocstrings replaces by the documentation of an object."""
    lines = [f"      {name}: {value}" for name, value in options.items()]
    return "\n".join([f"::: {path}", *(["    options:", *lines] if lines else []), ""])


def command_line_page() -> str:
    """Return the page of all commands with their arguments and options."""
    from backend.cli.main import app

    return "\n".join(["# Command line\n", *_commands("collapse", typer.main.get_command(app))])


def _commands(name: str, command: Any) -> Iterable[str]:
    """Yield the text of a command as Typer makes it, or of all commands of a group."""
    if hasattr(command, "commands"):
        for child, inner in command.commands.items():
            yield from _commands(f"{name} {child}", inner)
        return
    arguments = [_argument(param) for param in command.params if param.param_type_name == "argument"]
    options = [_option(param) for param in command.params if param.param_type_name == "option"]
    usage = " ".join([name, *arguments, *(["[OPTIONS]"] if options else [])])
    yield f"## {name}\n\n{text(command.help)}\n\n```sh\n{usage}\n```\n"
    yield table(("option", "meaning", "default"), options)


def _argument(param: Any) -> str:
    name = (param.metavar or param.name.upper()) + ("…" if param.nargs == -1 else "")
    return name if param.required else f"[{name}]"


def _option(param: Any) -> tuple[str, str, str]:
    variables = [param.envvar] if isinstance(param.envvar, str) else list(param.envvar or ())
    environment = f" ({', '.join(code(name) for name in variables)})" if variables else ""
    names = ", ".join(code(name) for name in (*param.opts, *param.secondary_opts))
    default = "" if callable(param.default) or param.default is False else code(param.default)
    return names, f"{cell(param.help)}{environment}", default
