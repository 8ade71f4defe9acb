"""What functions, arguments and results look like on their way through Globus Compute; pure.

Every piece begins with two characters and a line end that name its format. Those that are text are written
and read here. Results of dill are read as far as they hold plain data: the opcodes are looked at first, and
one that could name or call anything ends the reading. Nothing here imports, finds or runs what a result says.
"""

from __future__ import annotations

import base64
import json
import pickle
import pickletools
from collections.abc import Sequence
from typing import Any

SOURCE = "st\n"  # a name, a colon, and the text that defines it
JSON = "11\n"
PICKLED = "00\n"  # in base64
SEVERAL = "13\n"  # the same value in several formats, packed
RESULTS = ("globus_compute_sdk.serialize.JSONData", "globus_compute_sdk.serialize.DillDataBase64")
"""How an endpoint writes a result: as JSON, and only what is none in its own way."""

# Of plain data; no opcode that looks a name up (GLOBAL), calls (REDUCE, BUILD), or refers outwards (PERSID).
_PLAIN = frozenset(
    {
        *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE", "NEWFALSE"),
        *("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"),
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("LIST", "EMPTY_LIST", "APPEND", "APPENDS", "DICT", "EMPTY_DICT", "SETITEM", "SETITEMS"),
        *("TUPLE", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_SET", "ADDITEMS", "FROZENSET"),
    }
)
_NOTED = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})


class NotPlain(ValueError):
    """A result that is more than plain data, or none at all."""


def packed(buffers: Sequence[str]) -> str:
    """Several pieces as one: each after the number of its characters."""
    return "".join(f"{len(each)}\n{each}" for each in buffers)


def function(name: str, source: str) -> str:
    """A function as it is registered."""
    return packed([f"{SOURCE}{name}:{source}"])


def arguments(args: Sequence[Any], kwargs: dict[str, Any]) -> str:
    """What a function is called with."""
    return packed([f"{JSON}{json.dumps(each)}" for each in (list(args), kwargs)])


def result(text: str) -> Any:
    """What a task returned.

    Raises:
        NotPlain: if it is more than plain data.
    """
    header, body = text[:3], text[3:]
    try:
        if header == JSON:
            return json.loads(body)
        if header == PICKLED:
            return _unpickled(base64.b64decode(body.encode("ascii")))
        if header == SEVERAL:
            return _first(body)
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotPlain(str(error)) from None
    raise NotPlain(f"a result in a format that is not known here ({header!r})")


def _first(body: str) -> Any:
    """The first of several pieces that can be read."""
    while body:
        size, _, rest = body.partition("\n")
        piece, body = rest[: int(size)], rest[int(size) :]
        if piece.startswith((JSON, PICKLED)):
            try:
                return result(piece)
            except NotPlain:
                continue
        if int(size) <= 0:
            break
    raise NotPlain("none of several pieces is plain data")


def _unpickled(data: bytes) -> Any:
    try:
        for opcode, value, _ in pickletools.genops(data):
            # A number of a place in the memo is believed by the reader, which makes so many.
            if opcode.name not in _PLAIN or (opcode.name in _NOTED and int(value or 0) > len(data)):
                raise NotPlain(f"it needs {opcode.name}")
        return pickle.loads(data)
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, AttributeError) as error:
        raise NotPlain(str(error)) from None
