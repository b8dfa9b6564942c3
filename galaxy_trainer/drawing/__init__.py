"""Pictures of one network, and what all figures share.

Neighbours draw through `safely.try_to_draw`, so that no picture stops a training; ``curves`` and ``target_figures``
make the figures.
"""
