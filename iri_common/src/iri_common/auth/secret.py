"""Where a secret is, and how it is read: a variable, a file of one's own, or what a command writes."""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
import signal
import stat
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from iri_common.auth.privatefile import write_private
from iri_common.model.errors import AuthError
from iri_common.policy.telling import told

PATIENCE = 60.0  # seconds for a command: it may ask a person, through an agent of the desktop


@dataclass(frozen=True, slots=True)
class SecretReader:
    """A secret read anew each time one is needed: what is replaced is noticed.

    Attributes:
        read: Gives it; raises AuthError with what to do when there is none. It blocks.
        origin: What it reads.
        mendable: Somebody outside of this process can put another one there.
        renews: Reading again gives another one without anybody's help.
        login: The command with which a person does that; "" where there is none.
        put: Writes another one there, as a whole or not at all; None where only others can.
        drop: Removes it, and tells whether there was one; None likewise.
        there: Tells whether there is one, though it may not be read; None likewise.
        given: It was handed over, and reading again gives the same.
    """

    read: Callable[[], str]
    origin: str
    mendable: bool = True
    renews: bool = False
    login: str = ""
    put: Callable[[str], None] | None = None
    drop: Callable[[], bool] | None = None
    there: Callable[[], bool] | None = None
    given: bool = False

    def __call__(self) -> str:
        """Read it."""
        return self.read()


def secret_from_env(variable: str, what: str = "secret") -> SecretReader:
    """What is in an environment variable."""
    origin = f"the environment variable {variable}"

    def read() -> str:
        value = os.environ.get(variable, "")
        if not value:
            raise AuthError(f"{origin} holds no {what}; set it")
        return value

    return SecretReader(read, origin, mendable=False)


def secret_from_file(path: str | Path, what: str = "secret") -> SecretReader:
    """What is in a file that nobody else may read (mode 0600 or 0400)."""
    file = at_home(path, what)
    origin = f"the {what} file {file}"

    def put(secret: str) -> None:
        try:
            write_private(_behind(file), f"{secret}\n")
        except (OSError, RuntimeError) as error:
            raise AuthError(f"{origin} cannot be written: {_why(error)}") from None

    def drop() -> bool:
        try:
            _behind(file).unlink()
        except FileNotFoundError:
            return False
        except (OSError, RuntimeError) as error:
            raise AuthError(f"{origin} cannot be removed: {_why(error)}") from None
        return True

    def there() -> bool:
        return os.path.exists(file)  # Path's own raises for a folder that is closed

    return SecretReader(lambda: private_text(file, what).strip(), origin, put=put, drop=drop, there=there)


def at_home(path: str | Path, what: str) -> Path:
    """The path with whoever's home it begins with.

    Raises:
        AuthError: if nobody of that name is known here.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise AuthError(f"the {what} file {path} is in the home of a user that there is not") from None


def _behind(file: Path) -> Path:
    """What a link leads to, so that one into a folder of such files stays one."""
    place = file.resolve()
    if place.exists() and not place.is_file():  # /dev/stdin may be /dev/null, and root may replace that
        raise OSError(errno.EINVAL, "it is no regular file")
    return place


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def private_text(file: Path, what: str) -> str:
    """The text of a file that nobody else may read.

    Raises:
        AuthError: if others may, or if it cannot be read.
    """
    try:
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mend = f"run: chmod 600 {shlex.quote(str(file))}"
            raise AuthError(f"others may read the {what} file {file}", mend=mend)
        return file.read_text()
    except OSError as error:
        raise AuthError(f"the {what} file {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise AuthError(f"the {what} file {file} holds no text") from None


def secret_from_command(command: str | Sequence[str], what: str = "secret") -> SecretReader:
    """What a command writes to its standard output; no shell reads it.

    Raises:
        AuthError: if it is no command.
    """
    words = _words(command)
    # Another of its words may be a secret after all.
    digest = hashlib.sha256("\0".join(words).encode(errors="replace")).hexdigest()[:8]
    origin = f"the command {words[0]} (…{digest})"
    return SecretReader(lambda: _written_by(words, origin, what), origin, renews=True)


def _words(command: str | Sequence[str]) -> list[str]:
    try:
        words = shlex.split(command) if isinstance(command, str) else list(command)
    except ValueError as error:
        raise AuthError(f"a command that gives a secret cannot be split into words: {error}") from None
    if not words or not words[0]:
        raise AuthError("a command that gives a secret has no words")
    return words


def _written_by(words: list[str], origin: str, what: str) -> str:
    try:
        child = subprocess.Popen(
            [os.path.expanduser(words[0]), *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # its own children end with it
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it has a NUL character in it"
        raise AuthError(f"{origin}, which gives the {what}, cannot be run: {reason}") from None
    with child:
        try:
            output, words_of_error = child.communicate(timeout=PATIENCE)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise AuthError(f"{origin} gave no {what} in {PATIENCE:.0f} s") from None
    if child.returncode:
        reason = told(words_of_error.decode(errors="replace")) or f"exit code {child.returncode}"
        raise AuthError(f"{origin} gave no {what}: {reason}")
    secret = output.decode(errors="replace").strip()
    if not secret:
        raise AuthError(f"{origin} gave no {what}: it wrote nothing")
    return secret
