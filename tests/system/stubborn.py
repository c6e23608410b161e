"""A worker for tests that will not end when it is told to, and writes to its grant `out` how each of its tries of a grant went."""

import json
import os
import signal
import sys
import time

import warder


def main():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection = warder.Connection()
    with connection.open("out", mode="a") as file:
        out = os.dup(file.fileno())
    connection.ready("here")
    while True:
        try:
            connection.connect(sys.argv[1]).close()
            done = "lent"
        except OSError as error:
            done = str(error)
        os.write(out, json.dumps([os.getpid(), done]).encode() + b"\n")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
