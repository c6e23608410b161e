"""What this worker has been told of its own grants ($WARDER_GRANTS), and which of them is meant by a path, an address, a name or
a command. It decides nothing: what a grant covers is asked, and warderd decides; the rest goes to the original call.
"""

from __future__ import annotations

import json
import re
import socket
from typing import Any, Iterable, NamedTuple, Sequence

VARIABLE = "WARDER_GRANTS"


class Span(NamedTuple):
    """The addresses that a grant on a listener or a peer names."""

    transport: str
    host: str  # as it is written: "10.0.0.0", "*", "db.example", "/run/a.sock", "@name"
    family: int  # AF_INET, AF_INET6, AF_UNIX, AF_VSOCK, or 0 of a host by its name
    bits: int  # of a network
    first: int
    last: int

    def single(self) -> bool:
        return self.family == socket.AF_UNIX or (self.first == self.last and self.bits in (32, 128) and self.host != "*")


class SocketGrant(NamedTuple):
    name: str
    span: Span


class Word(NamedTuple):
    before: str
    placeholder: str
    text: str


class Command(NamedTuple):
    name: str
    words: tuple[Word, ...]
    stdin: bool
    stdout: bool
    stderr: bool

    def values_in(self, arguments: Sequence[str]) -> list[str] | None:
        """What fills the command's placeholders where these are its words; otherwise None."""
        if len(arguments) != len(self.words):
            return None
        values = []
        for argument, word in zip(arguments, self.words):
            if word.placeholder == "none":
                if argument != word.text:
                    return None
            elif not argument.startswith(word.before) or "\n" in argument:
                return None
            else:
                values.append(argument[len(word.before) :])
        return values


class LookupGrant(NamedTuple):
    name: str
    kinds: frozenset[str]
    names: re.Pattern[str] | None


class Grants:
    def __init__(self, told: Iterable[dict[str, Any]] = ()) -> None:
        self.trees: dict[str, set[str]] = {}  # path -> operations
        self.files: dict[str, set[str]] = {}
        self.secrets: dict[str, str] = {}  # path -> name
        self.devices: dict[str, str] = {}
        self.listeners: list[SocketGrant] = []
        self.peers: list[SocketGrant] = []
        self.lookups: list[LookupGrant] = []
        self.commands: list[Command] = []
        self.told = list(told)
        for grant in self.told:
            self._add(grant)
        self._summarise()

    def forget(self, name: str) -> None:
        """A reload took it away."""
        self.__init__(grant for grant in self.told if grant["name"] != name)  # type: ignore[misc]

    def _add(self, grant: dict[str, Any]) -> None:
        kind, name, operations = grant["kind"], grant["name"], set(grant["operations"])
        if kind in ("tree", "file"):
            (self.trees if kind == "tree" else self.files).setdefault(grant["path"], set()).update(operations)
        elif kind == "secret":
            self.secrets.setdefault(grant["path"], name)
        elif kind == "device":
            self.devices.setdefault(grant["path"], name)
        elif kind in ("listener", "peer"):
            (self.listeners if kind == "listener" else self.peers).append(SocketGrant(name, parse_span(grant["address"])))
        elif kind == "lookup":
            self.lookups.append(LookupGrant(name, frozenset(grant["lookups"]), _pattern_of(grant["names"])))
        elif kind == "command":
            words = tuple(Word(word["before"], word["placeholder"], word["text"]) for word in grant["words"])
            self.commands.append(Command(name, words, grant["stdin"], grant["stdout"], grant["stderr"]))

    def _summarise(self) -> None:
        self.sockets = {one.span.host for one in self.listeners if one.span.family == socket.AF_UNIX}
        self.exact = {*self.files, *self.secrets, *self.devices}
        # No path of a grant begins otherwise: what patched calls look at first.
        self.beginnings = tuple(sorted({*self.exact, *self.trees, *(host for host in self.sockets if host.startswith("/"))}))

    # ---- Paths ----

    def covers(self, path: str) -> bool:
        """`path` is absolute and clean."""
        return path in self.exact or self.tree_of(path) is not None

    def tree_of(self, path: str) -> str | None:
        if not self.trees:
            return None
        while path not in self.trees:
            if path == "/":
                return None
            path = path[: path.rfind("/")] or "/"
        return path

    def may(self, path: str, operation: str) -> bool:
        """Whether some grant gives this right to the path; what else it asks is warderd's to see."""
        if operation in self.files.get(path, ()):
            return True
        while True:
            if operation in self.trees.get(path, ()):
                return True
            if path == "/":
                return False
            path = path[: path.rfind("/")] or "/"

    # ---- Addresses ----

    def listener_on(self, transport: str, host: str, port: int) -> SocketGrant | None:
        for grant in self.listeners:
            span = grant.span
            if span.transport == transport and span.first <= port <= span.last and _same_host(span, host):
                return grant
        return None

    def peer_at(self, transport: str, host: str, port: int) -> SocketGrant | None:
        for grant in self.peers:
            span = grant.span
            if span.transport == transport and span.first <= port <= span.last and _within(span, host):
                return grant
        return None

    def peers_by_name(self, host: str) -> list[SocketGrant]:
        wanted = host.lower().rstrip(".")
        return [one for one in self.peers if one.span.family == 0 and one.span.host.lower() == wanted]

    # ---- Names ----

    def looks_up(self, kind: str, key: str) -> str | None:
        """The grant by which that may be looked up."""
        for grant in self.lookups:
            if kind in grant.kinds and (grant.names is None or grant.names.fullmatch(key)):
                return grant.name
        return None

    def command_of(self, arguments: Sequence[str]) -> tuple[Command, list[str]] | None:
        for command in self.commands:
            values = command.values_in(arguments)
            if values is not None:
                return command, values
        return None


def from_text(text: str) -> Grants:
    """Of $WARDER_GRANTS. ValueError: it is not what warderd writes."""
    try:
        return Grants(json.loads(text))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{VARIABLE} is not what warderd writes: {error!r}") from None


def _pattern_of(names: Sequence[str]) -> re.Pattern[str] | None:
    if not names:
        return None
    texts = (re.escape(name).replace(r"\*", ".*").replace(r"\?", ".") for name in names)
    return re.compile("|".join(texts), re.DOTALL)


_ADDRESS = re.compile(r"(?P<host>\*|\[[^]]*\]|[^:/]*)(?:/(?P<bits>\d+))?:(?P<first>\d+|\*)(?:-(?P<last>\d+))?")


def parse_span(text: str) -> Span:
    """An address, or a range of them, as the config and warderd write it: "tcp:10.0.0.0/8:443"."""
    transport, _, rest = text.partition(":")
    if transport.startswith("unix"):
        return Span(transport, rest, socket.AF_UNIX, 0, 0, 0)
    parts = _ADDRESS.fullmatch(rest)
    if not parts:
        raise ValueError(f"not an address: {text!r}")
    host = parts["host"].strip("[]")
    family, width = _family_of(transport, host)
    every = parts["first"] == "*"
    first = 0 if every else int(parts["first"])
    last = 65535 if every else int(parts["last"] or first)
    return Span(transport, host, family, width if parts["bits"] is None else int(parts["bits"]), first, last)


def _family_of(transport: str, host: str) -> tuple[int, int]:
    if transport.startswith("vsock"):
        return socket.AF_VSOCK, 32
    if host == "*" or _is_of(socket.AF_INET, host):
        return socket.AF_INET, 32
    return (socket.AF_INET6, 128) if _is_of(socket.AF_INET6, host) else (0, 0)


def _is_of(family: int, host: str) -> bool:
    try:
        socket.inet_pton(family, host)
    except OSError:
        return False
    return True


def numeric_family(host: str) -> int:
    """AF_INET or AF_INET6 of what is an address already; 0 of a name."""
    return socket.AF_INET if _is_of(socket.AF_INET, host) else socket.AF_INET6 if _is_of(socket.AF_INET6, host) else 0


def _number(family: int, host: str) -> int:
    return int.from_bytes(socket.inet_pton(family, host), "big")


def _same_host(span: Span, host: str) -> bool:
    if span.family in (socket.AF_INET, socket.AF_INET6):
        own = "0.0.0.0" if span.host == "*" else span.host
        return _is_of(span.family, host) and _number(span.family, own) == _number(span.family, host)
    return span.host == host


def _within(span: Span, host: str) -> bool:
    if span.host == "*" and span.family == socket.AF_INET:
        return _is_of(socket.AF_INET, host)
    if span.family in (socket.AF_INET, socket.AF_INET6):
        if not _is_of(span.family, host):
            return False
        shift = (32 if span.family == socket.AF_INET else 128) - span.bits
        return _number(span.family, span.host) >> shift == _number(span.family, host) >> shift
    return span.host == host or (span.family == socket.AF_VSOCK and span.host == "*")
