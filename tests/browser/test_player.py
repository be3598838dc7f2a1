"""The page with films, as a person uses it, in the Chromium of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from vidattn.jobs import write_keyframes, write_shots
from vidattn.video import VideoWriter, open_video

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FPS, LENGTHS = 10, (20, 15, 25)


class Opened(NamedTuple):
    """A page, and what went wrong on it."""

    page: Any
    errors: list[str]

    def shows(self, seconds: float) -> bool:
        """Whether the film comes to show the frame of a time, by the browser's own account."""
        shown = self.page.evaluate(SHOWN, seconds)
        return bool(shown == pytest.approx(seconds, abs=1e-3))

    def clock(self) -> str:
        return str(self.page.locator(".now:visible").inner_text())


# Notes the time of each frame that a film shows, and when it showed it.
NOTE_FRAMES = """addEventListener("DOMContentLoaded", () => {
  for (const video of document.querySelectorAll("video")) {
    const note = (now, frame) => {
      video.shown = { seconds: frame.mediaTime, since: performance.now() };
      video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
  }
})"""
# The time of the frame that is shown once the film stands still, where that takes its time.
SHOWN = """async (expected) => {
  const video = [...document.querySelectorAll("video")].find((each) => each.offsetParent);
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const there = () => video.shown && Math.abs(video.shown.seconds - expected) < 1e-3;
  for (let tries = 0; tries < 200 && (video.seeking || !there()); tries += 1) await wait(20);
  await wait(100);
  return video.shown.seconds;
}"""
PRESS_QUICKLY = """(line) => {
  for (const key of ["Home", ...Array(17).fill("ArrowRight")]) {
    line.dispatchEvent(new KeyboardEvent("keydown", { key }));
  }
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    library = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with library.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes, the frames of which differ."""
    generator = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("films") / "a film #1 50%.mp4"
    with VideoWriter(path, fps=FPS, size=(96, 128)) as writer:
        for length in LENGTHS:
            scene = generator.integers(0, 200, (6, 8, 3)).repeat(16, axis=0).repeat(16, axis=1)
            for number in range(length):
                writer.write((scene + 2 * number).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def folder(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("results")
    write_shots([film], output / "shots", processes=0)
    write_keyframes([film], output / "frames", count=3, explain=True, processes=0)
    broken = film.with_name("clip.avi")  # nothing that a browser plays
    shutil.copy(film, broken)
    write_shots([film, broken], output / "two", processes=0)
    return output


@pytest.fixture(params=[390, 1280])
def width(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def opened(chromium: Any, path: Path, width: int) -> Opened:
    page = chromium.new_page(viewport={"width": width, "height": 900}, has_touch=width < 500)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on(
        "request", lambda sent: None if sent.url.startswith("file:") else errors.append(sent.url)
    )
    page.add_init_script(NOTE_FRAMES)
    page.goto(path.as_uri())
    return Opened(page, errors)


def fits(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_the_film_follows_pointer_and_keys(chromium: Any, folder: Path, width: int) -> None:
    page, errors = shots = opened(chromium, folder / "shots" / "shots.html", width)
    assert shots.clock() == "0:00:00.000"
    timeline = page.locator(".timeline")
    box = timeline.bounding_box()
    middle = box["y"] + box["height"] - 5

    page.mouse.click(box["x"] + box["width"] * 0.505, middle)
    assert shots.clock().startswith("0:00:03.0")
    assert shots.shows(3.0)

    page.mouse.move(box["x"] + box["width"] * 0.505, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=5)
    page.mouse.move(box["x"] + box["width"] * 0.7583, middle, steps=5)
    page.mouse.up()
    assert shots.clock().startswith("0:00:04.5")
    assert shots.shows(4.5)
    left = page.locator(".playhead").bounding_box()["x"]
    assert left == pytest.approx(box["x"] + box["width"] * 0.7583, abs=2)

    timeline.press("Home")
    for key, clock, seconds in (
        ("PageDown", "0:00:02.000", 2.0),
        ("ArrowRight", "0:00:02.100", 2.1),
        ("ArrowLeft", "0:00:02.000", 2.0),
        ("Shift+ArrowRight", "0:00:03.000", 3.0),
        ("PageDown", "0:00:03.500", 3.5),
        ("PageUp", "0:00:02.000", 2.0),
        ("End", "0:00:06.000", 5.9),
    ):
        timeline.press(key)
        assert shots.clock() == timeline.get_attribute("aria-valuetext") == clock
        assert shots.shows(seconds)
    timeline.evaluate(PRESS_QUICKLY)  # more quickly than the film can follow
    assert shots.clock() == "0:00:01.700"
    assert shots.shows(1.7)
    assert fits(page)
    assert errors == []
    page.close()


def test_playing_moves_the_playhead(chromium: Any, folder: Path) -> None:
    page, errors = shots = opened(chromium, folder / "shots" / "shots.html", 1280)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.playhead').offsetLeft > 100")
    page.get_by_role("button", name="Pause").click()
    assert shots.clock() > "0:00:00.000"
    assert errors == []
    page.close()


def test_each_key_frame_is_the_frame_of_its_picture(
    chromium: Any, folder: Path, film: Path, width: int
) -> None:
    page, errors = frames = opened(chromium, folder / "frames" / "keyframes.html", width)
    buttons = page.locator(".pictures .goto")
    with open_video(film) as reader:
        seconds = reader.frame_times.seconds
    assert buttons.count() == 3
    for button in buttons.all():
        button.click()
        index = int(button.locator(".name").inner_text().removeprefix("Frame "))
        assert frames.shows(seconds[index])
        assert button.locator("img").evaluate("image => image.naturalWidth") == 128
        assert button.get_attribute("aria-current") == "time"
    assert page.locator(".goto[aria-current]").count() == 1
    page.locator("summary", has_text="Dropped").first.click()
    dropped = page.locator(".entries .goto:visible").first
    dropped.click()
    assert frames.clock() == dropped.locator("time").inner_text()
    for _ in range(3):
        page.get_by_role("button", name="Show less of the time, larger").click()
    page.locator(".timeline").press("PageDown")
    assert fits(page)
    assert errors == []
    page.close()


def test_films_can_be_chosen_and_need_not_play(chromium: Any, folder: Path, width: int) -> None:
    page, errors = two = opened(chromium, folder / "two" / "shots.html", width)
    assert page.locator("article:visible").count() == 1
    page.get_by_label("Film", exact=True).select_option("film-2")
    assert page.locator("article:visible").get_attribute("id") == "film-2"
    page.locator("#film-2 .timeline").press("PageDown")
    assert two.clock() == "0:00:02.000"
    assert page.url.endswith("#film-2")
    (folder / "gone").mkdir(exist_ok=True)
    moved = folder / "gone" / "shots.html"  # from here, no film is where the page looks for it
    moved.write_text((folder / "shots" / "shots.html").read_text().replace("50%25", "51%25"))
    page, _ = gone = opened(chromium, moved, width)
    page.get_by_text("cannot play").wait_for()
    page.locator(".timeline").press("PageDown")
    assert gone.clock() == "0:00:02.000"
    assert page.get_by_role("button", name="Play").is_disabled()
    assert fits(page)
    assert errors == []
    page.close()
