"""`ScaleNormalizer` against `crop`, with and without scikit-learn, and scikit-learn's own checks.

scikit-learn is imported inside the tests: every worker imports this file, one runs it.
"""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest

import scalenorm
from scalenorm.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def sklearn():
    return pytest.importorskip("sklearn", reason="scikit-learn is not installed")


def test_scikit_learn_checks_on_rows():
    from sklearn.utils.estimator_checks import check_estimator
    from table import Rows

    found = check_estimator(Rows(size=8, n_jobs=1), on_skip=None, on_fail="raise")
    assert len(found) > 40
    assert {result["check_name"] for result in found if result["status"] != "passed"} <= {"check_array_api_input"}


@pytest.mark.filterwarnings("ignore:Can't test estimator ScaleNormalizer which requires input")
def test_scikit_learn_checks_on_images():
    from sklearn.utils.estimator_checks import check_estimator

    assert {result["status"] for result in check_estimator(scalenorm.ScaleNormalizer())} == {"passed"}


def test_parameters_are_those_of_crop():
    own = inspect.signature(scalenorm.ScaleNormalizer).parameters
    of_crop = inspect.signature(scalenorm.crop).parameters
    assert set(own) == (set(of_crop) - {"image", "mask"}) | {"n_jobs"}
    for name in set(own) - {"n_jobs"}:
        assert own[name].default == of_crop[name].default, name


def test_crops_are_those_of_crop(galaxies):
    options = {"sigma": 0.8, "margin": 1.4, "center": "galaxy", "weights": (1.0, 1.0, 2.0)}
    result = scalenorm.ScaleNormalizer(size=48, **options).fit_transform(galaxies.images)
    for image, crop in zip(galaxies.images, result, strict=True):
        np.testing.assert_array_equal(crop, scalenorm.crop(image, 48, **options))


@pytest.mark.parametrize("kind", [list, tuple, lambda images: np.array([*images, None], object)[:-1]])
def test_takes_images_of_several_sizes(galaxies, kind):
    images = [galaxies.images[0], galaxies.images[1][20:400, 50:], galaxies.images[2][:, 30:390]]
    result = scalenorm.ScaleNormalizer().transform(kind(images))
    assert result.shape == (3, 64, 64, 3)
    np.testing.assert_array_equal(result[1], scalenorm.crop(images[1]))


def test_bands_first(galaxies):
    images = np.ascontiguousarray(galaxies.images.transpose(0, 3, 1, 2))
    model = scalenorm.ScaleNormalizer(channel_axis=0).fit(images)
    assert model.n_bands_in_ == 3
    np.testing.assert_array_equal(model.transform(images), scalenorm.ScaleNormalizer().transform(galaxies.images))


def test_in_a_pipeline(galaxies):
    from sklearn.base import clone
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    flatten = FunctionTransformer(lambda crops: crops.reshape(len(crops), -1))
    model = make_pipeline(scalenorm.ScaleNormalizer(size=16), flatten, LinearRegression())
    model.set_params(scalenormalizer__view="center-128")
    answers = galaxies.answers[:, 0]
    # More pixels than galaxies: the fit must reproduce every answer, if the rows are in order.
    np.testing.assert_allclose(model.fit(galaxies.images, answers).predict(galaxies.images), answers, atol=1e-6)
    again = pickle.loads(pickle.dumps(clone(model[0]).fit(galaxies.images)))
    assert again.get_params()["view"] == "center-128"
    assert again.n_bands_in_ == 3


@pytest.mark.parametrize(
    ("options", "images", "message"),
    [
        ({}, np.zeros((5, 7)), r"X must be images, \(N, H, W\).*got shape \(5, 7\)"),
        ({}, [], "X holds no images"),
        ({"size": 0}, np.zeros((2, 8, 8)), "size must be a positive number of pixels, got 0"),
        ({"view": "middle"}, np.zeros((2, 8, 8)), "unknown view 'middle'"),
        ({"margin": -1}, np.zeros((2, 8, 8)), "margin must be a finite number above 0, at most 1000, got -1"),
    ],
)
def test_bad_input_is_told(options, images, message):
    with pytest.raises(ValueError, match=message):
        scalenorm.ScaleNormalizer(**options).fit(images)


def test_another_number_of_bands_is_refused(galaxies):
    model = scalenorm.ScaleNormalizer().fit(galaxies.images)
    with pytest.raises(ValueError, match="images of 1 bands, but fit saw images of 3"):
        model.transform(galaxies.images[..., 0])


@pytest.mark.slow
def test_without_scikit_learn():
    code = """
import sys
sys.modules["sklearn"] = None
import numpy as np, scalenorm
model = scalenorm.ScaleNormalizer(size=8, margin=2.0)
assert model.set_params(sigma=0.5).get_params()["sigma"] == 0.5
assert type(model).__mro__[1].__module__ == "scalenorm.cropping.transformer"
image = np.zeros((2, 30, 30), np.uint8)
image[:, 10:20, 12:18] = 200
assert (model.fit_transform(image)[1] == scalenorm.crop(image[1], 8, margin=2.0, sigma=0.5)).all()
try:
    model.set_params(scale=1)
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("there is no parameter 'scale'; parameters are size, view, n_jobs, sigma")


def test_python_m_scalenorm_names_every_command():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    scripts = config["options.entry_points"]["console_scripts"].split("\n")
    assert list(COMMANDS) == [line.split(" = ")[0] for line in scripts if line]
    done = subprocess.run([sys.executable, "-m", "scalenorm"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == f"scalenorm {scalenorm.__version__}"
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(COMMANDS)


def test_masked_arrays_in_a_list_keep_their_masks():
    image = np.full((40, 40), 10.0)
    image[15:25, 15:25] = 60
    image[19:21, 20:38] = 500  # a trail, masked
    masked = np.ma.masked_where(image == 500, image)
    expected = scalenorm.crop_many([masked, masked], 16)
    assert not np.array_equal(expected, scalenorm.crop_many([image, image], 16))
    np.testing.assert_array_equal(scalenorm.ScaleNormalizer(16).fit_transform([masked, masked]), expected)


def test_an_axis_that_there_is_not():
    with pytest.raises(ValueError, match="channel_axis must be between -3 and 2, got 5"):
        scalenorm.ScaleNormalizer(channel_axis=5).fit([np.zeros((9, 9, 3))])
