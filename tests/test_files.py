"""Writing all at once: the old file or the new one, never a part, and clear errors."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from herder.errors import ResourceError
from herder.files import write_atomic, write_together

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")


def test_new_old_and_missing_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.bin"
    for data in (b"first", b"", b"second"):
        write_atomic(path, data)
        assert path.read_bytes() == data
        assert list(path.parent.iterdir()) == [path]


@posix
def test_a_new_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    write_atomic(tmp_path / "new", b"x")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


@posix
def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@posix
def test_a_device_is_not_replaced() -> None:
    write_atomic(Path(os.devnull), b"gone")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk() -> None:
    with pytest.raises(ResourceError) as caught:
        write_atomic(Path("/dev/full"), b"x")
    assert "/dev/full: cannot be written: No space left" in caught.value.message
    assert "the disk is full" in caught.value.hint


@posix
def test_what_was_there_stays_when_the_disk_ends_half_way(tmp_path: Path) -> None:
    """A limit on file size stands in for the disk: 10 kB of 50 go in, then the write fails."""
    (tmp_path / "kept").write_bytes(b"old")
    program = (
        "import resource, sys; from pathlib import Path; from herder.files import write_atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "write_atomic(Path(sys.argv[1]), bytes(50_000))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "kept"], capture_output=True, text=True, check=False
    )
    assert f"ResourceError: {tmp_path / 'kept'}: cannot be written" in ran.stderr
    assert (tmp_path / "kept").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "kept"]


@posix
def test_files_that_belong_together_stay_together(tmp_path: Path) -> None:
    """The first fits, the second does not: neither may change."""
    pair = [tmp_path / "m.bin", tmp_path / "m.xml"]
    for path in pair:
        path.write_bytes(b"old")
    program = (
        "import resource, sys; from pathlib import Path; from herder.files import write_together\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "write_together([(Path(sys.argv[1]), b'new'), (Path(sys.argv[2]), bytes(50_000))])"
    )
    ran = subprocess.run([sys.executable, "-c", program, *pair], capture_output=True, text=True, check=False)
    assert f"ResourceError: {pair[1]}: cannot be written" in ran.stderr
    assert [path.read_bytes() for path in pair] == [b"old", b"old"]
    assert sorted(tmp_path.iterdir()) == pair
    pair[1].unlink()
    pair[1].mkdir()
    with pytest.raises(ResourceError, match=r"m\.xml: cannot be written: Is a directory"):
        write_together([(pair[0], b"new"), (pair[1], b"new")])
    assert pair[0].read_bytes() == b"old"
    pair[1].rmdir()
    write_together([(pair[0], b"new"), (pair[1], b"graph")])
    assert [path.read_bytes() for path in pair] == [b"new", b"graph"]


def test_a_folder_or_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ResourceError, match="folder: cannot be written"):
        write_atomic(tmp_path / "folder", b"x")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ResourceError, match="file"):
        write_atomic(tmp_path / "file" / "below", b"x")
