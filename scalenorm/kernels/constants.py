"""What kernels and their callers agree on; imports nothing, so that callers need no Numba to know it."""

SUM, RGBA, WEIGHTED = 0, 1, 2  # how bands make grey,
RGB = None  # and the most frequent way: Numba knows the type of None, and compiles what three bands need and no more
CHUNK = 2048  # pixels: their bands and grey levels stay in the nearest cache, and calls cost nothing
BLOCK = 128  # pixels that are thresholded together or, where none can reach the threshold, not at all; divides CHUNK
LANES = 32  # sums of floats that are taken side by side, enough to hide the time of an addition; a quarter of BLOCK
BACKGROUND, FOREGROUND, MEMBER = 0, 1, 2  # values of a mask; MEMBER: of the region that was filled
