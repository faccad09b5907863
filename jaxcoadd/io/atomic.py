"""Files that are written whole or not at all."""

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from jaxcoadd.io.errors import OutputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """Check, before any work is done, that a file can be written.

    Parameters
    ----------
    path
        The file to be written.
    overwrite
        Whether it may exist.

    Returns
    -------
    pathlib.Path
        The file, with links resolved.

    Raises
    ------
    OutputError
        The folder is missing or cannot be written to, or the file exists.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise OutputError(
            f"{path} cannot be written: the folder {path.parent} does not exist; "
            "make it or name another"
        )
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} exists; name another file or allow it to be overwritten "
            "(--overwrite)"
        )
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: the folder {path.parent} takes no new files "
            f"({error.strerror}); name another folder"
        ) from error


def write_atomically(
    path: str | Path,
    write: Callable[[BinaryIO], None],
    check: Callable[[Path], None],
    *,
    nbytes: int,
    overwrite: bool = False,
) -> None:
    """Write a file so that its name always means a whole one, the old or the new.

    Parameters
    ----------
    path
        The file.
    write
        Writes the bytes to a stream.
    check
        Reads the new file before it gets its name, and raises what is wrong with it.
    nbytes
        How many bytes may be needed, for the message of a full disk.
    overwrite
        Whether there may be such a file, which is then replaced.

    Raises
    ------
    OutputError
        The file could not be written; what was there before is untouched.

    Notes
    -----
    The bytes go to a hidden file in the same folder, which is removed on any failure.
    A process that is killed leaves it behind; it hinders no later one.
    """
    path = check_output(path, overwrite=overwrite)
    # A new name each time: neither another run nor the remains of one are in the way.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with _failing_clearly(path, nbytes):
            with open(temporary, "wb", opener=_open_new) as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            check(temporary)
            check_output(path, overwrite=overwrite)
            os.replace(temporary, path)
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def spoiled(path: str | Path, what: str) -> OutputError:
    """Say that a file does not read back as it was written.

    Parameters
    ----------
    path
        The file that was to be written.
    what
        What differs.
    """
    return OutputError(
        f"{path} was not written: read back, it differs from what it should be "
        f"({what}); write it to another disk"
    )


def _open_new(name: str, flags: int) -> int:
    """Open a file that must not exist yet; astropy does not know the mode `xb`."""
    return os.open(name, flags | os.O_EXCL, 0o666)


@contextlib.contextmanager
def _failing_clearly(path: Path, nbytes: int) -> Iterator[None]:
    """Say in one sentence why a file could not be written."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if any(number in _FULL for number in _error_numbers(error)):
            free = shutil.disk_usage(path.parent).free
            raise OutputError(
                f"{path} could not be written: the disk is full, up to {nbytes} bytes "
                f"are needed and {free} are free; make room or name another folder"
            ) from error
        raise OutputError(
            f"{path} could not be written ({error}); name another folder"
        ) from error


def _error_numbers(error: BaseException | None) -> Iterator[int | None]:
    """Give the system's numbers of an error and of those that led to it."""
    while error is not None:
        yield getattr(error, "errno", None)
        error = error.__cause__ or error.__context__


def _sync_folder(folder: Path) -> None:
    """Make sure that the new name of a file survives a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
