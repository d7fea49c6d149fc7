"""Pickles of CIFAR-10 as Python 2 wrote them, as others write them again, and as an attacker would."""

import copyreg
import os
import pickle
import struct
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herder.foundations.cifar_pickle import read_data_pickle


def as_published(rows: Any, labels: list[int]) -> bytes:
    """A batch byte for byte as Python 2's cPickle, protocol 2, wrote it."""

    def text(value: bytes) -> bytes:
        if len(value) < 256:
            return b"U" + bytes([len(value)]) + value
        return b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    shape = number(rows.shape[0]) + number(rows.shape[1]) + b"\x86"
    empty = b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\tU\x01bq\n\x87Rq\x0b"
    little = b"(K\x03U\x01|q\x0fNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    dtype = b"cnumpy\ndtype\nq\x0cU\x02u1q\rK\x00K\x01\x87Rq\x0e" + little
    state = b"(K\x01" + shape + dtype + b"\x89" + text(rows.tobytes()) + b"tb"
    return (
        b"\x80\x02}q\x01(" + text(b"batch_label") + text(b"testing batch 1 of 1") + text(b"labels") + b"]q\x05("
        + b"".join(map(number, labels)) + b"e" + text(b"data") + empty + state + text(b"filenames") + b"](e" + b"u."
    )  # fmt: skip


ROWS = np.random.default_rng(0).integers(0, 256, (3, 3072), np.uint8)


def test_the_published_form() -> None:
    content = as_published(ROWS, [6, 9, 0])
    reference = pickle.loads(content, encoding="bytes")  # ours, so it may be loaded
    np.testing.assert_array_equal(reference[b"data"], ROWS)
    batch = read_data_pickle(content)
    assert list(batch) == list(reference)
    assert batch[b"labels"] == [6, 9, 0]
    assert batch[b"filenames"] == []
    assert batch[b"data"].dtype == np.uint8
    np.testing.assert_array_equal(batch[b"data"], ROWS)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("array", [ROWS, np.asfortranarray(ROWS), ROWS[:, :2]])
def test_written_again_by_python_3(protocol: int, array: Any) -> None:
    batch = {b"data": array, "labels": [0, 300, -1, 2**40], "names": ("a", b"\x00\xff", None, True, {})}
    found = read_data_pickle(pickle.dumps(batch, protocol))
    np.testing.assert_array_equal(found.pop(b"data"), array)
    assert found == {key: value for key, value in batch.items() if key != b"data"}


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    for attack in (
        Calls(os.system, f"touch {mark}"),
        Calls(eval, f"open({str(mark)!r}, 'w')"),
        Calls(os.mkdir, str(mark)),
        Calls(np.load, str(mark)),
        Calls(np.fromfile, str(mark)),
    ):
        content = pickle.dumps({b"data": ROWS, b"labels": attack}, protocol)
        with pytest.raises(pickle.UnpicklingError, match=r"asks for|holds the instruction"):
            read_data_pickle(content)
    assert not mark.exists()


def test_the_attacks_are_real(tmp_path: Path) -> None:
    """What the test before guards against, with the plain unpickler."""
    pickle.loads(pickle.dumps(Calls(os.mkdir, str(tmp_path / "owned"))))
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cos\nsystem\n.", r"asks for \w+\.system"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0ccore.records\x93.", "asks for numpy.core.records"),
        (b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.", "asks for numpy.ndarray.__init__"),
        (b"(S'touch x'\nios\nsystem\n.", "holds the instruction INST"),
        (b"(cnumpy\ndtype\no.", "holds the instruction OBJ"),
        (b"\x80\x02cnumpy\ndtype\n)\x81.", "holds the instruction NEWOBJ"),
        (b"\x80\x02\x82\x01.", "holds the instruction EXT1"),
        (b"Pid\n.", "holds the instruction PERSID"),
        (b"\x80\x05\x97.", "holds the instruction NEXT_BUFFER"),
        (b"\x80\x04\x8f.", "holds the instruction EMPTY_SET"),
        (b"Nr\xff\xff\xff\x7f.", "wants note 2147483647"),
        (b"Np99999999999\n.", "wants note 99999999999"),
        (b"Np-1\n.", "wants note -1"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\x00\x00\x00.", "damaged or cut short"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00.", "damaged or cut short"),
        (b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.", "not uint8"),
        (b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR.", "not uint8"),
        (b"c_codecs\nencode\n(Va\nVrot13\ntR.", "unknown encoding"),
        (b"c_codecs\nencode\n(Va\nVutf8\ntR.", "unknown encoding"),
        (b"N", "damaged or cut short"),
        (b"", "damaged or cut short"),
        (b".", "damaged or cut short"),
        (b"world", "damaged or cut short"),
        (b"\x80\x63N.", "damaged or cut short"),
        (b"(]]s.", "damaged or cut short"),
        (b"(]]d.", "damaged or cut short"),
        (b"h\x05.", "damaged or cut short"),
    ],
)
def test_attacks_and_damage(content: bytes, message: str) -> None:
    with pytest.raises(pickle.UnpicklingError, match=message):
        read_data_pickle(content)


def test_objects_of_installed_packages_are_refused_too() -> None:
    for value in (
        Fraction(1, 3),
        np.zeros(3),
        np.float64(1),
        np.array([None]),
        {1, 2},
        copyreg.dispatch_table.__class__,
    ):
        with pytest.raises(pickle.UnpicklingError):
            read_data_pickle(pickle.dumps({b"data": value}))


def test_an_array_with_too_few_bytes() -> None:
    content = as_published(ROWS, [0])
    with pytest.raises(pickle.UnpicklingError, match="damaged"):
        read_data_pickle(content.replace(b"K\x03M\x00\x0c\x86", b"K\x04M\x00\x0c\x86"))
    with pytest.raises(pickle.UnpicklingError, match="without bytes"):
        read_data_pickle(b"cnumpy\nndarray\n(tR(I1\n(I3\ntNI00\n]tb.")


@given(st.data())
def test_cut_at_any_place(data: st.DataObject) -> None:
    content = as_published(ROWS[:1], [7])
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(pickle.UnpicklingError):
        read_data_pickle(content[:cut])


def read_or_refuse(content: bytes) -> None:
    """Whatever the bytes, there is a value or one kind of error."""
    with suppress(pickle.UnpicklingError):
        read_data_pickle(content)


@given(st.data())
def test_a_flipped_byte_reads_or_is_refused(data: st.DataObject) -> None:
    content = bytearray(as_published(ROWS[:1, :2], [7]))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    read_or_refuse(bytes(content))


@given(st.binary(max_size=60))
def test_any_bytes_read_or_are_refused(content: bytes) -> None:
    read_or_refuse(content)
