"""requirements.lock: exact versions with hashes, within the ranges of pyproject.toml, from no particular index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXT = (ROOT / "requirements.lock").read_text()
LOCKED = [
    (Requirement(line.removesuffix("\\").strip()), re.findall(r"--hash=sha256:([0-9a-f]{64})\b", hashes))
    for line, hashes in re.findall(r"^([a-z0-9][^\n]*)\n((?:    [^\n]*\n?)+)", TEXT, re.M)
]
PYTHONS = ("3.11.7", "3.12.9", "3.13.2", "3.14.0")
MACHINES = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"},
    "arm": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64", "os_name": "posix"},
    "mac": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64", "os_name": "posix"},
}


def needed(extras: set[str]) -> list[Requirement]:
    """Return what pyproject.toml requires with these extras, including the extras that they name."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    found = []
    for requirement in map(Requirement, lines):
        found += needed_by_extras(requirement.extras) if requirement.name == PROJECT["name"] else [requirement]
    return found


def needed_by_extras(extras: set[str]) -> list[Requirement]:
    return [each for extra in extras for each in needed({extra})]


def versions(environment: dict[str, str]) -> dict[str, str]:
    """Return the locked version of each package in an environment."""
    found: dict[str, str] = {}
    for requirement, _ in LOCKED:
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} twice"
            found[name] = next(iter(requirement.specifier)).version
    return found


def test_every_package_has_one_version_and_hashes_and_no_address():
    assert len(LOCKED) > 80
    assert len(LOCKED) == len(re.findall(r"^[a-z0-9]", TEXT, re.M)), "each line is read"
    for requirement, hashes in LOCKED:
        assert [each.operator for each in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
        assert requirement.url is None
    assert "://" not in TEXT
    options = set(re.findall(r"(?<![\w-])--([a-z-]+)", TEXT))
    assert options == {"hash"}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_locked_versions_are_what_pyproject_asks_for(machine, python):
    environment = {
        **MACHINES[machine],
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    locked = versions(environment)
    for requirement in needed({"all", "docs"}):
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{name} is missing: run make lock"
        assert requirement.specifier.contains(locked[name]), f"{name} {locked[name]}: run make lock"


def test_the_makefile_installs_the_extras_that_are_locked():
    makefile = (ROOT / "Makefile").read_text()
    extras = re.search(r"^EXTRAS = (.+)", (ROOT / "scripts/lock.py").read_text(), re.M).group(1)
    assert "--require-hashes -r $(LOCK)" in makefile
    assert re.search(r"-e '\.\[(.+)\]'", makefile).group(1).split(",") == re.findall(r'"(\w+)"', extras)
