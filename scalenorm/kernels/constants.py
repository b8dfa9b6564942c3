"""What kernels and their callers agree on; imports nothing, so that callers need no Numba to know it."""

SUM, RGB, RGBA, WEIGHTED = 0, 1, 2, 3  # how bands make grey
CHUNK = 4096  # pixels: their grey levels stay in the nearest cache, and calls cost nothing
BLOCK = 64  # pixels, of which CHUNK holds a whole number: whether one of them may reach the threshold is known
BACKGROUND, FOREGROUND, MEMBER = 0, 1, 2  # values of a mask; MEMBER: of the region that was filled
