"""What kernels and their callers agree on; imports nothing, so that callers need no Numba to know it."""

SUM, RGB, RGBA, WEIGHTED = 0, 1, 2, 3  # how bands make grey
CHUNK = 2048  # pixels: their bands and grey levels stay in the nearest cache, and calls cost nothing
BLOCK = 128  # pixels that are thresholded together or, where none can reach the threshold, not at all; divides CHUNK
BACKGROUND, FOREGROUND, MEMBER = 0, 1, 2  # values of a mask; MEMBER: of the region that was filled
