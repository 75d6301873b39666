"""The browser's modules under node's own test runner."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from backend.api.page_constants import page_constants
from backend.store.event_payloads import PAYLOADS
from backend.store.run_status import STATUSES, TRANSITIONS, next_status
from ncengine.geometry.projections import project_capture
from ncengine.geometry.views import simplex_rows, tetrahedron_matrix
from ncfigures.figure_spec import parse_camera


def vectors() -> dict[str, object]:
    """What the browser's mathematics must agree with, computed by the engine and by the printed figures."""
    rng = np.random.default_rng(5)
    cameras = ["1.25,1.25,0.8,0,0,1,1", "0.3,-1.4,0.9,0,0,1,2", "-1,0.2,0.1,0.3,0.9,-0.2,0.5"]
    points = rng.normal(size=(6, 3))
    coordinates, matrix = rng.normal(size=(5, 9)), rng.normal(size=(9, 3))
    principal = []
    for classes in (5, 10, 100):
        pca = np.linalg.qr(rng.normal(size=(classes - 1, 3)))[0].astype(np.float32)
        arrays = {"means": np.zeros((classes, classes - 1), np.float32), "pca": pca}
        principal.append(
            {"classes": classes, "pca": pca.tolist(), "matrix": project_capture(arrays, "pca", ()).matrix.tolist()}
        )
    seen = []
    for text in cameras:
        xy, depth = parse_camera(text).project(points)
        seen.append({"text": text, "points": points.tolist(), "xy": xy.tolist(), "depth": depth.tolist()})
    frames = [np.linalg.qr(rng.normal(size=(20, 4)))[0] for _ in range(2)]
    vertices = simplex_rows(5)
    return {
        "rotation": {
            "vertices": vertices.tolist(),
            "frames": [frame.tolist() for frame in frames],
            "rotated": (vertices @ frames[0].T @ frames[1]).tolist(),
        },
        "statuses": [
            {"status": status, "event": event, "after": next_status(status, event)}
            for status in STATUSES
            for event in PAYLOADS
            if next_status(status, event) is not None
        ],
        "tetrahedra": [
            {"classes": classes, "four": four, "matrix": tetrahedron_matrix(classes, four).tolist()}
            for classes, four in ((5, [0, 1, 2, 3]), (10, [7, 2, 9, 0]), (128, [3, 127, 64, 5]))
        ],
        "simplices": [{"classes": k, "vertices": simplex_rows(k).tolist()} for k in (2, 3, 10, 47)],
        "principal": principal,
        "cameras": seen,
        "product": {
            "coordinates": coordinates.tolist(),
            "matrix": matrix.tolist(),
            "picture": (coordinates @ matrix).tolist(),
        },
    }


def test_an_event_leads_to_one_status_whatever_was_before():
    pairs = {(event, status) for after in TRANSITIONS.values() for event, status in after.items()}
    assert page_constants()["status_after_event"] == dict(pairs)
    assert len(dict(pairs)) == len(pairs)


@pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not on this machine; the browser walk covers the modules"
)
def test_modules_pass_their_own_tests(tmp_path):
    vectors_file, constants_file = tmp_path / "vectors.json", tmp_path / "constants.json"
    vectors_file.write_text(json.dumps(vectors()))
    constants_file.write_text(json.dumps(page_constants()))
    here = Path(__file__).parent
    tests = sorted(str(path) for path in here.glob("*.test.mjs"))
    assert tests
    environment = os.environ | {
        "COLLAPSE_VECTORS": str(vectors_file),
        "COLLAPSE_CONSTANTS": str(constants_file),
        "NODE_OPTIONS": f"--import={(here / 'setup.mjs').as_uri()}",
    }
    done = subprocess.run(["node", "--test", *tests], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
