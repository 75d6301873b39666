"""TLS, bodies of unknown length, options of the server, its numbers and its log."""

from __future__ import annotations

import json
import re

import httpx2
import pytest
import trustme

from backend.client import Client, calls


def test_a_body_of_unknown_length_is_cut_off(quiet_server):
    def endless():
        for _ in range(10):
            yield b" " * 2**19

    with quiet_server.client() as http:
        answer = http.post("/api/v1/config/check", content=endless(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_https_with_a_certificate(start_server, tmp_path):
    authority = trustme.CA()
    held = authority.issue_cert("127.0.0.1")
    (tmp_path / "chain.pem").write_bytes(b"".join(blob.bytes() for blob in held.cert_chain_pems))
    held.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    options = ("--certificate", str(tmp_path / "chain.pem"), "--key", str(tmp_path / "key.pem"))
    server = start_server("--no-demonstration", "--no-warm", *options, verify=str(tmp_path / "ca.pem"))
    assert server.url.startswith("https://")
    with Client(server.url, server.token, verify=str(tmp_path / "ca.pem")) as client:
        assert client(calls.me()).may_change
        assert client.http.get("/api/v1/runs", headers={"origin": server.url}).status_code == 200
        foreign = {"origin": server.url.replace("https", "http")}
        assert client.http.get("/api/v1/runs", headers=foreign).status_code == 403
        cookie = client.http.get(f"/?token={server.token}").headers["set-cookie"]
    assert "secure" in cookie.lower()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(server.url + "/healthz")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--certificate", "chain.pem"), "needs both --certificate and --key"),
        (("--certificate", "chain.pem", "--key", "key.pem"), "cannot be used"),
        (("--slots", "tpu=1"), "this machine has"),
        (("--slots", "cpu=0"), "leaves no device"),
        (("--slots", "cpu"), "DEVICE=NUMBER"),
    ],
)
def test_options_that_cannot_be_meant(tmp_path, options, words):
    from tests.backend.test_serve import serve

    done = serve(tmp_path / "data", *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_ready_and_its_numbers(quiet_server):
    assert httpx2.get(f"{quiet_server.url}/readyz").json() == {"ready": True, "problems": []}
    assert httpx2.get(f"{quiet_server.url}/prometheus").status_code == 401
    with quiet_server.client() as http:
        http.get("/api/v1/runs")
        text = http.get("/prometheus").text
    for what in ("runs", "slots", "viewers", "requests_total", "memory_bytes"):
        name = f"collapse_{what}"
        assert re.search(rf"^{name}(\{{.*\}})? [\d.e+]+$", text, re.MULTILINE), name


def test_the_log_is_json_and_holds_no_token(quiet_server):
    with quiet_server.client() as http:
        http.get(f"/api/v1/runs?token={quiet_server.token}&limit=1")
        http.get("/api/v1/runs/nosuchrun0")
    lines = [json.loads(line) for line in (quiet_server.data / "server.log").read_text().splitlines()]
    missing = [line for line in lines if line.get("path") == "/api/v1/runs/nosuchrun0"]
    assert missing[-1]["status"] == 404
    assert missing[-1]["who"] == "owner"
    assert missing[-1]["ms"] > 0
    assert quiet_server.token not in (quiet_server.data / "server.log").read_text()
