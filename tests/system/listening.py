"""A worker for tests that writes down which events it hears. It blocks SIGTERM, and looks for it when it was told to stop."""

import json
import os
import signal

import warder
from warder.protocol import Type


def main():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    connection = warder.Connection()
    with connection.open("out", mode="a") as file:
        out = os.dup(file.fileno())

    def say(event):
        os.write(out, json.dumps({"event": event}).encode() + b"\n")

    connection.ready()
    while True:
        event = connection.next_event(30)
        if event is None:
            continue
        say(Type(event.kind).name.lower())
        if event.kind == Type.STOP:
            signal.sigwait([signal.SIGTERM])
            say("signal")
            return


if __name__ == "__main__":
    main()
