"""A browser's session: what the cookie holds, what ends it, what survives a restart; on both databases."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx2
import itsdangerous
import pytest
import sqlalchemy as sa

from backend.client import Client, calls
from backend.store import access, runs
from backend.store.clock import format_timestamp
from backend.store.database import open_store
from backend.store.models import session, token
from tests.conftest import BOTH
from tests.harness import COLLAPSE, ServerProcess, tiny, wait_for

SERVER = ("--no-demonstration", "--no-warm")
SOON_S = 20
"""What takes a second at most, on a machine that does something else as well."""


def ago(**units):
    return format_timestamp(datetime.now(UTC) - timedelta(**units))


@pytest.fixture
def connect():
    """Return a function that opens a client of a server."""
    with contextlib.ExitStack() as open_:
        yield lambda server, **given: open_.enter_context(httpx2.Client(base_url=server.url, timeout=30, **given))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(request, tmp_path_factory):
    """A server on each database, and its store, opened by the test itself."""
    url = request.getfixturevalue("cluster").database() if request.param == "postgresql" else None
    options = ("--database-url", url) if url else ()
    server = ServerProcess(tmp_path_factory.mktemp("sessions") / "data", *SERVER, *options)
    store = open_store(server.data, url)
    yield server, store
    store.close()
    server.stop()


@pytest.fixture
def log_in(connect):
    """Return a function that logs a browser in."""

    def log_in(server, secret):
        browser = connect(server)
        answer = browser.get(f"/?token={secret}")
        assert answer.status_code == 303
        assert "token" not in answer.headers["location"]
        return browser

    return log_in


def status(browser):
    return browser.get("/api/v1/me").status_code


def cookie_of(browser):
    ((name, value),) = browser.cookies.items()
    return name, value


def rows(store):
    with store.reading() as connection:
        return list(connection.execute(sa.select(session).order_by(session.c.created_at)))


def digest_of(browser):
    return access.hash_secret(cookie_of(browser)[1].rpartition(".")[0])


def row_of(store, browser):
    return next((row for row in rows(store) if row.digest == digest_of(browser)), None)


def change(store, browser, **values):
    with store.writing() as connection:
        connection.execute(sa.update(session).where(session.c.digest == digest_of(browser)).values(**values))


class Listener(threading.Thread):
    """Follows a run's stream until the server ends it; says how long after `since` that was."""

    def __init__(self, http, run_id):
        super().__init__(daemon=True)
        self._http, self._run_id = http, run_id
        self.opened, self.ended, self.ended_at = threading.Event(), threading.Event(), 0.0
        self.start()
        assert self.opened.wait(20), "the stream is open"

    def run(self):
        with self._http.stream("GET", f"/api/v1/stream?runs={self._run_id}", timeout=120) as answer:
            assert answer.status_code == 200
            for _ in answer.iter_lines():
                self.opened.set()
        self.ended_at = time.monotonic()
        self.ended.set()

    def ends_within(self, since):
        assert self.ended.wait(SOON_S), "the stream ended"
        return self.ended_at - since


def quiet_run(store):
    """A run that no slot of this machine takes."""
    run_id, _ = runs.create(store, tiny(device="cuda:9"))
    return run_id


def test_the_cookie_is_a_signed_session_id_and_never_the_token(served, log_in):
    server, store = served
    browser = log_in(server, server.token)
    name, value = cookie_of(browser)
    secret, _, signature = value.rpartition(".")
    assert server.token not in value
    row = row_of(store, browser)
    assert row.digest == hashlib.sha256(secret.encode()).hexdigest(), "only hashes are kept"
    assert row.token_digest == hashlib.sha256(server.token.encode()).hexdigest()
    assert row.token_id is None
    forged = itsdangerous.Signer("another key", salt="session", key_derivation="hmac", digest_method=hashlib.sha256)
    wrong = [server.token, secret, f"{secret}.", f"{secret}.{signature[:-2]}AA", forged.sign(secret).decode(), "x", ""]
    for each in wrong:
        answer = httpx2.get(f"{server.url}/api/v1/me", headers={"cookie": f"{name}={each}"})
        assert answer.status_code == 401, each
    assert httpx2.get(f"{server.url}/api/v1/me", headers={"cookie": f"{name}={value}"}).status_code == 200


def test_each_log_in_gives_a_new_id_and_ends_the_one_before(served, log_in):
    server, store = served
    browser = log_in(server, server.token)
    name, first = cookie_of(browser)
    browser.get(f"/?token={server.token}")
    _, second = cookie_of(browser)
    assert second != first
    assert httpx2.get(f"{server.url}/api/v1/me", headers={"cookie": f"{name}={first}"}).status_code == 401
    assert access.hash_secret(first.rpartition(".")[0]) not in {row.digest for row in rows(store)}
    # An id that somebody else put into the browser beforehand is not taken over.
    planted = httpx2.get(f"{server.url}/?token={server.token}", headers={"cookie": f"{name}=planted"})
    assert "planted" not in planted.headers["set-cookie"]


def test_a_restart_keeps_sessions_and_another_token_ends_those_of_the_old_one(start_server, log_in):
    def start(secret):
        # The cookie is named after the port, so that servers on one machine do not take each other's.
        return start_server(*SERVER, "--port", str(port), "--token", secret)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = start("the-first-token-long-enough")
    with Client(server.url, server.token) as owner:
        made = owner(calls.create_token("co-author"))
    own, other = log_in(server, server.token), log_in(server, made.token)
    server.stop()
    server = start("the-first-token-long-enough")
    assert (status(own), status(other)) == (200, 200)
    server.kill()
    start("another-token-long-enough")
    assert (status(own), status(other)) == (401, 200)


def test_logging_out_ends_the_session_and_its_streams(served, log_in):
    server, store = served
    run_id = quiet_run(store)
    browser, other = log_in(server, server.token), log_in(server, server.token)
    listener = Listener(browser, run_id)
    since = time.monotonic()
    assert httpx2.post(f"{server.url}/api/v1/logout", cookies=dict([cookie_of(browser)])).status_code == 204
    assert status(browser) == 401
    listener.ends_within(since)
    assert status(other) == 200
    with server.client() as http:
        assert http.post("/api/v1/logout").status_code == 409, "a token is no session"


@pytest.mark.parametrize("how", ["api", "command line", "expiry"])
def test_a_token_that_ends_takes_its_sessions_and_streams_along(served, log_in, connect, how):
    server, store = served
    run_id = quiet_run(store)
    row, secret = access.create_token(
        store, "for a while", "read", format_timestamp(datetime.now(UTC) + timedelta(seconds=600))
    )
    browser = log_in(server, secret)
    script = connect(server, headers={"authorization": f"Bearer {secret}"})
    listeners = [Listener(browser, run_id), Listener(script, run_id)]
    with server.client() as http:
        own = log_in(server, server.token)
        kept = Listener(own, run_id)
        if how == "api":
            assert http.delete(f"/api/v1/tokens/{row.id}").status_code == 204
        elif how == "command line":
            database = () if store.is_sqlite else ("--database-url", store.engine.url.render_as_string(False))
            command = [COLLAPSE, "token", "revoke", row.id, "--data", str(server.data), *database]
            subprocess.run(command, check=True, timeout=60, capture_output=True)
        else:
            with store.writing() as connection:
                ending = sa.update(token).where(token.c.id == row.id)
                connection.execute(ending.values(expires_at=format_timestamp(datetime.now(UTC))))
        since = time.monotonic()
        took = [listener.ends_within(since) for listener in listeners]
        wait_for(lambda: (status(browser), status(script)) == (401, 401), SOON_S, "the refusal")
        print(f"{how}: streams ended after {max(took):.2f} s, all refused after {time.monotonic() - since:.2f} s")
        assert not kept.ended.is_set()
        assert status(own) == 200
        own.post("/api/v1/logout")
        kept.ends_within(since)


def test_a_token_that_runs_out_by_itself(served, log_in):
    server, store = served
    run_id = quiet_run(store)
    end = datetime.now(UTC) + timedelta(seconds=4)
    row, secret = access.create_token(store, "for four seconds", "read", format_timestamp(end))
    browser = log_in(server, secret)
    assert browser.get("/api/v1/me").json()["ends_at"] == row.expires_at
    Listener(browser, run_id).ends_within(time.monotonic())
    assert datetime.now(UTC) >= end
    assert status(browser) == 401


def test_a_session_ends_twelve_hours_after_its_last_use_and_seven_days_after_it_began(served, log_in):
    server, store = served
    run_id = quiet_run(store)
    browser = log_in(server, server.token)
    for values, expected in (
        ({"used_at": ago(hours=11, minutes=59)}, 200),
        ({"created_at": ago(days=6, hours=23)}, 200),
        ({"used_at": ago(hours=12, minutes=1)}, 401),
        ({"used_at": ago(minutes=1)}, 200),
        ({"created_at": ago(days=7, minutes=1)}, 401),
        ({"created_at": ago(days=1)}, 200),
    ):
        change(store, browser, **values)
        wait_for(lambda expected=expected: status(browser) == expected, SOON_S, f"{expected} after {values}")
    listener = Listener(browser, run_id)
    change(store, browser, created_at=ago(days=7, minutes=1))
    listener.ends_within(time.monotonic())
    # What has ended is removed by the next log-in.
    log_in(server, server.token)
    assert row_of(store, browser) is None


def test_use_is_noted_once_a_minute_and_an_open_stream_is_use(served, log_in):
    server, store = served
    run_id = quiet_run(store)
    browser = log_in(server, server.token)
    begun = row_of(store, browser).used_at
    time.sleep(0.6)
    assert status(browser) == 200
    assert row_of(store, browser).used_at == begun, "not yet a minute"
    change(store, browser, used_at=ago(minutes=2))
    wait_for(lambda: status(browser) == 200 and row_of(store, browser).used_at > ago(minutes=1), SOON_S, "the note")
    listener = Listener(browser, run_id)
    change(store, browser, used_at=ago(hours=11))
    wait_for(lambda: row_of(store, browser).used_at > ago(minutes=1), SOON_S, "the note of the stream")
    assert not listener.ended.is_set()
    browser.post("/api/v1/logout")
    listener.ends_within(time.monotonic())


def test_a_websocket_ends_with_its_session(quiet_server, log_in):
    from websockets.exceptions import ConnectionClosed
    from websockets.sync import client

    browser = log_in(quiet_server, quiet_server.token)
    name, value = cookie_of(browser)
    address = quiet_server.url.replace("http", "ws") + "/_dash-ws-callback"
    with client.connect(address, origin=quiet_server.url, additional_headers={"cookie": f"{name}={value}"}) as socket_:
        assert browser.post("/api/v1/logout").status_code == 204
        with pytest.raises(ConnectionClosed) as closed:
            socket_.recv(timeout=SOON_S)
    assert closed.value.rcvd.code == 4401


@BOTH
def test_a_token_has_at_most_a_thousand_sessions(store, monkeypatch):
    monkeypatch.setattr(access, "MAX_SESSIONS_PER_TOKEN", 3)
    for _ in range(5):
        access.create_session(store, "mine", None)
        time.sleep(0.002)
    access.create_session(store, "another's", None)
    assert [row.token_digest for row in rows(store)] == ["mine"] * 3 + ["another's"]


@BOTH
def test_a_session_of_a_token_that_is_not_there_opens_nothing(store):
    secret = access.create_session(store, "digest", "nosuchtok")
    assert access.find_open_sessions(store, [access.hash_secret(secret)]) == {}
