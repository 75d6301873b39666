"""Guessing: who is slowed down, by which address, behind a reverse proxy and without one."""

from __future__ import annotations

import httpx2
import pytest

from backend.api.security import login
from backend.api.security.login import MAX_ATTEMPTS, FailedLogins, client_network
from backend.client import Client, calls

QUIET = ("--no-demonstration", "--no-warm")


@pytest.fixture
def clock(monkeypatch):
    """A monotonic clock that the test sets."""

    class Clock:
        seconds = 1000.0

        def monotonic(self):
            return self.seconds

    clock = Clock()
    monkeypatch.setattr(login, "time", clock)
    return clock


def test_an_address_waits_for_a_minute_after_twenty_wrong_tokens(clock):
    failed = FailedLogins()
    for _ in range(MAX_ATTEMPTS):
        assert failed.wait_s("192.0.2.1") == 0
        failed.add("192.0.2.1")
    assert failed.wait_s("192.0.2.1") == 60
    assert failed.wait_s("192.0.2.2") == 0
    clock.seconds += 59
    assert failed.wait_s("192.0.2.1") == 1
    clock.seconds += 1
    assert failed.wait_s("192.0.2.1") == 0
    failed.add("192.0.2.1")
    assert failed.wait_s("192.0.2.1") == 0, "counted anew"


def test_an_occasional_mistake_is_forgotten(clock):
    failed = FailedLogins()
    for _ in range(5):
        for _ in range(MAX_ATTEMPTS - 1):
            failed.add("192.0.2.1")
        clock.seconds += 61
    assert failed.wait_s("192.0.2.1") == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("unknown", "unknown"),
        ("x" * 10_000, "x" * 64),
    ],
)
def test_an_ipv6_address_counts_by_its_64(address, network):
    assert client_network(address) == network


def test_many_addresses_take_bounded_memory_and_free_nobody():
    failed = FailedLogins()
    for _ in range(MAX_ATTEMPTS):
        failed.add("192.0.2.1")
    for i in range(3 * login.MAX_ADDRESSES):
        failed.add(f"2001:db8:{i // 65536:x}:{i % 65536:x}::1")
    assert failed.wait_s("192.0.2.1") > 0, "wrong tokens from elsewhere shorten no wait"
    assert len(failed) <= login.MAX_ADDRESSES + 1
    # Even where all of them wait, only the oldest are forgotten.
    for i in range(2 * login.MAX_ADDRESSES):
        for _ in range(MAX_ATTEMPTS):
            failed.add(f"10.{i // 65536}.{i // 256 % 256}.{i % 256}")
    assert len(failed) <= 2 * login.MAX_ADDRESSES


def guess(http, number=MAX_ATTEMPTS, **headers):
    answers = [
        http.get("/api/v1/runs", headers={"authorization": f"Bearer guess-{i}", **headers}) for i in range(number)
    ]
    return [answer.status_code for answer in answers]


def test_guessing_on_this_machine_is_slowed_down_and_the_right_token_still_opens(start_server):
    server = start_server(*QUIET)
    with httpx2.Client(base_url=server.url) as http:
        # Nobody says where a request comes from, where no proxy is trusted.
        assert guess(http, 10, **{"x-forwarded-for": "192.0.2.1"}) == [401] * 10
        assert (
            guess(http, MAX_ATTEMPTS - 10 + 5, **{"x-forwarded-for": "192.0.2.2"})
            == [401] * (MAX_ATTEMPTS - 10) + [429] * 5
        )
        refused = http.get("/api/v1/runs", headers={"authorization": "Bearer guess"})
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert refused.json()["detail"].endswith("use the right one")
        assert http.get("/api/v1/runs").status_code == 401, "no token is no guess"
        old = http.get("/api/v1/runs", headers={"cookie": f"collapse-{server.url.rpartition(':')[2]}=old"})
        assert old.status_code == 401, "an old cookie is no guess either"
        assert http.get(f"/?token={server.token}").status_code == 303
    with server.client() as http:
        assert http.get("/api/v1/runs").status_code == 200, "everybody here shares the loopback address"
        secure = http.get(f"/?token={server.token}", headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
        assert "secure" not in secure.lower()
        origin = {"origin": server.url.replace("http", "https"), "x-forwarded-proto": "https"}
        assert http.get("/api/v1/runs", headers=origin).status_code == 403


@pytest.fixture
def behind_proxy(start_server):
    """A server that believes this machine's proxy, and is asked as `lab.example`."""
    return start_server(*QUIET, "--behind-proxy", "127.0.0.1", "--allow-host", "lab.example")


def test_behind_a_proxy_each_client_counts_by_its_own_address(behind_proxy):
    def through(address, **headers):
        # A client may say what it likes; the proxy appends where the request really came from.
        return {"host": "lab.example", "x-forwarded-for": f"127.0.0.1, 203.0.113.9, {address}", **headers}

    with httpx2.Client(base_url=behind_proxy.url) as http, Client(behind_proxy.url, behind_proxy.token) as owner:
        made = owner(calls.create_token("co-author", "read"))
        login = http.get(f"/?token={made.token}", headers=through("192.0.2.1"))
        cookie = {"cookie": login.headers["set-cookie"].partition(";")[0]}
        http.cookies.clear()
        right = {"authorization": f"Bearer {behind_proxy.token}"}
        assert guess(http, MAX_ATTEMPTS + 1, **through("192.0.2.1")) == [401] * MAX_ATTEMPTS + [429]
        # The whole address waits, so that no guess is looked at: not even the right one.
        assert http.get("/api/v1/me", headers=through("192.0.2.1", **right)).status_code == 429
        assert http.get(f"/?token={behind_proxy.token}", headers=through("192.0.2.1")).status_code == 429
        # Who is logged in behind the same address goes on, and cannot use that for guessing.
        assert http.get("/api/v1/me", headers=through("192.0.2.1", **cookie)).status_code == 200
        both = http.get("/api/v1/me", headers=through("192.0.2.1", **cookie, **right))
        assert both.json()["scope"] == "read", "the right token was not looked at"
        # Others go on: from another address, from this machine itself, and over IPv6, where a /64 counts as one.
        assert http.get("/api/v1/me", headers=through("192.0.2.2", **right)).status_code == 200
        assert http.get("/api/v1/me", headers=right).status_code == 200
        assert guess(http, **through("2001:db8::1")) == [401] * MAX_ATTEMPTS
        assert http.get("/api/v1/me", headers=through("2001:db8::2", **right)).status_code == 429
        assert http.get("/api/v1/me", headers=through("2001:db8:0:1::2", **right)).status_code == 200


def test_a_reader_does_not_get_to_guess_behind_a_valid_cookie(behind_proxy):
    with Client(behind_proxy.url, behind_proxy.token) as owner:
        made = owner(calls.create_token("co-author", "read"))
    far = {"x-forwarded-for": "192.0.2.3"}
    with httpx2.Client(base_url=behind_proxy.url) as http:
        http.get(f"/?token={made.token}", headers=far)
        assert guess(http, **far) == [200] * MAX_ATTEMPTS
        right = {"authorization": f"Bearer {behind_proxy.token}", **far}
        assert http.get("/api/v1/me", headers=right).json()["scope"] == "read", "not looked at any more"


def test_behind_an_https_proxy_the_cookie_is_secure_and_origins_are_https(behind_proxy):
    secure = {"host": "lab.example", "x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.1"}
    plain = {**secure, "x-forwarded-proto": "http"}
    with behind_proxy.client() as http:
        address = f"/?token={behind_proxy.token}"
        assert "secure" in http.get(address, headers=secure).headers["set-cookie"].lower()
        assert "secure" not in http.get(address, headers=plain).headers["set-cookie"].lower()
        for headers, origin, expected in (
            (secure, "https://lab.example", 409),
            (secure, "http://lab.example", 403),
            (plain, "https://lab.example", 403),
            (secure, "https://evil.example", 403),
        ):
            http.cookies.clear()
            answer = http.post("/api/v1/logout", headers={**headers, "origin": origin})
            assert answer.status_code == expected, (headers, origin)
