"""Montage and page: what is drawn, against the originals; the page in a real browser."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import warnings
import zipfile
from html.parser import HTMLParser

import h5py
import numpy as np
import pytest
from chromium import Page
from hostile import BROKEN, IDS, as_shown, make_cache
from pictures import write_pictures
from PIL import Image
from skimage.measure import block_reduce, label, regionprops

import scalenorm
from scalenorm import Flag
from scalenorm.cache import Cache
from scalenorm.cache.joining import join_caches
from scalenorm.cache.originals import read_originals
from scalenorm.commands import batch, report
from scalenorm.images import showing
from scalenorm.images.showing import Limits, as_picture, limits_of, shrunk
from scalenorm.measuring.showing import ELLIPSE, WINDOW
from scalenorm.reporting import page as reporting_page
from scalenorm.reporting import tiles
from scalenorm.reporting.charts import histogram
from scalenorm.reporting.choosing import good_rows, most_suspicious, offsets, spread_over_sizes, suspicion
from scalenorm.reporting.drawing import draw_measurement, draw_rows, ellipse_points
from scalenorm.reporting.montage import draw_montage, write_montage
from scalenorm.reporting.page import write_report
from scalenorm.simulation.tile import make_tile


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_cache(tmp_path_factory.mktemp("hostile"), views=["normalized", "center-64"])


@pytest.fixture(scope="module")
def page(cache):
    path = cache.path.with_name("page.html")
    write_report(cache, path)
    return path


# --- choosing


def test_suspicion_is_the_sum_that_its_documentation_says(cache):
    rows = good_rows(cache)
    assert cache.ids.index(BROKEN) not in rows
    catalog = cache.catalog[rows]
    offset = np.hypot(catalog["row"] - 105.5, catalog["col"] - 105.5)
    np.testing.assert_allclose(offsets(cache)[rows], offset)
    size = np.log(catalog["major_axis"])
    spread = 1.4826 * np.median(np.abs(size - np.median(size)))
    unusual = np.clip(np.abs(size - np.median(size)) / spread - 2, 0, 5)
    severity = {Flag.TOUCHES_EDGE: 2, Flag.LOW_CONTRAST: 2, Flag.OFF_CENTER: 1, Flag.BLENDED: 1}
    flags = [sum(severity.get(flag, 0.5) for flag in Flag if flag & value) for value in catalog["flags"]]
    assert not (np.bitwise_or.reduce(catalog["flags"]) & (Flag.NO_FOREGROUND | Flag.MOST_OF_IMAGE))
    expected = flags + np.minimum(offset / (catalog["major_axis"] / 2), 5) + unusual
    np.testing.assert_allclose(suspicion(cache)[rows], expected)
    assert most_suspicious(cache, 3) == rows[np.argsort(-expected)[:3]].tolist()


def test_spread_over_sizes_takes_small_and_large(cache):
    sizes = cache.catalog["major_axis"][spread_over_sizes(cache, 6)]
    assert (np.diff(sizes) >= 0).all()
    ranks = np.searchsorted(np.sort(cache.catalog["major_axis"][good_rows(cache)]), sizes)
    assert np.diff(ranks).max() <= 4
    assert sorted(spread_over_sizes(cache, 1000)) == good_rows(cache).tolist()


# --- drawing


def as_row(measured):
    """A measurement as a row of a catalogue."""
    fields = ("row", "col", "major_axis", "minor_axis", "orientation", "window_row", "window_col", "side", "height")
    names = (*fields, "width")
    return np.array([tuple(getattr(measured, name) for name in names)], [(name, float) for name in names])[0]


@pytest.mark.parametrize("orientation", [0.0, 0.5, -1.2, np.pi / 2])
def test_ellipse_points_outline_the_region(orientation):
    rows, cols = np.mgrid[:200, :300]
    along = (rows - 90) * np.cos(orientation) + (cols - 170) * np.sin(orientation)
    across = -(rows - 90) * np.sin(orientation) + (cols - 170) * np.cos(orientation)
    inside = (along / 60) ** 2 + (across / 25) ** 2 <= 1
    row = as_row(scalenorm.measure(inside.astype(np.uint8), center=(90, 170)))
    found = regionprops(label(inside))[0]
    points = ellipse_points(row) - 0.5
    # Points just inside and just outside of the outline lie so in the region too.
    middle = np.array([found.centroid[1], found.centroid[0]])
    for factor, expected in ((0.96, True), (1.04, False)):
        near = np.round(middle + factor * (points - middle)).astype(int)
        assert (inside[near[:, 1], near[:, 0]] == expected).all()


def test_drawing_is_where_the_measurement_is(galaxies):
    measured = scalenorm.measure(galaxies.images[0])
    row = as_row(measured)
    picture = Image.new("RGB", (212, 212))
    draw_measurement(picture, row)
    pixels = np.asarray(picture).astype(int)
    for color, height in ((WINDOW, measured.side), (ELLIPSE, np.ptp(ellipse_points(row)[:, 1]))):
        wanted = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
        drawn = np.argwhere(np.abs(pixels - wanted).max(axis=2) < 60)
        assert np.ptp(drawn[:, 0]) + 1 == pytest.approx(height / 2, abs=3)
        middle = (drawn.min(axis=0) + drawn.max(axis=0)) / 2
        expected = (measured.window_row, measured.window_col) if color == WINDOW else (measured.row, measured.col)
        np.testing.assert_allclose(middle * 2 + 0.5, expected, atol=3)


@pytest.mark.parametrize("bands", [None, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, ">f4", np.float64])
def test_any_array_becomes_a_picture(rng, bands, dtype):
    pixels = (rng.random((40, 30) if bands is None else (40, 30, bands)) * 200).astype(dtype)
    if pixels.dtype.kind == "f":
        pixels.flat[:3] = np.nan, np.inf, -np.inf
    picture = as_picture(pixels, limits_of(pixels))
    assert (picture.size, picture.mode) == ((30, 40), "RGB")
    shown = np.asarray(picture)
    if dtype == np.uint8 and bands == 3:
        np.testing.assert_array_equal(shown, pixels)
    elif bands in (None, 1):
        flat = pixels.reshape(-1)[3:].astype(float)
        assert np.corrcoef(np.argsort(np.argsort(flat)), shown[..., 0].ravel()[3:])[0, 1] > 0.9
    if bands in (None, 1, 3):
        assert np.ptp(shown) > 150


def test_constant_and_empty_values_have_limits():
    assert limits_of(np.full((3, 3), 7.0)) == Limits(7.0, 8.0)
    assert limits_of(np.full((3, 3), np.nan)) == Limits(0.0, 1.0)


# --- originals


def test_originals_are_those_that_were_measured(cache, tmp_path):
    rows = good_rows(cache).tolist()
    sources = {row: cache.catalog["source"][row].decode() for row in rows}
    for row, original in zip(rows, read_originals(cache, rows), strict=True):
        with Image.open(cache.path.parent / sources[row]) as image:
            np.testing.assert_array_equal(original, np.asarray(image))
    other = tmp_path / "elsewhere"
    shutil.copytree(cache.path.parent / "images", other / "images")
    changed, gone = rows[0], rows[1]
    Image.new("RGB", (212, 212)).save(other / sources[changed])
    (other / sources[gone]).unlink()
    found = zip(rows, read_originals(cache, rows, [other]), strict=True)
    assert [row for row, original in found if original is None] == [changed, gone]


@pytest.mark.slow
def test_originals_of_more_inputs_than_the_cache_names(tmp_path, galaxies):
    paths = [tmp_path / f"{name}.png" for name in galaxies.ids]
    for path, image in zip(paths, galaxies.images, strict=True):
        Image.fromarray(image).save(path)
    scalenorm.convert(paths, tmp_path / "c.h5", views=["normalized"])
    originals = read_originals(scalenorm.open_cache(tmp_path / "c.h5"), range(8))
    for image, original in zip(galaxies.images, originals, strict=True):
        np.testing.assert_array_equal(original, image)


def test_originals_of_one_name_in_two_folders(tmp_path, galaxies):
    for name, image in zip(("a", "b"), galaxies.images, strict=False):
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "same.png")
    scalenorm.convert(tmp_path, tmp_path / "c.h5", views=["normalized"], id_from="path")
    cache = scalenorm.open_cache(tmp_path / "c.h5")
    for images in (None, [tmp_path]):
        for image, original in zip(galaxies.images[:2], read_originals(cache, [0, 1], images), strict=True):
            np.testing.assert_array_equal(original, image)


def test_originals_of_merged_caches(tmp_path, galaxies, monkeypatch):
    """From a folder, an archive and a stack; named by paths that lead there from the cache's folder too."""
    (tmp_path / "a").mkdir()
    Image.fromarray(galaxies.images[0]).save(tmp_path / "a" / "one.png")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(tmp_path / "a" / "one.png", "inside/two.png")
    np.save(tmp_path / "c.npy", galaxies.images[1:3])
    monkeypatch.chdir(tmp_path)
    for name, given in {"1.h5": "a", "2.h5": "b.zip", "3.h5": "c.npy"}.items():
        scalenorm.convert(given, name, views=["normalized"])
    merged = join_caches(["1.h5", "2.h5", "3.h5"], "all.h5")
    assert merged.inputs == ["a", "b.zip", "c.npy"]
    monkeypatch.chdir("/")
    originals = read_originals(scalenorm.open_cache(tmp_path / "all.h5"), range(4))
    for image, original in zip((1, 2, 0, 0), originals, strict=True):
        np.testing.assert_array_equal(original, galaxies.images[image])


# --- montage


def test_montage_shows_the_views_and_says_what_it_is(cache, tmp_path):
    drawn, found = write_montage(cache, tmp_path / "m.png", count=5)
    assert (drawn, found) == (5, 5)
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.text["Software"] == "scalenorm-report"
        assert 700 < picture.width <= 1400
    rows = spread_over_sizes(cache, 1)
    picture, _ = draw_montage(cache, rows)
    tile = (picture.width - 48 - 12) // 3
    left, top = 24 + tile + 6, 24 + 64
    shown = picture.crop((left, top, left + tile, top + tile)).resize((64, 64), Image.Resampling.BOX)
    error = np.asarray(shown).astype(int) - cache.view("normalized")[rows[0]]
    assert np.abs(error).mean() < 3


def test_montage_without_originals_says_so(cache, tmp_path):
    (tmp_path / "other").mkdir()
    shutil.copy(cache.path.parent / "images" / "00 <i>&.png", tmp_path / "other" / "x.png")
    assert write_montage(cache, tmp_path / "m.png", images=[tmp_path / "other"], ids=["plain-1", "NUL"]) == (2, 0)


# --- commands


def run(capsys, *arguments):
    code = report.main([str(argument) for argument in arguments])
    done = capsys.readouterr()
    return code, done.out, done.err


@pytest.mark.slow
def test_own_results_are_replaced_and_no_others(cache, tmp_path, capsys):
    montage, page = tmp_path / "m.png", tmp_path / "p.html"
    arguments = (cache.path, "--montage", montage, "--html", page, "--worst", "-n", 2)
    expected = f"{montage}: 2 galaxies\n{page}: pictures of {len(IDS)} galaxies\n"
    assert run(capsys, *arguments) == (0, expected, "")
    assert run(capsys, *arguments) == (0, expected, "")
    assert run(capsys, *arguments, "--quiet") == (0, "", "")
    for path in (montage, page):
        before = path.read_bytes()
        path.write_text("mine")
        code, _, error = run(capsys, *arguments)
        assert (code, error.count("\n"), path.read_text()) == (1, 1, "mine")
        assert f"{path} already exists: choose another name" in error
        path.write_bytes(before)
    page.write_text("mine")
    assert run(capsys, *arguments, "--overwrite")[0] == 0
    assert sorted(tmp_path.iterdir()) == [montage, page]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--montage", "m.jpg"], "its name must end in .png"),
        (["--montage", "missing/m.png"], "missing: no such folder; create it first"),
        (["--montage", "m.png", "--ids", "plain-1,nobody"], "no image has the id 'nobody'"),
        (["--montage", "m.png", "--ids", BROKEN], "failed (not a JPEG, PNG"),
        (["--montage", "m.png", "--images", "nowhere"], "no such file or folder: nowhere"),
        (["--html", "."], ". is a folder: give the name of a file in it"),
    ],
)
def test_errors_are_one_line(cache, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, error = run(capsys, cache.path, *arguments)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--html", "p.html", "--worst"],
        ["--montage", "m.png", "-n", "0"],
        ["--montage", "m.png", "--ids", "a", "--worst"],
    ],
)
def test_wrong_command_lines(cache, capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        report.main([str(cache.path), *arguments])
    assert exit_.value.code == 2
    assert "scalenorm-report: error: " in capsys.readouterr().err


@pytest.mark.slow
def test_batch_writes_a_page(tmp_path, galaxies, capsys):
    (tmp_path / "in").mkdir()
    for name, image in zip(galaxies.ids, galaxies.images, strict=True):
        Image.fromarray(image).save(tmp_path / "in" / f"{name}.png")
    page = tmp_path / "page.html"
    arguments = [str(tmp_path / "in"), str(tmp_path / "out.h5"), "--views", "normalized", "--report", str(page)]
    (tmp_path / "page.html").write_text("mine")
    assert batch.main(arguments) == 1
    assert not (tmp_path / "out.h5").exists()
    page.unlink()
    assert batch.main(arguments) == 0
    assert capsys.readouterr().out.endswith(f"{page}: pictures of 8 galaxies\n")
    assert len(data_of(page)["pictures"]) == 8


def test_a_page_needs_a_local_cache(tmp_path):
    assert batch.main([str(tmp_path), "memory://x.h5", "--report", str(tmp_path / "p.html")]) == 1


# --- the page as text


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def data_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_page_is_one_file_without_foreign_elements(page):
    found = Elements(page.read_text(encoding="utf-8")).found
    assert [tag for tag, _ in found if tag in ("script", "style", "u", "b", "i", "iframe", "object")] == [
        "style", "script", "script",
    ]  # fmt: skip
    assert [attrs["href"] for tag, attrs in found if tag == "link"] == ["data:,"]
    for _, attrs in found:
        assert not [name for name in attrs if name.startswith("on")]
        assert "src" not in attrs
        assert attrs.get("href", "#").startswith(("#", "data:,"))


def test_page_holds_what_the_cache_does(cache, page):
    data = data_of(page)
    rows = good_rows(cache)
    assert data["columns"]["id"] == [as_shown(cache.ids[row]) for row in rows]
    assert data["columns"]["flags"] == cache.catalog["flags"][rows].tolist()
    np.testing.assert_allclose(data["columns"]["size"], cache.catalog["major_axis"][rows], atol=0.051)
    np.testing.assert_allclose(data["columns"]["offset"], offsets(cache)[rows], atol=0.051)
    assert [failed[0] for failed in data["failed"]] == [BROKEN]
    assert set(data["pictures"]) == {str(number) for number in range(len(IDS))}


def test_histogram_counts_everything(rng):
    values = rng.gamma(3, 30, 5000)
    chart = histogram(values, title="<Size>", axis="major axis", unit="px")
    counts = [int(text.replace(",", "")) for text in re.findall(r": ([\d,]+)</title>", chart)]
    beyond = re.search(r"; ([\d,]+) beyond", chart)
    assert sum(counts) + (int(beyond[1]) if beyond else 0) == 5000
    assert "&lt;Size&gt;" in chart
    assert f"median {np.median(values):.1f} px" in chart
    for special in ([5.0], [0.0, 0.0], []):
        assert "NaN" not in histogram(np.array(special), title="t", axis="a", unit="px")


@pytest.mark.slow
def test_a_large_cache_gives_a_page_of_bounded_size(cache, tmp_path):
    repeated = np.tile(good_rows(cache), 60_000 // len(IDS) + 1)[:60_000]

    class Large(Cache):
        catalog = cache.catalog[repeated]
        ids = [f"{number:018d}" for number in range(60_000)]  # noqa: RUF012

        def __len__(self):
            return 60_000

        def view(self, name):
            return View(name)

        def read(self, _name, start=0, stop=None):
            return self.catalog[start:stop]

    class View:
        def __init__(self, name):
            self.crops = cache.view(name)

        def __getitem__(self, row):
            return self.crops[repeated[row]]

    assert write_report(Large(cache.path), tmp_path / "large.html")[0] == 480
    assert (tmp_path / "large.html").stat().st_size < 20_000_000
    assert len(data_of(tmp_path / "large.html")["columns"]["id"]) == 60_000


# --- tiles


@pytest.mark.parametrize("shape", [(64, 64), (50, 131), (131, 50, 3), (7, 9), (300, 40, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, ">f4", np.float64])
def test_large_images_are_shrunk_by_means_of_blocks(rng, monkeypatch, shape, dtype):
    pixels = (rng.random(shape) * 200).astype(dtype)
    if pixels.dtype.kind == "f":
        pixels[:4, :4] = np.nan
        pixels[5, 5] = np.inf
    read = []

    class Sliced:
        """An image that gives what is sliced, and no more."""

        shape, dtype = pixels.shape, pixels.dtype

        def __getitem__(self, key):
            read.append(pixels[key].shape)
            return pixels[key]

    monkeypatch.setattr(showing, "_PIECE", 100)
    small = shrunk(Sliced(), 32)
    assert max(rows * cols for rows, cols, *_ in read) <= 100
    assert sum(rows * cols for rows, cols, *_ in read) == shape[0] * shape[1]
    step = -(-max(shape[:2]) // 32)
    known = np.where(np.isfinite(pixels), pixels, np.nan).astype(float)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of blocks without a number
        means = block_reduce(known, (step, step, 1)[: len(shape)], np.nanmean, cval=np.nan)
    np.testing.assert_allclose(small, np.rint(means) if dtype == np.uint8 else means)


@pytest.fixture(scope="module")
def from_tiles(tmp_path_factory):
    """A cache of 8 galaxies from two tiles."""
    folder = tmp_path_factory.mktemp("tiles")
    lines = ["id,row,col,tile"]
    for number in range(2):
        tile = make_tile(4, seed=number, size=300, apart=60)
        np.save(folder / f"<{number}>.npy", tile.image)
        places = zip(tile.ids, tile.row, tile.col, strict=True)
        lines += [f"{name}-{number},{row},{col},<{number}>.npy" for name, row, col in places]
    (folder / "catalog.csv").write_text("\n".join(lines))
    summary = scalenorm.convert(
        [folder / "<0>.npy", folder / "<1>.npy"], folder / "out.h5", positions=folder / "catalog.csv", stamp=64,
        tile_column="tile",
    )  # fmt: skip
    return Cache(summary.output)


def test_page_shows_tiles_and_where_the_windows_are(from_tiles, tmp_path):
    path = tmp_path / "page.html"
    write_report(from_tiles, path)
    text, data = path.read_text("utf-8"), data_of(path)
    assert re.findall(r"<figcaption><bdi>(.*?)</bdi> <small>(.*?)</small>", text) == [
        ("&lt;0&gt;.npy", "300 × 300 px, 4 galaxies"), ("&lt;1&gt;.npy", "300 × 300 px, 4 galaxies"),  # noqa: RUF001
    ]  # fmt: skip
    jpegs = re.findall(r'<img src="data:image/jpeg;base64,(.*?)" alt="tile', text)
    for number, (jpeg, windows) in enumerate(zip(jpegs, data["windows"], strict=True)):
        grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(jpeg))).convert("L"))
        assert {data["columns"]["id"][row] for row, *_ in windows} == {f"source-{n:06d}-{number}" for n in range(4)}
        for row, left, top, side in windows:
            found = from_tiles.catalog[row]
            middle = found["stamp_row"] + found["window_row"], found["stamp_col"] + found["window_col"]
            np.testing.assert_allclose((top + side / 2 - 0.5, left + side / 2 - 0.5), middle, atol=0.11)
            assert side == pytest.approx(found["side"], abs=0.06)
            assert grey[round(middle[0]), round(middle[1])] > 2 * np.median(grey) + 20
        assert sorted((-side for *_, side in windows)) == [-side for *_, side in windows]


def test_tiles_that_changed_and_windows_that_are_too_many(from_tiles, tmp_path, monkeypatch):
    np.save(tmp_path / "<1>.npy", np.load(from_tiles.path.with_name("<1>.npy")) + 1)
    (tmp_path / "<0>.npy").write_bytes(from_tiles.path.with_name("<0>.npy").read_bytes())
    monkeypatch.setattr(tiles, "WINDOWS", 3)
    drawn, of = tiles.draw_tiles(from_tiles, range(8), {0, 2, 6}, [tmp_path])
    assert ([tile.name for tile in drawn], of) == (["<0>.npy"], 2)
    assert drawn[0].galaxies == 4
    assert len(drawn[0].rows) == 3
    assert {0, 2, 6} <= set(drawn[0].rows.tolist())
    write_report(from_tiles, tmp_path / "page.html", images=[tmp_path])
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "1 of 2 tiles, those with" in text
    assert "4 galaxies, 3 of their windows" in text
    write_report(from_tiles, tmp_path / "none.html", images=[])
    assert "No tile was found unchanged" in (tmp_path / "none.html").read_text("utf-8")


def test_originals_of_stretched_crops_are_drawn_like_others(tmp_path):
    tile = make_tile(1, seed=1, size=256)
    np.save(tmp_path / "a.npy", tile.image[:, : round(tile.col[0]) + 20])  # the stamp goes on beyond the tile
    (tmp_path / "a.csv").write_text(f"id,row,col\na,{tile.row[0]},{tile.col[0]}\n")
    pictures = []
    for stretch in (None, "asinh:a=0.5"):
        output = tmp_path / f"{stretch}.h5"
        scalenorm.convert(tmp_path / "a.npy", output, positions=tmp_path / "a.csv", stamp=64, stretch=stretch)
        ((picture, _, _),) = draw_rows(Cache(output), [0], None, 64)
        pictures.append(np.asarray(picture).astype(int))
    assert pictures[0].max() > 200
    assert np.abs(pictures[0] - pictures[1]).mean() < 10


# --- the page in a browser


@pytest.fixture
def shown(browser, page):
    shown = Page(browser, page)
    yield shown
    assert browser.get_log("browser") == []


def test_browser_opens_the_page_without_errors(shown, page, cache):
    assert shown.driver.title == f"{cache.path.name} – scalenorm report"  # noqa: RUF001
    assert len(shown.find("#gallery > li")) == min(len(IDS), 24)
    names = set(shown.texts("#gallery h3"))
    assert names == set(map(as_shown, IDS))
    assert BROKEN in shown.texts("#failed th[scope=row]")
    script = "Promise.all([...document.images].map(i => i.decode())).then(() => arguments[0](document.images.length))"
    assert shown.driver.execute_async_script(script) == 3 * len(IDS)


def test_browser_draws_the_ellipse_as_python_does(shown, cache):
    # The browser's own geometry of the turned ellipse, in pixels of the original.
    script = """
    const shape = document.querySelectorAll("#gallery li")[0].querySelector("ellipse.ellipse");
    const matrix = shape.transform.baseVal.consolidate().matrix;
    const points = [];
    for (let k = 0; k <= 96; k++) {
      const angle = 2 * Math.PI * k / 96, point = shape.ownerSVGElement.createSVGPoint();
      point.x = shape.cx.baseVal.value + Math.cos(angle) * shape.rx.baseVal.value;
      point.y = shape.cy.baseVal.value + Math.sin(angle) * shape.ry.baseVal.value;
      const turned = point.matrixTransform(matrix);
      points.push([turned.x, turned.y]);
    }
    return points;"""
    row = most_suspicious(cache, 1)[0]
    points = np.array(shown.driver.execute_script(script))
    expected = ellipse_points(cache.catalog[row])
    # The same outline, whichever way round it is followed.
    distance = np.hypot(*(points[:, None] - expected[None]).transpose(2, 0, 1)).min(axis=1)
    assert distance.max() < np.pi * cache.catalog["major_axis"][row] / 96 / 2 + 0.05


@pytest.mark.slow
def test_browser_filters_by_flag_size_offset_and_id(shown, cache):
    rows = good_rows(cache)
    flags, size = cache.catalog["flags"][rows], np.round(cache.catalog["major_axis"][rows], 1)
    ids = np.array([as_shown(cache.ids[row]) for row in rows], object)
    common = max(Flag, key=lambda flag: np.count_nonzero(flags & flag))
    offset = np.round(offsets(cache)[rows], 1)
    cases = [
        ({"flag": str(int(common))}, (flags & common) != 0),
        ({"flag": "none"}, flags == 0),
        ({"sizeFrom": str(np.median(size))}, size >= np.median(size)),
        ({"sizeTo": "60"}, size <= 60),
        ({"offsetFrom": "2", "offsetTo": "5"}, (offset >= 2) & (offset <= 5)),
        ({"text": "GALAXY"}, np.array(["galaxy" in name.lower() for name in ids])),
        ({"text": "<script>"}, np.array(["<script>" in name for name in ids])),
        ({"text": "nobody"}, np.zeros(len(ids), bool)),
    ]  # fmt: skip
    for fields, expected in cases:
        for name, value in fields.items():
            if name == "flag":
                shown.choose(name, value)
            else:
                shown.type(name, value)
        assert set(shown.texts("#gallery h3")) == set(ids[expected]), fields
        count = f"{expected.sum()} of {len(ids)} galaxies" if expected.any() else "No galaxy is like that"
        assert shown.one("#count").text.startswith(count)
        shown.one("button[type=reset]").click()
        shown.driver.execute_async_script("setTimeout(arguments[0], 20)")
        assert shown.one("#count").text == f"{len(ids)} of {len(ids)} galaxies"


def test_browser_knows_no_offsets_of_objects(browser, tmp_path):
    images = write_pictures(tmp_path / "images", [1, 2, 3])
    scalenorm.convert(images, tmp_path / "objects.h5", all_objects=True, min_area=20)
    write_report(scalenorm.open_cache(tmp_path / "objects.h5"), tmp_path / "page.html")
    shown = Page(browser, tmp_path / "page.html")
    shown.driver.execute_script(
        "document.querySelector('.made').remove()"
    )  # the path of the images has this test's name
    assert "offset" not in shown.one("body").text.lower()
    assert shown.texts("#summary dt")[0] == "Objects"
    ids = shown.texts("#gallery h3")
    shown.type("sizeFrom", "1")
    assert shown.texts("#gallery h3") == ids != []
    shown.one("#as-table").click()
    assert [len(shown.find(f"#listing tbody tr:first-child {tag}")) for tag in ("th", "td")] == [1, 4]
    assert len(shown.find("#listing thead th")) == 5
    assert browser.get_log("browser") == []


def test_browser_sorts_pictures_and_table(shown, cache):
    rows = good_rows(cache)
    ids = np.array([as_shown(cache.ids[row]) for row in rows], object)
    size = np.round(cache.catalog["major_axis"][rows], 1)
    by_size = ids[np.argsort(size, kind="stable")].tolist()
    assert shown.texts("#gallery h3")[0] == as_shown(cache.ids[most_suspicious(cache, 1)[0]])
    shown.choose("sort", "size:up")
    assert shown.texts("#gallery h3") == by_size
    shown.one("#as-table").click()
    assert not shown.one("#gallery").is_displayed()
    assert shown.texts("#listing tbody th") == by_size
    heading = "#listing th:nth-child(1) button"
    shown.one(heading).click()
    assert shown.texts("#listing tbody th") == ids.tolist()
    assert shown.one("#listing th:nth-child(1)").get_attribute("aria-sort") == "ascending"
    assert shown.driver.switch_to.active_element == shown.one(heading)
    shown.driver.switch_to.active_element.send_keys(" ")
    assert shown.texts("#listing tbody th") == ids[::-1].tolist()
    assert shown.one("#listing th:nth-child(1)").get_attribute("aria-sort") == "descending"
    assert len(shown.find("#listing th[aria-sort]")) == 1


def test_browser_shows_a_flag_on_request(shown, cache):
    button = shown.find("button[data-flag]")[1]
    value = int(button.get_attribute("data-flag"))
    button.click()
    rows = good_rows(cache)
    expected = {as_shown(cache.ids[row]) for row in rows if cache.catalog["flags"][row] & value}
    assert set(shown.texts("#gallery h3")) == expected
    assert shown.driver.switch_to.active_element.get_attribute("id") == "galaxies"


def test_browser_draws_around_numbers_out_of_range(browser, cache, tmp_path):
    path = shutil.copy(cache.path, tmp_path / "cache.h5")
    row = cache.ids.index("plain-1")
    with h5py.File(path, "r+") as file:
        rows = file["catalog"][:]
        rows["major_axis"][row], rows["minor_axis"][row], rows["window_row"][row] = np.nan, 1e300, -np.inf
        file["catalog"][...] = rows
    write_report(Cache(path), tmp_path / "page.html", images=[cache.path.parent / "list.csv"])
    shown = Page(browser, tmp_path / "page.html")
    shown.choose("sort", "suspicion")
    assert shown.texts("#gallery h3")[0] == "plain-1"
    assert shown.texts("#gallery .facts")[0].startswith("axes ? × ? px · offset ")  # noqa: RUF001
    item = shown.find("#gallery > li")[0]
    assert len(item.find_elements("css selector", "img")) == 3
    assert item.find_elements("css selector", "svg") == []
    assert shown.find("#gallery > li:nth-child(2) svg")
    shown.one("#as-table").click()
    assert shown.texts("#listing tbody tr:first-child td")[:2] == ["?", "?"]
    assert browser.get_log("browser") == []


def test_browser_says_what_everything_is(shown):
    # Every field and button has a name, and every picture a text, for those who do not see them.
    script = """
    return [...document.querySelectorAll("input, select, button")].filter(element =>
      !(element.labels && element.labels.length) && !element.ariaLabel && !element.textContent.trim()
    ).map(element => element.outerHTML)"""
    assert shown.driver.execute_script(script) == []
    assert all(": " in text for text in shown.driver.execute_script("return [...document.images].map(i => i.alt)"))
    assert all(svg.get_attribute("aria-label") or svg.get_attribute("aria-hidden") for svg in shown.find("svg"))
    assert len(shown.find("h1")) == 1
    assert all(cell.get_attribute("scope") for cell in shown.find("th"))


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("mode", ["as-pictures", "as-table"])
def test_browser_needs_no_sideways_scrolling(browser, page, width, mode):
    shown = Page(browser, page, width)
    shown.one(f"#{mode}").click()
    assert shown.overflow() <= 0
    # Nor is any text pressed into a column of single letters.
    script = """
    const lines = (element) => {
      const range = document.createRange();
      range.selectNodeContents(element);
      return new Set([...range.getClientRects()].map(box => Math.round(box.bottom))).size;
    };
    const texts = [...document.querySelectorAll("h2, h3, th, td, dt, figcaption, .facts")];
    return texts.filter(text => text.textContent.length < 30 && lines(text) > 3).map(text => text.outerHTML)"""
    assert browser.execute_script(script) == []
    assert browser.get_log("browser") == []


@pytest.mark.slow
def test_browser_pages_through_many_galaxies(browser, page, tmp_path):
    text = page.read_text(encoding="utf-8")
    data = data_of(page)
    count = 60_000
    columns = {name: (values * (count // len(values) + 1))[:count] for name, values in data["columns"].items()}
    columns["id"] = [f"id-{number:06d}" for number in range(count)]
    start, stop = text.index('id="data">') + len('id="data">'), text.index("</script>", text.index('id="data">'))
    (tmp_path / "many.html").write_text(text[:start] + json.dumps({**data, "columns": columns}) + text[stop:], "utf-8")
    shown = Page(browser, tmp_path / "many.html")
    shown.one("#as-table").click()
    shown.choose("sort", "id:up")
    assert shown.texts("#pager span") == ["page 1 of 600"]
    assert len(shown.find("#listing tbody tr")) == 100
    for button, first in (("Last", 599), ("Previous", 598), ("Next", 599), ("First", 0)):
        next(found for found in shown.find("#pager button") if found.text == button).click()
        assert shown.texts("#listing tbody th")[0] == f"id-{first * 100:06d}"
    shown.type("text", "id-03141")
    assert shown.texts("#listing tbody th") == [f"id-{number:06d}" for number in range(31410, 31420)]
    assert browser.get_log("browser") == []


def test_browser_goes_from_a_window_to_its_galaxy(browser, from_tiles, tmp_path, monkeypatch):
    monkeypatch.setattr(reporting_page, "PICTURES", 5)
    write_report(from_tiles, tmp_path / "page.html")
    data = data_of(tmp_path / "page.html")
    shown = Page(browser, tmp_path / "page.html")

    def arrived_at(row):
        """Wait for the galaxy that is gone to; return its element's name and text, and whether it can be seen."""
        from selenium.webdriver.support.ui import WebDriverWait

        script = """const goal = document.activeElement, { top } = goal.getBoundingClientRect();
            return goal.id === arguments[0] && [goal.tagName, goal.textContent, top >= 0 && top < innerHeight]"""
        return WebDriverWait(browser, 10).until(lambda driver: driver.execute_script(script, f"galaxy-{row}"))

    rows = [str(row) for windows in data["windows"] for row, *_ in windows]
    assert len(rows) == 8
    for row, link in zip(rows, shown.find(".sheet a"), strict=True):
        link.click()
        tag, text, visible = arrived_at(row)
        assert tag == ("LI" if row in data["pictures"] else "TR")
        assert data["columns"]["id"][int(row)] in text
        assert visible
    assert len(data["pictures"]) == 5
    shown.type("text", "no such galaxy")
    shown.find(".sheet a")[-1].click()  # the same address again, which the filter hides
    arrived_at(rows[-1])
    assert shown.overflow() <= 0
    assert browser.get_log("browser") == []
