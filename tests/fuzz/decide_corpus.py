#!/usr/bin/env python3
"""Writes corpus/decide: grants and requests in the bytes that decide_fuzz.cc reads.

    tests/fuzz/decide_corpus.py

Its output is committed.
"""
import pathlib
import struct

(FILE, TREE, LISTENER, PEER, SECRET, RAW, PACKET, NETLINK, DEVICE, CHANNEL, LOOKUP, SYSCTL, COMMAND, WORKER, SYSLOG,
 STORE) = range(16)
(READ, WRITE, APPEND, CREATE, LISTEN, CONNECT, SECRET_OP, RENAME, UNLINK, STAT, ACCESS, READLINK, LIST, MKDIR, RMDIR, LINK,
 SYMLINK, CHMOD, TRUNCATE, WATCH, RAW_OP, PACKET_OP, NETLINK_OP, DEVICE_OP, CHANNEL_OP, LOOKUP_OP, SYSCTL_READ,
 SYSCTL_WRITE, RUN, SIGNAL, RESTART, SYSLOG_OP, NARROW) = range(1, 34)
EVERY = 2**64 - 1


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return bytes([len(raw)]) + raw


def grant(name, kind, rights, path="/x", pattern="", names="", lookups=0, signals=0, peer="", within="", narrowed="", words=""):
    bits = sum(1 << right for right in rights)
    return (struct.pack("=BQBQ", kind, bits, lookups, signals) + text(name) + text(path) + text(pattern) + text(names)
            + text(peer) + text(within) + text(narrowed) + text(words))


def request(operation, target="", name="", second="", flags=0, mode=0, argument=0):
    raw = target if isinstance(target, bytes) else target.encode()
    return struct.pack("=HHIQ", operation, flags, mode, argument) + text(name) + text(second) + raw


GRANTS = [
    grant("site", TREE, [READ], "/srv/www"),
    grant("pages", TREE, [WRITE, CREATE], "/srv/www/pages", names="*.html"),
    grant("log", FILE, [APPEND], "/var/log/a.log"),
    grant("kept", TREE, [READ, RENAME, UNLINK], "/var/log", names="*.log*"),
    grant("key", SECRET, [SECRET_OP], "/etc/key"),
    grant("http", LISTENER, [LISTEN], pattern="tcp:127.0.0.1:80"),
    grant("db", PEER, [CONNECT], pattern="unix:@db"),
    grant("lan", PEER, [CONNECT], pattern="tcp:10.0.0.0/8:1-1023"),
    grant("six", PEER, [CONNECT], pattern="udp:[2001:db8::]/33:53"),
    grant("all", TREE, [READ, UNLINK, LIST], "/"),
    grant("half", TREE, [STAT, LIST, SYMLINK, LINK], "/srv/half", within="/srv/half/in", narrowed="a*"),
    grant("name", PEER, [CONNECT], pattern="tcp:db.lan:1-99"),
    grant("names", LOOKUP, [LOOKUP_OP], lookups=5, names="*.lan"),
    grant("keys", SYSCTL, [SYSCTL_READ, SYSCTL_WRITE], names="net.*"),
    grant("tool", COMMAND, [RUN], words="0/bin/x\n1\n2\n3/srv\n4fast|slow"),
    grant("hup", WORKER, [SIGNAL, RESTART], peer="db", signals=6),
]

REQUESTS = {
    "read_below_named": request(READ, "a/b", "site"),
    "read_absolute": request(READ, "/srv/www/a"),
    "read_namesake": request(READ, "/srv/wwwx/a", "site"),
    "read_dotdot": request(READ, "../a", "site"),
    "read_not_utf8": request(READ, b"/srv/www/\xff\n\"\0"),
    "write_flags": request(WRITE, "/srv/www/pages/a.html", flags=3),
    "create_mode": request(CREATE, "a.html", "pages", flags=15, mode=0o640),
    "create_bad_mode": request(CREATE, "a.html", "pages", mode=0o4755),
    "create_name": request(CREATE, "a.php", "pages"),
    "append": request(APPEND, "", "log"),
    "rename": request(RENAME, "/var/log/a.log", second="/var/log/a.log.1"),
    "rename_named": request(RENAME, "a.log", "kept", "b.txt"),
    "unlink": request(UNLINK, "/tmp/x"),
    "secret": request(SECRET_OP, "", "key"),
    "secret_read": request(READ, "/etc/key"),
    "listen": request(LISTEN, "tcp:127.0.0.1:80"),
    "listen_any": request(LISTEN, "tcp:*:80", "http"),
    "connect_range": request(CONNECT, "tcp:10.1.2.3:443"),
    "connect_six": request(CONNECT, "udp:[2001:db8:7fff::1]:53", flags=8),
    "connect_mapped": request(CONNECT, "tcp:[::ffff:10.0.0.1]:80"),
    "connect_abstract": request(CONNECT, "unix:@db", "db"),
    "unknown_operation": request(77, "/a"),
    "list_tree": request(LIST, "/srv/half/in"),
    "list_root": request(LIST, "/"),
    "list_given_up": request(STAT, "", "half"),
    "symlink_inside": request(SYMLINK, "in/a", "half", "b"),
    "symlink_outside": request(SYMLINK, "in/a", "half", "/etc/shadow"),
    "link_two": request(LINK, "in/a", "half", "in/ab"),
    "access_mode": request(ACCESS, "/srv/half/in/a", mode=4),
    "connect_name": request(CONNECT, "tcp:DB.lan:5", argument=3),
    "connect_vsock": request(CONNECT, "vsock:2:1024"),
    "listen_autobind": request(LISTEN, "unix:@"),
    "lookup_host": request(LOOKUP_OP, "host:a.LAN"),
    "lookup_bad": request(LOOKUP_OP, "user:-a", "names"),
    "sysctl": request(SYSCTL_WRITE, "net.core.x", second="1"),
    "sysctl_bad": request(SYSCTL_READ, "net..x", "keys"),
    "run": request(RUN, "a\n7\n/srv/a\nfast", "tool"),
    "run_only": request(RUN, "a\n7\n/srv/a\nfast\n"),
    "signal": request(SIGNAL, "db", argument=2),
    "restart": request(RESTART, "", "hup"),
    "narrow_rights": request(NARROW, "", "kept", argument=2),
    "narrow_path": request(NARROW, "/srv/half/in/ab", "half", "*b", argument=EVERY),
    "narrow_range": request(NARROW, "tcp:10.1.0.0/16:80", "lan", argument=EVERY, mode=3),
    "unknown_grant": request(READ, "/a", "nothing"),
}


def main():
    folder = pathlib.Path(__file__).parent / "corpus" / "decide"
    folder.mkdir(parents=True, exist_ok=True)
    for name, asked in REQUESTS.items():
        (folder / name).write_bytes(bytes([len(GRANTS)]) + b"".join(GRANTS) + asked)
    (folder / "no_grants").write_bytes(b"\0" + request(READ, "/etc/shadow"))
    (folder / "empty").write_bytes(b"")


main()
