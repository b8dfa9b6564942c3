"""Names and contents of others never reach the terminal, a page or the catalogue's messages as they are."""

from __future__ import annotations

import csv
import json
import re
import shutil

import h5py
import numpy as np
import pytest
from pictures import picture
from PIL import Image
from typed import run

import scalenorm
from scalenorm.files.errors import InputError
from scalenorm.files.lock import locked
from scalenorm.files.names import printable
from scalenorm.reporting.page import write_report

#: A line of its own, a cleared screen, the start of the line, a direction of writing, a C1 escape, a terminal's title.
BAD = "a\nEVIL\r\x1b[2Jb\u202ec\x9b2Jd\x1b]0;title\x07\u2028e"
SHOWN = r"a\nEVIL\r\x1b[2Jb\u202ec\x9b2Jd\x1b]0;title\x07\u2028e"
RAW = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]|^EVIL", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images, labels and a cache with such names, and what is none of these."""
    folder = tmp_path_factory.mktemp("hostile") / BAD
    (folder / "images").mkdir(parents=True)
    for number in range(3):
        Image.fromarray(picture(number)).save(folder / "images" / f"{number}{BAD}.png")
    (folder / "images" / f"broken{BAD}.png").write_bytes(b"\x1b[2J")
    (folder / "images" / f"x.{BAD[:9]}").touch()
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "x"], [f"0{BAD}", 1], [f"none{BAD}", 2]])
    with (folder / "twice.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "x"], [f"0{BAD}", 1], [f"0{BAD}", 2]])
    (folder / "columns.csv").write_text(f'id,"{BAD}"\n0,1\n')
    (folder / "text.csv").write_text(f'id,x\n0,"{BAD}"\n')
    (folder / "table.csv").write_bytes(b"SIMPLE  =                    T\x1b[2J\x9b\x00" + bytes(range(256)))
    (folder / "list.txt").write_text("images/none\x1b[2J.png\n")
    (folder / "config.toml").write_text('"\\u001b[2J" = 1\n')
    (folder / "no cache.h5").write_bytes(BAD.encode())
    output = folder / f"cache{BAD}.h5"
    scalenorm.convert(folder / "images", output, labels=folder / "labels.csv", views=["normalized"], size=8)
    shutil.copy(output, folder / "foreign.h5")
    with h5py.File(folder / "foreign.h5", "a") as file:
        settings = json.loads(file.attrs["settings"])
        file.move("views/normalized", f"views/{BAD}")
        settings.update({"views": [BAD], BAD: BAD})
        file.attrs.update({"settings": json.dumps(settings), "source": BAD, "created": BAD, "scalenorm_version": BAD})
        file["labels"].attrs["names"] = json.dumps([BAD])
        file[f"more{BAD}"] = 1
    return folder


CACHE = f"cache{BAD}.h5"
TYPED = {
    "images": ["batch", "images", f"out{BAD}.h5", "--labels", "labels.csv", "--size", "8"],
    "other settings": ["batch", "images", CACHE, "--size", "9"],
    "dry run": ["batch", "images", "no.h5", "--dry-run", "--labels", "labels.csv"],
    "no input": ["batch", f"none{BAD}", "out.h5"],
    "two of one id": ["batch", "images", f"images/0{BAD}.png", f"images/../images/0{BAD}.png", "images/*", "out.h5"],
    "list": ["batch", "--list", "list.txt", "out.h5"],
    "column": ["batch", "images", "out.h5", "--labels", "labels.csv", "--id-column", BAD + "none"],
    "columns": ["batch", "images", "out.h5", "--labels", "labels.csv", "--label-columns", BAD + "none"],
    "names": ["batch", "images", "out.h5", "--labels", "columns.csv"],
    "twice": ["batch", "images", "out.h5", "--labels", "twice.csv"],
    "text": ["batch", "images", "out.h5", "--labels", "text.csv"],
    "table": ["batch", "images", "out.h5", "--labels", "table.csv"],
    "config": ["batch", "images", "out.h5", "--config", "config.toml"],
    "option": ["batch", "images", "out.h5", f"--x{BAD}"],
    "number": ["batch", "images", "out.h5", "--sigma", BAD],
    "no folder": ["batch", "images", f"none{BAD}/out.h5"],
    "not an output": ["batch", "images", "no cache.h5"],
    "merge": ["merge", CACHE, "foreign.h5", "merged.h5"],
    "merge foreign": ["merge", "foreign.h5", f"merged{BAD}.h5"],
    "merge twice": ["merge", CACHE, CACHE, "merged.h5"],
    "inspect": ["inspect", CACHE],
    "inspect foreign": ["inspect", "foreign.h5"],
    "settings": ["inspect", "foreign.h5", "--settings"],
    "failures": ["inspect", CACHE, "--failures"],
    "no cache": ["inspect", "no cache.h5"],
    "none": ["inspect", f"none{BAD}.h5"],
    "too many": ["inspect", CACHE, BAD],
    "report": ["report", "foreign.h5", "--html", f"page{BAD}.html", "--montage", f"page{BAD}.png"],
    "report of ids": ["report", CACHE, "--montage", "no.png", "--ids", BAD],
    "report of images": ["report", CACHE, "--montage", "no.png", "--images", f"none{BAD}"],
    "catalogue": ["export", CACHE, "--catalog", f"out{BAD}.csv"],
    "ending": ["export", CACHE, "--catalog", f"out.{BAD}"],
    "pictures": ["export", CACHE, "--images", f"out{BAD}", "--by-label"],
    "view": ["export", CACHE, "--images", "no", "--view", BAD],
    "answers": ["export", CACHE, "--images", "no", "--by-label", "--label-columns", BAD + "none"],
    "evaluate": ["evaluate", BAD],
    "predict": ["predict", BAD, BAD, "-o", f"none{BAD}/a.csv"],
    "train": ["train", "foreign.h5", "-o", f"run{BAD}"],
    "compare": ["compare", "foreign.h5", "-o", f"experiment{BAD}"],
}
SLOW = ("evaluate", "predict", "train", "compare")  # Keras starts


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] if case in SLOW else []) for case in TYPED]
)
def test_no_command_prints_what_acts_on_a_terminal(folder, capsys, monkeypatch, case):
    monkeypatch.chdir(folder)
    command, *arguments = TYPED[case]
    _, out, err = run(capsys, command, *arguments)
    said = "\n".join([*out, *err])
    assert RAW.search(said) is None, ascii(said)
    assert "Traceback" not in said
    assert re.search(r"\\(x|u00)1b", said) or case == "table", said


def test_pages_and_messages(folder, tmp_path):
    page = tmp_path / "page.html"
    for cache in (scalenorm.open_cache(folder / CACHE), scalenorm.open_cache(folder / "foreign.h5")):
        write_report(cache, page, overwrite=True)
        assert RAW.search(page.read_text()) is None
        assert SHOWN.replace("\\", "\\\\") in page.read_text()
        for message in cache.catalog["message"].tolist():
            assert RAW.search(message.decode()) is None


def test_errors_and_logs_of_the_library(folder, caplog):
    lock = folder / "a.lock"
    lock.write_text(json.dumps({"host": BAD, "pid": 1, "since": BAD}))
    with locked(lock):
        pass
    assert len(caplog.messages) == 1
    with pytest.raises(InputError) as raised:
        scalenorm.convert(folder / BAD, folder / "out.h5")
    shown = [repr(scalenorm.open_cache(folder / name)) for name in (CACHE, "foreign.h5")]
    for text in (*caplog.messages, str(raised.value), *shown):
        assert RAW.search(text) is None
        assert SHOWN in text


@pytest.mark.parametrize(("text", "shown"), [
    (BAD, SHOWN), ("größe 星系\U0001f30c\xa0 \\n", "größe 星系\U0001f30c\xa0 \\n"), ("a\tb\x00", r"a\tb\x00"),
    ("\udcff\udc9b", r"\xff\x9b"), (np.str_("x\u2066"), r"x\u2066"), ("ftp://me:word@host/\n", r"ftp://me:***@host/\n"),
])  # fmt: skip
def test_printable(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown
