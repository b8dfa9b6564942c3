"""File names from ids, on every system, and names as they may be stored and shown."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

#: What the attribute ``format`` of a cache says; sources turn caches away by it.
CACHE_FORMAT = "scalenorm-cache"

_LONGEST = 120  # bytes; the usual limit is 255, and an ending and a mark follow
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)

#: What a terminal or browser acts on instead of showing it: control characters, line ends, directions of writing.
_ACTS = re.compile(r"[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s]*@")


def file_names(ids: Sequence[str]) -> list[str]:
    r"""Return a different file name (without ending) for each id, valid on Linux, macOS and Windows.

    Letters and digits of any script and ``._-+=@,`` stay; anything else (slashes, line breaks, spaces, ...) becomes
    ``_``, as does a dot at the start or the end; what Windows reserves gets a ``_`` in front, and what is too long is
    cut. A name that was changed, or that another id has too where upper and lower case are one, gets ``~`` and 8
    digits of the id's SHA-256 at its end.

    Examples
    --------
    >>> file_names(["J1234+56", "field/7", "NUL"])
    ['J1234+56', 'field_7~9c7b93b4', '_NUL~ae6de182']
    """
    plain = [_plain(name) for name in ids]
    shared = Counter(name.casefold() for name in plain)
    return [
        name if name == given and shared[name.casefold()] == 1 else _marked(name, given)
        for name, given in zip(plain, ids, strict=True)
    ]


def _plain(name: str) -> str:
    name = unicodedata.normalize("NFC", name)
    name = "".join(sign if sign.isalnum() or sign in "._-+=@," else "_" for sign in name)
    name = name.encode()[:_LONGEST].decode(errors="ignore")
    name = re.sub(r"^\.|\.$", "_", name) or "_"
    return f"_{name}" if _RESERVED.fullmatch(name) else name


def _marked(name: str, given: str) -> str:
    return f"{name}~{hashlib.sha256(given.encode()).hexdigest()[:8]}"


def visible(text: str) -> str:
    r"""Give `text` as it may be stored: valid UTF-8 without NUL; what is neither in a file name is written as ``\xNN``.

    Passwords in URLs become ``***``: what is shown or stored goes to logs, pages and other people.
    """
    if "://" in text:
        text = _PASSWORD.sub(r"\1***@", text)
    if not text.isascii():
        try:
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        except UnicodeEncodeError:
            text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text.replace("\0", "\\x00")


def printable(text: object) -> str:
    r"""Give the text of an object as it may be shown, on one line: as `visible`, with control characters as ``\n``, ...

    Names of files, ids and what a message quotes come from others, and may hold anything.

    Examples
    --------
    >>> print(printable("a\x1b[2Jb\nc\u202ed"))
    a\x1b[2Jb\nc\u202ed
    """
    return _ACTS.sub(lambda sign: sign[0].encode("unicode_escape").decode(), visible(str(text)))


def as_html(text: object) -> str:
    """Give `printable` text with what HTML takes for its own escaped."""
    return html.escape(printable(text))
