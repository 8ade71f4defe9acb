"""The text of the jobs that join the parts of a file at the facility, or cut a file, or many, into parts.

A part is named ``<index>-<first 16 hex digits of its SHA-256>``, so that a listing tells what has arrived.
All of them may run again at any time: what is done already is found done.
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

# What `split` has left in this directory takes the names that parts have.
_NAMED = r"""
named() {
  index=0
  for part in part*; do
    [ -e "$part" ] || break
    found=$(digest <"$part") || fail "$part cannot be read"
    mv "$part" "$(printf '%06d-%.16s' "$index" "$found")" || fail "$part cannot be renamed"
    index=$((index + 1))
  done
}
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
named
found=$(digest <"$source") || fail "$source cannot be read"
: >"whole-$found-$(($(count "$source")))" || fail "nothing can be written in $parts.new"
cd / || exit 1
mv "$parts.new" "$parts" || fail "$parts.new cannot be renamed"
"""

# Lists are given to tar as one file. GNU tar says by its exit code whether a file changed as it was read;
# it alone would pack a second name of a file as a link to the first.
_PACK = r"""
root=$1 parts=$2 size=$3 listed=$4
shift 4
umask 077
for mark in "$parts"/whole-*; do
  [ ! -e "$mark" ] || exit 0
done
rm -rf "$parts" "$parts.new"
mkdir -p "$parts.new" && cd "$parts.new" || fail "$parts.new cannot be made"
for list; do cat "$list" || fail "$list cannot be read"; done >names
[ "$(digest <names)" = "$listed" ] || fail 'the list of files is not the one that was sent'
case $(tar --version 2>/dev/null) in
  *GNU*) set -- tar --hard-dereference ;;
  *) set -- tar ;;
esac
{ "$@" -c -h -f - -C "$root" -T names || : >failed; } | split -a 6 -b "$size" - part || : >failed
if [ -e failed ]; then
  cd / && rm -rf "$parts.new"
  fail "not all files of $root could be packed; did one change, or go, meanwhile?"
fi
rm -f names
named
all() { for part in [0-9]*-*; do cat "$part" || exit 1; done; }
found=$(all | digest) || fail 'the parts cannot be read'
total=$(all | wc -c) || fail 'the parts cannot be read'
: >"whole-$found-$((total))" || fail "nothing can be written in $parts.new"
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
    return _script([whole_path(source), whole_path(parts), str(part_size)], _NAMED + _SPLIT)


def listable(name: str) -> bool:
    """Whether every tar takes a line of a list for this name: some read what a backslash may mean."""
    return not set(name) & set("\n\\")


def name_list(names: Sequence[str]) -> bytes:
    """The list of files that a job is to pack, by their names below its root.

    Raises:
        UsageError: for a name that a line cannot be, or that is no text.
    """
    if stray := next((name for name in names if not listable(name)), None):
        raise UsageError(f"{stray!r} cannot be in a list of files")
    # A name that begins with a dash would be an option.
    return "".join(f"./{encodable(name, 'the name')}\n" for name in names).encode()


def pack_script(root: str, parts: str, part_size: int, lists: Sequence[str], sha256: str) -> str:
    """The job that packs files below a directory into one tar, and cuts that as :func:`split_script` does.

    Args:
        root: The directory that all names are below.
        parts: Where the parts go.
        part_size: In bytes.
        lists: Paths of the pieces of the :func:`name_list`, in order.
        sha256: Of the whole list, in hex.

    Raises:
        UsageError: as :func:`join_script`.
    """
    words = [whole_path(root), whole_path(parts), str(part_size), sha256, *map(whole_path, lists)]
    return _script(words, _NAMED + _PACK)


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
