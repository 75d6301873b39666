"""Tokens for reading, revocation, guessing, the audit, TLS, bodies, headers; and what operators ask of a server."""

from __future__ import annotations

import json
import re
import threading
import time

import httpx
import pytest
import trustme

from backend import security
from backend.client import ApiError, Client, calls
from backend.store.database import open_store
from tests.harness import tiny, wait_for


@pytest.fixture(scope="module")
def tokens(quiet_server):
    """A reading token and one for all."""
    with Client(quiet_server.url, quiet_server.token) as client:
        return client(calls.make_token("co-author", "read")), client(calls.make_token("script", "admin"))


def test_a_reading_token_reads_and_changes_nothing(quiet_server, tokens):
    reading, _ = tokens
    with Client(quiet_server.url, quiet_server.token) as owner:
        run = owner(calls.launch(tiny(epochs=1).model_dump(mode="json"), name="shared"))
    with Client(quiet_server.url, reading.token) as client:
        assert client(calls.me()).model_dump() == {"name": "co-author", "may_change": False}
        assert client(calls.run(run.id)).name == "shared"
        assert client(calls.check({"data": {"name": "digits"}})).errors == [], "asking is not changing"
        for call in (
            calls.launch(tiny().model_dump(mode="json")),
            calls.cancel(run.id),
            calls.delete(run.id),
            calls.change(run.id, name="mine"),
            calls.make_token("another", "admin"),
            calls.collect_garbage(dry_run=False),
            calls.tokens(),
            calls.audit(),
        ):
            with pytest.raises(ApiError, match="may only read") as refused:
                client(call)
            assert refused.value.problem.status == 403
    # The page's own callbacks go through the same API inside the process.
    with httpx.Client(base_url=quiet_server.url) as browser:
        browser.get(f"/?token={reading.token}")
        written = {"run-name": "mine", "run-tags": [], "run-group": "", "run-notes": "changed"}
        outputs = [{"id": "run-notes-read", "property": "children"}, {"id": "run-notes-saved", "property": "children"}]
        body = {
            "output": "..run-notes-read.children...run-notes-saved.children..",
            "outputs": outputs,
            "inputs": [{"id": field, "property": "value", "value": value} for field, value in written.items()],
            "state": [{"id": "run-id", "property": "data", "value": run.id}],
            "changedPropIds": ["run-notes.value"],
        }
        answer = browser.post("/_dash-update-component", json=body)
    assert answer.status_code == 200, answer.text
    assert "may only read" in answer.text
    with Client(quiet_server.url, quiet_server.token) as owner:
        held = owner(calls.run(run.id))
    assert (held.name, held.notes, held.want) == ("shared", "", "run"), "nothing was changed"


def test_who_did_what_is_written_down(quiet_server, tokens):
    _, script = tokens
    with Client(quiet_server.url, script.token) as client:
        run = client(calls.launch(tiny(epochs=1).model_dump(mode="json")))
        client(calls.cancel(run.id))
        with pytest.raises(ApiError):
            client(calls.resume(run.id))
        entries = client(calls.audit(run=run.id))
    assert [(e.who, e.action.partition("/runs/")[0], e.status) for e in entries] == [
        ("script", "POST /api/v1", 409),
        ("script", "POST /api/v1", 202),
    ]
    with Client(quiet_server.url, quiet_server.token) as client:
        launches = [e for e in client(calls.audit(limit=1000)) if e.action == "POST /api/v1/runs" and e.status == 201]
    assert {"owner", "script"} <= {e.who for e in launches}


def test_a_revoked_token_opens_nothing_and_its_streams_end(quiet_server):
    with Client(quiet_server.url, quiet_server.token) as owner:
        made = owner(calls.make_token("for a week"))
        run = owner(calls.launch(tiny(epochs=1).model_dump(mode="json")))
        assert made.url.endswith(f"/?token={made.token}")
        ended, headers = threading.Event(), {"authorization": f"Bearer {made.token}"}

        def listen():
            with (
                httpx.Client(base_url=quiet_server.url, timeout=60) as http,
                http.stream("GET", f"/api/v1/stream?runs={run.id}", headers=headers) as answer,
            ):
                for _ in answer.iter_lines():
                    pass
            ended.set()

        listener = threading.Thread(target=listen)
        listener.start()
        wait_for(lambda: "collapse_viewers 1.0" in owner.http.get("/prometheus").text, 10, "the stream")
        owner(calls.revoke_token(made.id))
        assert ended.wait(5), "the stream ended"
        listener.join()
        with Client(quiet_server.url, made.token) as gone, pytest.raises(ApiError, match="not this server's"):
            gone(calls.me())
        with pytest.raises(ApiError, match="could be revoked"):
            owner(calls.revoke_token(made.id))
        assert [each.revoked_at is not None for each in owner(calls.tokens()) if each.id == made.id] == [True]


def test_a_token_that_another_program_revokes_is_noticed(quiet_server):
    from backend.store import tokens as store_tokens

    store = open_store(quiet_server.data)
    row, secret = store_tokens.create(store, "by the command line", "read")
    with Client(quiet_server.url, secret) as client:
        assert client(calls.me()).name == "by the command line"
        store_tokens.revoke(store, row.id)
        time.sleep(security.KNOWN_FOR_S + 0.2)
        with pytest.raises(ApiError, match="not this server's"):
            client(calls.me())
    store.close()


def test_guessing_is_slowed_down_and_the_right_token_still_opens(start_server):
    server = start_server("--no-demonstration", "--no-warm")
    answers = []
    with httpx.Client(base_url=server.url) as http:
        for i in range(security.WRONG_TOKENS + 5):
            answers.append(http.get("/api/v1/runs", headers={"authorization": f"Bearer guess-{i}"}))
    statuses = [answer.status_code for answer in answers]
    assert statuses == [401] * security.WRONG_TOKENS + [429] * 5
    assert answers[-1].headers["retry-after"] == "60"
    assert answers[-1].json()["detail"].endswith("use the right one")
    with server.client() as http:
        assert http.get("/api/v1/runs").status_code == 200, "everybody here shares the loopback address"


def test_another_machine_that_guesses_is_shut_out_whole():
    counted = security.WrongTokens()
    for _ in range(security.WRONG_TOKENS):
        assert not counted.too_many("192.0.2.1")
        counted.add("192.0.2.1")
    assert counted.too_many("192.0.2.1")
    assert not counted.too_many("192.0.2.2")
    for i in range(1500):
        counted.add(f"198.51.100.{i}")
    assert not counted.too_many("192.0.2.1"), "the memory is bounded"


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
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url + "/healthz")


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
    assert httpx.get(f"{quiet_server.url}/readyz").json() == {"ready": True, "problems": []}
    assert httpx.get(f"{quiet_server.url}/prometheus").status_code == 401
    with quiet_server.client() as http:
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
