"""Failure of several ranks as one: the first failure is printed once and recorded in the journal of rank 0.

When a rank fails, the others fail too: their collectives break, and torchrun sends SIGTERM. So the first to fail claims
the failure in the store that all ranks share, and the errors that follow from it are not printed. Rank 0 may be blocked
in a collective (in CUDA, where no Python runs) and be killed there; so one of its threads watches for claims and
SIGTERM, writes the journal and ends the process.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch.distributed as dist

from ..common.journal.tracking import Run

_CLAIM, _RECORDED = "mlip/failure", "mlip/failure_recorded"
_GRACE = timedelta(seconds=15)  # for rank 0 to write its journal
SHUTDOWN_SECONDS = 90  # after which torchrun kills what its signal has not ended
_SECONDS_TO_SAVE = 40.0  # for rank 0 to end its step and save after a signal; SHUTDOWN_SECONDS is longer
_SECONDS_BETWEEN_LOOKS = 0.5
_ENDING = (signal.SIGTERM, signal.SIGUSR1)  # signals that torchrun forwards to its processes


class RankDiedError(Exception):
    """Another process ended without a message; the launcher knows how."""


class TerminatedError(Exception):
    """A signal came, and no process has said why."""


@contextmanager
def one_message(store: dist.Store, rank: int) -> Iterator[None]:
    """Let an error of a rank continue only if it is the first of all ranks; otherwise just end the rank.

    Enclose everything that a rank does.
    """
    if rank:
        _outlive_first(store)
    try:
        yield
    except BaseException as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the launcher must not end it before it has reported
        named = _named(error)
        if not _claim(store, rank, named):
            raise SystemExit(1) from None
        if rank:
            with suppress(dist.DistError):  # time is up, or the launcher is gone: nothing is left to wait for
                store.wait([_RECORDED], _GRACE)
        if named is not error:
            raise named from None
        raise
    finally:
        if not rank:
            with suppress(dist.DistError):
                store.set(_RECORDED, "")


@contextmanager
def failures_recorded(store: dist.Store | None, run: Run) -> Iterator[None]:
    """Record the failure of another rank in `run`, the journal of rank 0. Without `store`, do nothing."""
    if store is None:
        yield
        return
    ending = threading.Lock()  # held by the one thread that records how the run ends
    wakeup, signals = socket.socketpair()
    wakeup.setblocking(False)
    # The handler itself runs only between two steps of Python; the byte in the socket arrives at once.
    handler = signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(wakeup.fileno())
    watch = threading.Thread(target=_watch, args=(_own_connection(store), signals, run, ending), daemon=True)
    watch.start()
    try:
        yield
    except BaseException as error:
        named = _named(error)
        if not _claim(store, 0, named):
            watch.join(_GRACE.total_seconds())  # it ends this process
        ending.acquire(timeout=_GRACE.total_seconds())
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if named is not error:
            raise named from None
        raise
    else:
        ending.acquire()
        signal.signal(signal.SIGTERM, handler)
    finally:
        signal.set_wakeup_fd(-1)
        wakeup.close()


def _own_connection(store: dist.Store) -> dist.Store:
    """For a thread: over one connection a store answers one question at a time."""
    return store.clone()  # type: ignore[attr-defined]  # torch has it, its stubs lack it


def _outlive_first(store: dist.Store) -> None:
    """Keep a signal from ending this rank before rank 0, which needs its help to finish the step and then saves."""
    wakeup, signals = socket.socketpair()
    wakeup.setblocking(False)
    for number in _ENDING:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wakeup.fileno())
    threading.Thread(target=_leave_after_first, args=(_own_connection(store), signals, wakeup), daemon=True).start()


def _leave_after_first(store: dist.Store, signals: socket.socket, _wakeup: socket.socket) -> None:
    while signals.recv(1)[0] not in _ENDING:
        pass
    with suppress(dist.DistError):  # time is up, or the launcher is gone
        store.wait([_RECORDED], timedelta(seconds=_SECONDS_TO_SAVE) + _GRACE)
    os._exit(1)


def _watch(store: dist.Store, signals: socket.socket, run: Run, ending: threading.Lock) -> None:
    """Wait for the failure of another rank or for SIGTERM; record it and end the process."""
    signals.settimeout(_SECONDS_BETWEEN_LOOKS)
    claimed = terminated = False
    try:
        while not claimed and not terminated:
            with suppress(TimeoutError):
                received = signals.recv(1)
                if not received:
                    return  # the journal is closed
                terminated = received[0] in _ENDING
            claimed = store.check([_CLAIM])
        deadline = time.monotonic() + _SECONDS_TO_SAVE
        while not claimed and time.monotonic() < deadline:  # the step ends, is saved, and says so; or a rank says why
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            claimed = store.check([_CLAIM])
        own = _claim(store, 0, TerminatedError("SIGTERM, from the scheduler or because a process was killed"))
        message = store.get(_CLAIM).decode()
    except dist.DistError:
        return  # the launcher is gone
    if (message.startswith("rank 0: ") and not own) or not ending.acquire(blocking=False):
        return  # this rank ends by itself
    run.end("FAILED", message)
    if own:
        print(f"error: {message}", file=sys.stderr, flush=True)
    with suppress(dist.DistError):
        store.set(_RECORDED, "")
    if not terminated:  # the launcher names the process that ends first, which must be the other one
        signals.settimeout(_GRACE.total_seconds())
        with suppress(TimeoutError):
            signals.recv(1)
    os._exit(1)


def _claim(store: dist.Store, rank: int, error: BaseException) -> bool:
    """Return whether this error is the first of all ranks; True again if the same error is asked for twice."""
    own = f"rank {rank}: {type(error).__name__}: {' '.join(str(error).split())}"
    try:
        return store.compare_set(_CLAIM, "", own) == own.encode()
    except dist.DistError:  # the launcher is gone: nobody else can report
        return True


def _named(error: BaseException) -> BaseException:
    """Return the error, or what really happened: gloo blames the survivor when a peer was killed."""
    if isinstance(error, RuntimeError) and ("closed by peer" in str(error) or "reset by peer" in str(error)):
        return RankDiedError("another process died without a message (killed, or out of memory)")
    return error
