"""The browser's modules under node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not on this machine; the browser walk covers the modules"
)
def test_modules_pass_their_own_tests():
    here = Path(__file__).parent
    tests = sorted(str(path) for path in here.glob("*.test.mjs"))
    assert tests
    done = subprocess.run(["node", "--test", *tests], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
