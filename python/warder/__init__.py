"""Warder's client: ask warderd for files, sockets, secrets and more that this process has no right to itself.

    import warder

    with warder.Connection() as parent:
        http = parent.listen("http")
        parent.ready()

`warder.Connection` blocks; `warder.aio.AsyncConnection` is for asyncio. The standard library is all that they need.
"""

from .client import Connection, Store
from .errors import Denied
from .link import End, Event, Process, Result
from .protocol import OpenFlag, Operation, ProtocolError, Reason, Request, Requesters, RunEnd, Stat
from .protocol import Type as EventKind

__version__ = "0.1.0"
__all__ = [
    "Connection",
    "Denied",
    "End",
    "Event",
    "EventKind",
    "OpenFlag",
    "Operation",
    "Process",
    "ProtocolError",
    "Reason",
    "Request",
    "Requesters",
    "Result",
    "RunEnd",
    "Stat",
    "Store",
]
