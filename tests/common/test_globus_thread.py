"""The thread that speaks to Globus: one piece after the other, and no process waits for it for long."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time

import pytest

from iri_common.apis.globus.thread import AT_EXIT, OneThread

USES = """
    import sys, time, weakref
    weakref.finalize(sys.stdout, print)  # so that its own hook at the exit is an early one
    from iri_common.apis.globus import thread as module
    module.AT_EXIT = float(sys.argv[2])
    thread = module.OneThread("t")
    thread.start(int).result()
    thread.start(lambda: time.sleep(float(sys.argv[1])))
    time.sleep(0.1)
    print(time.time(), flush=True)
"""


def test_one_after_the_other_and_errors_come_back() -> None:
    thread, order = OneThread("t"), list[int]()
    begun, go = threading.Event(), threading.Event()
    first = thread.start(lambda: (begun.set(), go.wait(10), order.append(1)))
    second, third = thread.start(lambda: order.append(2)), thread.start(lambda: order.append(3))
    assert begun.wait(10)
    assert second.cancel()
    go.set()
    third.result(10)
    assert (first.done(), order) == (True, [1, 3])
    with pytest.raises(ZeroDivisionError):
        thread.start(lambda: 1 / 0).result(10)
    assert thread.start(lambda: 4).result(10) == 4


def test_it_ends_with_its_owner() -> None:
    owner = OneThread("t-of-nobody")
    owner.start(int).result(10)
    (thread,) = [each for each in threading.enumerate() if each.name == "t-of-nobody"]
    del owner
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize(("busy", "at_exit"), [("0", "45"), ("60", str(AT_EXIT))])
def test_a_process_does_not_wait_for_long(busy: str, at_exit: str) -> None:
    code = "\n".join(line.strip() for line in USES.splitlines())
    told = subprocess.check_output([sys.executable, "-c", code, busy, at_exit], text=True, timeout=90)
    assert time.time() - float(told.split()[0]) < 30
