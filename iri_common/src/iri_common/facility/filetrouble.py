"""Our errors in the words of those who open files: FileNotFoundError, PermissionError and their like."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager

from iri_common.model.errors import (
    AuthError,
    GrantExceeded,
    IriError,
    NotFound,
    NotOffered,
    PermissionDenied,
    TooLarge,
    Unreachable,
    UsageError,
)

# In order: the first that fits, so a kind stands before those it is a kind of.
_NUMBERS: tuple[tuple[type[IriError], int], ...] = (
    (NotFound, errno.ENOENT),
    (PermissionDenied, errno.EACCES),
    (AuthError, errno.EACCES),
    (GrantExceeded, errno.EACCES),
    (TooLarge, errno.EFBIG),
    (Unreachable, errno.ECONNREFUSED),
)


@contextmanager
def os_errors(path: str) -> Generator[None]:
    """What goes wrong in here with a path is told as an error of the operating system, ours its cause."""
    try:
        yield
    except NotOffered as error:
        raise NotImplementedError(str(error)) from error
    except IriError as error:
        number = next((number for kind, number in _NUMBERS if isinstance(error, kind)), None)
        if number is None and isinstance(error, UsageError):
            raise ValueError(str(error)) from error
        raise OSError(number or errno.EIO, str(error), path) from error  # of the subclass that it has
