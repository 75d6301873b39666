"""What each scope may do: every route, in bulk, from pages, and inside the process; who did it is written down."""

from __future__ import annotations

import re

import httpx2
import pytest

from backend.api.app import Application
from backend.api.security.permissions import REQUIREMENTS
from backend.client import ApiError, Client, calls
from backend.settings import Settings
from backend.store.scopes import SCOPES, includes
from tests.harness import run_async, tiny, wait_for


@pytest.fixture(scope="module")
def tokens(quiet_server):
    """One token of each scope."""
    with Client(quiet_server.url, quiet_server.token) as client:
        return {scope: client(calls.create_token(f"a {scope} token", scope)) for scope in SCOPES}


@pytest.fixture(scope="module")
def operations(quiet_server):
    """Every operation of the OpenAPI document, as `METHOD /path`."""
    with quiet_server.client() as http:
        paths = http.get("/api/v1/openapi.json").json()["paths"]
    return [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]


def test_every_operation_declares_its_scope(operations):
    assert len(operations) > 40
    assert [operation for operation in operations if operation not in REQUIREMENTS] == []


def test_each_scope_does_what_it_is_for_and_nothing_beyond(quiet_server, tokens, operations):
    """Only whether a request is let through is looked at: ids are of nothing, bodies empty."""
    for scope, token in tokens.items():
        with httpx2.Client(
            base_url=quiet_server.url, headers={"authorization": f"Bearer {token.token}"}, timeout=60
        ) as http:
            for operation in operations:
                method, path = operation.split()
                answer = http.request(method, re.sub(r"\{\w+\}", "nothing", path), json={} if method != "GET" else None)
                needed = REQUIREMENTS[operation]
                allowed = needed == "none" or includes(scope, needed)
                assert (answer.status_code != 403) == allowed, (scope, operation, answer.text)
                if not allowed:
                    assert f"needs the scope '{needed}'" in answer.json()["detail"]


def test_deleting_in_bulk_needs_what_deleting_needs(quiet_server, tokens):
    with Client(quiet_server.url, tokens["launch"].token) as client:
        run = client(calls.launch(tiny(epochs=1).model_dump(mode="json")))
        client(calls.cancel(run.id))
        assert client(calls.bulk("tag", value="mine", runs=[run.id]))[0].done
        for action in ("delete", "restore"):
            with pytest.raises(ApiError, match="needs the scope 'admin'"):
                client(calls.bulk(action, runs=[run.id]))
        assert client(calls.run(run.id)).tags == ["mine"]
        wait_for(lambda: client(calls.run(run.id)).status in ("cancelled", "finished"), 30, "its end")
    with Client(quiet_server.url, tokens["admin"].token) as client:
        assert client(calls.bulk("delete", runs=[run.id]))[0].done
        assert client(calls.bulk("restore", runs=[run.id]))[0].done


def test_a_page_changes_nothing_for_a_reader(quiet_server, tokens):
    """The page's own callbacks go through the same API inside the process, in the caller's name."""
    with Client(quiet_server.url, quiet_server.token) as owner:
        run = owner(calls.launch(tiny(epochs=1).model_dump(mode="json"), name="shared"))
    with Client(quiet_server.url, tokens["read"].token) as client:
        me = client(calls.me())
        assert (me.name, me.scope, me.may_change, me.token_id) == ("a read token", "read", False, tokens["read"].id)
        assert client(calls.check({"data": {"name": "digits"}})).errors == [], "asking is not changing"
    with httpx2.Client(base_url=quiet_server.url) as browser:
        browser.get(f"/?token={tokens['read'].token}")
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


def test_a_request_without_a_caller_has_no_rights(store):
    """Inside the process, past the guard: whoever forgets to carry the caller along gets nothing."""
    application = Application(Settings(store.data_dir, token="t", warm=False), store)

    async def statuses() -> dict[str, int]:
        transport = httpx2.ASGITransport(application.api)
        async with httpx2.AsyncClient(transport=transport, base_url=application.settings.url) as http:
            asked = [("GET", "/api/v1/me"), ("GET", "/api/v1/runs"), ("GET", "/api/v1/tokens"), ("GET", "/prometheus")]
            asked += [("POST", "/api/v1/tokens"), ("GET", "/api/v1/openapi.json"), ("GET", "/api/v1/nothing")]
            return {f"{method} {path}": (await http.request(method, path)).status_code for method, path in asked}

    found = run_async(statuses())
    assert found.pop("GET /prometheus") == 403
    assert set(found.values()) == {401}, found


def test_a_route_that_declares_no_scope_is_refused_to_everybody(store):
    application = Application(Settings(store.data_dir, token="t" * 20, warm=False), store)

    @application.api.get("/api/v1/new")
    def new() -> dict[str, str]:
        return {"secret": "known"}

    routes = application.api.router.routes
    routes.insert(0, routes.pop())  # before the route that answers what is not there

    async def asked() -> httpx2.Response:
        transport = httpx2.ASGITransport(application.guarded)
        headers = {"authorization": f"Bearer {'t' * 20}"}
        async with httpx2.AsyncClient(transport=transport, base_url=application.settings.url, headers=headers) as http:
            return await http.get("/api/v1/new")

    answer = run_async(asked())
    assert answer.status_code == 403
    assert "no scope is declared for GET /api/v1/new" in answer.json()["detail"]


def test_who_did_what_is_written_down(quiet_server, tokens):
    with Client(quiet_server.url, tokens["admin"].token) as client:
        run = client(calls.launch(tiny(epochs=1).model_dump(mode="json")))
        client(calls.cancel(run.id))
        with pytest.raises(ApiError):
            client(calls.resume(run.id))
        entries = client(calls.audit(run=run.id))
    assert [(e.who, e.token_id, e.action.partition("/runs/")[0], e.status) for e in entries] == [
        ("a admin token", tokens["admin"].id, "POST /api/v1", 409),
        ("a admin token", tokens["admin"].id, "POST /api/v1", 202),
    ]


def test_log_ins_log_outs_refusals_and_new_tokens_are_written_down(quiet_server, tokens):
    reading = tokens["read"]
    with httpx2.Client(base_url=quiet_server.url) as browser:
        browser.get(f"/?token={reading.token}")
        assert browser.post("/api/v1/tokens", json={"name": "mine", "scope": "admin"}).status_code == 403
        assert browser.post("/api/v1/logout").status_code == 204
    with Client(quiet_server.url, quiet_server.token) as owner:
        owner(calls.create_token("written down"))
        entries = owner(calls.audit(limit=4))
    assert [(e.who, e.token_id, e.action, e.status) for e in reversed(entries)] == [
        ("a read token", reading.id, "log in", 303),
        ("a read token", reading.id, "POST /api/v1/tokens", 403),
        ("a read token", reading.id, "POST /api/v1/logout", 204),
        ("owner", None, "POST /api/v1/tokens", 201),
    ]


def test_a_token_named_owner_is_not_the_owner(quiet_server):
    with Client(quiet_server.url, quiet_server.token) as owner:
        made = owner(calls.create_token("owner", "launch"))
        with Client(quiet_server.url, made.token) as client:
            assert (client(calls.me()).scope, client(calls.me()).token_id) == ("launch", made.id)
            run = client(calls.launch(tiny(epochs=1).model_dump(mode="json")))
            with pytest.raises(ApiError, match="needs the scope 'admin'"):
                client(calls.delete(run.id))
        owner(calls.cancel(run.id))
        entries = owner(calls.audit(run=run.id))
    assert [(e.who, e.token_id, e.status) for e in entries] == [("owner", None, 202), ("owner", made.id, 403)]
