"""The commands as one types them: what they print, their exit codes, one clear line for what is wrong."""

from __future__ import annotations

import errno
import logging
import os
import re
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
from pictures import beside, write_pictures
from PIL import Image
from typed import run

from scalenorm import open_cache
from scalenorm.batch import convert
from scalenorm.commands.batch import make_parser


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_pictures(tmp_path / "images", range(6))


def test_batch(images, capsys):
    code, out, err = run(capsys, "batch", "images", "out.h5", "--size", "12")
    assert (code, err) == (0, [])
    assert re.fullmatch(r".*out\.h5: 6 images, 0 failed; 6 processed in .* s \(\d+ images/s\), 0 reused", out[0])
    assert open_cache("out.h5").view("center-64").shape == (6, 12, 12, 3)
    code, out, err = run(capsys, "batch", "images", "out.h5", "--size", "12")
    assert (code, err) == (0, [])
    assert "6 images, already complete" in out[0]
    assert run(capsys, "batch", "images", "out.h5", "--size", "12", "--quiet") == (0, [], [])


def test_options_and_paths_in_any_order(images, capsys):
    orders = [
        ["--size", "12", "--views", "center-20,normalized", "images", "out.h5"],
        ["images", "--size", "12", "out.h5", "--views", "center-20,normalized"],
        ["images", "out.h5", "--views", "center-20,normalized", "--size", "12"],
    ]
    for order in orders:
        assert run(capsys, "batch", *order, "--quiet") == (0, [], [])
    assert open_cache("out.h5").view_names == ("center-20", "normalized")


def test_every_option_reaches_the_settings(images, capsys):
    code, _, err = run(
        capsys, "batch", "images", "out.h5", "--size", "9", "--views", "normalized", "--sigma", "0.5", "--margin", "2",
        "--center", "3,4.5", "--weights", "1,2,3", "--dtype", "uint16", "--max-pixels", "4000", "--hdu", "SCI",
        "--mask-hdu", "2", "--weight-hdu", "3", "--id", "path", "--side-limits", "4,20", "--fill-holes",
        "--blank", "-99.5",
    )  # fmt: skip
    assert (code, err) == (0, [])
    settings = open_cache("out.h5").settings
    expected = {
        "size": 9, "views": ["normalized"], "sigma": 0.5, "margin": 2.0, "center": [3.0, 4.5], "weights": [1, 2, 3],
        "dtype": "uint16", "max_pixels": 4000, "hdu": "SCI", "mask_hdu": 2, "weight_hdu": 3, "id_from": "path",
        "side_limits": [4, 20], "fill_holes": True, "deblend": False, "blank": -99.5,
    }  # fmt: skip
    assert {name: settings[name] for name in expected} == expected
    assert open_cache("out.h5").ids[0] == "g0000"


def test_every_option_of_measuring_and_decoding_has_its_argument():
    from dataclasses import fields

    from scalenorm.images.options import DecodeOptions
    from scalenorm.measuring.options import MeasureOptions

    known = {action.dest for action in make_parser()._actions}
    wanted = {field.name for options in (MeasureOptions, DecodeOptions) for field in fields(options)}
    assert wanted - known == {"channel_axis"}


def test_failed_images_are_listed_and_exit_with_3(images, capsys):
    for number in range(25):
        (images / f"bad{number:02d}.png").write_bytes(b"no picture")
    (images / "empty.jpg").write_bytes(b"")
    code, out, err = run(capsys, "batch", "images", "out.h5")
    assert (code, err) == (3, [])
    text = "\n".join(out)
    assert "32 images, 26 failed" in text
    assert re.search(r"\n +25  not a JPEG", text)
    assert re.search(r"\n +1  the file is empty", text)
    assert "  bad00.png: not a JPEG" in text
    assert "and 6 more; list them with scalenorm-inspect" in text
    code, out, _ = run(capsys, "inspect", "out.h5", "--failures")
    assert code == 0
    assert len(out) == 26
    assert out[-1] == "empty\tempty.jpg\tthe file is empty"
    assert run(capsys, "batch", "images", "out.h5", "--quiet") == (3, [], [])


def test_labels_are_reported(images, capsys):
    with open("labels.csv", "w") as file:
        file.write("objid,a\ng0001,1\ng0002,2\nx1,1\nx2,2\n")
    code, out, _ = run(capsys, "batch", "images", "out.h5", "--labels", "labels.csv")
    assert code == 0
    assert "labels: 2 images matched, 4 without a label (g0000, g0003, g0004, g0005, ...)" in out
    assert "labels without an image: 2 (x1, x2)" in out


def test_dry_run(images, capsys, tmp_path):
    code, out, err = run(capsys, "batch", "images", "out.h5", "--dry-run")
    assert (code, err) == (0, [])
    assert out[0].endswith("out.h5: 6 images, 6 to process, 0 reused")
    assert beside(tmp_path / "out.h5") == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "required"),
        (["images"], 2, "OUT.h5 are required"),
        (["images", "out.h5", "--views", "centre-64"], 2, "unknown view 'centre-64'"),
        (["images", "out.h5", "--size", "0"], 2, "size must be a positive number"),
        (["images", "out.h5", "--size", "big"], 2, "--size"),
        (["images", "out.h5", "--center", "middle"], 2, "center must be"),
        (["images", "out.h5", "--part", "0/3"], 2, "K/N"),
        (["images", "out.h5", "--part", "a"], 2, "--part"),
        (["images", "out.h5", "--margin", "nan"], 2, "margin must be"),
        (["images", "out.h5", "--frobnicate"], 2, "--frobnicate"),
        (["images", "out.h5", "--overwrite", "--append"], 2, "excludes"),
        (["nowhere", "out.h5"], 1, "nowhere"),
        (["empty", "out.h5"], 1, "no images in empty"),
        (["images", "nowhere/out.h5"], 1, "no such folder"),
        (["images", "images"], 1, "is a folder"),
        (["images", "other.h5"], 1, "not a scalenorm cache"),
        (["images", "other.h5", "--overwrite"], 1, "not a scalenorm cache"),
        (["text.jpg", "out.h5"], 1, "text.jpg"),
        (["images", "out.h5", "--labels", "without-id.csv"], 1, "no id column"),
        (["images", "out.h5", "--labels", "foreign.csv"], 1, "no id in common"),
        (["images", "out.h5", "--labels", "nowhere.csv"], 1, "nowhere.csv"),
        (["images", "images2", "out.h5"], 1, "two inputs have the id 'g0000'"),
        (["images", "images", "out.h5"], 1, "is given twice (5 more): give it once"),
        (["images", "out.h5", "--id-column", "a"], 2, "--id-column needs labels"),
        (["images", "out.h5", "--label-columns", "a"], 2, "--label-columns needs labels"),
        (["--list", "nowhere.txt", "out.h5"], 1, "cannot read the list nowhere.txt: No such file or directory"),
        (["images", "s3://bucket/out.h5", "--keep-parts"], 2, "local output"),
    ],
)
def test_what_is_wrong_is_one_clear_line(images, capsys, tmp_path, arguments, code, message):
    (tmp_path / "empty").mkdir()
    shutil.copytree(images, tmp_path / "images2")
    (tmp_path / "other.h5").write_text("somebody's")
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "without-id.csv").write_text("a,b\n1,2\n")
    (tmp_path / "foreign.csv").write_text("id,b\n1,2\n")
    found, out, err = run(capsys, "batch", *arguments)
    assert (found, out) == (code, [])
    assert message in err[-1]
    assert len([line for line in err if not line.startswith("usage: ")]) == 1
    assert "Traceback" not in "\n".join(err)
    assert beside(tmp_path / "out.h5") == []
    assert (tmp_path / "other.h5").read_text() == "somebody's"


def test_other_settings_name_what_differs(images, capsys):
    run(capsys, "batch", "images", "out.h5")
    code, _, err = run(capsys, "batch", "images", "out.h5", "--margin", "1.5")
    assert code == 1
    assert len(err) == 1
    assert "margin: 1.0, now 1.5" in err[0]
    assert "--overwrite" in err[0]


def test_merge(images, capsys):
    run(capsys, "batch", "images", "whole.h5")
    for number in (1, 2):
        run(capsys, "batch", "images", f"slice{number}.h5", "--part", f"{number}/2")
    code, out, err = run(capsys, "merge", "slice2.h5", "slice1.h5", "joined.h5", "--compress")
    assert (code, out, err) == (0, ["joined.h5: 6 images from 2 caches"], [])
    assert open_cache("joined.h5").digest() == open_cache("whole.h5").digest()
    code, _, err = run(capsys, "merge", "slice1.h5", "whole.h5", "again.h5")
    assert code == 1
    assert "both have an image with the id 'g0000'" in err[0]
    assert run(capsys, "merge", "slice1.h5")[0] == 2
    assert run(capsys, "merge", "slice1.h5", "nowhere.h5", "again.h5")[0] == 1
    code, _, err = run(capsys, "merge", "slice1.h5", "slice2.h5", "joined.h5")
    assert code == 1
    assert "--overwrite" in err[0]
    assert run(capsys, "merge", "slice1.h5", "slice2.h5", "joined.h5", "--overwrite", "--quiet") == (0, [], [])
    code, _, err = run(capsys, "merge", "slice1.h5", "nowhere/joined.h5")
    assert (code, len(err)) == (1, 1)
    assert err[0].endswith("nowhere: no such folder; create it first")
    code, out, _ = run(capsys, "merge", "slice1.h5", "one.h5")
    assert (code, out) == (0, ["one.h5: 3 images from 1 cache"])


def test_errors_of_the_system_come_without_their_number(images, capsys, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device", *names)

    run(capsys, "batch", "images", "out.h5")
    monkeypatch.setattr("scalenorm.commands.inspect.describe_cache", refuse)
    for names in ((), ("there",)):
        code, _, err = run(capsys, "inspect", "out.h5")
        assert (code, err) == (1, [f"scalenorm-inspect: error: {': '.join([*names, 'No space left on device'])}"])


def test_no_memory_is_one_clear_line(images, capsys, monkeypatch):
    def refuse(*_):
        raise MemoryError("Unable to allocate 335. GiB")

    run(capsys, "batch", "images", "out.h5")
    monkeypatch.setattr("scalenorm.commands.inspect.describe_cache", refuse)
    code, _, err = run(capsys, "inspect", "out.h5")
    assert (code, err) == (1, ["scalenorm-inspect: error: not enough memory (Unable to allocate 335. GiB)"])


@pytest.mark.slow
def test_names_that_the_terminal_cannot_show(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(9))
    (tmp_path / "\u03a9.npy").write_text("damaged")
    done = command(tmp_path, tmp_path / "out.h5", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (3, "")
    assert "  \\u03a9.npy: " in done.stdout


@pytest.mark.slow
def test_merge_on_a_full_disk(images, tmp_path):
    assert command("images", "whole.h5").returncode == 0
    merge = [sys.executable, "-c", "import sys; from scalenorm.commands.merge import main; sys.exit(main())"]
    done = subprocess.run(
        [*merge, "whole.h5", "joined.h5"], capture_output=True, text=True, check=False,
        preexec_fn=lambda: _limit_size(20_000),
    )  # fmt: skip
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "cannot write" in done.stderr
    assert beside(tmp_path / "joined.h5") == []


def test_inspect(images, capsys):
    (images / "bad.png").write_bytes(b"")
    with open("labels.csv", "w") as file:
        file.write("id,a,b\ng0001,1,2\n")
    run(capsys, "batch", "images", "out.h5", "--labels", "labels.csv", "--size", "12")
    cache = open_cache("out.h5")
    code, out, err = run(capsys, "inspect", "out.h5")
    assert (code, err) == (0, [])
    text = "\n".join(out)
    assert out[0] == "out.h5: 7 images, 1 failed"
    assert cache.digest() in text
    assert "size=12" in text
    assert "2 answers (a, b)" in text
    assert "1  the file is empty" in text
    row = next(line for line in out if line.startswith("major axis"))
    axes = cache.catalog["major_axis"][cache.catalog["status"] == b"ok"]
    assert [float(number) for number in row.split()[2:]] == [
        round(value, 1) for value in np.percentile(axes, [1, 5, 25, 50, 75, 95, 99]).tolist()
    ]
    assert run(capsys, "inspect", "nowhere.h5")[0] == 1
    assert run(capsys, "inspect", images / "g0001.png")[0] == 1
    assert run(capsys, "batch", "images", "none.h5", "--center", "500,500")[0] == 3
    code, out, _ = run(capsys, "inspect", "none.h5")
    assert (code, out[0]) == (0, "none.h5: 7 images, 7 failed")


@pytest.mark.parametrize("command", ["batch", "merge", "inspect"])
def test_help_and_version(capsys, command):
    code, out, err = run(capsys, command, "--help")
    assert (code, err) == (0, [])
    assert out[0].startswith(f"usage: scalenorm-{command}")
    code, out, _ = run(capsys, command, "--version")
    assert code == 0
    assert re.fullmatch(rf"scalenorm-{command} \d+\.\d+.*", out[0])


def test_help_imports_no_more_than_the_package():
    script = (
        "import sys, scalenorm\n"
        "before = set(sys.modules)\n"
        "from scalenorm.commands.batch import make_parser\n"
        "make_parser().format_help()\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))\n"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "argparse" in loaded
    assert not {"h5py", "scipy", "skimage", "PIL", "joblib", "tqdm", "astropy", "dask", "numba"} & set(loaded)


def command(*arguments, **options):
    arguments = [sys.executable, "-m", "scalenorm.commands.batch", *map(str, arguments)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, **options)


@pytest.mark.slow
def test_too_many_open_files(images, tmp_path):
    """Few handles do for an ordinary run; with next to none the run stops, and the next one goes on."""
    done = command("images", "out.h5", "--part-size", 2, preexec_fn=lambda: _limit_files(25))
    assert done.returncode == 0, done.stderr
    digest = open_cache("out.h5").digest()
    os.unlink("out.h5")
    done = command("images", "out.h5", "--part-size", 2, preexec_fn=lambda: _limit_files(5))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "too many open files" in done.stderr
    assert command("images", "out.h5").returncode == 0
    assert open_cache("out.h5").digest() == digest
    assert beside(tmp_path / "out.h5") == ["out.h5"]


def _limit_files(count):
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


@pytest.mark.slow
def test_disk_limit(images, tmp_path):
    """A real refusal to write more, from the system itself, at several points of a run."""
    assert command("images", "whole.h5", "--part-size", 2).returncode == 0
    stopped = 0
    for limit in (3000, 20_000, 80_000, 120_000, 220_000):
        done = command("images", "out.h5", "--part-size", 2, preexec_fn=lambda limit=limit: _limit_size(limit))
        if done.returncode:
            assert done.returncode == 1
            assert len(done.stderr.splitlines()) == 1, done.stderr
            assert "out.h5" in done.stderr
            stopped += 1
    assert stopped >= 2
    assert command("images", "out.h5").returncode == 0
    assert open_cache("out.h5").digest() == open_cache("whole.h5").digest()
    assert beside(tmp_path / "out.h5") == ["out.h5"]


def _limit_size(size):
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_one_by_one_and_thin_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkdir("images")
    for name, shape in {"one": (1, 1, 3), "thin": (3000, 2, 3), "flat": (2, 3000, 3)}.items():
        Image.fromarray(np.full(shape, 255, np.uint8)).save(f"images/{name}.png")
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save("images/black.png")
    code, _, err = run(capsys, "batch", "images", "out.h5")
    assert (code, err) == (0, [])
    cache = open_cache("out.h5")
    assert cache.ids == ["black", "flat", "one", "thin"]
    assert not cache.view("normalized")[0].any()
    assert (cache.view("normalized")[2] == 255).all()


@pytest.mark.parametrize("quiet", [False, True])
def test_the_library_logs_as_before_once_a_command_has_ended(images, capsys, monkeypatch, quiet):
    log = logging.getLogger("scalenorm")
    before, make = (log.level, list(log.handlers)), convert.convert

    def talking(*arguments, **options):
        log.info("a few are tried")
        return make(*arguments, **options)

    monkeypatch.setattr(convert, "convert", talking)
    code, _, err = run(capsys, "batch", "images", "out.h5", "--size", "12", *(["--quiet"] if quiet else []))
    assert (code, err) == (0, [] if quiet else ["a few are tried"])
    assert (log.level, list(log.handlers)) == before
