"""SIGTERM ends what runs as Ctrl-C does, at once and once."""

import os
import signal
import sys
import threading

import pytest

from optbench.processes import termination
from optbench.processes.termination import Terminated, exit_code_of, terminable, told

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")


def sigterm():
    os.kill(os.getpid(), signal.SIGTERM)


@posix
def test_sigterm_raises_once_and_kills_the_children(monkeypatch):
    done = []
    monkeypatch.setattr(termination, "end_children", lambda maker, shared: done.append((maker, shared)))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), terminable(lambda: done.append("first")):
        try:
            sigterm()
        finally:
            sigterm()  # `timeout` sends it to us and to our group; what is being kept must not be lost
    assert done == ["first", (threading.get_ident(), True)]
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_a_thread_no_handler_is_set():
    seen = []

    def body():
        with terminable():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]


def test_each_interrupt_has_its_code_and_words():
    assert (exit_code_of(Terminated()), told(Terminated())) == (143, "terminated (SIGTERM)")
    assert (exit_code_of(KeyboardInterrupt()), told(KeyboardInterrupt())) == (
        130,
        "interrupted from the keyboard",
    )
