"""What type checkers and editors see of the public functions is what they are."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import stub

import scalenorm
from scalenorm.measuring.options import OPTIONS


def test_the_stub_is_up_to_date():
    assert stub.PATH.read_text() == stub.stub(), "run: python tests/helpers/stub.py"


@pytest.mark.parametrize("name", [*stub.FUNCTIONS, "ScaleNormalizer"])
def test_every_option_is_shown_with_its_default_and_text(name):
    function = getattr(scalenorm, name)
    shown = inspect.signature(function).parameters
    for option, field in OPTIONS.items():
        if (name, option) == ("crop_all", "center"):
            assert option not in shown
            continue
        assert shown[option].default == field.default
        assert shown[option].kind is inspect.Parameter.KEYWORD_ONLY
        assert f"    {option} : " in function.__doc__
        assert " ".join(field.metadata["text"].split()[:6]) in function.__doc__
    assert "**options" not in function.__doc__


@pytest.mark.parametrize("function", [scalenorm.measure, scalenorm.crop])
def test_a_misspelt_option_is_told(function):
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\) got .* 'sigm'; did you mean 'sigma'\?"):
        function([[0, 1], [1, 0]], sigm=2)


@pytest.mark.slow
def test_type_checkers_know_every_option(tmp_path):
    file = tmp_path / "user.py"
    lines = ["import numpy as np, scalenorm", "image = np.zeros((9, 9))"]
    lines += ["scalenorm.crop(image, sigma=2.0, center='galaxy', side_limits=(4, 9))"]
    lines += ["scalenorm.measure(image, deblend='yes')", "scalenorm.crop_many([image], margn=2)"]
    lines += ["scalenorm.ScaleNormalizer(32, min_area=4).fit([image])", "scalenorm.ScaleNormalizer(size_from='area')"]
    file.write_text("\n".join(lines))
    command = [sys.executable, "-m", "mypy", "--cache-dir=.mypy_cache/stub", "--follow-imports=silent", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(scalenorm.__file__).parents[1])
    found = [line.split(":")[1] for line in done.stdout.splitlines() if ": error:" in line]
    assert found == ["4", "5", "7"], done.stdout
