"""Primitives that nobody has patched, and waiting so that other greenlets run where there are any.

With gevent a lock of ours that is held while somebody else runs would stop every greenlet of the thread. So locks are the
interpreter's own and held over no wait, and whoever waits for long waits in gevent's loop.
"""

from __future__ import annotations

import select
import sys
import time
import _thread
from typing import Any, Callable

QUICK = 1  # milliseconds: an answer that comes so soon is waited for without the loop
SLICE = 100  # milliseconds after which one who waits looks again: a signal handler may have read what it waits for


def native(module: Any, name: str) -> Any:
    """What gevent may have replaced, as it was."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey.get_original(module.__name__, name) if monkey else getattr(module, name)


def get_ident() -> int:
    return int(native(_thread, "get_ident")())


def new_lock() -> Any:
    return native(_thread, "allocate_lock")()


def new_reentrant_lock() -> Any:
    return native(_thread, "RLock")()


def start_thread(function: Callable[..., object], *arguments: object) -> None:
    native(_thread, "start_new_thread")(function, arguments)


def hub() -> Any:
    """gevent's hub of this thread, if whoever calls may switch to it; otherwise None."""
    gevent_hub = sys.modules.get("gevent.hub")
    if gevent_hub is None:
        return None
    found = gevent_hub._get_hub()
    if found is None or found.dead or gevent_hub.getcurrent() is found:
        return None
    return found


def wait(fd: int, events: int, seconds: float | None = None) -> bool:
    """Until the descriptor is ready; other greenlets run meanwhile. False when the time is over."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if wait_once(fd, events, left):
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False


def wait_once(fd: int, events: int, seconds: float | None = None) -> bool:
    """As wait(), but returns False now and then for no reason."""
    switching = hub()
    most = QUICK if switching else SLICE
    if _poll(fd, events, most if seconds is None else min(most, seconds * 1000)):
        return True
    return seconds != 0 and bool(switching) and _switch(switching, fd, events, seconds)


def _poll(fd: int, events: int, milliseconds: float) -> bool:
    poll = native(select, "poll")()
    poll.register(fd, events)
    return bool(poll.poll(milliseconds))


def _switch(switching: Any, fd: int, events: int, seconds: float | None) -> bool:
    from gevent import Timeout

    watcher = switching.loop.io(fd, (1 if events & select.POLLIN else 0) | (2 if events & select.POLLOUT else 0))
    limit = Timeout(seconds) if seconds is not None else None
    try:
        if limit is not None:
            limit.start()
        switching.wait(watcher)
    except Timeout as over:
        if over is not limit:
            raise
        return False
    finally:
        if limit is not None:
            limit.close()
        watcher.close()
    return True


def pause(seconds: float) -> None:
    switching = hub()
    if switching is None:
        native(time, "sleep")(seconds)
        return
    import gevent

    gevent.sleep(seconds)


class Waiter:
    """One who waits to be woken, once, by any thread. It counts as waiting from the moment it is made."""

    def __init__(self) -> None:
        self._lock = new_lock()
        self._lock.acquire()

    def wait(self) -> None:
        self._lock.acquire(True, SLICE / 1000)

    def wake(self) -> None:
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:  # two woke it at once
                pass

    def close(self) -> None:
        pass


class GreenWaiter(Waiter):
    """A greenlet that waits. Other threads wake it through its loop."""

    def __init__(self, switching: Any) -> None:
        from gevent.event import Event

        self._event = Event()
        self._watcher = switching.loop.async_()
        self._watcher.start(self._event.set)

    def wait(self) -> None:
        self._event.wait(SLICE / 1000)

    def wake(self) -> None:
        self._watcher.send()

    def close(self) -> None:
        self._watcher.close()


def new_waiter() -> Waiter:
    switching = hub()
    return GreenWaiter(switching) if switching else Waiter()
