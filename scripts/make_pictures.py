"""Make the README's screenshot and clip from a real run: a first start, watched in a browser until it has finished.

Needs what `make test` installs. Writes docs/pictures/run.png, docs/pictures/geometry.svg (the exported figure of the
same moment), docs/pictures/collapse.gif, one frame for each capture that the page drew, and docs/pictures/compare.png,
three heads with three seeds each.
"""

import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from backend.client import Client, calls  # noqa: E402  (the path is set above)
from ncfigures.palette import CLASSES_10, HIGH, LOW, TOKENS  # noqa: E402  (the path is set above)
from tests.harness import ServerProcess, open_chromium, wait_for  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
FRAME_MS, LAST_FRAME_MS, CLIP_WIDTH = 150, 2500, 800
PATIENCE_S = 1200


def shot(page: Page) -> Image.Image:
    """Return what the page shows."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def clip_palette() -> Image.Image:
    """Return one palette for all frames, so that what does not move does not flicker: the project's colours, blended.

    A palette found from the pictures themselves would be all greys, which is what most of a page is.
    """
    light = TOKENS["light"]
    inks = [*CLASSES_10, LOW, HIGH, light["accent"], light["good"]]
    blends = [(ink, share) for ink in inks for share in (1, 0.85, 0.7, 0.55, 0.42, 0.3, 0.2, 0.1)]
    blends += [("#000000", step / 40) for step in range(41)]
    blends += [(light["ink"], 1), (light["line"], 1), (light["neutral"], 1), (light["background"], 1)]
    entries = [round(255 + share * (part - 255)) for ink, share in blends for part in bytes.fromhex(ink[1:])]
    image = Image.new("P", (1, 1))
    image.putpalette(entries)
    return image


def watch(page: Page) -> list[Image.Image]:
    """Return a picture of each capture that the page draws, until the run has finished."""
    frames, seen, deadline = [], None, time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        status = page.inner_text('[data-part="status"]')
        step = page.get_attribute("#run-page", "data-shown-step")
        if step is not None and step != seen:
            seen = step
            picture = shot(page)
            height = round(picture.height * CLIP_WIDTH / picture.width)
            frames.append(picture.resize((CLIP_WIDTH, height), Image.Resampling.LANCZOS))
        if status == "finished":
            return frames
        time.sleep(0.05)
    raise TimeoutError(f"the run did not finish within {PATIENCE_S} s")


def compare(server: ServerProcess, page: Page) -> None:
    """Train three heads with three seeds each, and take a picture of them side by side."""
    config = {"data": {"name": "digits"}, "backbone": {"name": "mlp", "features": 32}, "batch_size": 64, "epochs": 30}
    grid = {"head.name": ["nearest-etf", "fixed-etf", "linear"]}
    with Client(server.url, server.token) as client:
        client(calls.sweep(config, "heads", grid=grid, seeds=3))
        wait_for(lambda: client(calls.runs(q="group:heads status:finished")).total == 9, PATIENCE_S, "nine runs")
        ended = client(calls.runs(q="group:heads"))
    page.goto(f"{server.url}/compare?runs={','.join(run.id for run in ended.items)}&at=0.3")
    page.wait_for_selector(".difference .main-svg")
    time.sleep(2)
    Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB").crop((0, 0, 1440, 1450)).save(
        PICTURES / "compare.png", optimize=True
    )


def main() -> None:
    """Make the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = ServerProcess(Path(folder) / "data")
        browser = open_chromium(playwright)
        try:
            page = browser.new_page(viewport={"width": 1440, "height": 860})
            page.goto(f"{server.url}/?token={server.token}")
            page.wait_for_selector("#run-page")
            page.get_by_role("button", name="Don't show again").click()  # the tour would stand before the picture
            frames = watch(page)
            time.sleep(1)
            shot(page).save(PICTURES / "run.png", optimize=True)
            run = page.get_attribute("#run-page", "data-run")
            with server.client() as http:
                figure = http.get(f"/api/v1/runs/{run}/figures/geometry.svg")
            (PICTURES / "geometry.svg").write_bytes(figure.content)
            compare(server, page)
        finally:
            browser.close()
            server.stop()
    palette = clip_palette()
    reduced = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    target = PICTURES / "collapse.gif"
    reduced[0].save(target, save_all=True, append_images=reduced[1:], duration=durations, loop=0, optimize=True)
    print(f"{len(frames)} frames, {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
