"""A large CSV file in pieces of whole lines, so that memory depends on a piece and not on the file.

Polars streams a file by itself, but reads ahead as it likes: 0.6 GB for a table of 0.65 GB, and it keeps what it took.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from herder.errors import DataError

PIECE = 1 << 23
"""Bytes that are read together; twice as many do not make the scan faster."""

HEADER_BYTES = 65_536
"""A first line longer than this is no header."""

AGAIN = "remove this file, so that it is fetched again"


@dataclass(frozen=True)
class Piece:
    """Whole records of a file."""

    data: bytes
    line: int
    """The number of its first line in the file, from 1."""


def read_header(path: Path) -> list[str]:
    """The names of the columns in the first line. Raises DataError when it cannot be read or is empty."""
    try:
        with path.open("rb") as file:
            first = file.readline(HEADER_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", hint="check the path") from None
    if not first.strip():
        raise DataError(f"{path}: is empty", hint=AGAIN)
    return first.decode("utf-8-sig", errors="replace").rstrip("\r\n").split(",")


def pieces(path: Path, *, quoted: bool) -> Iterator[Piece]:
    """The records after the header, in pieces; where ``quoted``, a line end in quotes ends no record (RFC 4180).

    What stands after the last line end comes last, whether it is a whole record or not.
    """
    with path.open("rb") as file:
        file.readline(HEADER_BYTES)
        line, rest = 2, b""
        while more := file.read(PIECE):
            block = rest + more
            end = _last_end(block) if quoted else block.rfind(b"\n") + 1
            if end and not block[:end].isspace():
                yield Piece(block[:end], line)
            line += block.count(b"\n", 0, end)
            rest = block[end:]
            if len(rest) > 8 * PIECE:
                raise DataError(f"{path}: line {line}: has no end", hint=AGAIN)
        if rest and not rest.isspace():
            yield Piece(rest, line)


def _last_end(block: bytes) -> int:
    """The end of the last record: a line end with an even number of quotes before it; 0 where there is none.

    >>> _last_end(b'a,"b"\\nc,"d\\ne')
    6
    """
    end = block.rfind(b"\n") + 1
    quotes = block.count(b'"', 0, end)
    while end and quotes % 2:
        before = block.rfind(b"\n", 0, end - 1) + 1
        quotes -= block.count(b'"', before, end)
        end = before
    return end


def check_fields(path: Path, piece: Piece, fields: int) -> None:
    """Raise DataError, with the line, unless every line that is not blank has so many fields, none of them quoted.

    Polars takes what is missing at the end of a line for nothing, and passes over what is too much: a line that was cut
    in the middle, or that lost its end and runs into the next, would not be seen.
    """
    data = piece.data
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    if data.count(b",") == lines * (fields - 1):
        return
    for number, line in enumerate(data.splitlines(keepends=True), piece.line):
        found = line.count(b",") + 1
        if found != fields and line.strip():
            end = "" if line.endswith(b"\n") else "; the file ends in the middle of it"
            raise DataError(f"{path}: line {number}: {found} fields, wanted {fields}{end}", hint=AGAIN)


def missing(header: Sequence[str], columns: Sequence[str]) -> str:
    """What is wrong with a header that must hold these columns, "" for nothing."""
    lacking = next((name for name in columns if name not in header), "")
    if lacking:
        return f"no column {lacking}"
    return "a column comes twice" if len(set(header)) < len(header) else ""
