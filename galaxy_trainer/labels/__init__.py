"""What was asked about the galaxies, and what was answered.

``questions`` reads decision trees, those in ``trees/`` by name; ``columns`` lines labels up with the rows of a cache.
"""
