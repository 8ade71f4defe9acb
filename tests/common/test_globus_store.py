"""Tokens on the disk under many processes and threads: none lost, never half written, nobody else's."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from iri_common.auth.store import StoredToken, TokenStore
from iri_common.model.errors import AuthError

PROCESSES, WRITES = 4, 200
WRITER = """
    import sys
    from pathlib import Path
    from iri_common.auth.store import StoredToken, TokenStore

    store = TokenStore("globus", "me", directory=Path(sys.argv[1]))
    for number in range(int(sys.argv[3])):
        def count(tokens):
            for name in ("all", sys.argv[2]):
                before = tokens.get(name, StoredToken("")).expires_at
                tokens[name] = StoredToken("a" * 64, before + 1, "r" * 64, "scope")
        store.update(count)
        assert store.read()[sys.argv[2]].expires_at == number + 1
"""


def test_no_write_of_four_processes_is_lost(tmp_path: Path) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), str(process), str(WRITES)]
        )
        for process in range(PROCESSES)
    ]
    store = TokenStore("globus", "me", directory=tmp_path)
    while any(each.poll() is None for each in running):
        store.read()  # never half a file
    assert [each.returncode for each in running] == [0] * PROCESSES
    counts = {name: token.expires_at for name, token in store.read().items()}
    assert counts == {"all": PROCESSES * WRITES} | {str(process): WRITES for process in range(PROCESSES)}
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".lock"]


def test_threads_are_kept_apart_too(tmp_path: Path) -> None:
    store = TokenStore("globus", "me", directory=tmp_path)
    at_once, most = 0, 0
    lock = threading.Lock()

    def count(number: int) -> None:
        def change(tokens: dict[str, StoredToken]) -> None:
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            tokens[str(number)] = StoredToken("a")
            with lock:
                at_once -= 1

        store.update(change)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(40)))
    assert (len(store.read()), most) == (40, 1)


def test_a_refresh_without_a_refresh_token_keeps_the_old_one(tmp_path: Path) -> None:
    store = TokenStore("globus", "me", directory=tmp_path)
    store.update(lambda tokens: tokens.update(transfer=StoredToken("one", 1.0, "forever", "all", {"a": 1})))
    store.update(lambda tokens: tokens.update(transfer=StoredToken("two", 2.0)))
    assert store.read()["transfer"] == StoredToken("two", 2.0, "forever")
    store.update(lambda tokens: tokens.update(transfer=StoredToken("three", 3.0, "another")))
    assert store.read()["transfer"].refresh_token == "another"


def test_nobody_else_may_read_them(tmp_path: Path) -> None:
    store = TokenStore("globus", "a/../b", directory=tmp_path / "tokens")
    assert store.read() == {}
    store.update(lambda tokens: tokens.update(x=StoredToken("secret-1", refresh_token="secret-2")))
    assert store.path.parent == tmp_path / "tokens"  # a client's id is a name, no path
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert "secret" not in repr(store.read())


KILLED = """
    import os, sys
    from pathlib import Path
    from iri_common.auth.store import StoredToken, TokenStore

    os.replace = lambda *_: os._exit(9)
    TokenStore("globus", "a.b", directory=Path(sys.argv[1])).write({"service": StoredToken("secret")})
"""


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    other = tmp_path / "globus-a.json"
    other.touch()
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)], check=False)
    assert (done.returncode, len(list(tmp_path.iterdir()))) == (9, 2)
    store = TokenStore("globus", "a.b", directory=tmp_path)
    store.write({})
    assert sorted(tmp_path.iterdir()) == [store.path, other]


def test_what_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    store = TokenStore("globus", "me", directory=tmp_path)
    store.update(lambda tokens: tokens.update(x=StoredToken("a")))
    before = store.path.stat().st_mtime_ns
    assert store.update(lambda tokens: tokens["x"].access_token) == "a"
    assert store.path.stat().st_mtime_ns == before


def test_a_failed_change_leaves_them_as_they_were(tmp_path: Path) -> None:
    store = TokenStore("globus", "me", directory=tmp_path)
    store.update(lambda tokens: tokens.update(x=StoredToken("a")))

    def fail(tokens: dict[str, StoredToken]) -> None:
        tokens.clear()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.update(fail)
    assert store.read()["x"].access_token == "a"


def test_a_file_that_is_none_of_ours_shows_no_secret(tmp_path: Path) -> None:
    store = TokenStore("globus", "me", directory=tmp_path)
    for content in (
        '{"tokens": "hidden-secret"}',
        "hidden-secret",
        json.dumps({"tokens": {"x": ["hidden"]}}),
    ):
        store.path.write_text(content)
        with pytest.raises(AuthError, match="log in again") as caught:
            store.read()
        assert "hidden" not in str(caught.value)
        assert caught.value.__context__ is None, "a parser's error refers to all that it read"


def test_a_process_that_hangs_with_the_lock_is_named(tmp_path: Path) -> None:
    held, done = threading.Event(), threading.Event()
    store = TokenStore("globus", "me", directory=tmp_path, patience=0.1)

    def hang(tokens: dict[str, StoredToken]) -> None:
        held.set()
        done.wait(10)

    holder = threading.Thread(target=store.update, args=(hang,))
    holder.start()
    held.wait(10)
    with pytest.raises(AuthError, match="another process holds"):
        store.update(lambda tokens: None)
    done.set()
    holder.join()


def test_a_child_forked_during_a_change_does_not_keep_the_lock(tmp_path: Path) -> None:
    store = TokenStore("globus", "me", directory=tmp_path, patience=0.5)

    def fork(tokens: dict[str, StoredToken]) -> int:
        child = os.fork()
        if not child:
            signal.pause()
        return child

    child = store.update(fork)
    try:
        store.update(lambda tokens: tokens.update(x=StoredToken("a")))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert store.read()["x"].access_token == "a"
