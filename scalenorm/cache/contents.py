"""What a cache holds, counted: failures by reason, flags."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..measuring.flags import Flag, describe
from .format import FAILED
from .reader import Cache

#: Kept in memory at most; all of them are in the catalogue.
MOST_LISTED = 1000


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
    for rows in cache.row_blocks("catalog"):
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
