"""Damaged files on purpose: samples of every supported format, seeded mutations, and a loop over them.

``python tests/helpers/mutate.py --cases 10000`` runs the loop by hand; `test_fuzz` runs it in a child process, so that
a crash, a hang, or a decoder that writes to stderr is seen from outside. Every case must end in a well-formed
array that the reference decoder confirms without a warning, or in one of the package's own errors.
"""

import argparse
import faulthandler
import gzip
import io
import json
import os
import resource
import struct
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from scalenorm.files.errors import ImageError, InputError
from scalenorm.images.decoding import decode_masked
from scalenorm.images.options import DecodeOptions
from scalenorm.sources.finding import find
from scalenorm.sources.reader import Reader

OPTIONS = DecodeOptions(max_pixels=1_000_000)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tar.xz", ".tar.bz2")


def picture(height=48, width=40):
    row, col = np.mgrid[:height, :width]
    spot = 200 * np.exp(-((row - height / 2) ** 2 + (col - width / 2) ** 2) / 60)
    rng = np.random.default_rng(5)
    return np.clip(spot[:, :, None] * [1, 0.8, 0.5] + rng.integers(0, 30, (height, width, 3)), 0, 255).astype("u1")


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png16(values):
    """Write 16-bit samples (H, W, 1 to 4) as PNG, row after row with another of the five filters."""
    height, width, bands = values.shape
    raw = values.astype(">u2").tobytes()
    length, step = 2 * bands * width, 2 * bands
    above, rows = bytes(length), []
    for row in range(height):
        line = raw[row * length : (row + 1) * length]
        left = bytes(step) + line[:-step]
        corner = bytes(step) + above[:-step]
        kind = row % 5
        guess = [
            bytes(length),
            left,
            above,
            bytes((a + b) // 2 for a, b in zip(left, above, strict=True)),
            bytes(map(_paeth, left, above, corner)),
        ][kind]
        rows.append(bytes([kind]) + bytes((v - g) % 256 for v, g in zip(line, guess, strict=True)))
        above = line
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[bands]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _paeth(left, above, corner):
    guess = left + above - corner
    return min((left, above, corner), key=lambda value: abs(guess - value))


def _pictures():
    rgb = Image.fromarray(picture())
    grey16 = Image.fromarray(picture()[:, :, 0].astype("u2") * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "plain.jpg", saved(rgb, "JPEG")
    yield "progressive.jpg", saved(rgb, "JPEG", progressive=True, quality=90, subsampling=0)
    yield "grey.jpg", saved(rgb.convert("L"), "JPEG")
    yield "cmyk.jpg", saved(rgb.convert("CMYK"), "JPEG")
    yield "turned.jpg", saved(rgb, "JPEG", exif=exif)
    yield "rgb.png", saved(rgb, "PNG", exif=exif)
    yield "palette.png", saved(rgb.convert("P"), "PNG", transparency=bytes(range(200)))
    yield "grey16.png", saved(grey16, "PNG")
    yield "colour16.png", png16(picture().astype("u2") * 257)
    yield "alpha.png", saved(rgb.convert("RGBA"), "PNG")
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"{compression}.tif", saved(rgb, "TIFF", compression=compression)
    yield "grey16.tif", saved(grey16, "TIFF", compression="tiff_lzw")
    yield "bilevel.tif", saved(rgb.convert("1"), "TIFF", compression="group4")
    yield "rgb.bmp", saved(rgb, "BMP")
    yield "palette.bmp", saved(rgb.convert("P"), "BMP")
    yield "palette.gif", saved(rgb.convert("P"), "GIF")
    yield "lossless.webp", saved(rgb, "WEBP", lossless=True)
    yield "lossy.webp", saved(rgb, "WEBP")
    yield "colour.jp2", saved(rgb, "JPEG2000")
    yield "colour.ppm", saved(rgb, "PPM")
    yield "colour.qoi", saved(rgb, "QOI")


def _fits():
    from astropy.io import fits

    float_image = picture().astype(">f4")[:, :, 0]
    bands = np.moveaxis(picture(), 2, 0).astype(">i2")
    scaled = fits.ImageHDU(float_image.astype("i2"), name="SCI")
    scaled.header["BSCALE"], scaled.header["BZERO"] = 0.5, 10.0
    for name, hdus in {
        "float.fits": [fits.PrimaryHDU(float_image)],
        "bands.fits": [fits.PrimaryHDU(bands)],
        "unsigned.fits": [fits.PrimaryHDU(float_image.astype("u2"))],
        "extension.fits": [fits.PrimaryHDU(), scaled],
        "rice.fits": [
            fits.PrimaryHDU(),
            fits.CompImageHDU(float_image.astype("i4"), compression_type="RICE_1"),
        ],
        "gzip.fits": [fits.PrimaryHDU(), fits.CompImageHDU(float_image, compression_type="GZIP_2")],
        "hcompress.fits": [
            fits.PrimaryHDU(),
            fits.CompImageHDU(float_image.astype("i4"), compression_type="HCOMPRESS_1"),
        ],
    }.items():
        file = io.BytesIO()
        fits.HDUList(hdus).writeto(file, checksum=name == "bands.fits")
        yield name, file.getvalue()
    yield "float.fits.gz", gzip.compress(file.getvalue(), mtime=0)


def _arrays():
    for name, array in {
        "grey.npy": picture()[:, :, 0],
        "bands.npy": picture().astype(">f4"),
        "columns.npy": np.asfortranarray(picture()[:, :, 0].astype("f8")),
    }.items():
        file = io.BytesIO()
        np.save(file, array)
        yield name, file.getvalue()


def _archives(members):
    with tempfile.TemporaryDirectory() as folder:
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", method) as archive:
                for name, data in members.items():
                    archive.writestr(zipfile.ZipInfo(f"folder/{name}"), data, method)
            yield f"method{method}.zip", file.getvalue()
        for ending in ARCHIVES[1:]:
            path = Path(folder, "x" + ending)
            with tarfile.open(path, "w:" + ending[5:]) as archive:
                for name, data in members.items():
                    info = tarfile.TarInfo(f"folder/{name}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
            yield f"members{ending}", path.read_bytes()


def samples(*, fits=True):
    """Name to bytes of a small good file of every kind."""
    files = dict([*_pictures(), *_arrays(), *(_fits() if fits else [])])
    files.update(_archives({name: files[name] for name in ("plain.jpg", "grey16.png", "bands.npy", "packbits.tif")}))
    files["list.csv"] = b"id,path\none,a.jpg\ntwo,b/c.jpg\n"
    files["list.txt"] = b"a.jpg\nb/c.jpg\n"
    for variable in ("SCALENORM_GALAXYZOO", "SCALENORM_FITS"):
        if folder := os.environ.get(variable):
            real = sorted(path for path in Path(folder).rglob("*") if path.suffix in (".jpg", ".fits"))
            files.update({f"real-{path.name}": path.read_bytes() for path in real[:: max(1, len(real) // 8)]})
    return files


def mutate(data, rng, other=b""):
    """Return a damaged copy of `data`; half of the damage goes to the first 512 bytes, where the header is."""
    data = bytearray(data)

    def place():
        return int(rng.integers(max(1, min(len(data), 512) if rng.random() < 0.5 else len(data))))

    for _ in range(int(rng.integers(1, 4))):
        kind, at = int(rng.integers(9)), place()
        length = int(rng.integers(1, 64))
        if not data:
            break
        if kind == 0:
            for _ in range(int(rng.integers(1, 9))):
                data[place()] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at : at + length] = rng.bytes(min(length, len(data) - at))
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = rng.bytes(length)
        elif kind == 5:
            data[at : at + length] = bytes(min(length, len(data) - at))
        elif kind == 6:
            extreme = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"9999"]
            data[at : at + 4] = extreme[int(rng.integers(5))][: len(data) - at]
        elif kind == 7:
            data[at:at] = data[at : at + 16 * length]
        elif other:
            start = int(rng.integers(len(other)))
            data[at:] = other[start:]
    return bytes(data)


def reference(data):
    """What the ordinary decoders make of an 8-bit RGB picture, FITS or .npy file; they raise on damage."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if data[:6] == b"\x93NUMPY":
            return np.load(io.BytesIO(data), allow_pickle=False)
        if data[:2] == b"\xff\xd8":  # an EXIF block is not the image: without its orientation there is nothing to turn
            warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")
        image = Image.open(io.BytesIO(data))
        wide = image.mode.startswith("I")
        image = ImageOps.exif_transpose(image)
        if wide:
            grey = np.asarray(image).astype("u4")
            return np.repeat(((grey + 128) // 257).astype("u1")[:, :, None], 3, axis=2)
        image.info.pop("transparency", None)
        return np.asarray(image.convert("RGB"))


def check_file(data, name):
    """Decode; "ok" for a well-formed array, else the reason. Anything else is raised."""
    try:
        image, mask = decode_masked(data, name, OPTIONS)
    except ImageError as error:
        if "\n" in str(error) or not str(error):
            raise AssertionError(f"not one line: {error!r}") from error
        if "memory" in str(error):
            raise
        return str(error)
    if mask is not None or image.ndim not in (2, 3) or 0 in image.shape or image.dtype.kind not in "uif":
        raise AssertionError(f"not an image: {image.shape} {image.dtype}")
    if not (image.flags.c_contiguous and image.dtype.isnative and image.shape[0] * image.shape[1] <= 1_000_000):
        raise AssertionError(f"not contiguous, native and within the limit: {image.shape} {image.dtype}")
    wide_colour = data[:8] == b"\x89PNG\r\n\x1a\n" and data[24:26] in (b"\x10\x02", b"\x10\x06", b"\x10\x04")
    if data[:6] != b"SIMPLE" and not wide_colour and data[:2] != b"\x1f\x8b":
        expected = reference(data)
        if image.shape != expected.shape or not np.array_equal(image, expected, equal_nan=image.dtype.kind == "f"):
            raise AssertionError(f"the reference decoder sees another image: {image.shape} {expected.shape}")
    return "ok"


def check_listing(data, name, folder, originals):
    """Find and read everything in an archive, or listed in a list; "ok" or the reason."""
    path = folder / f"case{name[name.index('.') :]}"
    path.write_bytes(data)
    is_list = name.startswith("list")
    try:
        listing = find([], list_file=path) if is_list else find([path])
    except InputError as error:
        return str(error)
    outcome = Counter()
    with Reader(1_000_000) as reader:
        for source in listing:
            source.id.encode(), source.name.encode()
            try:
                content = reader.read(source)
            except ImageError:
                outcome["failed"] += 1
                continue
            except OSError:
                if not is_list:
                    raise
                outcome["failed"] += 1
                continue
            if name.endswith(".zip") and content not in originals:
                raise AssertionError("a zip member that differs passed its check sum")
            outcome[check_file(content, source.name)] += 1
    return "ok" if outcome["ok"] else "all members failed"


def run(cases, seed, seconds, only=""):
    """Run `cases` mutations and return the counts by ending and outcome."""
    files = samples()
    names = [name for name in files if only in name]
    originals = set(files.values())
    counts, slowest = Counter(), (0.0, "")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        last = Path(folder, "last")
        Path(folder, "b").mkdir()
        for name in ("a.jpg", "b/c.jpg"):  # what the lists name
            Path(folder, name).write_bytes(files["plain.jpg"])
        for case in range(cases):
            if time.monotonic() - begin > seconds:
                break
            rng = np.random.default_rng([seed, case])
            name = names[case % len(names)]
            data = mutate(files[name], rng, files[names[int(rng.integers(len(names)))]])
            last.write_text(f"{case} {name}")
            faulthandler.dump_traceback_later(60, exit=True)
            start = time.monotonic()
            try:
                if name.endswith(ARCHIVES) or name.startswith("list"):
                    outcome = check_listing(data, name, Path(folder), originals)
                else:
                    outcome = check_file(data, name)
            except Exception:
                raise SystemExit(f"case {case} (seed {seed}) from {name}:\n{traceback.format_exc()}") from None
            slowest = max(slowest, (time.monotonic() - start, f"{case} {name}"))
            ending = name.split(".")[-1]
            counts[f"{ending} {'good' if outcome == 'ok' else 'refused'}"] += 1
        faulthandler.cancel_dump_traceback_later()
    return {"cases": sum(counts.values()), "counts": dict(sorted(counts.items())), "slowest": slowest}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--only", default="", help="samples whose name holds this")
    args = parser.parse_args()
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    sys.stdout.write(json.dumps(run(args.cases, args.seed, args.seconds, args.only), indent=1) + "\n")


if __name__ == "__main__":
    main()
