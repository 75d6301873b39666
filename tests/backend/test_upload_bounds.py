"""What is small to send and large to read: each is refused in words, by a server whose memory stays as it was."""

from __future__ import annotations

import json
import socket
import subprocess

import pytest

from tests.backend.bombs import ARCHIVES, DATA_SETS, FIGURES, MIB, origin
from tests.backend.test_archive_mutations import MOST_MEMORY, ZIP, good, most_memory, stored  # noqa: F401
from tests.harness import COLLAPSE, ServerProcess, tiny

REFUSED = (413, 422)
BINARY = {"content-type": "application/octet-stream"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server whose memory is looked at after all of these tests, and a folder that it reads data from."""
    folder = tmp_path_factory.mktemp("bounds")
    (folder / "own").mkdir()
    started = ServerProcess(folder / "data", "--no-demonstration", "--no-warm", "--data-root", str(folder / "own"))
    yield started
    found = most_memory(started)
    started.stop()
    assert found < MOST_MEMORY, f"the server had {found / 2**20:.0f} MiB"


def require_refused(answer, statuses=REFUSED):
    assert answer.status_code in statuses, f"{answer.status_code} {answer.text[:500]}"
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert 20 < len(answer.json()["detail"]) < 5000
    assert len(answer.content) < 20_000, "what was sent is not sent back"


@pytest.mark.parametrize("case", list(FIGURES))
def test_a_figure_that_is_a_bomb_is_refused(server, case):
    with server.client() as http:
        require_refused(http.post("/api/v1/figures/origin", content=FIGURES[case](), headers=BINARY))


def test_a_body_without_a_length_is_cut_off(server):
    pieces = (bytes(MIB) for _ in range(64))
    with server.client() as http:
        require_refused(http.post("/api/v1/figures/origin", content=pieces, headers=BINARY), (413,))


def test_a_figure_of_many_runs_says_where_it_comes_from(server):
    runs = json.loads(origin())["runs"] * 1000
    content = b"% CollapseLab: " + origin(runs=runs[:100]).encode() + b"\n"
    with server.client() as http:
        answer = http.post("/api/v1/figures/origin", content=content, headers=BINARY)
    assert answer.status_code == 200, answer.text[:500]
    assert len(answer.json()["runs"]) == 100


@pytest.mark.parametrize("case", list(ARCHIVES))
def test_an_archive_that_is_a_bomb_is_refused(server, good, case):  # noqa: F811
    content = ARCHIVES[case](good)
    before = stored(server)
    with server.client() as http:
        require_refused(http.post("/api/v1/imports", content=content, headers=ZIP))
    assert stored(server) == before


def test_an_archive_that_is_too_large_is_refused_before_it_is_sent(server):
    host, _, port = server.url.removeprefix("http://").partition(":")
    head = (
        f"POST /api/v1/imports HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {server.token}\r\n"
        f"Content-Type: application/zip\r\nContent-Length: {2**40}\r\n\r\nPK"
    )
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def deep(levels):
    return "[" * levels + "]" * levels


VALUES = {
    "deep lists": deep(100_000),
    "deep objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "empty lists": "[" + "[]," * 500_000 + "[]]",
    "empty objects": "[" + "{}," * 500_000 + "{}]",
    "many keys": "{" + ",".join(f'"{number}":1' for number in range(150_000)) + "}",
    "a key of a megabyte": '{"' + "k" * 2**20 + '": 1}',
    "a text of a megabyte": '"' + "x" * 2**20 + '"',
    "a text of nulls": '"' + "\\u0000" * 1000 + '"',
    "half a surrogate": '"\\ud800"',
    "half a surrogate in a list": '["\\udfff"]',
    "half a surrogate as a key": '{"\\ud800": "\\ud800"}',
    "a number of ten thousand digits": "9" * 10_000,
    "a number of a thousand digits": "9" * 1000,
    "2⁶³": str(2**63),
    "an infinite number": "1e999",
    "no number": "NaN",
    "a million numbers": "[" + "1," * 700_000 + "1]",
    "a hundred thousand wrong values": "[" + "null," * 99_000 + "null]",
    "nothing": "",
}


def bodies(server):
    """Return every request with a JSON body that the server describes, and the fields of each body."""
    with server.client() as http:
        described = http.get("/api/v1/openapi.json").json()
    found = []
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                name = body["schema"].get("$ref", "").rpartition("/")[2]
                fields = described["components"]["schemas"].get(name, {}).get("properties", {})
                found.append((method, path.replace("{run_id}", "0000000000"), list(fields)))
    return found


@pytest.mark.parametrize("case", list(VALUES))
def test_json_that_is_a_bomb_is_never_an_error_of_the_server(server, case):
    value = VALUES[case]
    routes = bodies(server)
    assert len(routes) > 8
    with server.client() as http:
        for method, path, fields in routes:
            for body in [value, *(f'{{"{field}": {value or "["}}}' for field in fields)]:
                answer = http.request(method, path, content=body.encode("utf-8", "surrogatepass"), headers=JSON)
                assert answer.status_code < 500, (
                    f"{method} {path} {body[:80]}: {answer.status_code} {answer.text[:300]}"
                )
                if answer.status_code >= 400:
                    assert len(answer.content) < 20_000, f"{method} {path} {body[:80]}: what was sent is sent back"


@pytest.mark.parametrize("case", list(DATA_SETS))
def test_a_data_set_that_is_a_bomb_is_refused_at_launch(server, case):
    path = server.data.parent / "own" / case.partition(":")[0]
    path.write_bytes(DATA_SETS[case]())
    data = {"name": "arrays", "path": str(path)}
    config = tiny(epochs=1, batch_size=2).model_dump(mode="json") | {"data": data}
    before = stored(server)
    with server.client() as http:
        require_refused(http.post("/api/v1/runs", json={"config": config}), (422,))
        checked = http.post("/api/v1/config/check", json=config)
        assert checked.status_code == 200
        assert checked.json()["errors"], checked.text[:500]
    assert stored(server) == before


def test_a_folder_of_npy_files_is_described_by_headers(server):
    """A sparse file says, and has, sixteen gigabytes of images: they are counted and not read."""
    from tests.backend.bombs import LABELS, npy

    folder = server.data.parent / "own" / "sparse"
    folder.mkdir()
    (folder / "labels.npy").write_bytes(LABELS)
    head = npy((16, 32_768, 32_768))
    with (folder / "images.npy").open("wb") as stream:
        stream.write(head)
        stream.truncate(len(head) + 16 * 32_768 * 32_768)
    config = tiny(epochs=1, batch_size=2).model_dump(mode="json") | {"data": {"name": "arrays", "path": str(folder)}}
    with server.client() as http:
        found = http.post("/api/v1/config/check", json=config).json()
    assert found["config"]["data"]["found"]["shape"] == [1, 32_768, 32_768], found


@pytest.mark.parametrize("pixels", [(60_000, 60_000), (9000, 9000)])
def test_an_image_that_is_a_bomb_counts_as_one_that_cannot_be_read(tmp_path, pixels):
    from ncengine.data.image_folder import read_image
    from tests.backend.bombs import chunk, deflated, png

    path = tmp_path / "bomb.png"
    path.write_bytes(png(chunk(b"IDAT", deflated(MIB)), width=pixels[0], height=pixels[1]))
    with pytest.raises(ValueError, match="pixels"):
        read_image(str(path), 8, grey=False)


def test_the_command_line_reads_no_file_that_cannot_be_a_figure(tmp_path):
    path = tmp_path / "figure.pdf"
    with path.open("wb") as stream:
        stream.write(b"%PDF-1.7")
        stream.truncate(2**40)
    for command in (["open", str(path), "--no-browser"], ["export", "--again", str(path)]):
        done = subprocess.run([COLLAPSE, *command], capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        assert "a figure has at most" in done.stdout + done.stderr, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
