"""Finding and reading sources, compared with plain os, zipfile, tarfile and NumPy."""

import datetime
import gzip
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import threading
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from scalenorm.files.errors import ImageError, InputError
from scalenorm.files.names import visible
from scalenorm.images.decoding import decode
from scalenorm.images.options import DecodeOptions
from scalenorm.sources.archives import open_archive
from scalenorm.sources.finding import find
from scalenorm.sources.listing import Source
from scalenorm.sources.reader import Reader


def ids(listing):
    return [source.id for source in listing]


def contents(listing):
    with Reader() as reader:
        return {source.id: reader.read(source) for source in listing}


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "top"
    for name in ("b.jpg", "a.PNG", "sub/c d.tif", "sub/deep/e.fits.gz", "notes.txt", "more.txt", "x.zip", "noending",
                 ".hidden.jpg", ".hidden/f.jpg", "__MACOSX/._b.jpg"):  # fmt: skip
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(name.encode())
    return top


# --- folders and files


def test_folder(tree):
    listing = find([tree])
    assert ids(listing) == ["a", "b", "c d", "e"]
    assert [source.name for source in listing] == [
        "a.PNG",
        "b.jpg",
        "sub/c d.tif",
        "sub/deep/e.fits.gz",
    ]
    assert listing.skipped == {"": 1, ".txt": 2, ".zip": 1}
    assert contents(listing) == {source.id: source.name.encode() for source in listing}
    assert all(os.path.isabs(source.container) for source in listing)


def test_order_is_that_of_python_strings(tmp_path):
    names = ["10", "9", "é", "z", "Z", "\U0001f30c", "\uffee", "a b", "a"]
    for name in names:
        (tmp_path / f"{name}.jpg").touch()
    assert ids(find([tmp_path])) == sorted(names)


def test_ids_from_paths(tree, monkeypatch):
    """They are those inside what is given, however it is typed."""
    monkeypatch.chdir(tree)
    for given in (".", tree, "../top/", f"{tree}/sub/.."):
        assert ids(find([given], id_from="path")) == ["a", "b", "sub/c d", "sub/deep/e"]
    for given in ("sub", "./sub/", tree / "sub"):
        assert ids(find([given, "./b.jpg"], id_from="path")) == ["b", "c d", "deep/e"]
    with pytest.raises(InputError, match=r"id_from"):
        find(["sub"], id_from="name")


def test_named_files_are_always_tried(tree):
    assert ids(find([tree / "notes.txt", str(tree / ".hidden.jpg")])) == [".hidden", "notes"]


def test_globs(tree):
    assert ids(find([f"{tree}/*.[jP]*"])) == ["a", "b"]
    assert ids(find([f"{tree}/**/*.tif"])) == ["c d"]
    assert ids(find([f"{tree}/s*"])) == ["c d", "e"]
    with pytest.raises(InputError, match=r"no file matches .*\*\.gif"):
        find([f"{tree}/*.gif"])


def test_a_name_with_brackets_is_a_file_first(tmp_path):
    (tmp_path / "a[1].jpg").touch()
    assert ids(find([tmp_path / "a[1].jpg"])) == ["a[1]"]


def test_nothing_found(tree, tmp_path):
    with pytest.raises(InputError, match=r"no such file or folder: .*missing"):
        find([tmp_path / "missing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no images in .*empty"):
        find([tmp_path / "empty"])
    (tmp_path / "empty" / "a.txt").touch()
    with pytest.raises(InputError, match=r"skipped files: 1 \.txt"):
        find([tmp_path / "empty"])
    with pytest.raises(InputError, match=r"no images in no input"):
        find([])


def test_two_inputs_with_one_id(tree):
    (tree / "sub" / "b.png").touch()
    with pytest.raises(InputError, match=r"id 'b': .*top/b\.jpg and .*top/sub/b\.png; use --id path"):
        find([tree])
    assert len(find([tree], id_from="path")) == 5
    with pytest.raises(InputError, match=r"id,path"):
        find([tree / "b.jpg", tree / "b.jpg"], id_from="path")
    other = tree.parent / "other"
    (other / "sub").mkdir(parents=True)
    (other / "sub" / "b.png").touch()
    for id_from in ("stem", "path"):  # where --id path would not help it is not said
        with pytest.raises(InputError, match=r"id '.*b': .*; give each image an id of its own in a list \(--list\)"):
            find([tree / "sub", other / "sub"], id_from=id_from)


def test_ids_from_paths_in_lists_and_stacks(tree, monkeypatch):
    np.save(tree / "sub" / "stack.npy", np.zeros((2, 5, 6, 3), np.uint8))
    listed = tree.parent / "list.txt"
    listed.write_text(f"top/b.jpg\n./top/sub/c d.tif\n{tree}/sub/deep/e.fits.gz\ntop/sub/stack.npy\n")
    expected = ["top/b", "top/sub/c d", "top/sub/deep/e", "top/sub/stack/000000", "top/sub/stack/000001"]
    for folder, given in ((tree, "../list.txt"), (tree.parent, "list.txt"), (tree.parent, listed)):
        monkeypatch.chdir(folder)
        assert ids(find([], list_file=given, id_from="path")) == expected


def test_what_to_do_about_two_inputs_with_one_id(tree, tmp_path):
    (tmp_path / "list.csv").write_text("id,path\n1,top/b.jpg\n1,top/sub/c d.tif\n")
    with pytest.raises(InputError, match=r"two inputs have the id '1': .*; give each image an id of its own in a list"):
        find([], list_file=tmp_path / "list.csv")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", b"two")
    for id_from in ("stem", "path"):
        with pytest.raises(InputError, match=r"two members of the archive have the name .*a\.zip\[a\.png\]: repack"):
            find([tmp_path / "a.zip"], id_from=id_from)


def test_links(tree):
    (tree / "sub" / "loop").symlink_to(tree)
    (tree / "self.jpg").symlink_to("self.jpg")
    (tree / "again").symlink_to(tree / "sub")
    (tree / "gone.jpg").symlink_to("nowhere")
    (tree / "linked.jpg").symlink_to("b.jpg")
    listing = find([tree])
    assert ids(listing) == ["a", "b", "c d", "e", "gone", "linked", "self"]
    with Reader() as reader:
        found = {source.id: source for source in listing}
        assert found["c d"].name == "sub/c d.tif"
        assert reader.read(found["linked"]) == b"b.jpg"
        for bad in ("gone", "self"):
            with pytest.raises(OSError, match=r"No such file|symbolic links"):
                reader.read(found[bad])


def test_names_of_any_bytes(tmp_path):
    raw = b"caf\xe9 \n new.jpg"
    path = os.path.join(os.fsencode(tmp_path), raw)
    with open(path, "wb") as file:
        file.write(b"x")
    for listing in (find([tmp_path]), find([os.fsdecode(path)]), find([tmp_path], id_from="path")):
        (source,) = listing
        assert source.id.encode()  # valid UTF-8
        assert source.name == "caf\\xe9 \n new.jpg"
        assert contents(listing) == {source.id: b"x"}
    assert ids(find([tmp_path])) == ["caf\\xe9 \n new"]


def test_what_is_not_a_regular_file(tmp_path):
    for name in ("pipe.jpg", "stack.npy", "pipe.zip"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="not a regular file"):
        find([tmp_path / "pipe.zip"])
    listing = find([tmp_path / "pipe.jpg", tmp_path / "stack.npy"])
    outcome = []

    def read():
        with Reader() as reader, pytest.raises(ImageError, match=r"not a regular file") as caught:
            reader.read(listing[0])
        outcome.append(caught)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert outcome


def test_a_file_that_vanished_or_is_too_large(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(100))
    (source,) = find([path])
    with Reader(100) as reader:
        assert len(reader.read(source)) == 100
    with (
        Reader(99) as reader,
        pytest.raises(ImageError, match=r"100 bytes are more than .* 99"),
    ):
        reader.read(source)
    with Reader() as reader:
        assert reader.stat(source) == (100, path.stat().st_mtime_ns)
        path.unlink()
        with pytest.raises(FileNotFoundError):
            reader.read(source)


# --- archives

MEMBERS = {
    "images/10.jpg": b"ten" * 1000,
    "images/2.png": b"",
    "images/sub dir/é.tif": b"\0\1\2",
    "../up.jpg": b"up",
    "/abs.bmp": b"abs",
    "readme.txt": b"text",
    "inner.zip": b"PK",
    "__MACOSX/images/._10.jpg": b"apple",
    "images/._2.png": b"apple",
    "images/" + "long" * 40 + ".jpg": b"long",
}
WANTED = {
    "10": MEMBERS["images/10.jpg"],
    "2": b"",
    "é": b"\0\1\2",
    "up": b"up",
    "abs": b"abs",
    "long" * 40: b"long",
}


def make_zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.mkdir("images/folder.jpg")


def make_tar(path, members, mode="w", form=tarfile.GNU_FORMAT):
    with tarfile.open(path, mode, format=form) as archive:
        folder = tarfile.TarInfo("images")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_zip(tmp_path, method):
    path = tmp_path / "a.zip"
    make_zip(path, MEMBERS, method)
    listing = find([path])
    assert contents(listing) == WANTED
    assert listing.skipped == {".txt": 1, ".zip": 1}
    assert sorted(source.name for source in listing) == sorted(
        name for name in MEMBERS if MEMBERS[name] in WANTED.values()
    )
    assert not (tmp_path.parent / "up.jpg").exists()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_tar(tmp_path, form, ending):
    path = tmp_path / f"a.{ending}"
    mode = {"tgz": "gz"}.get(ending, ending[4:])
    members, wanted = dict(MEMBERS), dict(WANTED)
    if form == tarfile.USTAR_FORMAT:  # which has no such long names
        members.popitem()
        wanted.popitem()
    make_tar(path, members, f"w:{mode}", form)
    assert contents(find([path])) == wanted


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_ids_from_paths_in_archives(tmp_path, make):
    make(tmp_path / "archive", {name: b"1" for name in ("a.jpg", "x/a.jpg", "./x/y/b.fits.gz")})
    path = (tmp_path / "archive").rename(tmp_path / f"a.{make.__name__[-3:]}")
    assert ids(find([path], id_from="path")) == ["a", "x/a", "x/y/b"]


def test_zip_written_as_a_stream_with_sizes_after_the_data(tmp_path):
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = b""

        def writable(self):
            return True

        def write(self, data):
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", b"abc" * 50)
        with archive.open("b.jpg", "w", force_zip64=True) as member:
            member.write(b"wide")
    path = tmp_path / "a.zip"
    for before in (b"", b"a program that unpacks itself"):
        path.write_bytes(before + pipe.data)
        assert contents(find([path])) == {"a": b"abc" * 50, "b": b"wide"}


@pytest.mark.slow
def test_zip64_directory(tmp_path):
    """More members than 16 bits can count."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(66_000):
            archive.writestr(zipfile.ZipInfo(f"{number:06d}.jpg"), b"%d" % number)
    listing = find([path])
    assert len(listing) == 66_000
    with Reader() as reader:
        assert [reader.read(listing[i]) for i in (0, 65_999)] == [b"0", b"65999"]


def test_zip64_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    path = tmp_path / "a.zip"
    make_zip(path, {"a.jpg": b"abc" * 500, "b.jpg": b"small", "c.jpg": os.urandom(500)}, zipfile.ZIP_STORED)
    assert path.read_bytes().count(b"PK\6\6") == 1
    with zipfile.ZipFile(path) as archive:
        expected = {name[0]: archive.read(name) for name in ("a.jpg", "b.jpg", "c.jpg")}
    assert contents(find([path])) == expected


def test_any_member_can_be_read_without_listing_again(tmp_path):
    for path in (tmp_path / "a.zip", tmp_path / "a.tar"):
        members = {f"{number:04d}.jpg": os.urandom(500) for number in range(500)}
        (make_zip if path.suffix == ".zip" else make_tar)(path, members)
        source = pickle.loads(pickle.dumps(find([path])[400:401]))[0]
        reads = []
        with open(path, "rb") as file:
            archive = open_archive(_Counting(file, reads))
            assert archive.read(source.member, source.index, 1000) == members["0400.jpg"]
        # The record at the end of a zip may be that far from it.
        assert sum(reads) < (70_000 if path.suffix == ".zip" else 3000), path


class _Counting:
    def __init__(self, file, reads):
        self.file, self.reads = file, reads
        self.seek, self.tell = file.seek, file.tell

    def read(self, size=-1):
        data = self.file.read(size)
        self.reads.append(len(data))
        return data


def test_encrypted_member_fails_alone(tmp_path):
    path = tmp_path / "a.zip"
    make_zip(path, {"good.jpg": b"good", "secret.jpg": b"secret"})
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    data[entry + 8] |= 1
    path.write_bytes(data)
    good, secret = find([path])
    with Reader() as reader:
        with pytest.raises(ImageError, match=r"encrypted"):
            reader.read(secret)
        assert reader.read(good) == b"good"


def test_members_that_lie_about_their_size(tmp_path):
    path = tmp_path / "a.zip"
    make_zip(path, {"bomb.jpg": bytes(50_000_000)})
    assert path.stat().st_size < 100_000
    (source,) = find([path])
    with (
        Reader(1_000_000) as reader,
        pytest.raises(ImageError, match=r"50000000 bytes are more"),
    ):
        reader.read(source)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", 1000)
    path.write_bytes(data)
    (source,) = find([path])
    tracemalloc.start()
    with Reader(1_000_000) as reader, pytest.raises(ImageError, match=r"size or check sum"):
        reader.read(source)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_damaged_members_fail_alone(tmp_path):
    path = tmp_path / "a.zip"
    make_zip(path, {"a.jpg": os.urandom(999), "b.jpg": b"good"})
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    bad, good = find([path])
    with Reader() as reader:
        with pytest.raises(ImageError, match=r"damaged archive"):
            reader.read(bad)
        assert reader.read(good) == b"good"


def test_links_in_a_tar_are_failures(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    (source,) = find([path])
    with Reader() as reader, pytest.raises(ImageError, match=r"link"):
        reader.read(source)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2"])
def test_truncated_archives_are_refused(tmp_path, name):
    path = tmp_path / name
    (make_zip if name == "a.zip" else lambda path, members: make_tar(path, members, "w:" + name[6:]))(path, MEMBERS)
    data = path.read_bytes()
    for length in (0, 3, len(data) // 2, len(data) - (11_000 if name == "a.tar" else 40)):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=rf"cannot read the archive .*{name}"):
            find([path])


def test_a_damaged_tar_header_is_not_taken_for_the_end(tmp_path):
    path = tmp_path / "a.tar"
    make_tar(path, {"a.jpg": b"a", "b.jpg": b"b", "c.jpg": b"c"})
    data = bytearray(path.read_bytes())
    data[512 + 1024 + 5] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged tar"):
        find([path])


def test_a_tar_header_cannot_ask_for_gigabytes(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 5_000_000_000
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(5000))
    with pytest.raises(InputError, match=r"a header of"):
        find([path])


def test_compressed_tar_out_of_order_is_refused_with_a_hint(tmp_path):
    rng = np.random.default_rng(0)
    members = {f"{number:04d}.jpg": b"x" for number in rng.permutation(200)}
    make_tar(tmp_path / "a.tar.gz", members, "w:gz")
    with pytest.raises(InputError, match=r"a\.tar\.gz is a compressed tar .* unpack it"):
        find([tmp_path / "a.tar.gz"])
    (tmp_path / "a.tar.gz").rename(tmp_path / "misnamed.tar")
    with pytest.raises(InputError, match=r"misnamed\.tar is a compressed tar"):
        find([tmp_path / "misnamed.tar"])
    make_tar(tmp_path / "a.tar", members)
    assert len(find([tmp_path / "a.tar"])) == 200


def test_handles_are_bounded(tmp_path):
    for number in range(40):
        make_zip(tmp_path / f"{number}.zip", {f"{number}.jpg": b"%d" % number})
    listing = find([tmp_path / f"{number}.zip" for number in range(40)])
    before = len(os.listdir("/proc/self/fd"))
    with Reader() as reader:
        for _ in range(2):
            for source in listing:
                assert reader.read(source) == source.id.encode()
        assert len(os.listdir("/proc/self/fd")) <= before + 8
    assert len(os.listdir("/proc/self/fd")) == before


def test_changed_archive(tmp_path):
    path = tmp_path / "a.tar"
    make_tar(path, {"a.jpg": b"a"})
    (source,) = find([path])
    make_tar(path, {"b.jpg": b"a"})
    with Reader() as reader, pytest.raises(ImageError, match=r"changed"):
        reader.read(source)


# --- lists


def test_text_list(tree, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"top/b.jpg\r\n\ntop/sub/c d.tif\n" + os.fsencode(tree / "notes.txt"))
    listing = find([], list_file=listed)
    assert ids(listing) == ["b", "c d", "notes"]
    assert [source.name for source in listing][:2] == ["top/b.jpg", "top/sub/c d.tif"]
    with Reader() as reader:
        assert reader.read(listing[1]) == b"sub/c d.tif"
        (tree / "notes.txt").unlink()
        with pytest.raises(FileNotFoundError):
            reader.read(listing[2])


def test_only_a_protocol_makes_a_url(tmp_path):
    (tmp_path / "list.txt").write_text("odd name://b.jpg\n")
    with pytest.raises(InputError, match=r"names a file that does not exist, 'odd name://b.jpg'"):
        find([], list_file=tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,path\none,top/b.jpg\ntwo,top/b.jpg\n", ["one", "two"]),
        ("Path,label\ntop/b.jpg,3\n", ["b"]),
        ('file,x\n"top/b.jpg",1\ntop/a.PNG,2\n', ["a", "b"]),
        ("top/b.jpg\ntop/a.PNG\n", ["a", "b"]),
        ("label,PATH, ID\n1,top/b.jpg,\n2,top/a.PNG,9\n", ["9", "b"]),
        ("\ufeffid,path\none,top/b.jpg\n", ["one"]),
        ("path, id\ntop/b.jpg, one \ntop/a.PNG, \n", ["a", "one"]),
    ],
)
def test_csv_list(tree, text, expected):
    listed = tree.parent / "list.csv"
    listed.write_text(text, encoding="utf-8")
    listing = find([], list_file=listed)
    assert ids(listing) == expected
    assert all(content in (b"b.jpg", b"a.PNG") for content in contents(listing).values())


def write_table(path, form):
    import pandas as pd
    from astropy.table import Table

    # More digits than a float64 holds, beside a row without an id.
    rows = {"ID": [587722981736120347, None], "Path": ["top/b.jpg", "top/a.PNG"], "n": [1.0, 2.0]}
    frame = pd.DataFrame(rows | {"ID": pd.array(rows["ID"], "Int64")})
    if form in ("fits", "ascii.ecsv", "votable"):
        Table.from_pandas(frame).write(path, format=form)
    elif form == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep=form, encoding="utf-16" if path.suffix == ".txt" else "utf-8")


@pytest.mark.parametrize(
    ("name", "form"),
    [("l.csv.gz", ","), ("l.txt", "\t"), ("l.tsv", "\t"), ("l.csv", ";"), ("l.fits", "fits"), ("l.ecsv", "ascii.ecsv"),
     ("l.vot", "votable"), ("l.parquet", "parquet")],
)  # fmt: skip
def test_a_list_may_be_any_table(tree, name, form):
    for package in ("pandas", "astropy", "pyarrow"):
        pytest.importorskip(package)
    write_table(tree.parent / name, form)
    listing = find([], list_file=tree.parent / name)
    assert ids(listing) == ["587722981736120347", "a"]
    assert [source.name for source in listing] == ["top/b.jpg", "top/a.PNG"]


def test_a_list_from_a_pipe(tree, monkeypatch):
    monkeypatch.chdir(tree.parent)
    os.mkfifo("list.txt")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(Path("list.txt").write_text, "top/b.jpg\ntop/a.PNG\n")
        assert ids(find([], list_file="list.txt")) == ["a", "b"]


def test_lists_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the list .*: .*No such file"):
        find([], list_file=tmp_path / "none.txt")
    (tmp_path / "bin.txt").write_bytes(b"a.jpg\n\0\1")
    with pytest.raises(InputError, match=r"not a text file"):
        find([], list_file=tmp_path / "bin.txt")
    (tmp_path / "a.jpg").touch()
    (tmp_path / "list.csv.gz").write_bytes(gzip.compress(b"a.jpg\nb.jpg\n"))
    with pytest.raises(InputError, match=r"cannot read the list .*csv.gz: its first row is 'a.jpg', not the names of"):
        find([], list_file=tmp_path / "list.csv.gz")
    (tmp_path / "list.csv.gz").write_bytes(gzip.compress(b"path\na.jpg\n")[:-9])
    with pytest.raises(InputError, match=r"cannot read the list .*csv.gz: the compressed file is damaged or cut short"):
        find([], list_file=tmp_path / "list.csv.gz")
    (tmp_path / "empty.csv").write_text("path\n")
    with pytest.raises(InputError, match=r"no images in .*empty.csv"):
        find([], list_file=tmp_path / "empty.csv")


# --- .npy stacks


@pytest.mark.parametrize(
    ("shape", "count"), [((7, 8), 1), ((7, 8, 3), 1), ((5, 7, 8), 5), ((5, 7, 8, 3), 5), ((5, 7, 8, 6), 5)]
)
def test_npy(tmp_path, shape, count):
    array = np.random.default_rng(0).integers(0, 999, shape).astype(">i2")
    np.save(tmp_path / "data.npy", array)
    listing = find([tmp_path])
    expected_ids = ["data"] if count == 1 else [f"data/{number:06d}" for number in range(count)]
    assert ids(listing) == expected_ids
    with Reader() as reader:
        images = [decode(reader.read(source), source.name, DecodeOptions()) for source in listing]
        assert np.array_equal(np.array(images).reshape(shape), array)
        assert reader.stat(listing[0])[0] == (tmp_path / "data.npy").stat().st_size
    if count > 1:
        assert [source.name for source in listing][:2] == ["data.npy[0]", "data.npy[1]"]


def test_npy_stack_in_a_list_and_in_an_archive(tmp_path):
    np.save(tmp_path / "data.npy", np.zeros((3, 7, 8), "u1"))
    (tmp_path / "list.csv").write_text("id,path\nmine,data.npy\n")
    assert ids(find([], list_file=tmp_path / "list.csv")) == ["mine/000000", "mine/000001", "mine/000002"]
    make_zip(tmp_path / "a.zip", {"data.npy": (tmp_path / "data.npy").read_bytes()})
    (source,) = find([tmp_path / "a.zip"])
    with Reader() as reader, pytest.raises(ImageError, match=r"stack inside an archive"):
        reader.read(source)


def test_npy_stacks_that_fail(tmp_path):
    np.save(tmp_path / "data.npy", np.zeros((3, 7, 8), "u1"))
    listing = find([tmp_path])
    with Reader(55) as reader, pytest.raises(ImageError, match=r"56 bytes are more"):
        reader.read(listing[0])
    data = (tmp_path / "data.npy").read_bytes()
    (tmp_path / "data.npy").write_bytes(data[:-1])
    with Reader() as reader:
        assert len(reader.read(listing[1])) > 56
        with pytest.raises(ImageError, match=r"ends before"):
            reader.read(listing[2])
    np.save(tmp_path / "data.npy", np.asfortranarray(np.zeros((3, 7, 8), "u1")))
    with Reader() as reader, pytest.raises(ImageError, match=r"Fortran"):
        reader.read(find([tmp_path])[0])


def test_one_image_of_a_large_stack_costs_one_image(tmp_path):
    path = tmp_path / "large.npy"
    np.lib.format.open_memmap(path, "w+", "u1", (1000, 400, 400)).flush()
    tracemalloc.start()
    listing = find([path])
    with Reader() as reader:
        reader.read(listing[700])
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


# --- URLs


def test_a_first_row_that_is_an_image_is_no_header(tmp_path, monkeypatch):
    monkeypatch.setattr("scalenorm.sources.finding._Finder.check_protocol", lambda *_: None)
    (tmp_path / "spiral").write_bytes(b"")
    (tmp_path / "b.jpg").write_bytes(b"")
    for first in ("spiral", "https://example.org/cutout?object=spiral"):
        (tmp_path / "list.csv").write_text(f"{first},1\nb.jpg,2\n")
        assert len(find([], list_file=tmp_path / "list.csv")) == 2
    (tmp_path / "list.csv").write_text("image,number\nb.jpg,2\n")
    assert ids(find([], list_file=tmp_path / "list.csv")) == ["b"]


def test_errors_of_a_remote_system(monkeypatch):
    memory = pytest.importorskip("fsspec").filesystem("memory")

    class NoCredentials(Exception):
        pass

    def fail(*args, **options):
        raise NoCredentials("who are you?")

    monkeypatch.setattr(type(memory), "isdir", fail)
    monkeypatch.setattr(type(memory), "open", fail)
    with pytest.raises(InputError, match="cannot read memory://bucket: who are you"):
        find(["memory://bucket"])
    with Reader() as reader, pytest.raises(OSError, match=r"memory://a\.jpg: who are you"):
        reader.read(Source("a", "memory://a.jpg", None, None, "a.jpg"))
    monkeypatch.setattr(type(memory), "info", fail)
    with Reader() as reader:
        assert reader.stat(Source("a", "memory://a.jpg", None, None, "a.jpg")) == (0, 0)


def test_passwords_are_not_shown():
    url = "memory://me:s3cr:t@host/bucket"
    assert visible(f"cannot read {url}/a.jpg (sftp://you:x@y@there/b)") == (
        "cannot read memory://me:***@host/bucket/a.jpg (sftp://you:***@there/b)"
    )
    for plain in ("memory://host/a@b:c", "s3://bucket/a:b@c.jpg", "http://host:8080/x", "a:b@c"):
        assert visible(plain) == plain
    with pytest.raises(InputError) as caught:
        find([url])
    assert str(caught.value) == "no such file or folder: memory://me:***@host/bucket"


@pytest.mark.parametrize(("said", "nanoseconds"), [
    ("2020-01-01T00:00:00Z", 1_577_836_800 * 10**9), (12.5, 12_500_000_000), ("yesterday", 0), (float("nan"), 0),
    (float("inf"), 0), ("9999-12-31T00:00:00Z", None), (datetime.datetime(1, 1, 1, tzinfo=datetime.UTC), None),
    (-1e300, None), (2**70, None),
], ids=str)  # fmt: skip
def test_times_of_remote_systems(monkeypatch, said, nanoseconds):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.setattr(type(memory), "info", lambda self, path: {"size": 5, "created": said})
    with Reader() as reader:
        size, changed = reader.stat(Source("a", "memory://a.jpg", None, None, "a.jpg"))
    assert (size, np.int64(changed)) == (5, changed)
    assert nanoseconds in (None, changed)


def test_urls(tree):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    make_zip(tree / "x.zip", MEMBERS)
    np.save(tree / "stack.npy", np.zeros((2, 7, 8)))
    memory.put(str(tree), "/bucket", recursive=True)
    try:
        listing = find(["memory://bucket/"])
        assert ids(listing) == ["a", "b", "c d", "e", "stack/000000", "stack/000001"]
        with Reader() as reader:
            assert reader.read(listing[2]) == b"sub/c d.tif"
            size, changed = reader.stat(listing[2])
            assert size == 11
            assert changed > 1e18
            assert decode(reader.read(listing[5]), "", DecodeOptions()).shape == (7, 8)
            with pytest.raises(FileNotFoundError):
                reader.read(Source("x", "memory://bucket/none.jpg", None, None, "none.jpg"))
        assert contents(find(["memory://bucket/x.zip"])) == WANTED
        assert ids(find(["memory://bucket/*.jpg"])) == ["b"]
        memory.pipe("/top.jpg", b"top")
        for url in ("memory://top.jpg", "memory://*.jpg"):
            assert contents(find([url])) == {"top": b"top"}
        assert ids(find([(tree / "b.jpg").as_uri()])) == ["b"]
        (tree / "list.txt").write_text("memory://bucket/b.jpg\n")
        assert contents(find([], list_file=tree / "list.txt")) == {"b": b"b.jpg"}
        (tree / "list.txt").write_text("nosuch://bucket/b.jpg\n")
        with pytest.raises(InputError, match=r"nosuch://bucket/b\.jpg: Protocol not known"):
            find([], list_file=tree / "list.txt")
        for bad in ("memory://bucket/none", "nosuch://bucket/a.jpg"):
            with pytest.raises(InputError, match=bad):
                find([bad])
    finally:
        memory.rm("/bucket", recursive=True)


def test_urls_without_fsspec():
    code = (
        "import sys; sys.modules['fsspec'] = None\n"
        "from scalenorm.sources.finding import find, InputError\n"
        "try: find(['s3://bucket/a.jpg'])\n"
        "except InputError as error: print(error)"
    )
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'scalenorm[remote]'" in text


# --- the listing itself


def test_sources_are_a_sequence(tree):
    sources = find([tree])
    assert [source.id for source in sources[1:3]] == ["b", "c d"]
    assert sources[-1] == list(sources)[3]
    assert [source.id for source in sources[::-1]] == ["e", "c d", "b", "a"]
    assert [source.id for source in sources] == ["a", "b", "c d", "e"]
    assert list(pickle.loads(pickle.dumps(sources[1:]))) == list(sources)[1:]
    with pytest.raises(IndexError):
        sources[4]


def test_any_choice_of_sources_keeps_what_they_say(tree, tmp_path):
    """Of two folders and a stack: straight and crooked choices are copied in different ways."""
    touch(str(tmp_path / "other" / name) for name in ("m.jpg", "zz.jpg"))
    np.save(tmp_path / "d.npy", np.zeros((3, 8, 8, 3), np.uint8))
    sources = find([tree, tmp_path / "other", tmp_path / "d.npy"])
    each = [sources[i] for i in range(len(sources))]
    assert len(each) == 9
    for order in ([], [4], [0, 1, 2], [2, 3, 4, 5, 6, 7, 8], [3, 2, 1], [0, 2, 4], [5, 5, 6], [8, 7]):
        chosen = sources.take(np.array(order, int))
        assert [chosen[i] for i in range(len(chosen))] == [each[i] for i in order]
        assert list(chosen.take(np.arange(len(chosen)))) == list(chosen)
    for start in range(9):
        for stop in range(start, 10):
            assert list(sources[start:stop]) == each[start:stop]


def touch(paths):
    for path in paths:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "wb").close()


def test_a_part_travels_as_little_data(tmp_path):
    touch(f"{tmp_path}/images/{n:08d}.jpg" for n in range(2000))
    (tmp_path / "list.csv").write_text("path\n" + "".join(f"images/{n:08d}.jpg\n" for n in range(2000)))
    sources = find([], list_file=tmp_path / "list.csv")
    assert len(pickle.dumps(sources[512:1024])) < 50_000


@pytest.mark.slow
def test_memory_of_a_long_list(tmp_path):
    """At most 200 bytes for each image, at the peak, and half of it afterwards."""
    length = 50_000
    touch(f"{tmp_path}/images/{n:06d}.jpg" for n in range(500))
    with open(tmp_path / "list.csv", "w") as file:
        file.write("id,path\n")
        file.writelines(f"image-{n:06d},images/{n % 500:06d}.jpg\n" for n in range(length))
    find([], list_file=tmp_path / "list.csv")
    tracemalloc.start()
    listing = find([], list_file=tmp_path / "list.csv")
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(listing) == length
    assert peak / length < 200
    assert now / length < 100


def test_import_is_cheap():
    heavy = "{'PIL', 'astropy', 'simplejpeg', 'fsspec'}"
    code = f"import sys, scalenorm.sources.finding; print(sorted({heavy} & set(sys.modules)))"
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert text.strip() == "[]"


def test_reading_a_real_path(tmp_path):
    Path(tmp_path, "a.jpg").write_bytes(b"x")
    assert contents(find([Path(tmp_path, "a.jpg")])) == {"a": b"x"}


def test_a_list_that_names_what_is_no_file_is_refused_before_the_start(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "list.txt").write_text("a.png\n  \nnowhere.png\nfolder\n")
    with pytest.raises(InputError, match=r"names 2 files that do not exist, first 'nowhere.png': paths are relative"):
        find([], list_file=tmp_path / "list.txt")
