"""Clean-up over HTTP: a preview removes nothing, deleting names it, the trash is restored and emptied as listed."""

from __future__ import annotations

import pytest

from backend.client import ApiError, Client, calls
from backend.store.database import open_store
from backend.store.gc import trash
from tests.backend import gc_store
from tests.backend.gc_store import clean, finished_run
from tests.harness import wait_for


@pytest.fixture
def filled(quiet_server):
    """A server's client, its store, and a finished run of its own."""
    store = open_store(quiet_server.data)
    run_id = finished_run(store)
    with Client(quiet_server.url, quiet_server.token) as client:
        yield client, store, run_id
    store.close()


def trashed_bytes(store):
    """Return the size of all files that were moved to the trash."""
    files = (store.data_dir / "trash").glob("*/files/**/*")
    return sum(path.stat().st_size for path in files if path.is_file())


def test_a_preview_removes_nothing_and_deleting_names_it(filled):
    client, store, run_id = filled
    before = gc_store.files(store)
    plan = client(calls.preview_gc(thin_geometry=3, checkpoints=True, q=f"id:{run_id}"))
    assert [(item.kind, item.run_id, item.count) for item in plan.items] == [
        ("captures", run_id, 4),
        ("checkpoints", run_id, 2),
    ]
    assert plan.size_bytes == sum(item.size_bytes for item in plan.items)
    assert plan.expires_at[:10] > plan.created_at[:10]
    assert gc_store.files(store) == before
    done = client(calls.delete_plan(plan.id))
    assert (done.count, done.skipped, done.items) == (6, [], plan.items)
    after = gc_store.files(store)
    assert len(after) == len(before) - 6
    freed = sum(map(len, before.values())) - sum(map(len, after.values()))
    assert plan.size_bytes == done.size_bytes == freed > 0, "the bytes of the files that are gone"
    (entry,) = client(calls.trash()).items
    assert (entry.name, entry.count, entry.items) == (done.entry, 6, plan.items)
    assert sum(item.size_bytes for item in entry.items) == freed
    with pytest.raises(ApiError, match="was used at") as told:
        client(calls.delete_plan(plan.id))
    assert told.value.problem.status == 409
    back = client(calls.restore_trash([entry.name]))
    assert (back.count, back.skipped) == (6, [])
    assert gc_store.files(store) == before
    assert client(calls.trash()).items == []


def test_emptying_names_what_was_listed(filled):
    client, store, run_id = filled
    clean(store, checkpoints=True, q=f"id:{run_id}")
    listed = client(calls.trash())
    clean(store, thin_geometry=2, q=f"id:{run_id}")
    with pytest.raises(ApiError, match="changed since it was listed") as told:
        client(calls.empty_trash(listed.digest))
    assert told.value.problem.status == 409
    assert len(client(calls.trash()).items) == 2
    in_trash = trashed_bytes(store)
    emptied = client(calls.empty_trash(client(calls.trash()).digest))
    assert (emptied.count, emptied.size_bytes) == (2 + 3, in_trash)
    assert trashed_bytes(store) == 0, "the disk has them back"
    assert client(calls.trash()).items == []
    with pytest.raises(ApiError, match="no entry") as told:
        client(calls.restore_trash([listed.items[0].name]))
    assert told.value.problem.status == 404


def test_what_is_not_understood_is_refused_and_says_how(filled, quiet_server):
    _, store, _ = filled
    before = gc_store.files(store), gc_store.rows(store)
    digest = "0" * 16
    with quiet_server.client() as http:
        for path, body, status, words in (
            ("/gc", {"dry_run": False}, 422, "leave dry_run out, and delete the plan that comes back with POST"),
            ("/gc", {"dry_run": True}, 200, ""),
            ("/gc", {"thin_geometry": 1}, 422, "thin_geometry"),
            ("/gc", {"everything": True}, 422, "everything"),
            ("/gc", {"q": "status:nosuch", "checkpoints": True}, 422, "status must be one of"),
            (f"/gc/{digest}/delete", None, 404, "preview again"),
            ("/gc/..%2F..%2Fetc/delete", None, 404, ""),
            ("/trash/restore", {"entries": []}, 422, "entries"),
            ("/trash/restore", {"entries": ["../../runs"]}, 404, "no entry"),
            ("/trash/empty", {}, 422, "digest"),
            ("/trash/empty", {"digest": "all"}, 422, "digest"),
            ("/trash/empty", {"digest": digest}, 409, "look again"),
        ):
            answer = http.post(f"/api/v1{path}", json=body)
            assert answer.status_code == status, (path, body, answer.text)
            assert words in answer.text, (path, body, answer.text)
            if status != 200:
                assert answer.headers["content-type"] == "application/problem+json"
        assert http.delete("/api/v1/gc").status_code == 405
        assert http.get("/api/v1/gc/0/delete").status_code == 405
    assert (gc_store.files(store), gc_store.rows(store)) == before


def test_a_reader_sees_the_trash_and_cleans_nothing_up(filled, quiet_server):
    client, store, run_id = filled
    plan = client(calls.preview_gc(checkpoints=True, q=f"id:{run_id}"))
    secret = client(calls.create_token("reader", "read")).token
    before = gc_store.files(store)
    with Client(quiet_server.url, secret) as reader:
        reader(calls.trash())
        for call in (calls.preview_gc(), calls.delete_plan(plan.id), calls.empty_trash("0" * 16)):
            with pytest.raises(ApiError) as told:
                reader(call)
            assert told.value.problem.status == 403
    assert gc_store.files(store) == before


def test_a_server_empties_what_is_older_than_a_week(start_server, tmp_path):
    store = open_store(tmp_path / "data")
    for _ in range(2):
        finished_run(store)
        clean(store, checkpoints=True)
    new, old = trash.list_entries(store)
    old.folder.rename(old.folder.with_name("20260101T000000Z-" + "0" * 16))
    server = start_server("--no-demonstration", "--no-warm")
    folder = store.data_dir / "trash"
    wait_for(lambda: [path.name for path in folder.iterdir()] == [new.name], 30, "the old entry's end")
    with Client(server.url, server.token) as client:
        assert [entry.name for entry in client(calls.trash()).items] == [new.name]
    store.close()
