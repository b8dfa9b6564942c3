"""Train a network on a cache, from new weights or those of another one, resumable after every epoch.

Neighbours call `train.train` and `train.resume`.
"""
