"""What a run did, and what its output holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .cache.format import FAILED
from .flags import Flag, describe

if TYPE_CHECKING:
    from .cache import Cache
    from .labels import Joined

#: Kept in memory at most; all of them are in the catalogue.
MOST_LISTED = 1000

_ROWS = 4096


@dataclass(frozen=True)
class Summary:
    """What a run did, and what its output holds.

    Attributes
    ----------
    output : Path or str
        The cache.
    images, failed : int
        Its rows, and how many of them are of failed images.
    made, reused : int
        Rows made in this run (to be made, in a dry run), and rows that were at hand.
    changed : int
        Rows at hand that were not used, because their image has changed since.
    seconds : float
        How long the making took.
    complete : bool
        Whether the output was complete before.
    reasons : dict of str to int
        Number of failures by reason, the most frequent first.
    failures : list of (source, reason)
        The first 1000 failed images.
    flags : dict of str to int
        Number of good images by flag.
    skipped : dict of str to int
        Files of folders and archives that are no images, by ending.
    labels : Joined, optional
        How labels and images fit together.
    """

    output: Path | str
    images: int
    failed: int = 0
    made: int = 0
    reused: int = 0
    changed: int = 0
    seconds: float = 0.0
    complete: bool = False
    reasons: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    flags: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    labels: Joined | None = None

    @property
    def rate(self) -> float:
        """Images made per second."""
        return self.made / self.seconds if self.seconds else 0.0


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural where it must be."""
    return f"{count} {noun if count == 1 else noun.removesuffix('y') + 'ies' if noun.endswith('y') else noun + 's'}"


def rows_and_failed(rows: int, failed: int, all_objects: bool) -> str:
    """Return what the rows are of; where good ones are objects, failed ones are whole images all the same."""
    if all_objects:
        return f"{counted(rows - failed, 'object')}, {counted(failed, 'image')} failed"
    return f"{counted(rows, 'image')}, {failed} failed"


@dataclass(frozen=True)
class Contents:
    """Counts over a catalogue, as in `Summary`."""

    failed: int
    reasons: dict[str, int]
    failures: list[tuple[str, str]]
    flags: dict[str, int]


def count_contents(cache: Cache, most_listed: int = MOST_LISTED) -> Contents:
    """Count failures and flags of a cache, block by block."""
    failed = 0
    reasons: Counter[str] = Counter()
    failures: list[tuple[str, str]] = []
    flags = dict.fromkeys(Flag, 0)
    for start in range(0, len(cache), _ROWS):
        rows = cache.read("catalog", start, start + _ROWS)
        bad = rows["status"] == FAILED.encode()
        failed += int(bad.sum())
        for source, message in zip(rows["source"][bad].tolist(), rows["message"][bad].tolist(), strict=True):
            reason = message.decode()
            if reason in reasons or len(reasons) < most_listed:
                reasons[reason] += 1
            if len(failures) < most_listed:
                failures.append((source.decode(), reason))
        for flag in Flag:
            flags[flag] += int(np.count_nonzero(rows["flags"][~bad] & flag))
    named = {describe(flag)[0]: count for flag, count in flags.items() if count}
    return Contents(failed, dict(reasons.most_common()), failures, named)
