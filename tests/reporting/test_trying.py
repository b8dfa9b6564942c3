"""``scalenorm-report --try``: each crop against `scalenorm.crop`, each command line against what it makes."""

from __future__ import annotations

import base64
import io
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from chromium import Page
from pictures import picture, write_pictures
from PIL import Image
from typed import run

import scalenorm
from scalenorm.commands.batch import main as batch
from scalenorm.commands.report import settings_of


class Cells(HTMLParser):
    """Rows of the table: for each cell its text and its pictures."""

    def __init__(self, text):
        super().__init__()
        self.rows = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append(["", []])
        elif tag == "img":
            data = dict(attrs)["src"].partition(",")[2]
            self.rows[-1][-1][1].append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))))

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1][0] += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trying")
    write_pictures(folder / "images", range(7))
    (folder / "images" / "g0003.png").write_bytes(b"no <picture>")
    return folder


@pytest.fixture
def page(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    words = ["images", "--try", "sigma=0.5,1.5", "--try", "margin=1,2", "--sample", "3", "--html", "try.html"]
    assert run(capsys, "report", *words) == (0, ["try.html: 3 images with 4 settings"], [])
    return Path("try.html")


def test_every_setting_is_shown_on_the_same_galaxies(page):
    head, *rows = [row for row in Cells(page.read_text()).rows if row]
    assert [text.strip() for text, _ in head[1:]] == [
        f"sigma {sigma}, margin {margin}" for sigma in ("0.5", "1.5") for margin in (1, 2)
    ]
    assert [row[0][0] for row in rows] == ["g0000", "g0003", "g0006"]  # evenly spread
    for number, row in ((0, rows[0]), (6, rows[2])):
        image = picture(number, 36 + number % 7)
        for (text, (_, shown)), (sigma, margin) in zip(row[1:], [(0.5, 1), (0.5, 2), (1.5, 1), (1.5, 2)], strict=True):
            options = {"sigma": sigma, "margin": margin}
            galaxy = scalenorm.measure(image, **options)
            assert f"window {galaxy.side:.0f} px" in text
            assert ("padded" in text) == bool(galaxy.flags & scalenorm.Flag.PADDED)
            expected = np.asarray(Image.fromarray(scalenorm.crop(image, 128, **options)), float)
            assert np.abs(expected - shown).mean() < 12  # 64 pixels enlarged, and JPEG
    assert all(text.startswith("not a JPEG") for text, _ in rows[1][1:])


def test_the_command_line_of_a_setting_makes_its_crops(page):
    commands = re.findall(r'<pre class="command" id="command-\d">(.*?)</pre>', page.read_text())
    assert commands[2] == "scalenorm-batch images galaxies.h5 --sigma=1.5 --margin=1"
    assert batch([*shlex.split(commands[2])[1:], "--overwrite", "--quiet"]) == 3  # one image failed
    row = scalenorm.open_cache("galaxies.h5")[0]
    assert row["side"] == scalenorm.measure(picture(0, 36), sigma=1.5).side


def test_switches_and_values_with_commas():
    settings = settings_of(["deblend=no,yes", "side_limits=40,300;20,90", "center=galaxy"], ["a b"])
    assert [setting.label for setting in settings] == [
        f"deblend {way}, side-limits {limits}, center galaxy" for way in ("no", "yes") for limits in ("40,300", "20,90")
    ]
    assert settings[3].options == {"deblend": True, "side_limits": (20.0, 90.0), "center": "galaxy"}
    assert settings[0].command == "scalenorm-batch 'a b' galaxies.h5 --side-limits=40,300 --center=galaxy"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--try", "jobs=1,2"], "--try takes an option of measuring"),
        (["--try", "sigma=a"], "invalid float value: 'a'"),
        (["--try", "margin=-1"], "margin must be"),
        (["--try", "sigma="], "no value is given; write sigma=A,B"),
        (["--try", "deblend=maybe"], "deblend is yes or no"),
        (["--try", "sigma=1", "--montage", "a.png"], "neither --montage nor --images"),
        (["--try", "sigma=1", "--sample", "0"], "--sample must be at least 1, got 0"),
        (["--try", "sigma=" + ",".join("1" * 500)], "3 images with 500 settings are more than 1,000 crops"),
        (["--sample", "3"], "--sample needs --try"),
    ],
)
def test_what_cannot_be_tried_is_said(folder, monkeypatch, capsys, words, message):
    monkeypatch.chdir(folder)
    sample = ["--sample", "3"] if "--sample" not in words and "--try" in words else []
    code, out, err = run(capsys, "report", "images", *words, *sample, "--html", "other.html")
    assert code == 2
    assert not out
    assert message in err[-1]
    assert not Path("other.html").exists()


def test_an_own_page_is_replaced_and_no_other_file(page, capsys):
    words = ["images", "--try", "sigma=1", "--sample", "1", "--html"]
    assert run(capsys, "report", *words, page)[0] == 0
    Path("mine.html").write_text("mine")
    assert run(capsys, "report", *words, "mine.html")[0] == 1
    assert Path("mine.html").read_text() == "mine"


@pytest.mark.parametrize("width", [1280, 400])
def test_the_browser_shows_the_command_that_is_chosen(browser, page, width):
    shown = Page(browser, page.absolute(), width)
    assert shown.overflow() <= 0
    for place in (0, 3):
        shown.one(f"label:has(#setting-{place})").click()
        visible = [command.text for command in shown.find(".command") if command.is_displayed()]
        assert visible == [shown.texts(".command")[place]]
        ground = [head.value_of_css_property("background-color") for head in shown.find("#trial thead th")]
        assert [color == ground[place] for color in ground] == [number == place for number in range(4)]
    assert browser.get_log("browser") == []
