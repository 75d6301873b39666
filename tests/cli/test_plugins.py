"""Plugins: an installed package with a loss and a metric is used by a server that names it, and by no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import COLLAPSE, tiny, wait_for

LOSS = '''
from typing import Literal
from ncengine.losses.registry import LossConfig

class Brier(LossConfig):
    """Brier score."""
    name: Literal["brier"] = "brier"
    weight: float = 1.0
    """Factor."""

    def loss(self, logits_BK, labels_B):
        p = logits_BK.softmax(1)
        right = p.new_zeros(p.shape).scatter(1, labels_B[:, None], 1.0)
        return self.weight * (p - right).square().sum(1).mean()
'''
METRIC = """
from ncengine.metrics.metric_spec import FromStatistics, MetricSpec

SPECS = (MetricSpec(
    key="sample_count", label="Samples", symbol="N", formula="N", family="Norms", direction="high", ideal=None,
    source="a test", reading="How many samples there are.",
    computation=FromStatistics(lambda statistics: float(statistics.count)),
),)
"""
ENTRY_POINTS = """[collapse_lab.losses]
brier = brier_plugin.loss:Brier
[collapse_lab.metrics]
samples = brier_plugin.metric:SPECS
"""


@pytest.fixture
def installed(tmp_path, monkeypatch, started_anew) -> Path:
    """A folder of packages with `Brier_Plugin` in it, on the import path of every process started from here."""
    packages = tmp_path / "packages"
    for name, text in {
        "brier_plugin/__init__.py": "",
        "brier_plugin/loss.py": LOSS,
        "brier_plugin/metric.py": METRIC,
        "brier_plugin-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: Brier_Plugin\nVersion: 1.2\n",
        "brier_plugin-1.2.dist-info/entry_points.txt": ENTRY_POINTS,
        "broken_plugin.py": "raise RuntimeError('the wrong CUDA')",
        "broken_plugin-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1\n",
        "broken_plugin-1.dist-info/entry_points.txt": "[collapse_lab.heads]\nx = broken_plugin:Head\n",
    }.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]))
    return packages


def launch(client, **config: object) -> dict:
    """Launch a run and wait for its end; return it."""
    tree = tiny(epochs=1).model_dump(mode="json") | config
    made = client.post("/api/v1/runs", json={"config": tree, "name": "with a plugin"})
    assert made.status_code == 201, made.text
    path = f"/api/v1/runs/{made.json()['id']}"
    wait_for(lambda: client.get(path).json()["status"] in ("finished", "failed"), 120, "the end of the run")
    return client.get(path).json()


def test_a_server_trains_with_the_plugins_that_it_names_and_its_runs_stay_readable_without(start_server, installed):
    server = start_server("--no-demonstration", "--plugins", "brier-plugin")
    with server.client() as client:
        schema = client.get("/api/v1/schema/config").json()
        assert "brier" in schema["properties"]["loss"]["discriminator"]["mapping"]
        assert "sample_count" in {item["key"] for item in client.get("/api/v1/metrics").json()["items"]}
        run = launch(client, loss={"name": "brier", "weight": 2.0})
        assert run["status"] == "finished", run["error"]
        assert run["summary"]["train"]["sample_count"] == 1442
        events = client.get(f"/api/v1/runs/{run['id']}/events").json()["items"]
        started = next(event for event in events if event["type"] == "RunStarted")
        assert started["versions"]["Brier_Plugin"] == "1.2"
        figure = client.get(f"/api/v1/runs/{run['id']}/figures/curves.svg", params={"keys": "sample_count"})
        assert figure.status_code == 200, figure.text
    server.stop()

    server = start_server("--no-demonstration")
    with server.client() as client:
        assert "brier" not in str(client.get("/api/v1/schema/config").json())
        listed = client.get("/api/v1/runs").json()["items"]
        assert [item["config"]["loss"] for item in listed] == [{"name": "brier", "weight": 2.0}]
        assert client.get(f"/api/v1/runs/{run['id']}/overview").status_code == 200
        again = client.post(f"/api/v1/runs/{run['id']}/clone", json={"set": {}})
        assert again.status_code == 422
        assert "brier" in again.text
        refused = client.post("/api/v1/runs", json={"config": run["config"]})
        assert refused.status_code == 422
        assert "'brier' is not one of cross-entropy, mse" in refused.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("not-there", "no installed package 'not-there' has entry points"),
        (
            "broken-plugin",
            "the plugin broken-plugin cannot be loaded: broken_plugin:Head: RuntimeError: the wrong CUDA",
        ),
    ],
)
def test_a_plugin_that_cannot_be_loaded_ends_the_command_with_a_message(installed, tmp_path, names, message):
    environment = os.environ | {"COLLAPSE_PLUGINS": names}
    command = [COLLAPSE, "runs", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"collapse: {message}")
    assert "Traceback" not in done.stderr


def test_a_library_user_loads_a_plugin_once(installed):
    probe = (
        "import ncengine as nc\n"
        "plugin, = nc.load_plugins(['brier.plugin'])\n"
        "assert (plugin.package, plugin.version) == ('Brier_Plugin', '1.2')\n"
        "assert plugin.components == ('brier', 'sample_count')\n"
        "assert nc.load_plugins(['BRIER-plugin']) == (plugin,)\n"
        "assert nc.RunConfig(loss={'name': 'brier'}).loss.weight == 1\n"
    )
    subprocess.run([sys.executable, "-c", probe], check=True)
