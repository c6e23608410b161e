#!/usr/bin/env python3
"""Writes corpus/decide: grants and requests in the bytes that decide_fuzz.cc reads.

    tests/fuzz/decide_corpus.py

Its output is committed.
"""
import pathlib
import struct

FILE, TREE, LISTENER, PEER, SECRET = range(5)
READ, WRITE, APPEND, CREATE, LISTEN, CONNECT, SECRET_OP, RENAME, UNLINK = range(1, 10)


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return bytes([len(raw)]) + raw


def grant(name, kind, rights, path="/x", pattern="", names=""):
    bits = sum(1 << right for right in rights)
    return struct.pack("=BH", kind, bits) + text(name) + text(path) + text(pattern) + text(names)


def request(operation, target="", name="", second="", flags=0, mode=0):
    raw = target if isinstance(target, bytes) else target.encode()
    return struct.pack("=HHI", operation, flags, mode) + text(name) + text(second) + raw


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
    grant("all", TREE, [READ, UNLINK], "/"),
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
