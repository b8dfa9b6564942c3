"""--config FILE: options from a file, and the settings of a cache fed back."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import scalenorm
from scalenorm.commands import batch, inspect
from scalenorm.commands.batch import make_parser
from scalenorm.commands.config import expand_config, to_toml
from scalenorm.files.errors import ConfigError


@pytest.fixture
def stack(tmp_path, galaxies):
    np.save(tmp_path / "stack.npy", galaxies.images[:3])
    return tmp_path / "stack.npy"


def parsed(tmp_path, text, *words):
    path = tmp_path / "options.toml"
    path.write_text(text)
    parser = make_parser()
    return parser.parse_intermixed_args(expand_config(parser, ["--config", str(path), *words]))


def test_options_of_every_kind(tmp_path):
    text = 'margin = 1.5\nviews = ["normalized", "center-128"]\ncenter = [10.5, 20]\nkeep-parts = true\n'
    text += "verify = false\n"
    found = parsed(tmp_path, text, "in", "out.h5")
    assert found.margin == 1.5
    assert found.views == ["normalized", "center-128"]
    assert found.center == (10.5, 20.0)
    assert found.keep_parts
    assert "verify" not in found


def test_the_command_line_wins(tmp_path):
    assert parsed(tmp_path, "margin = 1.5\nsize = 32\n", "--margin", "2", "in", "out.h5").margin == 2
    assert parsed(tmp_path, "margin = -1.5\n", "in", "out.h5").margin == -1.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sigmoid = 1", "unknown option 'sigmoid'; did you mean sigma\\?"),
        ("min-aera = 1", "unknown option 'min-aera'; did you mean min_area\\?"),
        ("xyz = 1", "unknown option 'xyz'; options are .*sigma"),
        ("verify = 1", "verify must be true or false, got 1"),
        ("margin = ", "not a TOML file"),
        ("[margin]\nx = 1", r"\[margin\] is a table: write options as name = value"),
        ("help = true", "unknown option 'help'"),
        ('config = "other.toml"', "unknown option 'config'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        parsed(tmp_path, text)


def test_settings_of_a_cache_make_the_same_cache(tmp_path, stack, capsys):
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    scalenorm.convert(stack, first, views=["center-100", "normalized"], size=20, margin=1.25, center=(200.0, 220.0))
    assert inspect.main([str(first), "--settings"]) == 0
    text = capsys.readouterr().out
    assert text == to_toml(scalenorm.open_cache(first).settings)
    (tmp_path / "again.toml").write_text(text)
    assert batch.main([str(stack), str(second), "--config", str(tmp_path / "again.toml"), "--quiet"]) == 0
    assert scalenorm.open_cache(second).digest() == scalenorm.open_cache(first).digest()
    assert scalenorm.open_cache(second).settings == scalenorm.open_cache(first).settings


#: Text without what UTF-8, and so TOML, does not have: halves of surrogate pairs.
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("\\\"'\0\n\x1b\x7f\x85\u2028/u\U0001f600#= ")
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS.filter(lambda key: key not in ("method", "windows_from")), VALUES))
@example({"band_files": '{id}-\U0001f600\x7f\\ud83d"\n.fits', "\U0001f52d": "é"})
@settings(max_examples=40, deadline=None)
def test_toml_says_what_the_settings_are(values):
    """As Python's own reader has it; printing it changes nothing, as it is ASCII and its only controls end lines."""
    text = to_toml(values)
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    assert repr(tomllib.loads(text)) == repr(dict(sorted(values.items())))


def test_what_toml_does_not_have():
    text = to_toml({"views": ["a\ud800"], "hdu": None, "of another program": [None, 1, {"x": None}]})
    assert tomllib.loads(text) == {"views": ["a\\ud800"], "of another program": [1, {}]}


def test_a_missing_file_is_a_wrong_command_line(tmp_path, stack, capsys):
    with pytest.raises(SystemExit) as stopped:
        batch.main([str(stack), str(tmp_path / "out.h5"), "--config", "nowhere.toml"])
    assert stopped.value.code == 2
    assert "nowhere.toml: No such file or directory" in capsys.readouterr().err
    assert not (tmp_path / "out.h5").exists()


def test_options_are_not_abbreviated(tmp_path, capsys):
    (tmp_path / "options.toml").write_text("margin = 1.5\n")
    for words in (["--conf", str(tmp_path / "options.toml")], ["--overw"]):
        with pytest.raises(SystemExit) as stopped:
            batch.main(["in", "out.h5", *words])
        assert stopped.value.code == 2
        assert f"unrecognized arguments: {words[0]}" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        batch.main(["in", "out.h5", "--config"])
    err = capsys.readouterr().err
    assert err.startswith("usage: scalenorm-batch [options] INPUT")
    assert "argument --config: expected one argument" in err
