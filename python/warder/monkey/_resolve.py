"""socket.getaddrinfo and its kin, by `lookup` grants; and names that a `connect` grant is about.

A name that may be connected to and not looked up has no address that anybody could tell: it gets one out of 240.0.0.0/4, which
is nobody's, and whoever connects to that is connected by the name.
"""

from __future__ import annotations

import errno
import socket as _module
from typing import Any, Callable

from ..errors import Denied
from ..protocol import Operation, Request
from . import _core, _grants, _state
from ._state import error_for

__target__ = "socket"
__implements__ = ["getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"]

MAX_MADE_UP = 2**16
_found: dict[str, list[tuple[str, int | None]]] = {}  # address -> (name, which of its addresses; None: a made-up one)
_made_up: dict[str, str] = {}  # name -> its address


def names_of(address: str) -> list[tuple[str, int | None]]:
    return _found.get(address, [])


def addresses(host: str) -> list[str]:
    """Those that warderd finds for a name. gaierror: there are none."""
    grant = _state.grants.looks_up("host", host.lower())
    assert grant
    try:
        lines = _state.ask(Request(Operation.LOOKUP, grant, f"host:{host.lower()}")).data
    except Denied as error:
        raise error_for(error, host) from None
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise _module.gaierror(_module.EAI_NONAME, "Name or service not known") from None
        if isinstance(error, ConnectionError):
            raise
        raise _module.gaierror(_module.EAI_AGAIN, "Temporary failure in name resolution") from None
    found = lines.decode("ascii").split()
    for nth, address in enumerate(found):
        _remember(address, host.lower(), nth)
    return found


def _remember(address: str, name: str, nth: int | None) -> None:
    known = _found.setdefault(address, [])
    if (name, nth) not in known:
        known[:] = [one for one in known if one[0] != name]
        known.append((name, nth))


def _made_up_for(name: str) -> str:
    if name not in _made_up:
        if len(_made_up) == MAX_MADE_UP:
            raise _module.gaierror(_module.EAI_AGAIN, "too many names")
        number = len(_made_up) + 1
        _made_up[name] = f"240.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        _remember(_made_up[name], name, None)
    return _made_up[name]


def _covered(host: Any) -> list[str] | None:
    """The addresses of a name that a grant is about; None where the original call is to look."""
    name = _name_of(host)
    if not name or _grants.numeric_family(name):
        return None
    if _state.grants.looks_up("host", name) is not None:
        return addresses(name)
    return [_made_up_for(name)] if _state.grants.peers_by_name(name) else None


def _name_of(host: Any) -> str:
    if isinstance(host, (bytes, bytearray)):
        return bytes(host).decode("ascii", "replace").lower()
    if not isinstance(host, str):
        return ""
    try:
        return host.encode("idna").decode("ascii").lower().rstrip(".")
    except UnicodeError:
        return ""




def functions_over(original: Callable[[str], Any]) -> dict[str, Any]:
    """Those of `__implements__`, over what `original` names for the rest."""

    def getaddrinfo(
        host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[tuple[Any, Any, int, str, Any]]:
        found = None if flags & _module.AI_NUMERICHOST else _covered(host)
        if found is None:
            return list(original("getaddrinfo")(host, port, family, type, proto, flags))
        chosen = [one for one in found if family in (0, _grants.numeric_family(one))]
        if not chosen:
            raise _module.gaierror(_module.EAI_ADDRFAMILY, "Address family for hostname not supported")
        # The port, and which types there are, is what the original makes of an address.
        made = []
        for one in chosen:
            made += original("getaddrinfo")(one, port, family, type, proto, flags & ~_module.AI_CANONNAME)
        if flags & _module.AI_CANONNAME:
            made[0] = (*made[0][:3], _name_of(host), made[0][4])
        return made

    def gethostbyname(host: Any) -> str:
        found = _covered(host)
        return str(original("gethostbyname")(host)) if found is None else _of_ipv4(found)[0]

    def gethostbyname_ex(host: Any) -> tuple[str, list[str], list[str]]:
        found = _covered(host)
        if found is None:
            return original("gethostbyname_ex")(host)  # type: ignore[no-any-return]
        return _name_of(host), [], _of_ipv4(found)

    def gethostbyaddr(address: Any) -> tuple[str, list[str], list[str]]:
        known = names_of(address) if isinstance(address, str) else []
        if known:
            return known[0][0], [], [address]
        return original("gethostbyaddr")(address)  # type: ignore[no-any-return]

    made: dict[str, Any] = {
        "getaddrinfo": getaddrinfo, "gethostbyname": gethostbyname,
        "gethostbyname_ex": gethostbyname_ex, "gethostbyaddr": gethostbyaddr,
    }  # fmt: skip
    for name, function in made.items():
        function.__qualname__ = name
        function.__warder__ = True
    return made


def _of_ipv4(found: list[str]) -> list[str]:
    chosen = [one for one in found if _grants.numeric_family(one) == _module.AF_INET]
    if not chosen:
        raise _module.gaierror(_module.EAI_ADDRFAMILY, "Address family for hostname not supported")
    return chosen


globals().update(functions_over(lambda name: _core.get_original("socket", name)))
