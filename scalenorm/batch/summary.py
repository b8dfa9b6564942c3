"""What a run did, and what its output holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..sources.labels import Joined


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
        Rows made in this run (images to be processed, in a dry run), and rows reused from earlier ones.
    changed : int
        Rows of earlier runs that were not reused, because their image has changed since.
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
