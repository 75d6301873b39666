"""One random change to a good archive, with every hash made anew, by the standard library alone.

Nothing of the project is used here: what is compared with the server's answers must not share its mistakes.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import math
import re
import zipfile

ODD = (
    None,
    True,
    0,
    -1,
    7,
    2**31,
    2**63,
    10**30,
    0.5,
    -0.0,
    1e300,
    "",
    "x",
    "NaN",
    "-Infinity",
    "../../x",
    "\x00",
    "\ud800",
    "ü\n",
    [],
    {},
    [[]],
    [1, 2, 3],
    {"a": 1},
    {"train": {}},
)
NAMES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "|u1", "BOOL": "|b1"}


def parts_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def dumps(value):
    return json.dumps(value).encode()


def sealed(parts):
    """Return the parts with a manifest that has the hashes and sizes that they have now."""
    manifest = json.loads(parts["manifest.json"])
    manifest["parts"] = {
        name: {"sha256": hashlib.sha256(part).hexdigest(), "size_bytes": len(part)}
        for name, part in parts.items()
        if name != "manifest.json"
    }
    return {**parts, "manifest.json": dumps(manifest)}


def packed(parts, names=None, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as opened:
        for name in names or parts:
            opened.writestr(name, parts[name])
    return file.getvalue()


# ── trees of JSON ───────────────────────────────────────────────────────────────────────────────────────────────────


def places(tree, above=()):
    """Return the containers and keys of every value of a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found = []
    for key, value in items:
        found.append((tree, key, (*above, key)))
        found += places(value, (*above, key))
    return found


def deep(levels):
    found = []
    for _ in range(levels):
        found = [found]
    return found


def enlarged(value, rng):
    if isinstance(value, str):
        return value + rng.choice(["x", "ü", "\\", '"']) * rng.choice([100, 10_000, 300_000, 3_000_000])
    if isinstance(value, bool) or value is None:
        return deep(rng.choice([10, 150, 900]))
    if isinstance(value, int | float):
        return value * rng.choice([10, 1e6, 2**40, 1e200]) + rng.choice([0, 1])
    if isinstance(value, list):
        return (value or [0]) * rng.choice([2, 1000, 40_000])
    return value | {f"k{i}": i for i in range(rng.choice([1, 600, 50_000]))}


def truncated(value):
    if isinstance(value, str | list):
        return value[: len(value) // 2]
    if isinstance(value, dict):
        return dict(list(value.items())[: len(value) // 2])
    return math.trunc(value / 2) if isinstance(value, int | float) and not isinstance(value, bool) else None


def reordered(held, rng):
    items = list(held.items()) if isinstance(held, dict) else list(held)
    rng.shuffle(items)
    return dict(items) if isinstance(held, dict) else items


def mutate(tree, rng):
    """Change one thing of a tree of JSON in place; return it in words."""
    held, key, path = rng.choice(places(tree))
    what = rng.choice(["drop", "retype", "duplicate", "reorder", "truncate", "enlarge", "nudge"])
    value = held[key]
    if what == "drop":
        del held[key]
    elif what == "retype":
        held[key] = copy.deepcopy(rng.choice(ODD))
    elif what == "duplicate" and isinstance(held, list):
        held.insert(key, copy.deepcopy(value))
    elif what == "duplicate":
        held[f"{key}2"] = copy.deepcopy(value)
    elif what == "reorder" and isinstance(value, list | dict):
        held[key] = reordered(value, rng)
    elif what == "truncate":
        held[key] = truncated(value)
    elif what == "enlarge":
        held[key] = enlarged(value, rng)
    elif isinstance(value, bool):
        held[key] = not value
    elif isinstance(value, int | float):
        held[key] = value + rng.choice([1, -1, 0.25])
    else:
        held[key] = f"{value}?" if isinstance(value, str) else value
    return f"{what} {'.'.join(map(str, path))}"


# ── the parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def canonical_hash(config):
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def in_run(parts, rng):
    facts = json.loads(parts["run.json"])
    before = canonical_hash(facts.get("config"))
    words = mutate(facts, rng)
    parts["run.json"] = dumps(facts)
    after = canonical_hash(facts.get("config"))
    if after != before:  # the config's hash is made anew wherever it is told
        facts["config_hash"] = after
        parts["run.json"] = dumps(facts)
        parts["events.jsonl"] = parts["events.jsonl"].replace(before.encode(), after.encode())
    return f"run.json: {words}"


def renumbered(parts, lines, removed, added):
    """Number events anew after one was removed or added, so that their numbers do not hide it."""
    facts = json.loads(parts["run.json"])

    def moved(seq):
        if removed is not None and seq > removed:
            return seq - 1
        return seq + 1 if added is not None and seq > added else seq

    for number, line in enumerate(lines, 1):
        line["seq"] = number
    facts["last_seq"] = len(lines)
    for each in facts["artifacts"]:
        each["seq"] = moved(each["seq"])
    parts["run.json"] = dumps(facts)


def in_events(parts, rng):
    texts = parts["events.jsonl"].splitlines(keepends=True)
    index = rng.randrange(len(texts))
    what = rng.choice(
        ["value"] * 8
        + ["drop", "drop and renumber", "duplicate", "duplicate and renumber", "swap", "swap and renumber"]
        + ["cut", "lengthen", "blank", "cut all", "many"]
    )
    line = json.loads(texts[index])
    words = f"events.jsonl line {index + 1} ({line['type']}): {what}"
    if what == "value":
        words += " " + mutate(line, rng)
        texts[index] = dumps(line) + b"\n"
    elif what == "cut":
        texts[index] = texts[index][: rng.randrange(len(texts[index]))] + rng.choice([b"", b"\n"])
    elif what == "lengthen":
        texts[index] = texts[index].rstrip() + b" " * rng.choice([10, 5 * 2**20]) + b"\n"
    elif what == "blank":
        texts.insert(index, b"\n")
    elif what == "cut all":
        texts = [b"".join(texts)[: rng.randrange(len(parts["events.jsonl"]))]]
    elif what == "many":
        texts += [texts[index]] * 20_000
    else:
        lines = [json.loads(text) for text in texts]
        removed = added = None
        if what.startswith("drop"):
            del lines[index]
            removed = index + 1
        elif what.startswith("duplicate"):
            lines.insert(index, copy.deepcopy(lines[index]))
            added = index + 1
        else:
            other = rng.randrange(len(lines))
            lines[index], lines[other] = lines[other], lines[index]
        if what.endswith("renumber"):
            renumbered(parts, lines, removed, added)
        texts = [dumps(each) + b"\n" for each in lines]
    parts["events.jsonl"] = b"".join(texts)
    return words


def split_file(content):
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def digest_of(header, body):
    """Return the hash that a file of arrays has of its own contents."""
    found = hashlib.sha256(header["__metadata__"]["state"].encode())
    for name in sorted(set(header) - {"__metadata__"}):
        entry = header[name]
        begin, end = entry["data_offsets"]
        found.update(f"{name} {NAMES[entry['dtype']]} {tuple(entry['shape'])}".encode() + body[begin:end])
    return found.hexdigest()


def joined_file(header, body):
    with_hash = header
    try:
        digest = digest_of(header, body)
        with_hash = {**header, "__metadata__": {**header["__metadata__"], "sha256": digest}}
    except (KeyError, TypeError, ValueError, AttributeError):
        pass  # a header that no hash can be made of
    text = dumps(with_hash)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def in_artifacts(parts, rng):
    name = rng.choice([name for name in parts if name.startswith("artifacts/")])
    content = parts[name]
    header, body = split_file(content)
    what = rng.choice(
        ["header", "header", "header", "state", "bytes", "bytes", "array", "cut", "append", "swap", "drop", "double"]
    )
    words = f"{name}: {what}"
    if what == "header":
        words += " " + mutate(header, rng)
        parts[name] = joined_file(header, body)
    elif what == "state":
        state = json.loads(header["__metadata__"]["state"])
        words += " " + (mutate(state, rng) if state else "filled")
        header["__metadata__"]["state"] = json.dumps(state or {"x": 1})
        parts[name] = joined_file(header, body)
    elif what == "bytes":
        at = rng.randrange(len(body))
        new = rng.choice([b"\xff\xff\xff\xff", b"\x00\x00\x80\x7f", b"\x00\x00\xc0\x7f", rng.randbytes(4)])
        at -= at % 4
        parts[name] = joined_file(header, (body[:at] + new + body[at + 4 :])[: len(body)])
    elif what == "array":
        chosen = rng.choice([each for each in header if each != "__metadata__"])
        held = header.pop(chosen)
        if rng.random() < 0.5:  # gone, with its bytes
            begin, end = held["data_offsets"]
            body = body[:begin] + body[end:]
            for each in header:
                if each != "__metadata__" and header[each]["data_offsets"][0] >= end:
                    header[each]["data_offsets"] = [place - (end - begin) for place in header[each]["data_offsets"]]
        else:
            header[chosen + rng.choice(["x", "_test", "é"])] = held
        parts[name] = joined_file(header, body)
    elif what == "cut":
        parts[name] = content[: rng.randrange(len(content))]
    elif what == "append":
        parts[name] = content + rng.randbytes(rng.choice([1, 8, 5 * 2**20]))
    elif what == "swap":
        parts[name] = parts[rng.choice([each for each in parts if each.startswith("artifacts/")])]
    elif what == "drop":
        del parts[name]
        if rng.random() < 0.5:
            facts = json.loads(parts["run.json"])
            facts["artifacts"] = [each for each in facts["artifacts"] if each["part"] != name]
            parts["run.json"] = dumps(facts)
    else:
        parts[re.sub("-a1", "-a2", name)] = content
    return words


def mutated(content, rng):
    """Return an archive in which one thing is changed, and that in words."""
    parts = parts_of(content)
    where = rng.choice(["events"] * 9 + ["run"] * 5 + ["artifacts"] * 5 + ["manifest", "manifest", "zip", "raw"])
    if where in ("events", "run", "artifacts"):
        words = {"events": in_events, "run": in_run, "artifacts": in_artifacts}[where](parts, rng)
        return packed(sealed(parts)), words
    if where == "manifest":
        manifest = json.loads(parts["manifest.json"])
        words = f"manifest.json: {mutate(manifest, rng)}"
        return packed({**parts, "manifest.json": dumps(manifest)}), words
    if where == "zip":
        names = list(parts)
        what = rng.choice(["shuffled", "stored", "renamed", "lacking", "stranger"])
        if what == "shuffled":
            rng.shuffle(names)
            return packed(parts, names), "zip: parts in another order"
        if what == "stored":
            return packed(parts, method=zipfile.ZIP_STORED), "zip: not compressed"
        name = rng.choice(names)
        held = {(f"{key}x" if key == name and what == "renamed" else key): part for key, part in parts.items()}
        if what == "lacking":
            del held[name]
        if what == "stranger":
            held["other/../x"] = b"x"
        return packed(sealed(held) if "manifest.json" in held else held), f"zip: {what} {name}"
    at = rng.randrange(len(content))
    what = rng.choice(["byte", "cut", "inserted"])
    if what == "byte":
        return content[:at] + rng.randbytes(1) + content[at + 1 :], f"file: byte {at}"
    if what == "cut":
        return content[:at], f"file: cut at {at}"
    return content[:at] + rng.randbytes(16) + content[at:], f"file: 16 bytes at {at}"
