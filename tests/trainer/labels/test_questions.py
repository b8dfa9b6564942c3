"""The tree and the label tables against an independent listing and the competition's own labels."""

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import sky_blobs, tree_answers

from galaxy_trainer.answers.choices import Choice
from galaxy_trainer.answers.targets import GALAXY_ZOO_2
from galaxy_trainer.files.errors import TrainerError
from galaxy_trainer.labels.columns import read_columns
from galaxy_trainer.labels.questions import Tree, read_tree, shipped

TREE = shipped("galaxy_zoo_2")
ANSWER_NAMES, QUESTIONS = TREE.names, TREE.questions

# Written down from the competition's page: first and last column, parent column (0-based).
LISTING = {
    1: (0, 3, None), 2: (3, 5, 1), 3: (5, 7, 4), 4: (7, 9, 4), 5: (9, 13, 4), 6: (13, 15, None), 7: (15, 18, 0),
    8: (18, 25, 13), 9: (25, 28, 3), 10: (28, 31, 7), 11: (31, 37, 7),
}  # fmt: skip


# Written down from label_metadata.py of mwalmsley/galaxy-datasets: numbers of answers, and the answer that leads there.
DECALS = {
    "smooth-or-featured": (3, None), "disk-edge-on": (2, "smooth-or-featured_featured-or-disk"),
    "has-spiral-arms": (2, "disk-edge-on_no"), "bar": (3, "disk-edge-on_no"), "bulge-size": (5, "disk-edge-on_no"),
    "how-rounded": (3, "smooth-or-featured_smooth"), "edge-on-bulge": (3, "disk-edge-on_yes"),
    "spiral-winding": (3, "has-spiral-arms_yes"), "spiral-arm-count": (6, "has-spiral-arms_yes"), "merging": (4, None),
}  # fmt: skip


def read_labels(path, ids="xyz"):
    """The answers of a file as `galaxy-train` takes them."""
    columns = read_columns(path, ids, lambda names, source: Choice().target(None, names, source, ()).columns)
    GALAXY_ZOO_2.truth(columns)
    return columns


def write_csv(path, ids, values, names=ANSWER_NAMES):
    lines = [",".join(["GalaxyID", *names])]
    lines += [",".join([name, *map(repr, row.tolist())]) for name, row in zip(ids, values, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_tree_is_the_competitions():
    found = {q.number: (q.columns.start, q.columns.stop, q.parent) for q in QUESTIONS}
    assert found == LISTING
    assert len(ANSWER_NAMES) == 37
    assert (ANSWER_NAMES[0], ANSWER_NAMES[13], ANSWER_NAMES[36]) == ("Class1.1", "Class6.1", "Class11.6")


def test_parents_come_first():
    seen = set()
    for question in TREE.from_root():
        assert question.parent is None or question.parent in seen
        seen.update(range(question.columns.start, question.columns.stop))
    assert len(seen) == 37


def test_good_answers_pass():
    rng = np.random.default_rng(0)
    TREE.check(tree_answers(rng.random((50, 37)) + 0.01), [str(i) for i in range(50)])


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        (4, 0.0, "question Class2 do not sum to Class1.2"),
        (13, 0.999, "question Class6 do not sum to 1"),
        (36, -0.1, "outside 0 to 1"),
        (20, np.inf, "outside 0 to 1"),
    ],
)
def test_broken_answers_are_named(column, value, rule):
    answers = tree_answers(np.random.default_rng(0).random((6, 37)) + 0.01)
    answers[[2, 4], column] = value
    with pytest.raises(TrainerError, match=rule) as error:
        TREE.check(answers, list("abcdef"), source="answers.csv")
    assert "answers.csv" in str(error.value)
    assert "first ids: c, e" in str(error.value)


def test_answers_rounded_to_four_decimals_pass():
    answers = np.round(tree_answers(np.random.default_rng(0).random((2000, 37)) + 0.01), 4)
    TREE.check(answers, [str(i) for i in range(2000)])
    answers[3, 14] += 2e-3
    with pytest.raises(
        TrainerError, match=r"question Class6 do not sum to 1 \(by up to 0\.002; 0\.0005 is allowed\) in 1 r"
    ):
        TREE.check(answers, [str(i) for i in range(2000)])


def test_labels_by_name(tmp_path):
    _, values = sky_blobs(3, size=8)
    order = np.random.default_rng(1).permutation(37)
    path = write_csv(tmp_path / "a.csv", "xyz", values[:, order], [ANSWER_NAMES[i] for i in order])
    labels = read_labels(path, "xyz")
    np.testing.assert_array_equal(labels.values, values)


def test_label_files_that_do_not_fit(tmp_path):
    _, values = sky_blobs(3, size=8)
    path = tmp_path / "a.csv"
    with pytest.raises(TrainerError, match=r"missing: Class1\.1"):
        read_labels(write_csv(path, "xyz", values, ["wrong", *ANSWER_NAMES[1:]]))
    with pytest.raises(TrainerError, match="line 4: the id 'x' is there twice, with different"):
        read_labels(write_csv(path, "xyx", values))
    write_csv(path, "xyz", values)
    path.write_text(path.read_text().rstrip("\n") + ",1\n")
    with pytest.raises(TrainerError, match="line 4: 39 columns, the header has 38"):
        read_labels(path)
    path.write_text("GalaxyID\n")
    with pytest.raises(TrainerError, match="no columns besides the ids"):
        read_labels(path)
    path.write_text("GalaxyID," + ",".join(ANSWER_NAMES) + "\n")
    with pytest.raises(TrainerError, match="a table without rows"):
        read_labels(path)
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(TrainerError, match=r"a\.csv: not a table"):
        read_labels(path)


@pytest.mark.skipif("SCALENORM_GALAXYZOO" not in os.environ, reason="SCALENORM_GALAXYZOO names no folder")
def test_real_labels_obey_the_tree():
    path = Path(os.environ["SCALENORM_GALAXYZOO"]) / "labels.csv"
    ids = [line.partition(",")[0] for line in path.read_text().splitlines()[1:]]
    assert np.isfinite(read_labels(path, ids).values).sum() == 7952 * 37


def test_both_shipped_trees(tmp_path):
    """Galaxy Zoo DECaLS' answers are among those who were asked; where nobody was there is none."""
    decals = shipped("galaxy_zoo_decals")
    assert (len(decals.questions), len(decals.names), decals.conditional) == (10, 34, True)
    leads = {None: None} | dict(enumerate(name.removesuffix("_fraction") for name in decals.names))
    assert {q.name: (len(q.answers), leads[q.parent]) for q in decals.questions} == DECALS
    assert all(name.startswith(f"{q.name}_") for q in decals.questions for name in q.names)
    assert decals.names[:2] == ("smooth-or-featured_smooth_fraction", "smooth-or-featured_featured-or-disk_fraction")
    answers = np.full((2, 34), np.nan)
    answers[:, :5] = [[0.9, 0.1, 0, 0.3, 0.7], [0.2, 0.8, 0, 0, 1]]
    decals.check(answers, ["a", "b"])
    assert TREE.in_words(np.eye(37)[[0]])[0].startswith(
        "Class1: smooth; Class6: yes; Class7: completely round; Class8: ring"
    )
    assert Tree.parse(TREE.described()) == TREE
    answers[1, 4] = 0.9
    with pytest.raises(TrainerError, match=r"question disk-edge-on do not sum to 1 \(by up to 0\.1"):
        decals.check(answers, ["a", "b"])


def test_answers_with_gaps_are_checked_as_far_as_they_go():
    answers = tree_answers(np.random.default_rng(0).random((3, 37)) + 0.01)
    answers[0, 4] = answers[1, 3] = np.nan  # the parent of 3, 4, 5; a part of question 2
    TREE.check(answers, list("abc"))
    answers[1, 4] = answers[1, 1] + 0.1
    with pytest.raises(TrainerError, match=r"question Class2 do not sum to Class1\.2 .* first ids: b"):
        TREE.check(answers, list("abc"))


QUESTION = '[[questions]]\nname = "{}"\ntext = ""\n{}answers = {{ "{}" = "yes", "{}" = "no" }}\n'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (QUESTION.format("A", 'parent = "c"\n', "a", "b") + QUESTION.format("B", 'parent = "a"\n', "c", "d"),
         "the parents of A, B make a circle"),
        (QUESTION.format("A", 'parent = "x"\n', "a", "b"), "question 'A': its parent 'x' is no column of the tree"),
        (QUESTION.format("A", "", "a", "b") + QUESTION.format("B", "", "b", "c"), "column 'b' is an answer twice"),
        (QUESTION.format("A", "", "a", "b") + QUESTION.format("A", "", "c", "d"), "two questions have the same name"),
        (QUESTION.format("A", 'number = 1\n', "a", "b"), "unexpected keyword argument 'number'"),
        ('[[questions]]\nname = "A"\ntext = ""\nanswers = { "a" = "yes" }', "two answers or more"),
        ("", "a tree has a title, sums and questions"),
        ("no TOML", "not a TOML file"),
    ],
)  # fmt: skip
def test_tree_files_that_do_not_fit(text, error, tmp_path):
    path = tmp_path / "tree.toml"
    path.write_text('sums = "one"\n' + text)
    with pytest.raises(TrainerError, match=error) as caught:
        read_tree(path)
    assert "tree.toml" in str(caught.value)
    assert "\n" not in str(caught.value)
