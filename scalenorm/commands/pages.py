"""What ``scalenorm-batch --report`` and ``scalenorm-report --html`` share."""

from __future__ import annotations

from .common import counted, say


def write_page(cache: str, page: str, images: list[str] | None, overwrite: bool, quiet: bool) -> None:
    """Write the page and print a line about it."""
    from ..cache import open_cache
    from ..reporting.page import write_report

    drawn, found = write_report(open_cache(cache), page, images=images, overwrite=overwrite)
    if not quiet:
        say(f"{page}: pictures of {counted(drawn, 'galaxy')}{without(drawn - found)}")


def without(missing: int) -> str:
    """Return what a line says of originals that were not found."""
    return f", {missing} without the original image; use --images to say where the originals are" if missing else ""
