"""From images to a cache file: what ``scalenorm-batch`` does.

``convert`` checks the options; ``pipeline`` tells the story of a run; ``plan`` says which rows are to be made, ``work``
makes them, ``engines`` runs that in threads, processes or on a Dask cluster; ``summary`` says what was done.
"""
