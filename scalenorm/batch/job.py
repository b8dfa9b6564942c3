"""What a run is to make, how and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..images.options import DecodeOptions
from ..measuring.options import MeasureOptions
from ..sources.labels import LabelFile
from ..sources.listing import Sources


@dataclass(frozen=True)
class Job:
    """What to make, how, and where: the checked options of one call of `convert`."""

    output: Path
    given: Sources
    settings: dict[str, Any]
    measure: MeasureOptions
    decode: DecodeOptions
    all_objects: bool
    labels: LabelFile | None
    source: str
    inputs: list[str]
    skipped: dict[str, int]
    part: tuple[int, int] | None
    overwrite: bool
    append: bool
    retry_failed: bool
    verify: bool
    keep_parts: bool
    compress: bool
    dry_run: bool
    jobs: int | None
    backend: str | None
    scheduler: str | None
    part_size: int
    progress: bool

    @property
    def folder(self) -> Path:
        """Where parts and temporary files lie."""
        return self.output.with_name(self.output.name + ".parts")

    @property
    def sources(self) -> Sources:
        """The images, or the slice of them that `part` names."""
        if self.part is None:
            return self.given
        number, of = self.part
        count = len(self.given)
        return self.given[count * (number - 1) // of : count * number // of]
