"""Clean-up: nothing goes without a preview, only what is still eligible goes, and all of it comes back."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from backend.store import artifacts, integrity, run_actions, run_attempts, run_folders, runs
from backend.store.database import open_store
from backend.store.errors import Conflict, Invalid, NotFound, Unusable
from backend.store.event_log import NewEvent
from backend.store.gc import delete, eligible, files, plans, restore, trash
from backend.store.models import artifact, gc_plan, run
from tests.backend import gc_store
from tests.backend.gc_store import clean, delete_long_ago, finished_run, preview, stray
from tests.conftest import BOTH
from tests.harness import tiny


@pytest.fixture
def two_days_later(monkeypatch):
    """The clock by which files count as old is two days ahead: the time of a file's last renaming cannot be set."""
    monkeypatch.setattr(files, "time", SimpleNamespace(time=lambda: time.time() + 2 * 86_400))


def kinds(plan):
    return sorted((item.kind, item.run_id, len(item.files)) for item in plan.items)


def reasons(outcome):
    return [each.reason for each in outcome.skipped]


def the_entry(store):
    (entry,) = trash.list_entries(store)
    return entry


# ── what is eligible ────────────────────────────────────────────────────────────────────────────────────────────────


@BOTH
def test_a_preview_lists_and_changes_nothing(store, two_days_later):
    run_id, gone = finished_run(store), finished_run(store)
    delete_long_ago(store, gone)
    stray(store, f"runs/{run_id}/geometry-000000099-a1.safetensors")
    stray(store, "imports/abcdefghjk.zip.partial")
    stray(store, "imports/abcdefghjk.partial/artifacts/geometry-000000001-a1.safetensors")
    before = gc_store.files(store), gc_store.rows(store)
    plan = preview(store, thin_geometry=3, checkpoints=True)
    assert kinds(plan) == [
        ("captures", run_id, 4),
        ("checkpoints", run_id, 2),
        ("deleted-run", gone, 10),
        ("files-without-row", run_id, 1),
        ("unfinished-import", None, 1),
        ("unfinished-import", None, 1),
    ]
    assert plan.skipped == ()
    assert (gc_store.files(store), gc_store.rows(store)) == before
    assert not (store.data_dir / "trash").exists()
    assert kinds(plans.get(store, plan.id)) == kinds(plan), "it is kept as it was shown"


def test_strays_are_a_day_old_by_both_times(store, monkeypatch):
    run_id = finished_run(store)
    path = stray(store, f"runs/{run_id}/checkpoint-000000099-a1.safetensors.partial")
    assert preview(store).items == (), "last written two days ago, and renamed or linked just now"
    monkeypatch.setattr(files, "time", SimpleNamespace(time=lambda: time.time() + 2 * 86_400))
    assert kinds(preview(store)) == [("files-without-row", run_id, 1)]
    os.utime(path, (time.time() + 2 * 86_400,) * 2)
    assert preview(store).items == (), "written just now"


@pytest.mark.parametrize("status", ["queued", "running", "paused"])
def test_what_may_still_write_is_left_alone(store, two_days_later, status):
    run_id, _ = runs.create(store, tiny())
    run_folders.register(store, run_id)
    stray(store, f"runs/{run_id}/geometry-000000001-a1.safetensors")
    if status == "running":
        run_attempts.claim_run(store, run_id, "cpu")
    if status == "paused":
        run_actions.request_pause(store, run_id)
    assert preview(store, checkpoints=True, thin_geometry=2).items == ()
    if status != "running":
        run_actions.request_cancel(store, run_id)
        assert kinds(preview(store)) == [("files-without-row", run_id, 1)]


def test_a_worker_s_log_is_no_stray(store, two_days_later):
    run_id = finished_run(store)
    stray(store, f"runs/{run_id}/notes.txt")
    assert preview(store).items == ()


@BOTH
def test_a_directory_that_registered_nothing_loses_nothing(store, two_days_later):
    """The folders may belong to another store: whoever forgets to name the right database loses nothing."""
    run_id, gone = finished_run(store), finished_run(store)
    delete_long_ago(store, gone)
    stray(store, "runs/nosuchrun0/geometry-000000001-a1.safetensors")
    stray(store, f"runs/{run_id}/geometry-000000099-a1.safetensors")
    for each in (run_id, gone):
        run_folders.unregister(store, each)
    before = gc_store.files(store)
    plan = preview(store, thin_geometry=2, checkpoints=True)
    assert plan.items == ()
    assert [(each.run_id, each.reason) for each in plan.skipped] == [
        (gone, f"this data directory did not register the folder runs/{gone}")
    ]
    delete.execute_plan(store, plan.id)
    assert gc_store.files(store) == before


def test_a_database_of_another_directory_cannot_even_be_opened(store, tmp_path):
    """`gc` with the database of another directory removes nothing."""
    for _ in range(2):
        finished_run(store)
    before = gc_store.files(store)
    other = open_store(tmp_path / "other")
    other.close()
    with pytest.raises(Unusable, match="belongs to store"):
        open_store(store.data_dir, f"sqlite:///{tmp_path / 'other' / 'collapse.db'}")
    assert gc_store.files(store) == before
    assert len(before) == 20


@BOTH
def test_files_of_another_directory_are_left_to_it(store, two_days_later):
    thinned, gone, theirs = finished_run(store), finished_run(store), finished_run(store)
    for run_id in (gone, theirs):
        delete_long_ago(store, run_id)
    with store.writing() as connection:
        elsewhere = artifact.c.step.in_((2, 3)) & (artifact.c.run_id == thinned)
        connection.execute(sa.update(artifact).where(elsewhere).values(directory_id="f" * 16))
        one = (artifact.c.run_id == gone) & (artifact.c.step == 1)
        connection.execute(sa.update(artifact).where(one).values(directory_id="f" * 16))
    run_folders.unregister(store, theirs)
    with store.writing() as connection:
        held = {"run_id": theirs, "directory_id": "f" * 16, "registered_at": gc_store.LONG_AGO}
        connection.execute(run_folders.run_folder.insert().values(**held))
    plan = preview(store, thin_geometry=10)
    assert kinds(plan) == [("captures", thinned, 3)], "neither the first nor the last, nor two that are elsewhere"
    assert sorted((each.run_id, each.reason.partition(";")[0]) for each in plan.skipped) == sorted(
        [
            (gone, "it has files in another data directory of this store"),
            *[(thinned, "another data directory of this store holds it")] * 2,
        ]
    )


def test_links_are_not_followed(store, tmp_path, two_days_later):
    outside = tmp_path / "outside"
    linked, inner, file = finished_run(store), finished_run(store), finished_run(store)
    folder = store.data_dir / "runs" / linked
    folder.rename(outside)
    folder.symlink_to(outside)
    delete_long_ago(store, linked)
    (store.data_dir / "runs" / inner / "more").symlink_to(outside)
    delete_long_ago(store, inner)
    path = store.data_dir / artifacts.list_rows(store, file, "geometry")[3].path
    path.rename(outside / "taken")
    path.symlink_to(outside / "taken")
    plan = preview(store, thin_geometry=10, q=f"id:{file}")
    assert kinds(plan) == [("captures", file, 4)]
    assert {each.run_id for each in plan.skipped} == {linked, inner, file}
    assert all("symbolic link" in each.reason for each in plan.skipped)
    # A folder that becomes a link between the preview and the deletion.
    gone = finished_run(store)
    delete_long_ago(store, gone)
    plan = preview(store)
    folder = store.data_dir / "runs" / gone
    folder.rename(tmp_path / "later")
    folder.symlink_to(tmp_path / "later")
    outcome = delete.execute_plan(store, plan.id)
    assert outcome.items == ()
    assert len(reasons(outcome)) == 10
    assert all("symbolic link" in reason for reason in reasons(outcome))
    assert len(list((tmp_path / "later").iterdir())) == 10
    assert runs.get(store, gone, deleted=True)


def test_thinning_twice_by_one_number_removes_nothing_more(store):
    run_id = finished_run(store)
    assert clean(store, thin_geometry=3).count == 4
    assert artifacts.list_steps(store, run_id, "geometry") == [1, 4, 7]
    assert preview(store, thin_geometry=3).items == ()
    assert preview(store, thin_geometry=2, q="name:other").items == ()
    with pytest.raises(Invalid):
        preview(store, q="status:nosuch", checkpoints=True)
    with pytest.raises(Invalid, match="says to which runs a rule applies"):
        preview(store, q="name:other")


def test_strange_names_do_not_stop_a_preview(store, two_days_later):
    run_id = finished_run(store)
    folder = os.fsencode(store.data_dir / "runs" / run_id)
    with open(os.path.join(folder, b"\xff\xfe.partial"), "wb") as stream:  # noqa: PTH118, PTH123
        stream.write(b"x")
    plan = preview(store, checkpoints=True)
    assert kinds(plan) == [("checkpoints", run_id, 2)]
    assert "remove it by hand" in plan.skipped[0].reason


# ── deleting ────────────────────────────────────────────────────────────────────────────────────────────────────────


@BOTH
def test_everything_goes_to_the_trash_and_comes_back_bit_for_bit(store, two_days_later):
    run_id, gone = finished_run(store), finished_run(store, key="again")
    delete_long_ago(store, gone)
    stray(store, f"runs/{run_id}/geometry-000000099-a1.safetensors")
    stray(store, "runs/nosuchrun0/worker.log")
    run_folders.register(store, "nosuchrun0")
    stray(store, "imports/abcdefghjk.partial/artifacts/geometry-000000001-a1.safetensors")
    before, before_rows = gc_store.files(store), gc_store.rows(store, deleted_at=False)
    outcome = clean(store, thin_geometry=3, checkpoints=True)
    assert (outcome.count, outcome.skipped) == (10 + 4 + 2 + 1 + 1 + 1, ())
    after = gc_store.files(store)
    assert len(after) == 4, "three captures and the log"
    assert {path: before[path] for path in after} == after
    assert not (store.data_dir / "runs" / gone).exists()
    assert not (store.data_dir / "runs" / "nosuchrun0").exists()
    assert list((store.data_dir / "imports").iterdir()) == []
    assert run_folders.list_ids(store) == {run_id}
    assert list(integrity.find_problems(store)) == []
    with pytest.raises(NotFound):
        runs.get(store, gone, deleted=True)
    entry = the_entry(store)
    assert entry.name == outcome.entry
    assert sum(item.count for item in entry.items) == 19
    for item in entry.manifest.items:
        for file in item.files:
            assert files.hash_file(entry.file(file.path)) == file.sha256

    back = restore.restore_entries(store, [entry.name])
    assert (back.count, back.skipped) == (19, ())
    assert gc_store.files(store) == before
    assert gc_store.rows(store, deleted_at=False) == before_rows
    assert runs.get(store, gone).deleted_at is None, "a restored run is seen again"
    assert run_folders.list_ids(store) == {run_id, gone, "nosuchrun0"}
    assert list(integrity.find_problems(store)) == []
    assert trash.list_entries(store) == []
    assert list((store.data_dir / "trash").iterdir()) == []


def test_a_run_that_never_had_a_folder_goes_and_comes_back(store):
    run_id, _ = runs.create(store, tiny())
    run_actions.request_cancel(store, run_id)
    delete_long_ago(store, run_id)
    before = gc_store.rows(store, deleted_at=False)
    outcome = clean(store)
    assert [(item.run_id, item.count) for item in outcome.items] == [(run_id, 0)]
    assert runs.list_ids(store) == []
    assert [item.run_id for item in the_entry(store).items] == [run_id]
    restore.restore_entries(store, None)
    assert gc_store.rows(store, deleted_at=False) == before


@BOTH
def test_only_what_was_previewed_goes_and_only_while_it_is_eligible(store, two_days_later):
    names = ("restored", "twice", "retried", "kept", "late", "gone", "again")
    held = {name: finished_run(store) for name in names}
    for name in ("restored", "twice", "gone", "again"):
        delete_long_ago(store, held[name])
    retried = store.data_dir / "runs" / held["retried"]
    stray(store, f"runs/{held['retried']}/geometry-000000098-a1.safetensors")
    with store.writing() as connection:
        connection.execute(sa.update(run).where(run.c.id == held["retried"]).values(status="failed"))
    named, changed, young = (stray(store, f"runs/{held['kept']}/geometry-00000009{n}-a1.safetensors") for n in range(3))
    plan = preview(store, thin_geometry=10, q=f"id:{held['kept']}")
    assert plan.count == 3 * 10 + 10 + 1 + 3 + 5
    # Meanwhile: one is restored, one is restored and deleted again, one runs again, one gets another file.
    run_actions.restore(store, held["restored"])
    with store.writing() as connection:
        again = sa.update(run).where(run.c.id == held["twice"])
        connection.execute(again.values(deleted_at="2026-01-02T00:00:00.000Z"))
    run_actions.retry(store, held["retried"])
    (store.data_dir / "runs" / held["again"] / "new.txt").write_text("new")
    # One file gets its row, one is written again, one is renamed; one capture changes, one loses its row.
    third = artifacts.list_rows(store, held["kept"], "geometry")[3]
    with store.writing() as connection:
        row = {**third._mapping, "step": 90, "path": str(named.relative_to(store.data_dir))}
        connection.execute(artifact.insert().values(**row))
        connection.execute(
            artifact.delete().where(
                artifact.c.run_id == held["kept"], artifact.c.kind == "geometry", artifact.c.step == 3
            )
        )
    changed.write_bytes(b"more")
    fourth = store.data_dir / artifacts.find_row(store, held["kept"], "geometry", 4).path
    fourth.write_bytes(fourth.read_bytes() + b"x")
    # And what became eligible since the preview is not of it.
    delete_long_ago(store, held["late"])
    before = gc_store.files(store)
    outcome = delete.execute_plan(store, plan.id)
    after = gc_store.files(store)
    assert outcome.count == 10 + 1 + 3, "one run, one stray, three captures"
    gone = {path for path in before if path not in after}
    assert {path.split("/")[1] for path in gone} == {held["gone"], held["kept"]}
    assert {path for path in gone if held["kept"] in path} == {
        str(young.relative_to(store.data_dir)),
        *(f"runs/{held['kept']}/geometry-00000000{n}-a1.safetensors" for n in (2, 5, 6)),
    }
    said = {(each.run_id, each.reason) for each in outcome.skipped}
    assert said == {
        (held["restored"], "the run was restored since the preview"),
        (held["twice"], "the run was restored since the preview"),
        (held["again"], "files came or went since the preview"),
        (held["retried"], "the run was queued again, deleted or removed since the preview"),
        (held["kept"], "it got its row since the preview"),
        (held["kept"], "it changed since the preview"),
        (held["kept"], "its row in the database is gone or changed since the preview"),
    }
    assert retried.is_dir()
    gc_store.require_no_missing_files(store)
    assert restore.restore_entries(store, None).count == outcome.count
    assert gc_store.files(store) == before


def test_a_run_that_changes_while_its_rows_are_written_is_left_whole(store, monkeypatch):
    run_id = finished_run(store)
    delete_long_ago(store, run_id)
    plan = preview(store)
    before = gc_store.files(store)
    write = delete.rows.write

    def write_and_restore(path, lines):
        write(path, lines)
        run_actions.restore(store, run_id)

    monkeypatch.setattr(delete.rows, "write", write_and_restore)
    outcome = delete.execute_plan(store, plan.id)
    assert reasons(outcome) == ["the run was restored since the preview"]
    assert gc_store.files(store) == before
    assert runs.get(store, run_id)
    assert trash.list_entries(store) == [], "an entry that holds nothing is not kept"


def test_a_file_that_cannot_be_moved_brings_the_whole_run_back(store, monkeypatch):
    run_id = finished_run(store)
    delete_long_ago(store, run_id)
    before, before_rows = gc_store.files(store), gc_store.rows(store)
    move, calls = files.move, []

    def fail_at_the_fourth(source, target):
        calls.append(source)
        if len(calls) == 4:
            raise OSError(18, "Invalid cross-device link")
        move(source, target)

    monkeypatch.setattr(delete.files, "move", fail_at_the_fourth)
    outcome = clean(store)
    assert outcome.items == ()
    assert "could not be moved to the trash, and nothing was removed" in reasons(outcome)[0]
    assert (gc_store.files(store), gc_store.rows(store)) == (before, before_rows), "it stays deleted, as it was"
    assert trash.list_entries(store) == []


def test_a_plan_is_for_one_directory_a_day_and_one_time(store, tmp_path):
    finished_run(store)
    plan = preview(store, checkpoints=True)
    with pytest.raises(NotFound, match="preview again"):
        delete.execute_plan(store, "0" * 16)
    with store.writing() as connection:
        connection.execute(sa.update(gc_plan).values(created_at="2026-01-01T00:00:00.000Z"))
    with pytest.raises(Conflict, match="more than a day ago; preview again"):
        delete.execute_plan(store, plan.id)
    plan = preview(store, checkpoints=True)
    with store.reading() as connection:
        ids = list(connection.execute(sa.select(gc_plan.c.id)).scalars())
    assert ids == [plan.id], "what nobody can use any more is not kept"
    other = open_store(tmp_path / "other", f"sqlite:///{store.data_dir / 'collapse.db'}", join=True)
    with pytest.raises(Conflict, match=f"is for another data directory, {store.data_dir} on "):
        delete.execute_plan(other, plan.id)
    assert preview(other, checkpoints=True).items == (), "and there is nothing to remove there"
    other.close()
    assert delete.execute_plan(store, plan.id).count == 2
    with pytest.raises(Conflict, match=r"was used at .*; preview again"):
        delete.execute_plan(store, plan.id)


def test_one_clean_up_at_a_time(store):
    finished_run(store)
    plan = preview(store, checkpoints=True)
    with trash.hold_lock(store), pytest.raises(Conflict, match=r"another clean-up .* is under way"):
        delete.execute_plan(store, plan.id)
    assert delete.execute_plan(store, plan.id).count == 2, "the plan was not used up"


def test_stopping_between_items_leaves_the_rest_as_it_was(store):
    ids = sorted(finished_run(store) for _ in range(3))
    plan = preview(store, checkpoints=True)
    seen = []
    outcome = delete.execute_plan(
        store, plan.id, stopped=lambda: len(seen) == 2, progress=lambda done, total: seen.append((done, total))
    )
    assert (outcome.stopped, outcome.count, seen) == (True, 2, [(0, 3), (1, 3)])
    left = [run_id for run_id in ids if artifacts.list_rows(store, run_id, "checkpoint")]
    assert len(left) == 2
    gc_store.require_no_missing_files(store)
    assert restore.restore_entries(store, None).count == 2


def test_a_folder_that_is_gone_with_its_run_is_unregistered(store):
    run_id, kept = finished_run(store), finished_run(store)
    for each in (run_id, kept, "justnow000"):
        run_folders.register(store, each)
    with store.writing() as connection:
        connection.execute(run.delete().where(run.c.id == run_id))
        old = run_folders.run_folder.c.run_id != "justnow000"
        connection.execute(sa.update(run_folders.run_folder).where(old).values(registered_at=gc_store.LONG_AGO))
    for each in (run_id, kept):
        (store.data_dir / "runs" / each).rename(store.data_dir / each)
    clean(store)
    assert run_folders.list_ids(store) == {kept, "justnow000"}, "an unmounted disk's, and one of an import just now"


# ── the trash ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_restore_overwrites_nothing_and_keeps_what_it_cannot_bring_back(store):
    run_id = finished_run(store)
    clean(store, thin_geometry=10)
    entry = the_entry(store)
    paths = sorted(file.path for file in entry.manifest.items[0].files)
    in_the_way, damaged, cut, same, whole = paths
    (store.data_dir / in_the_way).write_bytes(b"something else")
    entry.file(damaged).write_bytes(entry.file(damaged).read_bytes()[:-1] + b"x")
    entry.file(cut).write_bytes(b"")
    (store.data_dir / same).write_bytes(entry.file(same).read_bytes())
    outcome = restore.restore_entries(store, None)
    assert {(each.path, each.reason.partition(";")[0].partition(":")[0]) for each in outcome.skipped} == {
        (in_the_way, "another file is in its place, and is not overwritten"),
        (damaged, "it is damaged"),
        (cut, "it is damaged"),
    }
    assert outcome.count == 2
    assert (store.data_dir / in_the_way).read_bytes() == b"something else"
    assert {row.path for row in artifacts.list_rows(store, run_id, "geometry")} >= {same, whole}
    gc_store.require_no_missing_files(store)
    assert {path for path in paths if entry.file(path).exists()} == {in_the_way, damaged, cut}
    # Once the way is free, the rest follows; what is damaged stays.
    (store.data_dir / in_the_way).unlink()
    assert restore.restore_entries(store, [entry.name]).count == 1
    assert len(artifacts.list_rows(store, run_id, "geometry")) == 5
    assert len(restore.restore_entries(store, None).skipped) == 2
    assert list(integrity.find_problems(store)) == []


@BOTH
def test_a_restore_leaves_another_run_of_that_id_alone(store):
    run_id = finished_run(store, key="one")
    delete_long_ago(store, run_id)
    clean(store)
    before = gc_store.files(store)
    other, _ = runs.create(store, tiny(), name="other")
    with store.writing() as connection:
        row = dict(connection.execute(sa.select(run).where(run.c.id == other)).one()._mapping)
        connection.execute(run.insert().values({**row, "id": run_id, "idempotency_key": "one"}))
    outcome = restore.restore_entries(store, None)
    assert [each.run_id for each in outcome.skipped] == [run_id]
    assert "is not overwritten" in reasons(outcome)[0]
    assert gc_store.files(store) == before
    with store.writing() as connection:
        connection.execute(run.delete().where(run.c.id == run_id))
        connection.execute(sa.update(run).where(run.c.id == other).values(idempotency_key="one"))
    assert restore.restore_entries(store, None).skipped == ()
    assert runs.get(store, run_id).idempotency_key is None, "its key was used again meanwhile"
    gc_store.require_no_missing_files(store)


def test_captures_of_a_run_that_was_removed_later_come_back_with_it(store):
    run_id = finished_run(store)
    before, before_rows = gc_store.files(store), gc_store.rows(store, deleted_at=False)
    clean(store, thin_geometry=3)
    delete_long_ago(store, run_id)
    clean(store)
    first = trash.list_entries(store)[1].name
    assert reasons(restore.restore_entries(store, [first])) == [
        f"its run {run_id} is not in the database; restore that first"
    ]
    assert restore.restore_entries(store, None).skipped == ()
    assert (gc_store.files(store), gc_store.rows(store, deleted_at=False)) == (before, before_rows)


def test_the_trash_is_emptied_as_it_was_listed(store):
    for _ in range(2):
        finished_run(store)
        clean(store, checkpoints=True)
    found = trash.list_entries(store)
    listed = trash.read_contents(store).digest
    clean(store, thin_geometry=2)
    with pytest.raises(Conflict, match="has changed since it was listed"):
        trash.empty_listed(store, listed)
    assert len(trash.list_entries(store)) == 3
    gone = trash.empty_listed(store, trash.read_contents(store).digest)
    assert gone.count == 2 + 2 + 6
    assert list((store.data_dir / "trash").iterdir()) == []
    with pytest.raises(NotFound, match="no entry"):
        restore.restore_entries(store, [found[0].name])


def test_entries_older_than_a_week_go_little_by_little(store):
    for _ in range(2):
        finished_run(store)
        clean(store, checkpoints=True)
    new, old = trash.list_entries(store)
    old.folder.rename(old.folder.with_name("20260101T000000Z-" + "0" * 16))
    with trash.hold_lock(store):
        assert trash.empty_expired(store, limit=1), "there is more to do"
        assert [entry.name for entry in trash.list_entries(store)] == [new.name], "and it cannot be restored any more"
        rounds = 1
        while trash.empty_expired(store, limit=1):
            rounds += 1
    assert rounds == 3, "two files, the rows, the manifest"
    assert [path.name for path in (store.data_dir / "trash").iterdir()] == [new.name]
    # The next clean-up does it at once.
    new.folder.rename(new.folder.with_name("20260101T000000Z-" + "1" * 16))
    clean(store)
    assert trash.list_entries(store) == []


def test_a_manifest_that_was_changed_leads_nowhere_else(store, tmp_path):
    run_id = finished_run(store)
    clean(store, checkpoints=True)
    entry = the_entry(store)
    manifest = entry.folder / "manifest.json"
    good = manifest.read_text()
    for bad in ("runs/../../evil", "/etc/passwd", "server.lock"):
        manifest.write_text(good.replace(entry.manifest.items[0].files[0].path, bad))
        with pytest.raises(Unusable, match="cannot be understood"):
            restore.restore_entries(store, None)
    manifest.write_text(good)
    # A link in the way of the files that come back.
    folder = store.data_dir / "runs" / run_id
    folder.rename(tmp_path / "outside")
    folder.symlink_to(tmp_path / "outside")
    before = sorted((tmp_path / "outside").iterdir())
    refused = reasons(restore.restore_entries(store, None))
    assert len(refused) == 2
    assert all("symbolic link" in reason for reason in refused)
    assert sorted((tmp_path / "outside").iterdir()) == before


def test_a_trash_that_is_a_link_is_refused(store, tmp_path):
    finished_run(store)
    (tmp_path / "elsewhere").mkdir()
    (store.data_dir / "trash").symlink_to(tmp_path / "elsewhere")
    plan = preview(store, checkpoints=True)
    with pytest.raises(Unusable, match="is a symbolic link"):
        delete.execute_plan(store, plan.id)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert len(eligible.find_eligible(store, plan.rules).items) == 1


def test_a_run_that_is_queued_at_the_same_moment_keeps_its_files(store, two_days_later):
    """The check and the move are one transaction: a retry waits for it, or comes first and wins."""
    run_id = finished_run(store)
    with store.writing() as connection:
        connection.execute(sa.update(run).values(status="failed"))
    path = stray(store, f"runs/{run_id}/geometry-000000099-a1.safetensors")
    plan = preview(store)
    run_actions.retry(store, run_id)
    number = run_attempts.claim_run(store, run_id, "cpu")
    delete.execute_plan(store, plan.id)
    assert path.exists()
    run_attempts.end_attempt(store, run_id, number, NewEvent("RunFinished", {}))
    assert clean(store).count == 1
