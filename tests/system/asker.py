"""A worker for tests: does what its arguments say, in order, and writes each outcome to its grant `out` as a JSON line."""

import json
import os
import signal
import socket
import sys
import time

import warder


def held(out, value):
    os.write(out, json.dumps(value).encode() + b"\n")


def describe(fd):
    info = os.fstat(fd)
    return {"size": info.st_size, "flags": os.get_blocking(fd), "mode": oct(info.st_mode)}


def run(connection, step):
    words = step.split(" ")
    verb = words[0]
    if verb == "read":
        with connection.open(words[1], words[2] if len(words) > 2 else "") as file:
            return file.read()
    if verb == "read-path":
        with connection.open_path(words[1]) as file:
            return file.read()
    if verb in ("w", "a", "x", "r+", "w+"):
        with connection.open(words[1], words[2] if len(words) > 2 and words[2] != "-" else "", verb) as file:
            file.write(words[3] if len(words) > 3 else "text")
            return "written"
    if verb == "secret":
        return connection.secret(words[1]).decode()
    if verb == "listen":
        with connection.listen(words[1]) as sock:
            return str(sock.getsockname())
    if verb == "udp-echo":
        with connection.listen(words[1]) as sock:
            data, peer = sock.recvfrom(100)
            return data.decode()
    if verb == "talk":
        with connection.connect(words[1], words[2] if len(words) > 2 else "") as sock:
            sock.settimeout(5)
            sock.send(b"ping")
            return sock.recv(10).decode()
    if verb == "rename":
        connection.rename(words[1], words[2], words[3])
        return "renamed"
    if verb == "unlink":
        connection.unlink(words[1], words[2])
        return "unlinked"
    raise ValueError(step)


def main():
    connection = warder.Connection()
    with connection.open("out", mode="a") as file:
        out = os.dup(file.fileno())
    connection.ready("asking")
    for step in sys.argv[1:]:
        try:
            held(out, {"step": step, "value": run(connection, step)})
        except warder.Denied as denied:
            held(out, {"step": step, "denied": denied.sentence, "reason": int(denied.reason), "errno": denied.errno})
        except OSError as error:
            held(out, {"step": step, "errno": error.errno, "error": str(error)})
    held(out, {"finished": True})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
