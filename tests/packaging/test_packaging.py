"""What is installed is what is here: the wheel, and the container's files against the Makefile and pyproject."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from backend.api.security.guard import OPEN_PATHS
from backend.cli import main
from backend.settings import DEFAULT_PORT

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ncengine", "ncfigures", "ncstudies", "backend", "dashboard")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()


def files_here() -> set[str]:
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            relative = path.relative_to(ROOT)
            if path.is_file() and "__pycache__" not in relative.parts and path.name != "README.md":
                found.add(relative.as_posix())
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy, so that nothing is left in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in (*PACKAGES, "pyproject.toml", "README.md"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith(tuple(f"{p}/" for p in PACKAGES))}
    assert files_here() <= packed, files_here() - packed


def test_a_server_runs_from_the_wheel_alone(wheel, tmp_path):
    """Unpacked elsewhere, with nothing of this tree on the path: migrations, pages and assets are found."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import sys; from pathlib import Path\n"
        "from fastapi.testclient import TestClient\n"
        "import backend, dashboard.app\n"
        "from backend.api.app import Application\n"
        "from backend.settings import Settings\n"
        "from backend.store.database import open_store\n"
        "assert Path(backend.__file__).is_relative_to(sys.argv[1]), backend.__file__\n"
        "data = Path(sys.argv[1]) / 'data'\n"
        "settings = Settings(data, token='t', warm=False, demonstration=False)\n"
        "app = Application(settings, open_store(data)); app.add_pages(dashboard.app.attach)\n"
        "with TestClient(app.guarded, base_url=settings.url, headers={'authorization': 'Bearer t'}) as http:\n"
        "    for path in ('/runs', '/assets/js/scene/scene.mjs', '/assets/style.css', '/api/v1/runs'):\n"
        "        assert http.get(path).status_code == 200, path\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-W", "ignore", "-P", "-c", code, str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def serve_options() -> dict[str, set[str]]:
    """The options of `collapse serve` and the environment variables that set them."""
    command = typer.main.get_command(main.app).commands["serve"]
    options = {opt for p in command.params for opt in (*p.opts, *p.secondary_opts)}
    variables = {name for p in command.params for name in ([p.envvar] if isinstance(p.envvar, str) else p.envvar or [])}
    return {"options": options, "variables": variables}


def test_the_dockerfile_fits_the_project():
    python = re.search(r"^ARG PYTHON=(\S+)", DOCKERFILE, re.M).group(1)
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M):
        for name in source.split():
            assert (ROOT / name).exists(), name
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.M))
    for_documentation = {"benchmarks", "docker", "docs", "scripts", "tests"}
    assert copied == {*PACKAGES, *for_documentation}
    needed = {r.name: r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    for text in re.findall(r'"(torch(?:vision)?[^"]*)"', DOCKERFILE):
        requirement = Requirement(text)
        assert requirement.specifier == needed[requirement.name], f"{requirement.name} differs from pyproject.toml"
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.M) == ["collapse"]
    entry = re.search(r'^ENTRYPOINT \["(\w+)"\]', DOCKERFILE, re.M).group(1)
    assert entry in PROJECT["scripts"]
    serve, *arguments = re.findall(r'"([^"]+)"', re.search(r"^CMD \[(.+)\]", DOCKERFILE, re.M).group(1))
    known = serve_options()
    assert serve == "serve"
    assert {a for a in arguments if a.startswith("--")} <= known["options"]
    assert set(re.findall(r"(COLLAPSE_\w+)=", DOCKERFILE)) <= known["variables"]
    path = re.search(r"127\.0\.0\.1:8050(/\w+)", DOCKERFILE).group(1)
    assert path in OPEN_PATHS, "the health check carries no token"
    assert f"EXPOSE {DEFAULT_PORT}" in DOCKERFILE


def test_the_compose_file_fits_the_dockerfile():
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    service = compose["services"]["collapse"]
    build = service["build"]
    assert (ROOT / "docker" / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).exists()
    assert set(build["args"]) == set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.M)) - {"PYTHON"}
    assert set(service["environment"]) <= serve_options()["variables"]
    assert service["environment"]["COLLAPSE_TOKEN"].startswith("${COLLAPSE_TOKEN:?"), "no token, no start"
    assert service["ports"] == [f"127.0.0.1:{DEFAULT_PORT}:{DEFAULT_PORT}"], "published on this machine alone"
    volume, _, target = service["volumes"][0].partition(":")
    assert volume in compose["volumes"]
    assert f"VOLUME {target}" in DOCKERFILE
    assert compose["services"]["collapse-gpu"]["extends"] == {"service": "collapse"}


def test_the_build_context_lets_in_what_is_copied():
    lines = (ROOT / ".dockerignore").read_text().split()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {name for source in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M) for name in source.split()}
    assert lines[0] == "*"
    assert allowed == copied


def test_the_same_python_as_the_makefile_asks_for():
    least = re.search(r"sys\.version_info < \((\d+), (\d+)\)", (ROOT / "Makefile").read_text())
    assert PROJECT["requires-python"] == f">={least.group(1)}.{least.group(2)}"


def test_the_container_starts_as_it_says(tmp_path):
    """The image's own command, here without a container: it refuses without a token and serves with one."""
    command = [str(Path(sys.executable).with_name("collapse")), "serve", "--host", "0.0.0.0", "--no-open"]  # noqa: S104
    environment = {k: v for k, v in os.environ.items() if k != "COLLAPSE_TOKEN"} | {"COLLAPSE_DATA": str(tmp_path)}
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert refused.returncode == 2
    assert "COLLAPSE_TOKEN" in refused.stderr
