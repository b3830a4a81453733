"""A comparison's page in a real browser, wide and narrow, light and dark."""

from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Browser
from test_comparison import compare, write_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
]
LONG = "a_mechanism_of_ones_own_with_a_long_name"
CONTRAST = """(() => {
  const lightness = colour => colour.match(/[\\d.]+/g).slice(0, 3).reduce((sum, part) => sum + +part, 0) / 3;
  const ground = lightness(getComputedStyle(document.body).backgroundColor);
  const inks = [...document.querySelectorAll("p, td, svg, svg text, figcaption, summary")].map(
    one => lightness(getComputedStyle(one).fill !== "rgb(0, 0, 0)" && one.tagName === "svg"
      ? getComputedStyle(one).fill : getComputedStyle(one).color));
  return [ground, Math.min(...inks.map(ink => Math.abs(ink - ground)))];
})()"""


@pytest.mark.parametrize("kinds", [2, 12, 40])
def test_the_page_fits_any_screen_and_is_read_in_the_dark(tmp_path: Path, capsys: Any, kinds: int) -> None:
    for kind in range(kinds):
        for seed in range(2):
            write_run(tmp_path / "runs", f"{LONG}{kind}", seed, (kind + seed / 4) / kinds)
    compare(tmp_path / "runs", "--out", tmp_path / "out", capsys=capsys)
    with Browser(tmp_path / "profile") as browser:
        for width in (1280, 375):
            for scheme in ("light", "dark"):
                media = [{"name": "prefers-color-scheme", "value": scheme}]
                browser.call("Emulation.setEmulatedMedia", features=media)
                browser.open(tmp_path / "out" / "report.html", width, 800, width < 500)
                assert browser.run("document.documentElement.scrollWidth") == width
                ground, least = browser.run(CONTRAST)
                assert (ground > 200) == (scheme == "light") and least > 80
                first, pairs = browser.run(
                    "[document.querySelector('svg').getBoundingClientRect().top,"
                    " document.querySelector('table').getBoundingClientRect().top]"
                )
                assert first < 800 and first < pairs  # a picture on the first screen, before any table
                wide = "[...document.querySelectorAll('svg')].every(one => one.getBoundingClientRect().right"
                assert browser.run(f"{wide} <= innerWidth)")
        assert browser.requests == [(tmp_path / "out" / "report.html").resolve().as_uri()]
