"""Counts in words, for what commands print."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural where it must be."""
    return f"{count} {noun if count == 1 else noun.removesuffix('y') + 'ies' if noun.endswith('y') else noun + 's'}"


def rows_and_failed(rows: int, failed: int, all_objects: bool) -> str:
    """Return what the rows are of; where good ones are objects, failed ones are whole images all the same."""
    if all_objects:
        return f"{counted(rows - failed, 'object')}, {counted(failed, 'image')} failed"
    return f"{counted(rows, 'image')}, {failed} failed"
