"""The same files of labels and lists of ids, read by both packages: there is one reader."""

import csv
import io

import numpy as np
import pytest
from conftest import sky_blobs, write_cache

import scalenorm
from galaxy_trainer import TrainerError
from galaxy_trainer.data.galaxies import open_galaxies, read_ids
from galaxy_trainer.labels.questions import shipped
from scalenorm.files.errors import TableError

ANSWER_NAMES = shipped("galaxy_zoo_2").names

IDS = [str(i) for i in range(6)]


@pytest.fixture(scope="module")
def answers():
    return sky_blobs(6, size=8)[1]


@pytest.fixture(scope="module")
def stamps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stamps")
    for name, image in zip(IDS, sky_blobs(6, size=24)[0], strict=True):
        np.save(folder / f"{name}.npy", image)
    return folder


def table(ids, values, *, index=None, names=ANSWER_NAMES, ends=""):
    """CSV as `DataFrame.to_csv()` writes it: with `index`, the name of its column, numbers in front of the rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    front = [] if index is None else [index]
    writer.writerow([*front, "GalaxyID", *names])
    for number, (name, row) in enumerate(zip(ids, values, strict=True)):
        writer.writerow([*(front and [number]), name, *map(repr, row.tolist())])
    return text.getvalue() + ends


def odd_files(answers):
    """Name to text, and the order in which its rows are those of the stamps."""
    turned = IDS[::-1]  # so that the numbers of an index are ids, but of other galaxies
    commas = "," * (len(ANSWER_NAMES)) + "\n"
    return {
        "plain": table(IDS, answers),
        "index": table(turned, answers[::-1], index=""),
        "index, saved twice": table(turned, answers[::-1], index="Unnamed: 0"),
        "blank last lines": table(IDS, answers, ends="\n   \n" + commas),
        "padded ids": table([f"  {name} " for name in IDS], answers),
        "columns in another order": table(IDS, answers[:, ::-1], names=ANSWER_NAMES[::-1]),
        "begins as on Windows": "\ufeff" + table(IDS, answers).replace("\n", "\r\n"),
        "more galaxies, one with a wrong answer": table(["x", *IDS], [answers[0] * 3, *answers]),
        "answers of no galaxy": table([*IDS, ""], [*answers, answers[0]]),
    }


@pytest.mark.parametrize("name", odd_files(np.zeros((6, 37))))
def test_both_packages_read_the_same(name, answers, stamps, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(odd_files(answers)[name].encode())
    scalenorm.convert(stamps, tmp_path / "with.h5", size=8, views=["normalized"], labels=path)
    by_batch = open_galaxies(tmp_path / "with.h5", ["normalized"])
    assert sorted(by_batch.cache.label_names) == sorted(ANSWER_NAMES)
    plain = write_cache(tmp_path / "without.h5", {"normalized": by_batch.cache.view("normalized")[:]}, ids=IDS)
    by_trainer = open_galaxies(plain, ["normalized"], labels=path)
    np.testing.assert_array_equal(by_trainer.labels, by_batch.labels)
    np.testing.assert_array_equal(by_trainer.labels, answers)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda text: text.replace("GalaxyID", "name"), r"no id column .*scalenorm-batch --id-column"),
        (lambda text: text + text.splitlines()[-2].replace("\n4,", "\n5,").replace("4,", "5,", 1) + "\n",
         r"line 8: the id '5' is there twice, with different answers"),
        (lambda text: text.rsplit(",", 1)[0] + ",many\n", r"line 7: column 'Class11\.6' holds 'many', not a number"),
        (lambda text: text.replace("\n", ",1\n").replace(",1", "", 1), r"line 2: 39 columns, the header has 38"),
        (lambda text: text.replace("\n0,", "\nx,").replace("GalaxyID", "id").split("\n1,")[0],
         r"no id in common with the images: the file has ids like 'x'"),
    ],
)  # fmt: skip
def test_both_packages_refuse_the_same(change, error, answers, stamps, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(change(table(IDS, answers)))
    with pytest.raises(TableError, match=error):
        scalenorm.convert(stamps, tmp_path / "out.h5", size=8, views=["normalized"], labels=path)
    cache = write_cache(tmp_path / "without.h5", {"normalized": np.zeros((6, 8, 8, 3), np.uint8)}, ids=IDS)
    with pytest.raises(TrainerError, match=error):
        open_galaxies(cache, ["normalized"], labels=path)


@pytest.mark.parametrize(
    "text",
    [
        "3\n1\n", " 3\n\n# some\n1 ", "GalaxyID\n3\n1\n", ",GalaxyID\n0,3\n1,1\n", "objid,x\n3,0\n1,5\n,\n\n",
        "\ufeffid\r\n3\r\n1\r\n",
        "\nid\n3\n1\n",
    ],
)  # fmt: skip
def test_lists_of_ids(text, tmp_path):
    path = tmp_path / "ids.txt"
    path.write_bytes(text.encode())
    assert read_ids(path, IDS) == ["3", "1"]
