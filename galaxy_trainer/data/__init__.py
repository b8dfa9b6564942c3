"""From a cache to batches: which rows are used, which of them are tested on, in which order they come.

Neighbours call `galaxies.open_galaxies` and `splitting.split_galaxies`; `galaxies.Batches` feeds Keras.
"""
