"""From images to a cache file: what ``scalenorm-batch`` does.

``convert`` checks the options; ``run`` tells the story of a run, ``rows`` that of one image; ``plan`` says which rows
are reused; ``engines`` runs workers in threads, processes or on a Dask cluster; ``summary`` says what was done.
"""
