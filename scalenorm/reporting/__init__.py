"""What people look at: the HTML page, the montage and the charts.

``montage`` and ``page`` write one file each; ``choosing`` says which galaxies are worth a look, ``originals`` finds
the images they were cut from, and ``drawing`` makes pictures of arrays.
"""

#: In every file that is written here, so that it may be replaced without ``--overwrite``.
MARKER = b"scalenorm-report"
