"""Paths as FirecREST takes them and names as it lists them.

It pastes paths into shell commands between single quotes, and into the scripts of its transfers' jobs with
less care. What would end such a quote is refused here, where it is a name and no command yet.
"""

from __future__ import annotations

import posixpath
import re

from iri_common.model.errors import UsageError

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
# In those scripts `& < > " '` are written as HTML writes them; the target of an upload stands between double
# quotes, the source of a download in none.
_IN_SCRIPT = re.compile(r"""[&<>"']""")
_IN_DOUBLE_QUOTES = re.compile(r"""[&<>"'$`\\]""")
_IN_PATTERN = re.compile(r"""["'$`\x00-\x1f\x7f]""")
_UNQUOTED = re.compile(r"[^\w@%+=:,./-]")
_OCTAL = re.compile(rb"\\([23][0-7]{2})")


def absolute(path: str, operation: str) -> str:
    """A path that is one.

    Raises:
        UsageError: for any other.
    """
    if not path.startswith("/") or "\0" in path:
        raise UsageError(f"{operation} needs an absolute path, not {path!r}")
    return path


def plain(path: str, operation: str) -> str:
    """A path for one of the immediate operations.

    Raises:
        UsageError: if the server would not take it for what it is.
    """
    absolute(path, operation)
    if "'" in path or _CONTROLS.search(path):
        raise UsageError(
            f"{path!r}: FirecREST cannot name a path with a single quote or a control character in it; "
            "only mv and cp take it"
        )
    return path


def harmless(*paths: str) -> bool:
    """Whether the script of a transfer within the facility would take these for what they are."""
    return not any(_IN_SCRIPT.search(path) or _CONTROLS.search(path) for path in paths)


def sent_to(path: str, operation: str) -> str:
    """The target of an upload over S3.

    Raises:
        UsageError: if the transfer's script would take it for something else.
    """
    return _fit(plain(path, operation), _IN_DOUBLE_QUOTES, operation)


def needs_no_quotes(path: str) -> bool:
    """Whether the script of a download over S3 would take this for what it is."""
    return not _UNQUOTED.search(path)


def split(path: str, operation: str) -> tuple[str, str]:
    """Directory and name of a file that is uploaded; the name goes in a header of the multipart body.

    Raises:
        UsageError: if the name would not arrive as it is.
    """
    directory, name = posixpath.split(plain(path, operation))
    if not name:
        raise UsageError(f"{path!r} is a directory; say the name of the file too")
    if '"' in name or "\\" in name:
        raise UsageError(
            f"{path!r}: FirecREST cannot store a file with a double quote or a backslash in its name"
        )
    return directory, name


def require_pattern(source: str, pattern: str) -> None:
    """A pattern for what is packed: the server pastes it, and the directory, into a command in a command.

    Raises:
        UsageError: if that would make something else of them.
    """
    if found := _IN_PATTERN.search(pattern):
        raise UsageError(f"{pattern!r}: FirecREST takes no pattern with {found[0]!r} in it")
    _fit(posixpath.dirname(source), _UNQUOTED, "ops/compress")


def listed(name: str) -> str:
    r"""A name as ``ls`` has it: letters beyond ASCII come as ``\ooo``, byte by byte."""
    if "\\" not in name:
        return name
    content = _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), name.encode("utf-8", "surrogatepass"))
    return content.decode("utf-8", "replace")


def _fit(path: str, unfit: re.Pattern[str], operation: str) -> str:
    if found := unfit.search(path):
        raise UsageError(
            f"{path!r}: a transfer of FirecREST ({operation}) cannot name a path with {found[0]!r} in it"
        )
    return path
