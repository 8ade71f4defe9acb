"""Where a login may put a secret: into files, whole and for nobody else; never where only others can."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from iri_common.auth.client_key import key_from_file
from iri_common.auth.secret import SecretReader, secret_from_command, secret_from_env, secret_from_file
from iri_common.model.errors import AuthError

SECRET = "hunter2-Zx81"


def put(reader: SecretReader, secret: str) -> None:
    assert reader.put is not None
    reader.put(secret)


def test_a_file_is_written_for_nobody_else_also_where_others_could_read_it(tmp_path: Path) -> None:
    file = tmp_path / "new" / "token"
    put(reader := secret_from_file(file), "first")
    file.chmod(0o644)
    put(reader, SECRET)
    assert reader() == SECRET
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["token"], "nothing is left beside it"


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    link, file = tmp_path / "token", tmp_path / "kept" / "token"
    link.symlink_to(file)
    put(reader := secret_from_file(link), SECRET)
    assert (link.is_symlink(), file.read_text().strip()) == (True, SECRET)
    assert reader.drop is not None
    assert (reader.drop(), reader.drop(), file.exists()) == (True, False, False), (
        "the secret itself is removed"
    )


def test_a_place_that_cannot_be_used_is_told_without_the_secret(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # as /dev/stdin may be a link to one, or to a device that root can replace
    (tmp_path / "stdin").symlink_to("pipe")
    for place in ("file/token", "folder", "pipe", "stdin"):
        with pytest.raises(AuthError, match="cannot be written") as caught:
            put(secret_from_file(tmp_path / place), SECRET)
        assert SECRET not in str(caught.value)
    for place in ("folder", "pipe", "stdin"):
        reader = secret_from_file(tmp_path / place)
        assert reader.drop is not None
        with pytest.raises(AuthError, match="cannot be removed"):
            reader.drop()
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("reader_of", [secret_from_file, key_from_file])
def test_the_home_of_nobody_is_told(reader_of: Callable[[str], object]) -> None:
    with pytest.raises(AuthError, match="a user that there is not"):
        reader_of("~nobody-of-that-name/secret")


@pytest.mark.parametrize("reader", [secret_from_env("X"), secret_from_command("pass show x")])
def test_only_others_write_variables_and_what_commands_give(reader: SecretReader) -> None:
    assert (reader.put, reader.drop) == (None, None)
