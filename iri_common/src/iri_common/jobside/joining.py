"""The text of the jobs that join the parts of a file at the facility, or split a file into parts.

A part is named ``<index>-<first 16 hex digits of its SHA-256>``, so that a listing tells what has arrived.
Both jobs may run again at any time: what is done already is found done.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from iri_common.jobside.guard import encodable
from iri_common.model.errors import UsageError
from iri_common.model.files import FileEntry

_PART = re.compile(r"([0-9]{6,})-([0-9a-f]{16})")
_WHOLE = re.compile(r"whole-([0-9a-f]{64})-([0-9]+)")

# POSIX sh and its tools; a digest is made by whatever there is.
_COMMON = r"""
set -u
LC_ALL=C
export LC_ALL
say() { printf 'iri: %s\n' "$1" >&2; }
fail() { say "$1"; exit 1; }
digest() {
  if command -v sha256sum >/dev/null 2>&1; then set -- sha256sum
  elif command -v shasum >/dev/null 2>&1; then set -- shasum -a 256
  elif command -v openssl >/dev/null 2>&1; then set -- openssl dgst -sha256 -r
  else say 'there is no sha256sum, shasum or openssl where this job runs'; return 1
  fi
  "$@" | { read -r word rest && printf %s "${word#\\}"; }
}
count() { wc -c <"$1" || echo -1; }
"""

_JOIN = r"""
target=$1 aside=$2 parts=$3 size=$4 whole=$5 pieces=$6
is_whole() {
  [ -f "$1" ] && [ "$(($(count "$1")))" -eq "$size" ] && [ "$(digest <"$1")" = "$whole" ]
}
joined() { for part; do cat "$part" || return 1; done; }
[ ! -d "$target" ] || fail "$target is a directory"
if is_whole "$target"; then
  rm -rf "$parts" "$aside"
  exit 0
fi
[ -d "$parts" ] || fail "the parts are not there: $parts"
set -- "$parts"/[0-9]*-*
[ -e "$1" ] || shift
[ "$#" -eq "$pieces" ] || fail "there are $# parts, not $pieces, in $parts"
if ! joined "$@" >"$aside"; then
  rm -f "$aside"
  fail "the parts cannot be joined into $aside"
fi
if ! is_whole "$aside"; then
  rm -f "$aside"
  for part; do
    name=${part##*/}
    found=$(digest <"$part") || fail "$part cannot be read"
    [ "$(printf %.16s "$found")" = "${name#*-}" ] && continue
    say "$part is damaged, and removed"
    rm -f "$part"
  done
  fail 'the parts do not make the file that was sent'
fi
mv -f "$aside" "$target" || fail "$aside cannot be renamed to $target"
rm -rf "$parts"
"""

_SPLIT = r"""
source=$1 parts=$2 size=$3
umask 077
for mark in "$parts"/whole-*; do
  [ ! -e "$mark" ] || exit 0
done
[ -f "$source" ] || fail "$source is no file"
rm -rf "$parts" "$parts.new"
mkdir -p "$parts.new" && cd "$parts.new" || fail "$parts.new cannot be made"
if ! split -a 6 -b "$size" "$source" part; then
  rm -rf "$parts.new"
  fail "$source cannot be split into $parts.new"
fi
index=0
for part in part*; do
  [ -e "$part" ] || break
  found=$(digest <"$part") || fail "$part cannot be read"
  mv "$part" "$(printf '%06d-%.16s' "$index" "$found")" || fail "$part cannot be renamed"
  index=$((index + 1))
done
found=$(digest <"$source") || fail "$source cannot be read"
: >"whole-$found-$(($(count "$source")))" || fail "nothing can be written in $parts.new"
cd / || exit 1
mv "$parts.new" "$parts" || fail "$parts.new cannot be renamed"
"""


@dataclass(frozen=True, slots=True)
class SplitFile:
    """What a split left: the file's digest and size, and its parts' names in order."""

    sha256: str
    size: int
    parts: Sequence[str]


def part_name(index: int, content: bytes) -> str:
    """The name of a part."""
    return f"{index:06d}-{hashlib.sha256(content).hexdigest()[:16]}"


def is_part(entry: FileEntry) -> bool:
    """Whether a row of a listing is a part."""
    return _PART.fullmatch(entry.name) is not None


def join_script(target: str, aside: str, parts: str, *, size: int, sha256: str, pieces: int) -> str:
    """The job that makes one file of its parts, compares it, puts it in place and removes the parts.

    Parts that are not what their names say are removed, so that a listing tells what to send again.

    Raises:
        UsageError: for a path that a job in another directory would take for something else.
    """
    words = [whole_path(target), whole_path(aside), whole_path(parts), str(size), sha256, str(pieces)]
    return _script(words, _JOIN)


def split_script(source: str, parts: str, part_size: int) -> str:
    """The job that splits a file into a directory; the directory is there when all of it is.

    Raises:
        UsageError: as :func:`join_script`.
    """
    return _script([whole_path(source), whole_path(parts), str(part_size)], _SPLIT)


def read_split(entries: Sequence[FileEntry]) -> SplitFile | None:
    """What the listing of a split's directory tells; None if it is not such a directory, or not all of it."""
    wholes = [found for each in entries if (found := _WHOLE.fullmatch(each.name))]
    if len(wholes) != 1:
        return None
    parts = {int(found[1]): each.name for each in entries if (found := _PART.fullmatch(each.name))}
    if sorted(parts) != list(range(len(parts))):
        return None
    return SplitFile(wholes[0][1], int(wholes[0][2]), [parts[index] for index in range(len(parts))])


def _script(words: Sequence[str], body: str) -> str:
    return f"set -- {shlex.join(words)}\n{_COMMON.lstrip()}{body.lstrip()}"


def whole_path(path: str) -> str:
    """The path itself, if a job in any directory takes it for the same file.

    Raises:
        UsageError: if not.
    """
    if not path.startswith("/"):
        raise UsageError(
            f"a job at the facility needs the whole path of a file, beginning with /, not {path!r}"
        )
    return encodable(path, "the path")
