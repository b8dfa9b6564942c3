"""A row for each object of an image: the same as `crop_all`, and every way of going on from what is there."""

from __future__ import annotations

import functools
import io
import itertools
import os
import zipfile

import numpy as np
import pytest
from interruption import stop_after
from pictures import beside
from PIL import Image

import scalenorm
from scalenorm.batch import rows
from scalenorm.cache.joining import join_caches
from scalenorm.cache.originals import read_originals
from scalenorm.commands import batch, export, inspect, report
from scalenorm.commands.config import to_toml
from scalenorm.files.errors import BatchError, InputError, OptionError, TableError
from scalenorm.reporting.drawing import shown_part, surroundings
from scalenorm.sources.listing import MOST_OBJECTS, image_id, object_id

SMALL = {"size": 12, "part_size": 4, "min_area": 20, "all_objects": True}
NUMBERS = ("threshold", "row", "col", "major_axis", "minor_axis", "orientation", "area", "window_row", "window_col",
           "side", "height", "width", "flags")  # fmt: skip


def field(objects, seed=1, shape=(90, 110), bands=3):
    """Bright spots, each smaller than the one before, on noise; a single bright pixel instead of none; uint8."""
    rng = np.random.default_rng(seed)
    if not objects:
        image = np.zeros((*shape, bands), np.uint8)
        image[20, 30] = 99
        return image
    image = np.repeat(rng.uniform(0, 20, (*shape, 1)), bands, axis=2)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    places = [(r, c) for r in range(15, shape[0] - 10, 25) for c in range(15, shape[1] - 10, 25)]
    for number, place in enumerate(rng.permutation(places)[:objects]):
        far = (rows - place[0]) ** 2 + (cols - place[1]) ** 2
        image += 200 * np.exp(-far / (2 * (4.5 - 0.2 * number) ** 2))[..., None] * rng.uniform(0.8, 1, bands)
    return image.clip(0, 255).astype(np.uint8)


@functools.cache
def png(objects, seed):
    file = io.BytesIO()
    Image.fromarray(field(objects, seed)).save(file, "png")
    return file.getvalue()


def write(path, objects, seed=1):
    path.write_bytes(png(objects, seed))


@pytest.fixture
def images(tmp_path):
    """Fields with 7, 5, 1 and no objects, and a file that is none; many-2/... comes before many/..."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, objects in {"many": 7, "many-2": 5, "one": 1, "none": 0}.items():
        write(folder / f"{name}.png", objects, seed=len(name))
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def decoded(monkeypatch):
    """Names of the images that are decoded to be measured."""
    names = []
    original = rows.add_image
    monkeypatch.setattr(rows, "add_image", lambda *args: names.append(args[1].name) or original(*args))
    return names


def convert(inputs, output, **options):
    return scalenorm.convert(inputs, output, **{**SMALL, **options})


def digest_of(inputs, folder, **options):
    """Digest of one undisturbed run over everything."""
    convert(inputs, folder / "undisturbed.h5", **options)
    digest = scalenorm.open_cache(folder / "undisturbed.h5").digest()
    (folder / "undisturbed.h5").unlink()
    return digest


def expected_rows(folder, **options):
    """(measurement, crop) by id, from `crop_all`; None where there is no object."""
    rows = {}
    for path in folder.glob("*.png"):
        rows[path.stem] = None
        if path.stem != "bad":
            found = list(zip(*scalenorm.crop_all(np.asarray(Image.open(path)), 12, **options), strict=True))
            rows |= {f"{path.stem}/{number:06d}": pair for number, pair in enumerate(found)}
            if found:
                del rows[path.stem]
    return dict(sorted(rows.items()))


@pytest.mark.parametrize("options", [{}, {"deblend": True}, {"fill_holes": True, "margin": 2.5, "smooth": 1.0},
                                     {"min_area": 1, "sigma": 4.0, "mask_neighbours": True}])  # fmt: skip
def test_rows_are_those_of_crop_all(images, tmp_path, options):
    options = {"min_area": 20, **options}
    summary = convert(images, tmp_path / "out.h5", **options)
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    rows = expected_rows(images, **options)
    assert cache.ids == list(rows)
    assert len(rows) >= 15
    assert summary.images == summary.made == len(rows)
    assert summary.failed == list(rows.values()).count(None) >= 1
    assert cache.view_names == ("normalized",)
    for entry, crop, found in zip(cache.catalog, cache.view("normalized"), rows.values(), strict=True):
        assert entry["source"].decode() == entry["id"].decode().partition("/")[0] + ".png"
        assert len(entry["sha256"]) == 64
        if found is None:
            assert entry["status"] == b"failed"
            assert not crop.any()
            assert entry["area"] == entry["height"] == 0
            continue
        assert (entry["status"], entry["message"]) == (b"ok", b"")
        for name in NUMBERS:
            assert entry[name] == getattr(found[0], name), name
        assert tuple(entry[f"sky_{band}"] for band in range(3)) == found[0].sky
        assert tuple(entry[f"bbox_{edge}"] for edge in range(4)) == found[0].bbox
        np.testing.assert_array_equal(crop, found[1])
    assert beside(tmp_path / "out.h5") == ["out.h5"]


def test_images_without_objects_say_why(images, tmp_path, monkeypatch):
    np.save(images / "other.npy", field(2).astype("f4"))
    monkeypatch.setattr(rows, "MOST_OBJECTS", 6)
    convert(images, tmp_path / "out.h5")
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    messages = {row["id"].decode(): row["message"].decode() for row in cache.catalog if row["status"] != b"ok"}
    assert messages.pop("bad").startswith("not a JPEG")
    assert messages == {
        "many": "7 objects found, over 6: are they noise? raise sigma or min_area",
        "none": "no object found",
        "other": "the image is float32 with 3 bands, but uint8 with 3 bands is needed here",
    }


@pytest.mark.parametrize("options", [{"part_size": 1}, {"part_size": 3, "jobs": 1}, {"part_size": 100},
                                     {"compress": True}, {"keep_parts": True}, {"backend": "loky"}])  # fmt: skip
def test_digest_depends_on_neither_workers_nor_parts(images, tmp_path, options):
    convert(images, tmp_path / "out.h5", **{"jobs": 2, **options})
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    assert cache.digest() == digest_of(images, tmp_path, jobs=1, part_size=5)
    assert cache.ids == sorted(cache.ids)


def test_files_are_byte_identical(images, tmp_path):
    for name, jobs in (("one.h5", 1), ("two.h5", 2)):
        convert(images, tmp_path / name, jobs=jobs)
    one, two = (scalenorm.open_cache(tmp_path / name) for name in ("one.h5", "two.h5"))
    assert one.view("normalized").tobytes() == two.view("normalized").tobytes()
    assert one.catalog.tobytes() == two.catalog.tobytes()


@pytest.mark.parametrize("part_size", [1, 4, 100])
def test_an_image_is_looked_at_once(images, tmp_path, monkeypatch, decoded, part_size):
    seen = []
    original = rows.measure_and_crop_all

    def look(*args, **kwargs):
        found = original(*args, **kwargs)
        seen.append(len(found[0]))
        return found

    monkeypatch.setattr(rows, "measure_and_crop_all", look)
    convert(images, tmp_path / "all.h5", jobs=2, part_size=part_size)
    assert sorted(seen) == [0, 1, 5, 7]
    assert sorted(decoded) == sorted(path.name for path in images.iterdir())


def test_parts_hold_whole_images(images, tmp_path):
    convert(images, tmp_path / "out.h5", jobs=1, part_size=4, keep_parts=True)
    parts = [scalenorm.open_cache(path).ids for path in sorted((tmp_path / "out.h5.parts").iterdir())]
    assert [sorted({image_id(name) or name for name in part}) for part in parts] == [
        ["bad", "many"], ["many-2"], ["none", "one"],
    ]  # fmt: skip
    assert sorted(itertools.chain(*parts)) == scalenorm.open_cache(tmp_path / "out.h5").ids


def test_archives_and_stacks(images, tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for path in images.iterdir():
            archive.write(path, path.name)
    assert digest_of(tmp_path / "images.zip", tmp_path) == digest_of(images, tmp_path)
    np.save(tmp_path / "stack.npy", [field(2), field(0), field(3)])
    convert(tmp_path / "stack.npy", tmp_path / "stack.h5")
    ids = ["stack/000000/000000", "stack/000000/000001", "stack/000001", *(f"stack/000002/00000{n}" for n in range(3))]
    assert scalenorm.open_cache(tmp_path / "stack.h5").ids == ids
    assert convert(tmp_path / "stack.npy", tmp_path / "stack.h5").complete


# --- going on from what is there


def interrupted(monkeypatch, inputs, output, **options):
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt, match="8 finished images are kept"):
            convert(inputs, output, jobs=1, **options)


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"keep_parts": True}])
def test_interrupted_run_goes_on(images, tmp_path, monkeypatch, decoded, options):
    output = tmp_path / "out.h5"
    interrupted(monkeypatch, images, output, **options)
    decoded.clear()
    write(images / "one.png", 3, seed=8)
    summary = convert(images, output, jobs=1, **options)
    assert decoded == ["many-2.png", "none.png", "one.png"]
    assert (summary.made, summary.reused) == (9, 8)
    assert scalenorm.open_cache(output).digest() == digest_of(images, tmp_path)
    assert beside(output) == (["out.h5", "out.h5.parts"] if options.get("keep_parts") else ["out.h5"])


def test_finished_output_is_left_alone(images, tmp_path, decoded):
    output = tmp_path / "out.h5"
    convert(images, output)
    before = output.stat()
    decoded.clear()
    assert convert(images, output, part_size=9).complete
    assert convert(images, output, dry_run=True).made == 0
    assert convert(images, output, verify=True).complete
    assert decoded == []
    assert output.stat() == before
    assert beside(output) == ["out.h5"]
    assert convert(images, output, overwrite=True).made == 15


def test_dry_run_touches_nothing(images, tmp_path):
    summary = convert(images, tmp_path / "out.h5", dry_run=True)
    assert (summary.images, summary.made) == (5, 5)  # images: nobody knows yet how many objects they have
    assert beside(tmp_path / "out.h5") == []


def test_it_does_not_mix_with_rows_of_whole_images(images, tmp_path):
    output = tmp_path / "out.h5"
    convert(images, output)
    with pytest.raises(BatchError, match=r"made with other settings \(.*all_objects: True, now None"):
        scalenorm.convert(images, output, views=["normalized"], size=12, min_area=20)
    scalenorm.convert(images, tmp_path / "whole.h5", views=["normalized"], size=12, min_area=20)
    assert "all_objects" not in scalenorm.open_cache(tmp_path / "whole.h5").settings
    with pytest.raises(BatchError, match=r"made with other settings \(all_objects: None, now True"):
        convert(images, tmp_path / "whole.h5")


@pytest.mark.slow
@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("keep_parts", [False, True])
@pytest.mark.parametrize("objects", [3, 9, 0, None])
def test_an_image_whose_objects_have_changed(images, tmp_path, objects, append, keep_parts):
    output = tmp_path / "out.h5"
    convert(images, output, keep_parts=keep_parts)
    if objects is None:
        (images / "many.png").write_bytes(b"nothing")
    else:
        write(images / "many.png", objects, seed=3)
    summary = convert(images, output, append=append, keep_parts=keep_parts)
    assert summary.changed == 7
    assert (summary.made, summary.reused) == (objects or 1, 8)
    assert scalenorm.open_cache(output).digest() == digest_of(images, tmp_path)
    write(images / "many.png", 7, seed=4)
    summary = convert(images, output, append=append, keep_parts=keep_parts)
    assert summary.made == 7
    assert keep_parts or summary.changed == (objects or 1)  # parts that are kept hold old rows too
    assert scalenorm.open_cache(output).digest() == digest_of(images, tmp_path)
    assert convert(images, output, append=append, keep_parts=keep_parts).complete


def test_verify_goes_by_the_bytes(images, tmp_path):
    output, path = tmp_path / "out.h5", images / "many.png"
    convert(images, output)
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    assert convert(images, output, verify=True).complete
    for objects, seed in ((6, 9), (8, 9)):
        path.write_bytes(path.read_bytes()[: before.st_size])
        write(path, objects, seed)
        data = path.read_bytes()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert convert(images, output, verify=True).made == objects
        assert path.read_bytes() == data
    assert scalenorm.open_cache(output).digest() == digest_of(images, tmp_path)


def test_append_equals_one_run_over_everything(images, tmp_path, decoded):
    output = tmp_path / "out.h5"
    convert(images, output)
    more = tmp_path / "more"
    more.mkdir()
    for name, objects in {"all": 2, "many-3": 4, "void": 0}.items():
        write(more / f"{name}.png", objects)
    with pytest.raises(BatchError, match=r"holds 15 images .* not among the inputs: --append keeps them"):
        convert(more, output)
    with pytest.raises(BatchError, match=r"lacks 3 images \('all', 'many-3', 'void'\)"):
        convert([images, more], output)
    decoded.clear()
    summary = convert(more, output, append=True)
    assert sorted(decoded) == ["all.png", "many-3.png", "void.png"]
    assert (summary.images, summary.made, summary.reused) == (22, 7, 15)
    assert scalenorm.open_cache(output).digest() == digest_of([images, more], tmp_path)
    decoded.clear()
    assert convert([images, more], output).complete
    assert convert(more, output, append=True).complete
    assert decoded == []
    assert beside(output) == ["out.h5"]
    (images / "many-2.png").unlink()
    with pytest.raises(BatchError, match=r"holds 5 images \('many-2/000000', .*not among the inputs"):
        convert([images, more], output)


def test_append_refuses_another_layout(images, tmp_path):
    (images / "bad.png").unlink()
    convert(images, tmp_path / "out.h5")
    folder = tmp_path / "arrays"
    folder.mkdir()
    np.save(folder / "z.npy", field(1).astype("f4"))
    assert convert(folder, tmp_path / "out.h5", append=True).failed == 2
    np.save(folder / "a.npy", field(1).astype("f4"))
    with pytest.raises(BatchError, match=r"holds uint8 with 3 bands, but the first .* is now float32 with 3 bands"):
        convert(folder, tmp_path / "out.h5", append=True)


def test_retry_failed(images, tmp_path, decoded):
    output = tmp_path / "out.h5"
    convert(images, output)
    before = (images / "bad.png").stat()
    write(images / "bad.png", 3)
    os.utime(images / "bad.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    decoded.clear()
    summary = convert(images, output, retry_failed=True)
    assert sorted(decoded) == ["bad.png", "none.png"]
    assert (summary.failed, summary.made) == (1, 4)
    assert scalenorm.open_cache(output).digest() == digest_of(images, tmp_path)


def test_old_rows_are_never_mixed_with_new_ones(images, tmp_path, monkeypatch):
    """An image that changes after its part was made is made again as a whole."""
    output = tmp_path / "out.h5"
    for objects in (3, 0):
        interrupted(monkeypatch, images, output)
        write(images / "many.png", objects)
        convert(images, output)
        assert scalenorm.open_cache(output).digest() == digest_of(images, tmp_path)
        output.unlink()
        write(images / "many.png", 7)


def test_what_fails_by_chance_is_tried_again(images, tmp_path, monkeypatch):
    output = tmp_path / "out.h5"

    def fail(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(rows, "measure_and_crop_all", fail)
        assert convert(images, output).reasons["not enough memory for this image"] == 4
    assert convert(images, output, retry_failed=True).made == 15
    assert scalenorm.open_cache(output).digest() == digest_of(images, tmp_path)


# --- slices and labels


@pytest.mark.parametrize("of", [1, 2, 5])
def test_slices_join_to_the_whole(images, tmp_path, of, decoded):
    labels = tmp_path / "labels.csv"
    labels.write_text("id,b\nmany/000002,1\nmany/000008,3\nnone,2\n")
    slices = [tmp_path / f"slice{number}.h5" for number in range(of)]
    for number, path in enumerate(slices, 1):
        convert(images, path, part=(number, of), labels=labels)
        assert convert(images, path, part=(number, of), labels=labels).complete
    assert len(decoded) == 5  # each image in one slice only
    joined = join_caches(slices, tmp_path / "joined.h5")
    assert joined.digest() == digest_of(images, tmp_path, labels=labels)
    assert joined.labels[joined.ids.index("many/000002"), 0] == 1
    assert joined.labels[joined.ids.index("none"), 0] == 2
    assert np.isfinite(joined.labels).sum() == 2


def test_labels_are_those_of_objects(images, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("id,b\nmany-2/000001,1\nmany,3\n")
    joined = convert(images, tmp_path / "out.h5", labels=labels).labels
    assert (joined.matched, joined.missing, joined.surplus_ids) == (1, 14, ["many"])
    labels.write_text("id,b\nmany,3\n")
    with pytest.raises(TableError, match=r"no id in common .* ids like 'bad'"):
        convert(images, tmp_path / "out.h5", labels=labels)


# --- ids


def test_ids_of_objects():
    assert object_id("a/b", 7) == "a/b/000007"
    assert image_id("a/b/000007") == "a/b"
    others = ("a", "a/b", "a/00000", "a/0000000", "000001", "a/00000x", "a/00000²")
    assert [image_id(name) for name in others] == [None] * 7
    names = [object_id("a", number) for number in (0, 9, 10, MOST_OBJECTS - 1)]
    assert names == sorted(names)


# --- refusals


def test_ids_that_could_be_those_of_objects(images, tmp_path):
    (tmp_path / "list.csv").write_text("id,path\nx,images/one.png\nx/000002,images/many.png\n")
    with pytest.raises(InputError, match=r"the id 'x/000002' could be that of an object of 'x'"):
        convert([], tmp_path / "out.h5", list_file=tmp_path / "list.csv")
    assert beside(tmp_path / "out.h5") == []


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (["--center", "log"], {"center": "log"}, "all_objects centres each window on its object: leave center out"),
        (["--center", "3,4"], {"center": (3, 4)}, "leave center out"),
        (["--views", "center-64"], {"views": ["center-64"]}, "only view is normalized, got center-64"),
        (["--views", "normalized,center-64"], {"views": ["normalized", "center-64"]}, "got normalized,center-64"),
        (["--min-area", "0"], {"min_area": 0}, "min_area must be a whole number >= 1"),
    ],
)
def test_what_does_not_go_with_it(images, tmp_path, capsys, words, options, message):
    with pytest.raises(OptionError, match=message):
        convert(images, tmp_path / "out.h5", **options)
    with pytest.raises(SystemExit) as stopped:
        batch.main([str(images), str(tmp_path / "out.h5"), "--all-objects", *words])
    assert stopped.value.code == 2
    assert message.replace("_", "-") in capsys.readouterr().err
    assert beside(tmp_path / "out.h5") == []


def test_nothing_readable(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(BatchError, match="the only image cannot be read"):
        convert(tmp_path / "bad.png", tmp_path / "out.h5")
    write(tmp_path / "good.png", 2)
    with pytest.raises(BatchError, match="weights must be one number for each of the 3 bands"):
        convert(tmp_path / "good.png", tmp_path / "out.h5", weights=(1, 2))
    assert beside(tmp_path / "out.h5") == []


# --- the command, and what others make of the cache


def test_command_settings_and_config(images, tmp_path, capsys):
    first, second = str(tmp_path / "first.h5"), str(tmp_path / "second.h5")
    command = [str(images), "--all-objects", "--size", "12", "--min-area", "20", "--quiet"]
    assert batch.main([*command, first]) == 3
    assert inspect.main([first, "--settings"]) == 0
    text = capsys.readouterr().out
    assert text == to_toml(scalenorm.open_cache(first).settings)
    assert "all_objects = true\n" in text
    (tmp_path / "settings.toml").write_text(text)
    assert batch.main([str(images), second, "--config", str(tmp_path / "settings.toml"), "--quiet"]) == 3
    assert scalenorm.open_cache(second).digest() == scalenorm.open_cache(first).digest()
    assert inspect.main([first]) == 0
    assert "13 objects, 2 images failed" in capsys.readouterr().out


def test_reports_show_each_object(images, tmp_path):
    convert(images, tmp_path / "out.h5", size=32)
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    good = np.flatnonzero(cache.catalog["status"] == b"ok")
    field_of = {path.stem: np.asarray(Image.open(path)) for path in images.glob("[mo]*.png")}
    for row, original in zip(good.tolist(), read_originals(cache, good.tolist()), strict=True):
        image, entry = shown_part(cache, row, original)
        whole, measured = field_of[cache.ids[row].partition("/")[0]], cache.catalog[row]
        assert image.shape[:2] == (entry["height"], entry["width"])
        assert image.shape[0] < whole.shape[0]
        at, there = ((round(found["row"]), round(found["col"])) for found in (entry, measured))
        np.testing.assert_array_equal(image[at], whole[there])
        again, _ = surroundings(whole, measured)
        np.testing.assert_array_equal(image, again)
    arguments = [str(tmp_path / "out.h5"), "--montage", str(tmp_path / "m.png"), "--html", str(tmp_path / "p.html")]
    assert report.main([*arguments, "--quiet"]) == 0
    assert report.main([str(tmp_path / "out.h5"), "--montage", str(tmp_path / "n.png"), "--ids", "many/000003"]) == 0
    page = (tmp_path / "p.html").read_text()
    assert '"many-2/000004"' in page
    assert "Median offset" not in page


def test_originals_are_found_by_id_too(images, tmp_path):
    convert(images, tmp_path / "out.h5", size=32)
    images.rename(tmp_path / "moved")
    (tmp_path / "list.csv").write_text("id,path\nmany,moved/many.png\n")
    (tmp_path / "moved" / "many.png").rename(tmp_path / "moved" / "renamed.png")
    (tmp_path / "list.csv").write_text("id,path\nmany,moved/renamed.png\n")
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    rows = [row for row, name in enumerate(cache.ids) if name.startswith("many/")]
    assert all(original is not None for original in read_originals(cache, rows, [tmp_path / "list.csv"]))


def test_export_of_objects(images, tmp_path):
    convert(images, tmp_path / "out.h5")
    assert export.main([str(tmp_path / "out.h5"), "--images", str(tmp_path / "crops"), "--quiet"]) == 0
    cache = scalenorm.open_cache(tmp_path / "out.h5")
    names = sorted(path.name for path in (tmp_path / "crops").iterdir())
    assert len(names) == 13
    assert names[0].startswith("many-2_000000~")
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "crops" / names[3])),
        cache.view("normalized")[cache.ids.index("many-2/000003")],
    )


@pytest.mark.slow
def test_hubble_deep_field(tmp_path):
    import skimage.data

    path = os.path.join(os.path.dirname(skimage.data.__file__), "hubble_deep_field.jpg")
    options = {"min_area": 30, "deblend": True}
    assert (
        batch.main([path, str(tmp_path / "hubble.h5"), "--all-objects", "--min-area", "30", "--deblend", "--quiet"])
        == 0
    )
    cache = scalenorm.open_cache(tmp_path / "hubble.h5")
    measurements, crops = scalenorm.crop_all(np.asarray(Image.open(path)), 64, **options)
    assert len(cache) == len(crops) > 200
    assert cache.ids == [f"hubble_deep_field/{number:06d}" for number in range(len(crops))]
    assert cache.catalog["area"].tolist() == [found.area for found in measurements]
    assert np.all(np.diff(cache.catalog["area"]) <= 0)
    np.testing.assert_array_equal(cache.view("normalized"), crops)
