"""Write requirements.lock: the exact version and the hashes of every package that `make run` installs.

Versions are those of the environment that runs this script, which the tests were run with, as far as pyproject.toml
allows them; a package that is not installed gets the newest version. One file serves every platform and every Python
from 3.11 on, by markers. It has the hashes of all files of a release, and names no index, so that any index or mirror
with the same files can be used.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
EXTRAS = ("all", "docs")
UV = "uv>=0.13,<0.14"
"""The resolver, installed into a temporary environment; pip-tools resolves for the running platform only."""
COMMAND = (
    "pip compile --universal --generate-hashes --python-version 3.11"
    " --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links"
)
HEADER = "# Written by `make lock`. `make run` installs these versions and checks their hashes; see scripts/lock.py.\n"


def installed_versions() -> str:
    """Return the versions that are installed here, as requirements."""
    found = {f"{each.metadata['Name']}=={each.version}" for each in distributions()}
    return "\n".join(sorted(line for line in found if not line.startswith("collapse-lab==")))


def main() -> None:
    """Resolve, starting from what is installed, and replace the lock file."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", UV], check=True)
        written = Path(folder) / "requirements.lock"
        written.write_text(installed_versions())  # uv keeps the versions of its output file where they fit
        options = [f"--python={sys.executable}", *(f"--extra={extra}" for extra in EXTRAS)]
        subprocess.run(
            [python.with_name("uv"), *COMMAND.split(), *options, "--output-file", written, "pyproject.toml"],
            cwd=ROOT,
            check=True,
        )
        LOCK.write_text(HEADER + written.read_text())


if __name__ == "__main__":
    main()
