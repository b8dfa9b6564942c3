"""From a measured galaxy to crops of a fixed size.

``crop`` cuts the views of one image, ``many`` those of many in threads, ``fields`` one crop for each object;
``transformer`` is the same for scikit-learn. ``views`` knows what a view's name means, ``resampling`` interpolates,
``stretching`` makes pictures of fluxes.
"""
