"""Long work waits in a queue of fixed length, holds nobody else up, and is done once for all who ask for the same."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import threading
from collections import Counter
from types import SimpleNamespace

import httpx2
import psutil
import pytest
from playwright.sync_api import expect

from backend.api import downloads
from backend.api.downloads import DownloadResponse
from backend.api.work_queue import WorkQueue
from backend.client import ApiError, AsyncClient, Client, calls
from backend.store.database import open_store
from backend.store.errors import TooManyRequests
from tests import prepared
from tests.big_store import train_here
from tests.harness import COLLAPSE, ServerProcess, run_async, tiny, wait_for

# ── the queue itself ────────────────────────────────────────────────────────────────────────────────────────────────


class Work:
    """Work in threads that goes on when it is told to, and counts how often it was done."""

    def __init__(self):
        self.done, self.go_on = Counter(), threading.Event()

    def __call__(self, name):
        def work():
            assert self.go_on.wait(60)
            self.done[name] += 1
            return SimpleNamespace(content=name.encode())

        return work


async def settle():
    """Let tasks get to where they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_equal_requests_share_one_job_and_its_result():
    work, queue = Work(), WorkQueue(8, 8, workers=2, cache_bytes=100)

    async def ask():
        asking = [asyncio.create_task(queue.submit("a", token, work("a"))) for token in (None, "t1", "t1", "t2")]
        await settle()
        assert queue.size == 1, "one place for all of them"
        work.go_on.set()
        found = await asyncio.gather(*asking)
        assert await queue.submit("a", "t3", work("a")) is found[0], "kept for a while"
        assert (await queue.submit("b", None, work("b"))).content == b"b"

    run_async(ask())
    assert work.done == {"a": 1, "b": 1}


def test_the_queue_is_bounded_and_so_is_a_token_in_it():
    work, queue = Work(), WorkQueue(5, 3, workers=1)

    async def ask():
        asking = [asyncio.create_task(queue.submit(f"a{i}", "t1", work("a"))) for i in range(3)]
        await settle()
        with pytest.raises(TooManyRequests, match="3 requests of this token") as refused:
            await queue.submit("a3", "t1", work("a"))
        assert refused.value.ahead == 3
        assert refused.value.retry_after_s >= 1
        asking += [asyncio.create_task(queue.submit(f"b{i}", None, work("b"))) for i in range(2)]
        await settle()
        with pytest.raises(TooManyRequests, match="5 requests for long work are ahead"):
            await queue.submit("c", "t2", work("c"))
        with pytest.raises(TooManyRequests):
            async with queue.slot("t2"):
                pytest.fail("there is no place")
        joined = asyncio.create_task(queue.submit("a0", "t2", work("a")))
        work.go_on.set()
        await asyncio.gather(*asking, joined)
        assert queue.size == 0

    run_async(ask())
    assert work.done == {"a": 3, "b": 2}


def test_who_leaves_gives_up_the_place_unless_somebody_else_waits_for_the_same():
    work, queue = Work(), WorkQueue(3, 3, workers=1)

    async def ask():
        running = asyncio.create_task(queue.submit("running", None, work("running")))
        await settle()
        alone = asyncio.create_task(queue.submit("alone", None, work("alone")))
        shared = [asyncio.create_task(queue.submit("shared", None, work("shared"))) for _ in range(2)]
        await settle()
        assert queue.size == 3
        for task in (alone, shared[0]):
            task.cancel()
        await asyncio.gather(alone, shared[0], return_exceptions=True)
        await settle()
        assert queue.size == 2, "the place of the one that nobody waits for"
        again = asyncio.create_task(queue.submit("alone", None, work("again")))
        await settle()
        work.go_on.set()
        await asyncio.gather(running, shared[1], again)

    run_async(ask())
    assert work.done == {"running": 1, "shared": 1, "again": 1}


def test_an_error_is_everybodys_and_is_not_kept():
    queue, tries = WorkQueue(3, 3, workers=1, cache_bytes=100), []

    def failing():
        tries.append(1)
        raise ValueError("no")

    async def ask():
        found = await asyncio.gather(*(queue.submit("a", None, failing) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in found] == [ValueError] * 3
        with pytest.raises(ValueError, match="no"):
            await queue.submit("a", None, failing)
        assert queue.size == 0

    run_async(ask())
    assert len(tries) == 2


def test_kept_results_are_bounded():
    work, queue = Work(), WorkQueue(3, 3, workers=1, cache_bytes=8)
    work.go_on.set()

    async def ask():
        for name in ("aa", "bb", "cc", "dd", "ee", "much longer", "much longer", "ee", "aa"):
            await queue.submit(name, None, work(name))

    run_async(ask())
    assert work.done == {"aa": 2, "bb": 1, "cc": 1, "dd": 1, "ee": 1, "much longer": 2}


def test_a_reader_that_takes_nothing_is_let_go_without_an_end(monkeypatch):
    monkeypatch.setattr(downloads, "STALL_TIMEOUT_S", 0.1)
    queue, sent = WorkQueue(1, 1, workers=1), []

    async def send(message):
        sent.append(message)
        if len(sent) == 3:
            await asyncio.Event().wait()

    async def receive():
        await asyncio.Event().wait()

    async def answer():
        async with queue.slot(None) as slot:
            stream = DownloadResponse(slot, iter([b"a", b"b", b"c"]), media_type="application/zip", headers={})
            await stream({"type": "http"}, receive, send)
        assert queue.size == 0

    run_async(asyncio.wait_for(answer(), 30))
    assert [message.get("body") for message in sent] == [None, b"a", b"b"]
    assert all(message["more_body"] for message in sent[1:]), "what was cut off does not look whole"


# ── the server ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with a run that was trained, whose figure process has drawn once."""
    data = tmp_path_factory.mktemp("queue") / "data"
    store = open_store(data)
    run_id = train_here(store, tiny(), "drawn")
    store.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(prepared.FOLDER, raising=False)  # the figure process is looked for among the server's children
        server = ServerProcess(data, "--no-demonstration", "--no-warm")
    with server.client() as http:
        http.get(f"/api/v1/runs/{run_id}/figures/curves.svg").raise_for_status()
    yield server, run_id
    server.stop()


@contextlib.contextmanager
def held_up(server):
    """Stop the figure process for a while, as if what it draws took long; give a function that lets it go on."""
    (process,) = (
        child for child in psutil.Process(server.process.pid).children() if "backend.figures.worker" in child.cmdline()
    )
    process.send_signal(signal.SIGSTOP)
    try:
        yield lambda: process.send_signal(signal.SIGCONT)
    finally:
        process.send_signal(signal.SIGCONT)


async def in_queue(http, count):
    """Wait until so many figures run or wait."""
    while True:
        refused = (await http.get("/prometheus")).text
        found = next(line for line in refused.splitlines() if line.startswith('collapse_long_work{queue="figures"}'))
        if float(found.split()[1]) == count:
            return
        await asyncio.sleep(0.05)


def figures(run_id, count, first=0):
    return [f"/api/v1/runs/{run_id}/figures/curves.svg?width={2 + (first + i) / 100}" for i in range(count)]


def asynchronous(server):
    headers = {"authorization": f"Bearer {server.token}"}
    limits = httpx2.Limits(max_connections=None)
    return httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=120, limits=limits)


def test_others_are_answered_while_figures_wait_and_what_is_too_much_is_refused(served):
    server, run_id = served

    async def ask():
        async with asynchronous(server) as http:
            with held_up(server) as go_on:
                asking = [asyncio.create_task(http.get(path)) for path in figures(run_id, 24)]
                done, waiting = set(), set(asking)
                while len(done) < 8:
                    some, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    done |= some
                for task in done:
                    assert task.result().status_code == 429
                    assert int(task.result().headers["retry-after"]) >= 1
                    assert task.result().headers["content-type"] == "application/problem+json"
                    assert task.result().json()["ahead"] == 16
                for path in ("/api/v1/runs", f"/api/v1/runs/{run_id}/events", "/api/v1/system", "/readyz"):
                    assert (await http.get(path)).status_code == 200
                async with http.stream("GET", f"/api/v1/stream?runs={run_id}") as answer:
                    assert (await anext(answer.aiter_lines())).startswith("retry")
                assert len(waiting) == 16
                go_on()
                answers = await asyncio.gather(*waiting)
            assert [answer.status_code for answer in answers] == [200] * 16
            assert len({answer.content for answer in answers}) == 16, "each is another figure"

    run_async(asyncio.wait_for(ask(), 240))


def test_a_client_that_goes_away_leaves_its_place_to_another(served):
    server, run_id = served

    async def ask():
        async with asynchronous(server) as http:
            with held_up(server) as go_on:
                async with asynchronous(server) as leaving:
                    asking = [asyncio.create_task(leaving.get(path)) for path in figures(run_id, 16, 100)]
                    await in_queue(http, 16)
                    for task in asking:
                        task.cancel()
                    await asyncio.gather(*asking, return_exceptions=True)
                await in_queue(http, 1)  # the one that is being drawn
                another = asyncio.create_task(http.get(figures(run_id, 1, 200)[0]))
                await in_queue(http, 2)
                go_on()
                assert (await another).status_code == 200

    run_async(asyncio.wait_for(ask(), 240))


def test_both_clients_and_the_command_line_wait_and_say_so(served, tmp_path):
    server, run_id = served
    target = tmp_path / "figure.svg"
    command = [COLLAPSE, "export", run_id, "curves", "-o", target, "--width", "4.5", "--server", server.url]

    async def ask():
        waits = []
        async with asynchronous(server) as http:
            with held_up(server) as go_on:
                asking = [asyncio.create_task(http.get(path)) for path in figures(run_id, 16, 300)]
                await in_queue(http, 16)
                with Client(server.url, server.token, max_wait_s=0) as impatient, pytest.raises(ApiError) as refused:
                    await asyncio.to_thread(impatient, calls.figure(run_id, "curves", "svg", width=4.7))
                assert refused.value.problem.status == 429
                exporting = subprocess.Popen(
                    [*command, "--token", server.token], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
                with Client(server.url, server.token, on_wait=waits.append) as client:
                    blocking = asyncio.to_thread(client, calls.figure(run_id, "curves", "svg", width=4.6))
                    async with AsyncClient(server.url, server.token, on_wait=waits.append) as other:
                        found = asyncio.gather(blocking, other(calls.plot(run_id, "curves", width=4.6)))
                        await asyncio.to_thread(wait_for, lambda: len(waits) >= 2, 60, "both clients waiting")
                        said = await asyncio.to_thread(exporting.stderr.readline)
                        go_on()
                        svg, plot = await found
                await asyncio.gather(*asking)
        assert {wait.ahead for wait in waits} <= set(range(1, 17))
        assert str(waits[0]).startswith("Waiting for the server: 16 requests ahead; asking again in ")
        assert svg.startswith(b"<?xml")
        assert plot["data"]
        assert said.startswith("Waiting for the server: 16 requests ahead")
        assert await asyncio.to_thread(exporting.wait, 120) == 0
        exporting.communicate()

    run_async(asyncio.wait_for(ask(), 240))
    assert target.read_bytes().startswith(b"<?xml")


def test_the_same_figure_is_drawn_once(served):
    server, run_id = served

    async def ask():
        async with asynchronous(server) as http:
            with held_up(server) as go_on:
                first = asyncio.create_task(http.get(figures(run_id, 1, 400)[0]))
                await in_queue(http, 1)
                same = [asyncio.create_task(http.get(figures(run_id, 1, 400)[0])) for _ in range(30)]
                other = asyncio.create_task(http.get(figures(run_id, 1, 401)[0]))
                await in_queue(http, 2)
                assert not any(task.done() for task in same), "none is refused: they share a place"
                go_on()
                answers = await asyncio.gather(first, *same)
                await other
            assert len({answer.content for answer in answers}) == 1
            assert {answer.status_code for answer in answers} == {200}

    run_async(asyncio.wait_for(ask(), 240))


def test_a_replay_comes_from_the_same_queue(served):
    server, run_id = served
    with server.client() as http:
        page = http.get(f"/api/v1/runs/{run_id}/replay.html")
        nothing = http.get("/api/v1/runs/nosuchrun0/replay.html")
        none = http.get("/api/v1/replay.html", params={"runs": ""})
    assert page.headers["content-disposition"] == f'attachment; filename="{run_id}-replay.html"'
    assert page.content.startswith(b"<!doctype html>")
    assert (nothing.status_code, none.status_code) == (404, 422)


# ── the pages ───────────────────────────────────────────────────────────────────────────────────────────────────────

PATIENCE_MS = 60_000


def test_the_export_dialog_waits_says_so_and_can_be_cancelled(served, browser):
    server, run_id = served
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{server.url}/runs/{run_id}?token={server.token}")
    expect(page.locator("#run-page[data-shown-step]")).to_be_visible(timeout=PATIENCE_MS)
    line, cancel = page.locator("#export-waiting-text"), page.locator("#export-cancel")
    try:
        with busy(server, run_id) as go_on:
            page.get_by_role("button", name="Export figure").click()
            expect(line).to_contain_text("Waiting for the server: 16 requests ahead", timeout=PATIENCE_MS)
            cancel.click()
            expect(line).to_contain_text("Cancelled", timeout=PATIENCE_MS)
            expect(cancel).to_be_hidden()
            page.get_by_text("SVG", exact=True).click()
            expect(line).to_contain_text("Waiting for the server", timeout=PATIENCE_MS)
            go_on()
            preview = page.locator("#export-preview")
            expect(preview).to_have_attribute("src", re.compile(r"geometry\.svg"), timeout=PATIENCE_MS)
            expect(page.locator("#export-waiting")).to_be_hidden()
            drawn = "image => image.complete && image.naturalWidth > 0"
            wait_for(lambda: preview.evaluate(drawn), 60, "the preview")
        with busy(server, run_id, first=500) as go_on:
            save = page.locator("#export-save")
            save.evaluate("link => { link.href = link.href + '&width=3.21'; }")
            save.click()
            expect(page.locator("#toast")).to_contain_text("Waiting for the server: 16 requests", timeout=PATIENCE_MS)
            with page.expect_download(timeout=PATIENCE_MS) as download:
                go_on()
            assert download.value.suggested_filename == "drawn-geometry.svg"
        with busy(server, run_id, first=600):
            save.evaluate("link => { link.href = link.href + '&legend=false'; }")
            save.click()
            expect(page.locator("#toast")).to_contain_text("Waiting for the server: 16 requests", timeout=PATIENCE_MS)
            page.locator("#toast").get_by_role("button", name="Cancel").click()
            expect(page.locator("#toast")).to_contain_text("nothing was saved", timeout=PATIENCE_MS)
    finally:
        page.context.close()


@contextlib.contextmanager
def busy(server, run_id, first=450):
    """Fill the queue with figures of the server's own token; give a function that lets them be drawn."""
    filled, ended = threading.Event(), threading.Event()

    async def fill():
        async with asynchronous(server) as http:
            asking = [asyncio.create_task(http.get(path)) for path in figures(run_id, 16, first)]
            await in_queue(http, 16)
            filled.set()
            await asyncio.gather(*asking)

    with held_up(server) as go_on:
        filling = threading.Thread(target=lambda: (asyncio.run(fill()), ended.set()))
        filling.start()
        assert filled.wait(60)
        yield go_on
    filling.join(120)
    assert ended.is_set()
