"""A worker that does to the overlay at its first argument what one can do to a tree, says what came of it, then waits."""

import errno
import json
import os
import signal
import subprocess
import sys

tree = sys.argv[1]


def attempt(action):
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno]


def text_of(path):
    with open(path) as file:
        return file.read()


def write(path, text, mode="w"):
    with open(path, mode) as file:
        file.write(text)
    return "done"


def fill(path):
    with open(path, "wb") as file:
        for _ in range(64):
            file.write(bytes(65536))
            file.flush()
    return "done"


def run(path):
    return subprocess.run([path], check=False).returncode


os.chdir(tree)
before = sorted(os.listdir("."))
flags = os.statvfs(".").f_flag
seen = {
    "before": before,
    "both": attempt(lambda: text_of("both")),
    "nosuid": bool(flags & os.ST_NOSUID),
    "nodev": bool(flags & os.ST_NODEV),
    "device": attempt(lambda: write("null", "x")),
    "run": attempt(lambda: run("./tool")),
    "make a device": attempt(lambda: os.mknod("device", 0o20666, os.makedev(1, 3))),
    "change": attempt(lambda: write("mine", "more\n", "a")),
    "changed": attempt(lambda: text_of("mine")),
    "change root's": attempt(lambda: write("roots", "more\n", "a")),
    "delete": attempt(lambda: os.unlink("both") or "done"),
    "make": attempt(lambda: write("new", "new\n")),
    "owner": attempt(lambda: os.stat("new").st_uid == os.getuid() and os.stat("new").st_gid == os.getgid()),
    "top": attempt(lambda: oct(os.stat(".").st_mode & 0o7777)),
    "fill": attempt(lambda: fill("big")),
    "after": sorted(os.listdir(".")),
    "layers": attempt(lambda: os.listdir("/.overlays/0/top")),
}
print(json.dumps(seen), flush=True)
while len(sys.argv) < 3:
    signal.pause()
