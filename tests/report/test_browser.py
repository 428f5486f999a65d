"""The page in headless Chromium: it is drawn, in light and dark, and hostile text runs nowhere."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from additive.report.html import render_html
from tests.report.documents import evidence
from tests.report.test_html import _hostile

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
DARK = "--blink-settings=preferredColorScheme=0"
RED_GROUND = (253, 235, 236)
RED, DARK_RED = (198, 47, 59), (255, 111, 122)

pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="chromium is not installed (apt-get install chromium): page not drawn"
)


def _chromium(profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)


def _colours(picture: Path) -> Counter[tuple[int, int, int]]:
    from PIL import Image

    with Image.open(picture) as image:
        data = image.convert("RGB").tobytes()
    return Counter(zip(data[::3], data[1::3], data[2::3], strict=True))


@pytest.mark.parametrize(
    ("scheme", "paper", "red"),
    [
        ((), (255, 255, 255), RED),
        ((DARK,), (18, 21, 27), DARK_RED),
    ],
    ids=["light", "dark"],
)
def test_the_page_is_drawn(tmp_path, scheme, paper, red):
    page = tmp_path / "page.html"
    page.write_text(render_html(evidence("fail")), encoding="utf-8")
    picture = tmp_path / "page.png"
    size = ("--window-size=1120,1600", "--hide-scrollbars", f"--screenshot={picture}")
    _chromium(tmp_path / "profile", *size, *scheme, page.as_uri())
    colours = _colours(picture)
    assert colours.most_common(1)[0][0] == paper
    assert colours[red] > 100
    assert len(colours) > 200


def test_verdicts_are_seen_on_a_narrow_screen(tmp_path):
    """A table is wider than a telephone: its rows are cards there, nothing is scrolled away."""
    from PIL import Image

    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    page.write_text(render_html(evidence("fail")), encoding="utf-8")
    size = ("--window-size=500,2400", "--hide-scrollbars", f"--screenshot={picture}")
    _chromium(tmp_path / "profile", *size, page.as_uri())
    below_the_banner = tmp_path / "table.png"
    with Image.open(picture) as image:
        image.crop((0, 500, 500, 2400)).save(below_the_banner)
    assert _colours(below_the_banner)[RED_GROUND] > 200


def test_hostile_text_stays_text_in_a_browser(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(render_html(_hostile()), encoding="utf-8")
    log = ("--enable-logging=stderr", "--v=0", "--dump-dom")
    done = _chromium(tmp_path / "profile", *log, page.as_uri())
    assert "<script" not in done.stdout
    assert "&lt;script&gt;alert('x')&lt;/script&gt;" in done.stdout
    assert "Content Security Policy" not in done.stderr


def test_the_page_prints_its_folded_parts(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(render_html(evidence("fail")), encoding="utf-8")
    paper = tmp_path / "page.pdf"
    _chromium(tmp_path / "profile", f"--print-to-pdf={paper}", page.as_uri())
    assert paper.read_bytes().startswith(b"%PDF-")
    assert paper.stat().st_size > 20_000
