"""Trained networks on the disk: a run folder, one file, files of other programs; those in ``networks/`` by name.

Neighbours call `stored.open_run`, which opens whichever it is, and the ``checks`` of what a run is asked about.
"""
