"""A worker for tests: evaluates each argument as a Python expression, with `c` its connection, and writes what came of it to
its grant `out` as a JSON line. Names that a step assigns (with :=) are there for the next ones."""

import json
import os
import signal
import socket
import sys
import time

import warder


def shown(value):
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {str(key): shown(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(one) for one in value]
    return repr(value)


def main():
    connection = warder.Connection()
    with connection.open("out", mode="a") as file:
        out = os.dup(file.fileno())

    def write(value):
        os.write(out, json.dumps(value).encode() + b"\n")

    names = {"c": connection, "os": os, "socket": socket, "time": time, "warder": warder, "signal": signal}
    if "c.ready()" not in sys.argv[1:]:
        connection.ready("doing")
    for step in sys.argv[1:]:
        try:
            write({"step": step, "value": shown(eval(step, names))})
        except warder.Denied as denied:
            write({"step": step, "denied": denied.sentence, "reason": int(denied.reason), "errno": denied.errno})
        except OSError as error:
            write({"step": step, "errno": error.errno, "error": str(error)})
    write({"finished": True})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
