"""`collapse serve` as a user meets it: the printed address, ports, the browser, other hosts, what is refused."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import httpx2
import pytest

from backend.api.server import open_socket
from backend.store.errors import Unusable
from tests.harness import COLLAPSE, wait_for

pytestmark = pytest.mark.usefixtures("started_anew")


def serve(data, *options, **environment):
    """Run `collapse serve` to its end, which is expected to come at once."""
    command = [COLLAPSE, "serve", "--data", str(data), "--no-open", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})


def test_a_taken_port_is_left_alone_and_another_is_named(start_server):
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind(("127.0.0.1", 8050))
            held.listen()
        except OSError:
            pass  # somebody else holds it, which serves as well
        server = start_server("--no-demonstration", "--no-warm")
        port = server.url.rpartition(":")[2]
        assert port != "8050"
        assert f"Port 8050 is taken; using {port} instead." in server.log.read_text()


def test_a_port_that_was_asked_for_is_never_swapped(tmp_path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        done = serve(tmp_path / "data", "--port", str(port))
    assert done.returncode == 2
    assert f"port {port} on 127.0.0.1 cannot be used" in done.stderr
    assert "choose another with --port" in done.stderr


def test_a_port_is_one_servers_from_the_first_moment():
    """Two servers that start at once: the second finds the port taken before the first answers anything."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open_socket("127.0.0.1", port, exact=True) as first:
        with pytest.raises(Unusable, match="cannot be used"):
            open_socket("127.0.0.1", port, exact=True)
        with open_socket("127.0.0.1", port, exact=False) as second:
            assert second.getsockname()[1] != first.getsockname()[1] == port


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--host", "0.0.0.0"), "give a token of your own"),  # noqa: S104
        (("--host", "somewhere.example"), "must be an IP address or localhost"),
        (("--database-url", "nonsense"), "the database URL is not understood"),
    ],
)
def test_what_cannot_be_served_says_why_and_makes_nothing(tmp_path, options, words):
    done = serve(tmp_path / "data", *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data" / "collapse.db").exists()


def test_a_weak_token_in_the_data_directory_is_refused_behind_a_proxy(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "token").write_text("guess\n")
    for options in (("--behind-proxy", "127.0.0.1"), ("--allow-host", "lab.example")):
        done = serve(data, *options)
        assert done.returncode == 2
        assert "the token has 5 characters" in done.stderr
        done = serve(data, *options, COLLAPSE_TOKEN="guess")
        assert "the token has 5 characters" in done.stderr
    assert sorted(path.name for path in data.iterdir()) == ["token"], "nothing was made"


def test_a_token_with_any_letters_opens_the_printed_address(start_server):
    server = start_server("--no-demonstration", "--no-warm", "--token", "a+b/c&d=e#f g?%41")
    answer = httpx2.get(f"{server.url}/?token={server.token}")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"


def test_a_read_only_data_directory_is_refused(tmp_path):
    # Root writes where it likes, but not into the kernel's own file system.
    data = Path("/sys/collapse-lab") if os.geteuid() == 0 else tmp_path / "data"
    if os.geteuid():
        data.mkdir(mode=0o500)
    done = serve(data)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "choose another with --data" in done.stderr


def test_another_address_is_let_in_by_name_alone(start_server):
    server = start_server("--no-demonstration", "--no-warm", "--allow-host", "gpu-box:9000")
    with server.client() as http:
        assert http.get("/api/v1/runs", headers={"host": "gpu-box:9000"}).status_code == 200
        assert http.get("/api/v1/runs", headers={"host": "gpu-box:9001"}).status_code == 403
        origin = {"host": "gpu-box:9000", "origin": "http://gpu-box:9000"}
        assert http.get("/api/v1/runs", headers=origin).status_code == 200


def test_the_browser_is_opened_once_the_server_answers(tmp_path):
    """A stand-in for a browser asks the server at once, as a browser would, and writes down what it got."""
    heard = tmp_path / "heard"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\n"{COLLAPSE.with_name("python")}" -c \'import httpx2, sys\n'
                       f'print(httpx2.get(sys.argv[1]).status_code, sys.argv[1])\' "$1" > {heard}.part\n'
                       f"mv {heard}.part {heard}\n")  # fmt: skip
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    command = [COLLAPSE, "serve", "--data", str(tmp_path / "data"), "--no-demonstration", "--no-warm"]
    environment = {**os.environ, "DISPLAY": ":9", "BROWSER": str(browser)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    try:
        wait_for(heard.exists, 30, "the browser")
        status, address = heard.read_text().split()
        assert status == "303", "the token becomes a cookie"
        assert httpx2.get(address, follow_redirects=True).status_code in (200, 401)
    finally:
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=20)
    assert address in printed
    assert process.returncode == 0
