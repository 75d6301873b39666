"""Diagnostics: check what runs and pages need on this machine, with a remedy for what is missing."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from backend.jobs import slots
from backend.settings import datasets_dir
from backend.store import data_directory
from backend.store.database import open_store
from backend.store.errors import CollapseError
from ncengine import __version__
from ncengine.data.embedded import Digits, FashionMnistMini
from ncengine.data.registry import DATASETS, DownloadedConfig

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "firefox")
PROBE = """
import torch, json
from ncengine.config import RunConfig
from ncengine.data.embedded import Digits, FashionMnistMini
from ncengine.data.paths import DataPaths
sizes = {}
def read():
    for data in (FashionMnistMini(), Digits()):
        raw = yield from data.load(0, DataPaths())
        sizes[data.name] = [len(raw.train_labels), len(raw.test_labels)]
list(read())
print(json.dumps({"torch": torch.__version__, "cuda": torch.cuda.is_available(), "sizes": sizes}))
"""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one diagnostic check. The API returns it as it is."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )

    what: str
    ok: bool
    found: str
    remedy: str = ""
    """What to do, or empty."""
    required: bool = True
    """Whether runs or pages need it."""


def run_checks(data_dir: Path, database_url: str | None) -> list[CheckResult]:
    """Check everything that runs and pages need."""
    return [
        CheckResult(
            "Collapse Lab", True, f"{__version__}, Python {platform.python_version()} on {platform.platform()}"
        ),
        *_engine(),
        *_published(data_dir),
        *_store(data_dir, database_url),
        _gpu(),
        _browser(),
    ]


def _engine() -> list[CheckResult]:
    """Check torch and the data sets in a separate process, which a broken CUDA may crash."""
    import json

    probe = [sys.executable, "-P", "-W", "ignore", "-c", PROBE]
    probed = subprocess.run(probe, capture_output=True, text=True, check=False)
    if probed.returncode:
        reason = (probed.stderr.strip().splitlines() or ["no message"])[-1]
        return [CheckResult("PyTorch and data", False, reason, "install again with `make run`, or pip install -e .")]
    facts = json.loads(probed.stdout)
    infos = {config.name: config.info() for config in (FashionMnistMini(), Digits())}
    sets = [
        CheckResult(
            f"data set {name}",
            sizes == [infos[name].train, infos[name].test],
            f"{sizes[0]} training and {sizes[1]} test samples",
        )
        for name, sizes in facts["sizes"].items()
    ]
    where = "with a GPU" if facts["cuda"] else "on the CPU"
    return [CheckResult("PyTorch", True, f"{facts['torch']} {where}"), *sets]


def _published(data_dir: Path) -> list[CheckResult]:
    """Check which downloadable data sets are present."""
    from ncengine.data.paths import DataPaths
    from ncengine.data.public_datasets import folders_of

    data_paths = DataPaths(directory=datasets_dir(data_dir))
    published = [name for name, config in DATASETS.items() if issubclass(config, DownloadedConfig)]
    present = [
        name
        for name in published
        if any(file.suffix != ".partial" for folder in folders_of(name, data_paths) for file in folder.glob("*"))
    ]
    others = ", ".join(name for name in published if name not in present)
    remedy = f"a run with data.download=true fetches what is not: {others}" if others else ""
    return [CheckResult("further data sets here", bool(present), ", ".join(present) or "none", remedy, required=False)]


def _store(data_dir: Path, database_url: str | None) -> list[CheckResult]:
    if not data_dir.exists() or not any(data_dir.iterdir()):
        return [CheckResult("data directory", True, f"{data_dir} has no store yet; the first start makes it")]
    try:
        store = open_store(data_dir, database_url, create=False)
    except CollapseError as error:
        return [CheckResult("data directory", False, str(error))]
    try:
        import pysqlite3

        free = shutil.disk_usage(store.data_dir).free / 2**30
        holder = data_directory.read_server_lock(store.data_dir)
        database = f"SQLite {pysqlite3.sqlite_version}" if store.is_sqlite else store.engine.dialect.name
        return [
            CheckResult("data directory", True, f"{store.data_dir}, {free:.1f} GiB free"),
            CheckResult("database", True, f"{database}, store {store.id}"),
            CheckResult(
                "server", True, f"running at {holder.get('url')} (pid {holder.get('pid')})" if holder else "not running"
            ),
        ]
    finally:
        store.close()


def _gpu() -> CheckResult:
    gpus = slots.list_gpus()
    remedy = "" if gpus else "none found; runs use the CPU. With an NVIDIA GPU, install its driver (nvidia-smi)."
    return CheckResult("GPU", bool(gpus), ", ".join(gpus) or "none", remedy, required=False)


def _browser() -> CheckResult:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    remedy = (
        ""
        if browser
        else "pages open in any browser; install one here or use an SSH tunnel from a machine that has one."
    )
    return CheckResult("browser", browser is not None, browser or "none on this machine", remedy, required=False)
