"""Sums over crops, for the mean and standard deviation that a cache gives for each view."""

from .compile import kernel


@kernel
def band_sums(crops, total, squares):
    """Add up each band of each crop: crops (n, pixels, bands) to total and squares, float64, (n, bands)."""
    number, pixels, bands = crops.shape
    for n in range(number):
        crop = crops[n]
        for band in range(bands):
            first = crop[0, band] * 0 + 0  # at least 64 bits wide, exact for integers
            second = first
            for pixel in range(pixels):
                value = crop[pixel, band] + first * 0
                first += value
            total[n, band] = first
            squares[n, band] = second
