"""Small caches, written with h5py alone as DESIGN section 4 says, so that the trainer meets an independent writer."""

import hashlib
import json

import h5py
import numpy as np
import pytest

from galaxy_trainer.drawing import curves
from galaxy_trainer.files.writing import write_whole
from galaxy_trainer.labels.questions import shipped
from galaxy_trainer.network.start import silent_start

with silent_start():  # as commands do: Keras would import all that is installed, which takes twice as long
    pass

ANSWER_NAMES = shipped("galaxy_zoo_2").names
QUESTIONS = shipped("galaxy_zoo_2").questions


def tree_answers(shares):
    """Slow and obvious: walk the tree question by question. shares: (n, 37) positive numbers."""
    answers = np.zeros_like(shares)
    done = set()
    while len(done) < len(QUESTIONS):
        for question in QUESTIONS:
            home = [q.number for q in QUESTIONS if question.parent in range(q.first, q.first + len(q.answers))]
            if question.number in done or not set(home) <= done:
                continue
            parent = 1.0 if question.parent is None else answers[:, question.parent]
            columns = range(question.first, question.first + len(question.answers))
            total = sum(shares[:, c] for c in columns)
            for c in columns:
                answers[:, c] = parent * shares[:, c] / total
            done.add(question.number)
    return answers


def sky_blobs(n, size=64, channels=3, seed=0):
    """Elongated blobs on sky; the answers depend on how elongated and how large they are."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:size, :size] - (size - 1) / 2
    images = np.empty((n, size, size, channels), np.uint8)
    shares = np.ones((n, len(ANSWER_NAMES)))
    for i in range(n):
        angle, ratio, scale = rng.uniform(0, np.pi), rng.uniform(0.2, 1), rng.uniform(0.1, 0.25) * size
        along = np.cos(angle) * row + np.sin(angle) * column
        across = np.cos(angle) * column - np.sin(angle) * row
        light = 180 * np.exp(-0.5 * ((along / scale) ** 2 + (across / scale / ratio) ** 2))
        images[i] = np.clip(light[..., None] + 20 + rng.normal(0, 3, (size, size, channels)), 0, 255)
        shares[i, 0] = 100 ** (2 * ratio - 1)
        shares[i, 3] = 100 ** (1 - 2 * ratio)
    return images, tree_answers(shares)


def write_cache(path, views, *, labels=None, ids=None, sky=20.0, failed=(), version=1, names=ANSWER_NAMES,
                pictures=None, places=None, settings=None, classes=None):  # fmt: skip
    """Write a cache; `views` is a dict of name to (N, size, size, C), `pictures` are texts whose hashes are stored."""
    first = next(iter(views.values()))
    n, size, _, channels = first.shape
    ids = [f"{i:06d}" for i in range(n)] if ids is None else ids
    text = lambda width: h5py.string_dtype("utf-8", width)  # noqa: E731
    dtype = [("id", text(16)), ("source", text(16)), ("status", text(8)), ("message", text(16)), ("flags", "u4")]
    dtype += [("threshold", "f8"), *((f"sky_{c}", "f8") for c in range(channels))]
    dtype += [(name, "f8") for name in ("row", "col", "major_axis", "minor_axis", "orientation")]
    dtype += [("area", "i8"), *((f"bbox_{edge}", "i4") for edge in range(4))]
    dtype += [(name, "f8") for name in ("window_row", "window_col", "side")]
    dtype += [("height", "i4"), ("width", "i4"), ("sha256", "S64")]
    catalog = np.zeros(n, dtype)
    catalog["id"] = [name.encode() for name in ids]
    catalog["status"] = b"ok"
    for c in range(channels):
        catalog[f"sky_{c}"] = sky
    if pictures is not None:
        catalog["sha256"] = [hashlib.sha256(text.encode()).hexdigest().encode() for text in pictures]
    if places is not None:
        catalog["row"] = places
    for i in failed:
        catalog["status"][i] = b"failed"
    with h5py.File(path, "w") as file:
        settings = json.dumps({"views": list(views), "size": size, **(settings or {})})
        file.attrs.update(
            format="scalenorm-cache", format_version=version, settings=settings, settings_hash="0", created="now",
            scalenorm_version="0", source="test",
        )  # fmt: skip
        for name, pixels in views.items():
            data = file.create_dataset(f"views/{name}", data=pixels)
            data.attrs["mean"] = pixels.mean(axis=(0, 1, 2), dtype=float)
            data.attrs["std"] = pixels.std(axis=(0, 1, 2), dtype=float)
        file["catalog"] = catalog
        if labels is not None:
            data = file.create_dataset("labels", data=np.asarray(labels, "f8"))
            data.attrs["names"] = json.dumps(list(names))
            data.attrs["sha256"] = "0"
            if classes is not None:
                data.attrs["classes"] = json.dumps(classes)
    return path


draw_figure = curves.draw_figure


@pytest.fixture(scope="session", autouse=True)
def curves_unseen():
    """Make the curves of every training, but into no picture, which takes a quarter of a tiny training's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "draw_figure", lambda _, path: write_whole(path, lambda part: part.touch()))
        yield


@pytest.fixture
def curves_seen(monkeypatch):
    monkeypatch.setattr(curves, "draw_figure", draw_figure)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """96 labelled galaxies of 16 x 16 in two views, one failed, one without labels."""
    images, labels = sky_blobs(96, size=16)
    labels[5] = np.nan
    views = {"normalized": images, "center-64": images[:, ::-1].copy()}
    return write_cache(tmp_path_factory.mktemp("cache") / "small.h5", views, labels=labels, failed=[7])
