#!/usr/bin/env python3
"""What the monkey patch costs: a patched open beside the Python client's own, and calls that no grant covers beside the originals.

    WARDER_BUILD=build bench/monkey.py         as root; exits 1 when one costs more than it may

Measured in a worker of profile strict, by turns, so that both meet the same machine; of many rounds the quickest counts.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(os.environ.get("WARDER_BUILD", os.path.join(ROOT, "build")))
PYTHON = "/usr/bin/python3"
MAX_OPEN_MORE = 15.0   # microseconds beyond the client's own open
MAX_RATIO = 1.3        # of a call that no grant covers
ROUNDS, CALLS = 300, 100

CONFIG = """\
[daemon]
runtime_directory = "{home}/run"
state_directory = "{home}/state"
log_directory = "{home}/logs"
control_group = ""
[worker.bench]
exec = ["{python}", "{home}/app/monkey.py", "--worker", "{home}/site/page"]
door = "python"
restart = "never"
environment = {{ PYTHONPATH = "{root}/python", PYTHONDONTWRITEBYTECODE = "1" }}
[worker.bench.sandbox]
bind_read_only = ["{root}/python", "{home}/app"]
[worker.bench.grants]
site = {{ read = "{home}/site/", rights = ["stat", "list"] }}
"""


def quickest(calls):
    """Microseconds a call of each, of the quickest round."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            begun = time.perf_counter()
            for _ in range(CALLS):
                call()
            best[name] = min(best[name], (time.perf_counter() - begun) / CALLS * 1e6)
    return best


def closed(opened):
    opened.close()


def quietly(call, *arguments):
    def failing():
        try:
            call(*arguments)
        except OSError:
            pass

    return failing


def worker(page):
    import socket

    import warder
    import warder.monkey

    # The same socket by turns, each round trip whole before the next.
    client = warder.Connection(os.dup(int(os.environ["WARDER_SOCKET"])))
    warder.monkey.patch_all()
    original = warder.monkey.get_original
    there, away, folder = "/usr/bin/env", "/usr/none", "/usr/share"
    uncovered = {
        "open": (original("builtins", "open"), open, lambda f: lambda: closed(f(there, "rb"))),
        "os.open": (original("os", "open"), os.open, lambda f: lambda: os.close(f(there, os.O_RDONLY))),
        "os.stat": (original("os", "stat"), os.stat, lambda f: lambda: f(there)),
        "os.stat, nothing": (original("os", "stat"), os.stat, lambda f: quietly(f, away)),
        "os.lstat": (original("os", "lstat"), os.lstat, lambda f: lambda: f(there)),
        "os.access": (original("os", "access"), os.access, lambda f: lambda: f(there, os.R_OK)),
        "os.listdir": (original("os", "listdir"), os.listdir, lambda f: lambda: f(folder)),
        "os.scandir": (original("os", "scandir"), os.scandir, lambda f: lambda: f(folder).close()),
        "os.readlink": (original("os", "readlink"), os.readlink, lambda f: lambda: f("/usr/bin/python3")),
        "os.unlink": (original("os", "unlink"), os.unlink, lambda f: quietly(f, "/tmp/none")),
        "os.rename": (original("os", "rename"), os.rename, lambda f: quietly(f, "/tmp/none", "/tmp/other")),
        "os.mkdir": (original("os", "mkdir"), os.mkdir, lambda f: quietly(f, "/tmp")),
        "os.chmod": (original("os", "chmod"), os.chmod, lambda f: quietly(f, "/tmp/none", 0o600)),
        "os.fstat": (original("os", "fstat"), os.fstat, lambda f: lambda: f(1)),
    }
    plain_socket = original("socket.socket", "__init__")
    patched_socket = socket.socket.__init__

    def sockets(init):
        def make():
            made = socket.socket.__new__(socket.socket)
            init(made, socket.AF_UNIX)
            made.close()

        return make

    calls = {"client": lambda: closed(client.open_path(page, "rb")), "patched": lambda: closed(open(page, "rb"))}
    for name, (before, after, made) in uncovered.items():
        calls[name + ": original"], calls[name + ": patched"] = made(before), made(after)
    calls["socket: original"], calls["socket: patched"] = sockets(plain_socket), sockets(patched_socket)
    print(json.dumps(quickest(calls)), flush=True)


def measured(home):
    for name in ("site", "app", "logs"):
        os.makedirs(f"{home}/{name}")
    os.chmod(home, 0o755)
    with open(f"{home}/site/page", "w") as page:
        page.write("a page\n")
    with open(f"{home}/app/monkey.py", "w") as script, open(__file__) as own:
        script.write(own.read())
    with open(f"{home}/warder.toml", "w") as config:
        config.write(CONFIG.format(home=home, root=ROOT, python=PYTHON))
    daemon = subprocess.Popen([f"{BUILD}/src/daemon/warderd", "--config", f"{home}/warder.toml"], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            time.sleep(0.2)
            log = f"{home}/logs/bench.log"
            if os.path.exists(log):
                with open(log) as lines:
                    text = lines.read()
                if text.endswith("}\n"):
                    return json.loads(text.partition(" ")[2])
                if "Error" in text:
                    sys.exit(text)
        sys.exit("the worker said nothing")
    finally:
        daemon.terminate()
        daemon.wait()


def main():
    with tempfile.TemporaryDirectory(prefix="warder-bench-") as home:
        took = measured(home)
    more = took["patched"] - took["client"]
    good = more <= MAX_OPEN_MORE
    print(f"open, covered: client {took['client']:.1f} us, patched {took['patched']:.1f} us, {more:+.1f} us (at most {MAX_OPEN_MORE:+.0f})")
    print(f"{'not covered':<20}{'original':>10}{'patched':>10}{'ratio':>8}   (at most {MAX_RATIO})")
    for name in [one.partition(":")[0] for one in took if one.endswith(": original")]:
        before, after = took[name + ": original"], took[name + ": patched"]
        good = good and after / before <= MAX_RATIO
        print(f"{name:<20}{before:>8.2f}us{after:>8.2f}us{after / before:>8.2f}{'' if after / before <= MAX_RATIO else '   too much'}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    worker(sys.argv[2]) if sys.argv[1:2] == ["--worker"] else main()
