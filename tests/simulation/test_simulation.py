"""Simulated galaxies: reproducible, true to their stated truth, and as varied as the survey."""

import doctest
import functools
import tracemalloc

import numpy as np
import pytest
from skimage.color import rgb2gray
from skimage.measure import label, regionprops

from scalenorm import make_galaxies
from scalenorm.simulation import galaxies as datasets
from scalenorm.simulation.tile import make_tile

# Mean answers to Galaxy Zoo 2 over 3,669 galaxies drawn without selection.
SURVEY_MEANS = """
    .436 .538 .026  .104 .434  .103 .331  .219 .215  .043 .179 .177 .035  .228 .772  .174 .210 .052
    .033 .014 .033 .039 .065 .041 .004  .065 .011 .028  .095 .084 .040  .015 .097 .018 .007 .007 .074
"""
QUESTION_SIZES = (3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6)
PARENTS = {2: "1.2", 3: "2.2", 4: "2.2", 5: "2.2", 7: "1.1", 8: "6.1", 9: "2.1", 10: "4.1", 11: "4.1"}


def grey(image):
    return 255 * rgb2gray(image)


def central_region(image, row, col):
    """Region at (row, col), or nearest, above mean + 1 standard deviation, by scikit-image."""
    levels = grey(image)
    mask = levels >= levels.mean() + levels.std()
    labels = label(mask, connectivity=2)
    pixels = np.argwhere(mask)
    nearest = pixels[((pixels - [row, col]) ** 2).sum(axis=1).argmin()]
    return regionprops((labels == labels[tuple(nearest)]).astype(int))[0]


@pytest.fixture(scope="module")
def alone():
    """Galaxies far off the centre, without noise, alone."""
    return make_galaxies(30, seed=11, neighbours=0, offset=60, signal_to_noise=np.inf)


@pytest.fixture(scope="module")
def small():
    return make_galaxies(1500, seed=2, size=64)


def assert_same(a, b):
    for name in ("images", "ids", "row", "col", "major_axis", "minor_axis", "orientation", "answers"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_shapes():
    sample = make_galaxies(3, seed=0, size=50)
    assert sample.images.shape == (3, 50, 50, 3)
    assert sample.images.dtype == np.uint8
    assert sample.answers.shape == (3, 37)
    assert sample.answers.dtype == sample.row.dtype == np.float64
    assert sample.ids == ["galaxy-000000", "galaxy-000001", "galaxy-000002"]
    assert sample.answer_names[0] == "Class1.1"
    assert sample.answer_names[-1] == "Class11.6"
    assert len(make_galaxies(0, seed=0).ids) == 0


def test_galaxy_depends_on_seed_and_number_alone():
    whole = make_galaxies(6, seed=4, size=100)
    assert_same(whole, make_galaxies(6, seed=4, size=100))
    rest = make_galaxies(2, seed=4, size=100, first=4)
    np.testing.assert_array_equal(whole.images[4:], rest.images)
    np.testing.assert_array_equal(whole.answers[4:], rest.answers)
    assert whole.ids[4:] == rest.ids
    assert len({image.tobytes() for image in whole.images}) == 6
    other = make_galaxies(6, seed=5, size=100)
    assert not np.isclose(whole.major_axis, other.major_axis).any()


def test_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - this is the state in question
    make_galaxies(1, seed=1, size=64)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@functools.cache
def noisy_and_clean(neighbours):
    return [make_galaxies(4, seed=8, neighbours=neighbours, signal_to_noise=ratio) for ratio in (10, np.inf)]


@pytest.mark.parametrize("neighbours", [None, 1, 5])
def test_neighbours_change_neither_galaxy_nor_noise(neighbours):
    (noisy, clean), (noisy_alone, clean_alone) = noisy_and_clean(neighbours), noisy_and_clean(0)
    np.testing.assert_array_equal(noisy.major_axis, clean_alone.major_axis)
    np.testing.assert_array_equal(noisy.answers, clean_alone.answers)
    same = (clean.images == clean_alone.images) & (clean.images < 255)
    assert 0.2 < same.mean() < 1
    # Light too faint for a grey level of its own may still turn a rounding.
    difference = np.abs(noisy.images.astype(int) - noisy_alone.images)[same]
    assert difference.max() <= 1
    assert not np.array_equal(noisy.images, noisy_alone.images)


def test_truth_is_what_scikit_image_measures(alone):
    middle = (alone.images.shape[1] - 1) / 2
    assert np.hypot(alone.row - middle, alone.col - middle).max() > 40
    for i, image in enumerate(alone.images):
        region = central_region(image, alone.row[i], alone.col[i])
        # The picture is rounded to integers, the truth is not.
        assert np.hypot(region.centroid[0] - alone.row[i], region.centroid[1] - alone.col[i]) < 0.5
        assert region.axis_major_length == pytest.approx(alone.major_axis[i], rel=0.02)
        assert region.axis_minor_length == pytest.approx(alone.minor_axis[i], rel=0.02)
        if region.axis_minor_length < 0.9 * region.axis_major_length:
            turn = (region.orientation - alone.orientation[i] + np.pi / 2) % np.pi - np.pi / 2
            assert abs(turn) < np.deg2rad(1)


@pytest.mark.slow
def test_truth_scales_with_the_picture():
    large, half = make_galaxies(20, seed=3), make_galaxies(20, seed=3, size=212)
    ratio = large.major_axis / half.major_axis
    assert np.median(ratio) == pytest.approx(2, rel=0.01)
    np.testing.assert_allclose(large.answers, half.answers)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [5, 20])
def test_signal_to_noise(alone, wanted):
    noisy = make_galaxies(30, seed=11, neighbours=0, offset=60, signal_to_noise=wanted)
    ratios = []
    for i, image in enumerate(alone.images):
        level = grey(image)
        inside = np.zeros(level.shape, bool)
        inside[tuple(central_region(image, alone.row[i], alone.col[i]).coords.T)] = True
        signal = level[inside].mean() - np.median(level[:, :5])
        # Where neither black nor white clips the noise.
        unclipped = inside & (level > 60) & (level < 160)
        if unclipped.sum() > 500:
            ratios.append(signal / (grey(noisy.images[i]) - level)[unclipped].std())
    assert len(ratios) > 15
    assert np.median(ratios) == pytest.approx(wanted, rel=0.05)


@pytest.mark.slow
def test_a_neighbour_is_farther_out_than_the_galaxy(alone):
    pairs = make_galaxies(30, seed=11, neighbours=1, offset=60, signal_to_noise=np.inf)
    middle = (alone.images.shape[1] - 1) / 2
    grown, relative_light = [], []
    for i, (pair, single) in enumerate(zip(pairs.images, alone.images, strict=True)):
        added = grey(pair) - grey(single)
        peak = np.unravel_index(added.argmax(), added.shape)
        galaxy = np.hypot(alone.row[i] - middle, alone.col[i] - middle)
        assert np.hypot(peak[0] - middle, peak[1] - middle) >= 1.5 * galaxy
        areas = [central_region(image, alone.row[i], alone.col[i]).area for image in (pair, single)]
        grown.append(areas[0] > 1.05 * areas[1])
        relative_light.append(added.max() / (grey(single).max() - np.median(grey(single))))
    assert 0.15 < np.mean(grown) < 0.7
    assert max(relative_light) > 1
    assert min(relative_light) < 0.5


@pytest.mark.slow
def test_answers_obey_the_decision_tree(small):
    assert list(small.answer_names) == [
        f"Class{q}.{a}" for q, size in enumerate(QUESTION_SIZES, 1) for a in range(1, size + 1)
    ]
    answer = dict(zip(small.answer_names, small.answers.T, strict=True))
    assert small.answers.min() >= 0
    assert small.answers.max() <= 1
    for question, size in enumerate(QUESTION_SIZES, 1):
        total = sum(answer[f"Class{question}.{a}"] for a in range(1, size + 1))
        parent = answer[f"Class{PARENTS[question]}"] if question in PARENTS else 1.0
        np.testing.assert_allclose(total, np.broadcast_to(parent, total.shape), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_answers_are_as_varied_as_in_the_survey(small):
    survey = np.array(SURVEY_MEANS.split(), dtype=float)
    assert np.abs(small.answers.mean(axis=0) - survey).max() < 0.05
    guess = ((small.answers - small.answers.mean(axis=0)) ** 2).mean()
    assert 0.5 < guess / 0.0267 < 1.5  # of the mean answers, on the same galaxies of the survey


@pytest.mark.slow
def test_sizes_are_those_of_the_survey():
    axis = 2 * make_galaxies(300, seed=6, size=212, neighbours=0).major_axis
    np.testing.assert_allclose(np.percentile(axis, [1, 50, 99]), [90, 136, 242], rtol=0.2)
    assert np.percentile(axis, 50) == pytest.approx(136, rel=0.07)
    assert np.log(axis).std() == pytest.approx(0.20, abs=0.03)


@pytest.mark.slow
def test_pictures_foretell_answers(small):
    """Ridge regression on 16 x 16 pixels of the centre beats the mean answer on galaxies it has not seen."""
    pixels = small.images[:, 16:48, 16:48].reshape(-1, 16, 2, 16, 2, 3).mean(axis=(2, 4)).reshape(1500, -1)
    mean = small.answers[:1000].mean(axis=0)
    pixels = (pixels - pixels[:1000].mean(axis=0)) / 100
    seen = pixels[:1000]
    weights = np.linalg.solve(seen.T @ seen + 30 * np.eye(seen.shape[1]), seen.T @ (small.answers[:1000] - mean))
    fit = ((pixels[1000:] @ weights + mean - small.answers[1000:]) ** 2).mean()
    guess = ((mean - small.answers[1000:]) ** 2).mean()
    assert fit < 0.75 * guess


@pytest.mark.slow
def test_answers_follow_what_is_seen():
    """Where the answers say so, the picture is round, thin or warm."""
    sample = make_galaxies(300, seed=12, size=128, neighbours=0)
    answer = dict(zip(sample.answer_names, sample.answers.T, strict=True))
    shape = sample.minor_axis / sample.major_axis
    # A merger is long for another reason; a star has no shape of its own.
    plain = (answer["Class8.6"] < 0.1) & (answer["Class1.3"] < 0.3)
    assert shape[plain & (answer["Class7.1"] > 0.5)].min() > 0.7
    assert shape[plain & (answer["Class2.1"] > 0.5)].max() < 0.5


def test_memory_beyond_the_result_is_small():
    make_galaxies(1, seed=0)
    tracemalloc.start()
    sample = make_galaxies(4, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - sample.images.nbytes < 25e6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": -1}, "n is -1"),
        ({"seed": -3}, "seed is -3"),
        ({"size": 8}, "size is 8"),
        ({"first": -1}, "first is -1"),
        ({"neighbours": 11}, "neighbours is 11: give a number from 0 to 10"),
        ({"offset": 70}, "offset is 70"),
        ({"offset": float("nan")}, "offset is nan"),
        ({"signal_to_noise": 0}, "signal_to_noise is 0"),
        ({"signal_to_noise": float("nan")}, "signal_to_noise is nan"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        make_galaxies(**{"n": 1, "seed": 0, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n is 0: give a number at least 1"),
        ({"size": 100}, "size is 100: give a number at least 256"),
        ({"noise": np.nan}, "noise is nan: give a number at least 0"),
        ({"n": 2, "size": 256, "apart": 300}, "2 galaxies 300 pixels apart do not fit into 256 x 256 pixels"),
    ],
)
def test_arguments_of_tiles_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        make_tile(**{"n": 1, "seed": 1, **options})


def test_example_of_the_docstring():
    assert doctest.testmod(datasets) == (0, 5)
