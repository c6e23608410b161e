"""The same random calls, natively in a directory of /tmp and patched behind a grant for another: their results, errnos and file names
are compared.

    python3 -m warder.monkey monkey_differ.py GRANTED CALLS [SEED]
"""

import glob
import io
import json
import os
import pathlib
import random
import shutil
import stat
import sys

NAMES = ["a", "b", "c.txt", "d", "link", ".dot"]
DIRECTORIES = ["", "d/", "d/e/", "b/"]


class World:
    """One of the two directories; paths in what is said of it are made alike."""

    def __init__(self, root):
        self.root = root
        os.makedirs(root, exist_ok=True)

    def plain(self, value):
        if isinstance(value, bytes):
            return ["bytes", self.plain(os.fsdecode(value))]
        if isinstance(value, os.PathLike):
            return self.plain(os.fspath(value))
        if isinstance(value, str):
            return value.replace(self.root, "ROOT")
        if isinstance(value, (list, tuple)):
            return [self.plain(one) for one in value]
        return value


def empty(root):
    with os.scandir(root) as entries:
        for entry in entries:
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)


def file_mode_changed(path, mode):
    """Of files alone: warderd changes no directory's."""
    if os.path.isdir(path):
        return None
    os.chmod(path, mode)
    return oct(os.stat(path).st_mode)


def file_touched(path):
    if os.path.isdir(path):
        return None
    os.utime(path, (1000, 2000))
    return int(os.stat(path).st_mtime)


def told(found):
    """Of a stat result what is alike in two directories."""
    kind = stat.S_IFMT(found.st_mode)
    size = found.st_size if stat.S_ISREG(kind) else 0
    links = found.st_nlink if stat.S_ISREG(kind) else 0
    assert found.st_mtime_ns // 10**9 == int(found.st_mtime) and found.st_ino and found.st_dev
    return [oct(found.st_mode), size, links, found.st_uid == os.geteuid()]


def file_whole(path, mode, data, options):
    with open(path, mode, **options) as file:
        said = [os.fspath(file.name) if not isinstance(file.name, int) else "fd", getattr(file, "mode", None), type(file).__name__]
        if "r" in mode or "+" in mode:
            said.append(file.read(7))
        if set(mode) & set("wax+"):
            said.append(file.write(data if "b" in mode else data.decode()))
        said.append(file.tell())
        return said


def descriptor_whole(path, flags, mode, data):
    fd = os.open(path, flags, mode)
    try:
        said = [os.get_inheritable(fd)]
        if flags & os.O_DIRECTORY:
            said.append(sorted(os.listdir(fd)))
            said.append(told(os.fstat(fd))[0])
            return said
        if flags & os.O_ACCMODE != os.O_RDONLY:
            said.append(os.write(fd, data))
        if flags & os.O_ACCMODE != os.O_WRONLY:
            said.append(os.read(fd, 9))
        return said
    finally:
        os.close(fd)


def below_descriptor(root, directory, name, act):
    fd = os.open(os.path.join(root, directory), os.O_RDONLY | os.O_DIRECTORY)
    try:
        return act(name, fd)
    finally:
        os.close(fd)


def scanned(path):
    with os.scandir(path) as entries:
        return sorted([os.fsdecode(e.name), os.fsdecode(e.path), e.is_dir(follow_symlinks=False), e.is_file(follow_symlinks=False),
                       e.is_symlink(), type(e.name).__name__] for e in entries)


def walked(root):
    return sorted([top, sorted(folders), sorted(files)] for top, folders, files in os.walk(root))


def copied(root, source, target):
    shutil.copyfile(os.path.join(root, source), os.path.join(root, target))
    return pathlib.Path(root, target).read_bytes()


def with_opener(path, flags_of):
    with open(path, "w", opener=lambda name, flags: os.open(name, flags | flags_of, 0o600)) as file:
        return [file.write("opened"), oct(os.fstat(file.fileno()).st_mode)]


def without_closing(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        with open(fd, "rb", closefd=False) as file:
            said = file.read(4)
        os.fstat(fd)
        return said
    finally:
        os.close(fd)


def mode_for(path, mode):
    """A file in the native directory cannot be run whatever its mode: it lies in the sandbox's /tmp, which is noexec."""
    return mode if os.path.isdir(path) else mode & ~os.X_OK


class Calls:
    def __init__(self, chance):
        self.chance = chance

    def path(self):
        """A path below the root, in one of the ways in which it can be written."""
        chance = self.chance
        text = chance.choice(DIRECTORIES) + chance.choice(NAMES)
        if chance.random() < 0.05:
            text = chance.choice(["", "d/../a", "d//e", "./a", "d/./b", "link/x", "none/../a", "d/e/../../a", "a/", "d/", "link/", "x" * 300])
        form = chance.choice([str, str, str, os.fsencode, pathlib.Path])
        return lambda root: form(root + "/" + text)

    def one(self):
        chance = self.chance
        path, other = self.path(), self.path()
        data = bytes(chance.choices(range(97, 123), k=chance.randrange(12)))
        kind = chance.randrange(34)
        if kind < 6:
            mode = chance.choice(["r", "rb", "w", "wb", "a", "ab", "r+", "w+b", "x", "xb", "a+", "x+", "r+b", "rt", "rw", "", "z"])
            options = chance.choice([{}, {}, {"encoding": "latin-1"} if "b" not in mode else {}, {"buffering": chance.choice([0, 64] if "b" in mode else [0, 1, 64])},
                                     {"newline": ""} if "b" not in mode else {}, {"errors": "strict"}])
            return "open " + mode + repr(options), lambda root: file_whole(path(root), mode, data, options)
        if kind < 9:
            flags = chance.choice([os.O_RDONLY, os.O_WRONLY, os.O_RDWR]) | chance.choice(
                [0, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_APPEND, os.O_CREAT | os.O_APPEND, os.O_NOFOLLOW, os.O_DIRECTORY])
            if flags & os.O_ACCMODE and chance.random() < 0.3:
                flags |= os.O_TRUNC
            if flags & os.O_DIRECTORY:
                flags &= ~os.O_ACCMODE
            permissions = chance.choice([0o666, 0o600, 0o777, 0o644])
            return f"os.open {flags:o}", lambda root: descriptor_whole(path(root), flags, permissions, data)
        simple = {
            9: ("stat", lambda root: told(os.stat(path(root)))),
            10: ("lstat", lambda root: told(os.lstat(path(root)))),
            11: ("listdir", lambda root: sorted(os.listdir(path(root)))),
            12: ("scandir", lambda root: scanned(path(root))),
            13: ("readlink", lambda root: os.readlink(path(root))),
            14: ("mkdir", lambda root: os.mkdir(path(root), 0o750)),
            15: ("makedirs", lambda root: os.makedirs(path(root), exist_ok=bool(len(data) % 2))),
            16: ("rmdir", lambda root: os.rmdir(path(root))),
            17: ("unlink", lambda root: os.unlink(path(root))),
            18: ("rename", lambda root: os.rename(path(root), other(root))),
            19: ("replace", lambda root: os.replace(path(root), other(root))),
            20: ("link", lambda root: os.link(path(root), other(root))),
            21: ("symlink", lambda root: os.symlink(chance_text, path(root))),
            22: ("chmod", lambda root: file_mode_changed(path(root), 0o700 + len(data))),
            23: ("truncate", lambda root: os.truncate(path(root), len(data))),
            24: ("exists", lambda root: [os.path.exists(path(root)), os.path.isdir(path(root)), os.path.isfile(path(root)),
                                         os.path.islink(path(root)), os.path.lexists(path(root)), os.access(path(root), mode_for(path(root), len(data) % 8))]),
            25: ("pathlib", lambda root: [pathlib.Path(os.fsdecode(path(root))).read_bytes(), pathlib.Path(os.fsdecode(path(root))).is_file()]),
            26: ("walk", walked),
            27: ("dir_fd", lambda root: below_descriptor(root, "d", chance_name, lambda name, fd: told(os.stat(name, dir_fd=fd)))),
            28: ("dir_fd", lambda root: below_descriptor(root, "", chance_name, lambda name, fd: os.mkdir(name, dir_fd=fd))),
            29: ("dir_fd", lambda root: below_descriptor(root, "d", chance_name, lambda name, fd: os.unlink(name, dir_fd=fd))),
            30: ("rmtree", lambda root: shutil.rmtree(root + "/" + chance_name) if len(data) < 4 else sorted(glob.glob(root + "/**", recursive=True))),
            31: ("copyfile", lambda root: copied(root, chance_name, "d/copy")),
            32: ("opener", lambda root: with_opener(path(root), os.O_NOFOLLOW) if len(data) % 2 else without_closing(path(root))),
            33: ("utime", lambda root: file_touched(path(root))),
        }
        chance_text = chance.choice(["a", "c.txt", "d", "e", "none", "b/a", "link"])
        chance_name = chance.choice(NAMES)
        return simple[kind]


def end_of(world, call):
    try:
        return "ok", world.plain(call(world.root))
    except OSError as error:
        # A denial has a sentence; what it is natively has none.
        return "failed", [type(error).__mro__[-4 if isinstance(error, io.UnsupportedOperation) else 0].__name__, error.errno, error.strerror,
                          world.plain(error.filename), world.plain(error.filename2)]
    except (ValueError, TypeError) as error:
        return "failed", [type(error).__name__, world.plain(str(error))]


def main():
    granted, calls = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(2**32)
    native, patched = World("/tmp/native"), World(granted)
    makes = Calls(random.Random(seed))
    counts = {"ok": 0, "failed": 0}
    differences = []
    for number in range(calls):
        what, call = makes.one()
        one, other = end_of(native, call), end_of(patched, call)
        counts[one[0]] += 1
        # What no grant allows is denied, and says so: another name for what is no regular file, and the tree's own for another.
        denied = what in ("link", "rename", "replace", "rmdir") and other[1] and other[1][0] == "Denied" and (
            what == "link" or "ROOT" in [name.rstrip("/") for name in other[1][3:] if isinstance(name, str)] or ["bytes", "ROOT/"] in other[1])
        # Which of two wrong paths is seen first is nobody's promise.
        denied = denied or (what in ("rename", "replace", "link") and one[0] == other[0] == "failed" and {one[1][1], other[1][1]} <= {2, 17, 20})
        if one != other and not denied:
            differences.append([number, what, one, other])
        if one != other or number % 200 == 199:
            for world in (native, patched):
                empty(world.root)
    print(json.dumps({"seed": seed, "calls": calls, "succeeded": counts["ok"], "failed": counts["failed"], "differences": differences[:12]}))


main()
