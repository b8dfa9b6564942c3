"""Sums over crops, for the mean and standard deviation that a cache gives of each view."""

from .compile import kernel


@kernel
def band_sums(crops, bands, one, total, squares):
    """Sum and sum of squares of each band of each crop: crops (n, pixels * bands) to total and squares, (n, bands).

    ``one`` is int64 for 8- and 16-bit pixels, whose sums are then exact, and float64 for all others.
    """
    number, values = crops.shape
    for n in range(number):
        crop = crops[n]
        if bands == 3:  # constant stride, so that the compiler can vectorise
            red = green = blue = red2 = green2 = blue2 = 0 * one
            for at in range(values // 3):
                r, g, b = crop[3 * at] * one, crop[3 * at + 1] * one, crop[3 * at + 2] * one
                red, green, blue = red + r, green + g, blue + b
                red2, green2, blue2 = red2 + r * r, green2 + g * g, blue2 + b * b
            total[n, 0], total[n, 1], total[n, 2] = red, green, blue
            squares[n, 0], squares[n, 1], squares[n, 2] = red2, green2, blue2
        else:
            for band in range(bands):
                first = second = 0 * one
                for at in range(band, values, bands):
                    value = crop[at] * one
                    first += value
                    second += value * value
                total[n, band] = first
                squares[n, band] = second
