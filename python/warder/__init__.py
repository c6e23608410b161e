"""Warder's client: ask warderd for files, sockets and secrets that this process has no right to open itself.

    import warder

    with warder.Connection() as parent:
        http = parent.listen("http")
        parent.ready()

`warder.Connection` blocks; `warder.aio.AsyncConnection` is for asyncio. The standard library is all that they need.
"""

from .client import Connection
from .errors import Denied
from .link import Event, Result
from .protocol import OpenFlag, Operation, ProtocolError, Reason, Request, Requesters
from .protocol import Type as EventKind

__version__ = "0.1.0"
__all__ = [
    "Connection",
    "Denied",
    "Event",
    "EventKind",
    "OpenFlag",
    "Operation",
    "ProtocolError",
    "Reason",
    "Request",
    "Requesters",
    "Result",
]
