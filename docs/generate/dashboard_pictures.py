"""Makes the pictures of the dashboard in docs/img: `python -m docs.generate.dashboard_pictures`.

A real router serves real traffic (dashboard_stage.py) and comes to each state by itself or by a verb (dashboard_scenes.py).
Two pages look at it all the time, one of a desktop and one of a phone; each is taken in light and in dark. With names of scenes
as arguments, only their pictures are made; `--whole FOLDER` writes every scene to FOLDER instead, down to the end of the page.
It takes about seven minutes, and needs the extra `test` and Debian's package chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.async_api import Page, async_playwright

from docs.generate.dashboard_browser import THEMES, launch, leave, new_page, show
from docs.generate.dashboard_scenes import Scene, scenes
from docs.generate.dashboard_stage import Stage

FOLDER: Final = Path(__file__).parent.parent / "img"
GATHER_S: Final = 50.0
"""Time for which the charts gather figures before a picture."""
_PAINT_S: Final = 1.3
_COLOURS_FLAT: Final = 12
_COLOURS_RARE: Final = 20
Colour = tuple[int, int, int]
_ALIAS: Final = """<match target="pattern"><test name="family"><string>{}</string></test>
<edit name="family" mode="prepend" binding="strong"><string>Liberation Sans</string></edit></match>
"""
_FONTS: Final = f"""<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><include>/etc/fonts/fonts.conf</include>
{"".join(_ALIAS.format(name) for name in ("system-ui", "sans", "sans-serif", "DejaVu Sans"))}</fontconfig>
"""
"""Pictures are made with the font that most desktops resemble, wherever they are made."""


@dataclass(frozen=True, slots=True)
class View:
    """One of the two pages, in px."""

    name: str
    width: int
    height: int


VIEWS: Final = (View("", 1240, 820), View("phone-", 390, 844))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to make: the names of scenes (all if there is none), and where to."""

    names: tuple[str, ...] = ()
    folder: Path = FOLDER
    whole: bool = False

    def has(self, scene: Scene) -> bool:
        """Return whether there is a picture of the scene."""
        return scene.name in self.names if self.names else self.whole or scene.picture


async def make(wanted: Wanted, folder: Path) -> None:
    """Go through all scenes, and make the pictures of those that are wanted."""
    fonts = folder / "fonts.conf"
    fonts.write_text(_FONTS, "utf-8")
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(Stage(folder))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await launch(playwright, "--hide-scrollbars", FONTCONFIG_FILE=str(fonts))
        stack.push_async_callback(browser.close)
        pages = {view: await new_page(browser, view.width, view.height, mobile=view.name != "") for view in VIEWS}
        async for scene in scenes(stage, GATHER_S):
            await asyncio.gather(*(_look(page, view, stage.url, scene, wanted) for view, page in pages.items()))
            print(scene.name, flush=True)


async def _look(page: Page, view: View, url: str, scene: Scene, wanted: Wanted) -> None:
    """Show the scene, and take its pictures."""
    await show(page, url, scene)
    if wanted.has(scene):
        await asyncio.sleep(_PAINT_S)
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            await take(page, wanted.folder / f"dashboard-{scene.name}-{view.name}{theme}.png", whole=wanted.whole)
    await leave(page, scene)


async def take(page: Page, path: Path, *, whole: bool) -> None:
    """Write a picture with few colours."""
    raw = await page.screenshot(animations="disabled", caret="initial", full_page=whole)
    image = Image.open(io.BytesIO(raw)).convert("RGB")
    if not whole:
        image = with_few_colours(image)
    image.save(path, optimize=True)


def with_few_colours(image: Image.Image) -> Image.Image:
    """Return an RGB image in few colours: the flat ones are kept, a sample of the rare ones too, and others take the nearest."""
    pixels: list[Colour] = list(image.get_flattened_data())  # type: ignore[arg-type]  # three parts each, in RGB
    counted = Counter(pixels)
    spread = image.quantize(_COLOURS_RARE, Image.Quantize.MAXCOVERAGE).getpalette() or []
    rare = [(spread[i], spread[i + 1], spread[i + 2]) for i in range(0, len(spread) - 2, 3)]
    palette = list(dict.fromkeys([colour for colour, _ in counted.most_common(_COLOURS_FLAT)] + rare))
    number = {colour: min(range(len(palette)), key=lambda n: _distance(palette[n], colour)) for colour in counted}
    found = Image.new("P", image.size)
    found.putpalette([part for colour in palette for part in colour])
    found.putdata([number[colour] for colour in pixels])
    return found


def _distance(one: Colour, other: Colour) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def main(arguments: list[str]) -> int:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description="Makes the pictures of the dashboard.")
    parser.add_argument("names", nargs="*", help="scenes; all if there is none")
    parser.add_argument("--whole", type=Path, metavar="FOLDER", help="write whole pages of every scene to FOLDER")
    found = parser.parse_args(arguments)
    wanted = Wanted(tuple(found.names), found.whole or FOLDER, found.whole is not None)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rollback-router-pictures-") as folder:
        asyncio.run(make(wanted, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
