"""The figures show what the code holds: checked on the artists, not on pixels."""

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from galaxy_trainer.drawing import target_figures
from galaxy_trainer.experiment import figures, statistics
from galaxy_trainer.labels.questions import shipped
from galaxy_trainer.network.networks import paper_network

ANSWER_NAMES = shipped("galaxy_zoo_2").names
QUESTIONS = shipped("galaxy_zoo_2").questions


def result(arm, seed, error):
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(9).random((40, len(ANSWER_NAMES)))
    history = [{"epoch": float(e), "loss": error / e, "val_loss": error / e, "val_loss_augmented": 2 * error / e}
               for e in range(1, 6)]  # fmt: skip
    answers = {name: truth + error * rng.standard_normal(truth.shape) for name in ("deterministic", "oriented", "best")}
    answers |= {"truth": truth, "mean_answers": truth.mean(axis=0), "non_deterministic": error**2 * np.ones((40, 2))}
    return statistics.Result(arm, seed, 0, history, answers)


@pytest.fixture(scope="module")
def results():
    return [
        result(arm, seed, error) for seed in (0, 1) for arm, error in (("small", 0.1), ("large", 0.2), ("tiny", 0.05))
    ]


@pytest.fixture(scope="module")
def table(results):
    return statistics.summary(results)


def texts_of(figure):
    """All texts, drawn once so that nothing is left to a later layout."""
    FigureCanvasAgg(figure).print_png(io.BytesIO())
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def boxes_of(figure, artists):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return [artist.get_window_extent(canvas.get_renderer()) for artist in artists]


def test_summary_of_known_errors(table, results):
    assert table["arms"]["small"]["non_deterministic"]["mse"] == pytest.approx(0.01)
    assert table["arms"]["small"]["deterministic"]["mse"] == pytest.approx(0.01, rel=0.1)
    # The errors of two seeds are independent here, so their mean's are half as large.
    assert table["arms"]["large"]["ensemble"]["mse"] == pytest.approx(0.02, rel=0.1)
    pair = next(r for r in table["ratios"] if (r["arm"], r["to"]) == ("small", "large"))
    assert pair["low"] < 0.25 < pair["high"]
    assert table["arms"]["tiny"]["epochs"][4]["val_loss_augmented"] == pytest.approx(0.02)
    text = statistics.as_text(table)
    assert "deterministic: small / large = 0.2" in text
    assert len(text.splitlines()) == 2 + 3 + 6


def test_loss_curves_hold_every_run(results):
    figure = figures.loss_curves(results, ["small", "large", "tiny"])
    assert [panel.get_title() for panel in figure.axes] == ["small", "large", "tiny"]
    for panel, error in zip(figure.axes, (0.1, 0.2, 0.05), strict=True):
        assert len(panel.lines) == 3 * (2 + 1)
        mean = panel.lines[2].get_xydata()
        np.testing.assert_allclose(mean, [(e, error / e) for e in range(1, 6)])
        assert panel.get_xlabel() == "epoch"
    assert "mean squared error" in texts_of(figure)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_scores_and_ratios_say_their_numbers(results, count):
    names = ["small", "large", "tiny"][:count]
    table = statistics.summary([r for r in results if r.arm in names])
    for score in ("deterministic", "non_deterministic"):
        texts = texts_of(figures.score_figure(table, score))
        assert {f"{arm[score]['mse']:.5f}" for arm in table["arms"].values()} <= set(texts)
        assert set(names) <= set(texts)
    texts = texts_of(figures.ratio_figure(table))
    assert {f"{row['ratio']:.3f}" for row in table["ratios"]} <= set(texts)
    texts = texts_of(figures.question_figure(table))
    labelled = {text.split("  ")[0] for text in texts if "  " in text}
    assert labelled == {str(question.number) for question in QUESTIONS}


@pytest.mark.slow
def test_tree_shows_every_answer_inside_its_box():
    figure = target_figures.tree_figure()
    texts = texts_of(figure)
    for question in QUESTIONS:
        for i, answer in enumerate(question.answers):
            assert f"{question.number}.{i + 1} {answer}" in texts
    panel = figure.axes[0]
    labels = [text for text in panel.texts if text.get_text()]
    boxes = boxes_of(figure, panel.patches)
    for text, place in zip(labels, boxes_of(figure, labels), strict=True):
        assert any(box.x0 <= place.x0 and place.x1 <= box.x1 and box.y0 <= place.y0 and place.y1 <= box.y1
                   for box in boxes), text.get_text()  # fmt: skip
    for i, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[:i])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "views", "trunk", "rotations"),
    [("linear", 1, "paper", 1), ("tree", 2, "paper", 1), ("tree", 1, "compact", 4), ("tree", 1, "compact", 16)],
)
def test_network_shows_every_weight(head, views, trunk, rotations):
    """The weights on the blocks add up to those of the network, and no text leaves its block."""
    model = paper_network(width=0.25, head=head, views=views, trunk=trunk, rotations=rotations)
    figure = figures.network_figure(model)
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    counted = sum(
        int(line.split()[0].replace(",", "")) for t in texts for line in t.get_text().splitlines() if "weights" in line
    )
    assert counted == sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert sum(text.get_text() == "conv 3 x 3" for text in texts) == {"paper": 9, "compact": 5}[trunk]
    assert [t.get_text() for t in texts].count(f"{rotations} turns") == (rotations > 1)
    boxes = boxes_of(figure, figure.axes[0].patches)
    for text, place in zip(texts, boxes_of(figure, texts), strict=True):
        assert any(box.x0 <= place.x0 and place.x1 <= box.x1 for box in boxes), text.get_text()


def test_outlines_lie_where_they_were_measured():
    """A bright ellipse in a picture: the drawn outline encloses it."""
    row, column = np.mgrid[:60, :60]
    inside = ((row - 25) / 12) ** 2 + ((column - 32) / 8) ** 2 <= 1
    angle = np.linspace(0, 2 * np.pi, 50)
    ellipse = np.column_stack([25 + 12 * np.cos(angle), 32 + 8 * np.sin(angle)])
    window = np.array([(13, 20), (13, 44), (37, 44), (37, 20), (13, 20)], float)
    crop = np.zeros((8, 8, 1), np.uint8)
    figure = figures.galaxy_figure(
        ["normalized"], ["7"], [{"normalized": crop}], [(255 * inside).astype(np.uint8)], [(ellipse, window)]
    )
    drawn = figure.axes[0].lines[0].get_xydata()
    np.testing.assert_array_equal(drawn[:, ::-1], ellipse)
    shown = figure.axes[0].images[0].get_array()
    assert (drawn[:, 0].min(), drawn[:, 0].max()) == pytest.approx((24, 40), abs=0.1)
    assert [np.flatnonzero(shown.any(axis=0))[i] for i in (0, -1)] == [24, 40]
    missing = figures.galaxy_figure(["normalized"], ["7"], [{"normalized": crop}], [None], [(ellipse, window)])
    assert "original\nnot found" in texts_of(missing)


def test_sample_sheet_keeps_every_crop():
    crops = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3)).astype(np.uint8)
    sheet = figures.sample_sheet(crops, columns=3).axes[0].images[0].get_array()
    assert sheet.shape == (2 * 10 - 2, 3 * 10 - 2, 3)
    np.testing.assert_allclose(sheet[10:18, 10:18], crops[4] / 255)
    assert (sheet[10:, 20:] == 1).all()
