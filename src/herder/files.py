"""Writing files so that a reader never sees half of one, and a full disk is one clear error."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from herder.errors import ResourceError

_HINTS = {
    errno.ENOSPC: "the disk is full: free some space, or write to another disk",
    errno.EDQUOT: "your quota on this disk is used up: free some space, or write to another disk",
    errno.EFBIG: "the file is larger than this account may write (ulimit -f): raise the limit, or write elsewhere",
    errno.EACCES: "you may not write here: choose another folder, or ask for the right to write",
    errno.EPERM: "you may not write here: choose another folder, or ask for the right to write",
    errno.EROFS: "this disk is read-only: choose another folder",
    errno.EMFILE: "too many files are open: close some programs, or raise the limit (ulimit -n)",
    errno.ENOENT: "a folder on the way does not exist: check the path",
    errno.ENOTDIR: "a part of this path is a file, not a folder: choose another name",
    errno.EISDIR: "there is a folder of this name: choose another name",
    errno.ENAMETOOLONG: "the name is too long for this disk: choose a shorter one",
    errno.ENOTEMPTY: "the folder is not empty: choose a new one",
    errno.EEXIST: "there is something of this name already: choose another name",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says while ``path`` is written into a ResourceError that names the path and what to do.

    >>> with writing(Path("out.json")):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    herder.errors.ResourceError: out.json: cannot be written: No space left on device
      what to do: the disk is full: free some space, or write to another disk
    """
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error) or type(error).__name__
        hint = _HINTS.get(error.errno or 0, "check the disk and the path")
        raise ResourceError(f"{path}: cannot be written: {said}", hint=hint) from error


def check_writable(path: Path) -> None:
    """Raise ResourceError where a file ``path`` could not be written: before the long work whose result goes there."""
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = next(parent for parent in path.resolve().parents if parent.exists())
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` all at once: after a crash there is the old file or the new one, never a part.

    Missing folders are made; a link is followed, and a device or pipe such as /dev/null is written to and not replaced.
    Raises ResourceError naming the path when the disk is full or the place may not be written; what was there before
    then stays, and nothing is left behind.
    """
    write_together([(path, data)])


def write_together(files: Sequence[tuple[Path, bytes]]) -> None:
    """``write_atomic`` for files that belong together: none of the old ones goes before all of the new are on the disk.

    They take their places in the order given. Raises ResourceError where one cannot be written; all that was there
    before then stays.
    """
    staged: list[tuple[Path, Path, Path]] = []
    try:
        for path, data in files:
            with writing(path):
                target = path.resolve()
                if target.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                if target.exists() and not target.is_file():
                    with target.open("wb") as device:
                        device.write(data)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(f".{target.name[:40]}.{secrets.token_hex(6)}.part")
                # O_EXCL, so that nobody's file or link of this name is ever followed; the mode is cut by the umask as
                # always.
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
                staged.append((path, part, target))
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
        for path, part, target in staged:
            with writing(path):
                part.replace(target)
                _sync_folder(target.parent)
    except BaseException:
        for _, part, _ in staged:
            with suppress(OSError):
                part.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
