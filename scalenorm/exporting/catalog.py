"""The catalogue of a cache as a table in other formats."""

from __future__ import annotations

import functools
import json
import os

from ..cache import Cache
from ..cache.format import UNITS
from .tables import Table, write_table


def write_catalog(cache: Cache, output: str | os.PathLike[str], *, overwrite: bool = False) -> int:
    """Write the catalogue as a table in the format that the file's ending names.

    ``.csv`` (comma-separated UTF-8), ``.ecsv`` (with types and units; needs astropy), ``.fits`` (a binary table with
    units; needs astropy; text that is not ASCII is escaped as in Python, because FITS has ASCII only) or
    ``.parquet`` (needs pyarrow). Rows are streamed, failed images included: see the column ``status``.

    Parameters
    ----------
    cache : Cache
        The cache.
    output : path
        The file.
    overwrite : bool
        Replace the file if it exists.

    Returns
    -------
    int
        The number of rows written.

    Raises
    ------
    OutputError
        If the ending is none of these, the file exists, cannot be written, or a package is missing.

    Examples
    --------
    >>> import scalenorm
    >>> from scalenorm.exporting.catalog import write_catalog
    >>> write_catalog(scalenorm.open_cache("galaxies.h5"), "galaxies.ecsv")  # doctest: +SKIP
    7952
    """
    table = Table(
        name="CATALOG",
        dtype=cache.read("catalog", 0, 0).dtype,
        count=len(cache),
        blocks=functools.partial(cache.row_blocks, "catalog"),
        units=UNITS,
        notes={"settings": json.dumps(cache.settings), "settings_hash": cache.settings_hash},
    )
    write_table(table, output, overwrite=overwrite)
    return len(cache)
