#!/usr/bin/env python3
"""Includes go one way. The table below is the design's; this test holds the source to it.

    include_direction.py SOURCE_ROOT

It also holds that the two heavy headers, toml++ and spdlog, are each included by exactly one file, and that the modules that
must never touch the world (base, protocol, policy) include no socket or file system header.
"""

import pathlib
import re
import sys
import unittest

# What each module under src/ may include, beside itself. An entry "module/file.h" permits that file alone.
ALLOWED = {
    "base": set(),
    "sys": {"base"},
    "protocol": {"base"},
    "policy": {"base"},
    "audit": {"policy", "base"},
    "sandbox": {"sys", "base"},
    "supervise": {"sandbox", "sys", "base"},
    "broker": {"audit", "policy", "protocol", "sys", "base"},
    "opener": {"broker", "policy", "protocol", "sys", "base"},
    "config": {"policy", "sandbox/plan.h", "sandbox/call_groups.h", "sys/socket_options.h", "sandbox/ioctls.h", "supervise/rule.h", "sys/fd.h", "sys/own_limits.h", "sys/process.h", "sys/path_walk.h", "base"},
    "control": {"supervise", "audit", "policy", "protocol", "sys", "base"},
    "daemon": {"control", "broker", "opener", "supervise", "sandbox", "config", "audit", "policy", "protocol", "sys", "base"},
    "client": {"protocol", "sys", "base", "warder"},
    "ctl": {"protocol", "sys", "base"},
    "helpers": {"warder"},
}

# Files whose rule is narrower than their module's: what a life does is pure.
NARROWER = {
    ("supervise", "rule"): {"base"},
    ("supervise", "backoff"): {"base"},
    ("supervise", "lifecycle"): {"base"},
}

# Programs outside src/ that see only the public headers.
PUBLIC_ONLY = ("examples", "bench/worker")

# A header that costs seconds to compile is included by one file.
ONCE = {"toml++": re.compile(r"toml\+\+|^toml\.hpp$"), "spdlog": re.compile(r"^spdlog/")}

PURE_MODULES = ("base", "protocol", "policy")
WORLD = {
    "sys/socket.h", "sys/un.h", "netdb.h", "ifaddrs.h", "net/if.h", "poll.h", "sys/epoll.h",
    "fcntl.h", "sys/stat.h", "sys/statfs.h", "sys/statvfs.h", "sys/mount.h", "sys/mman.h", "sys/ioctl.h", "sys/file.h",
    "dirent.h", "unistd.h", "filesystem", "fstream", "sys/syscall.h",
}
WORLD_FOLDERS = ("netinet/", "linux/")   # arpa/inet.h stays allowed: inet_pton(3) only reads text
SUFFIXES = {".h", ".hpp", ".cc", ".cpp", ".c"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def includes_of(text):
    return [(mark == '"', name) for mark, name in INCLUDE.findall(text)]


def ours(quoted, name):
    """Whether a header is the project's own. The kernel's <sys/types.h> is not the module sys: modules are always quoted."""
    target = name.split("/")[0]
    return target == "warder" or (quoted and target in ALLOWED)


def permitted(module, stem, quoted, name):
    """Whether a file of `module` may include the header `name`."""
    target = name.split("/")[0]
    if not ours(quoted, name) or target == module:
        return True
    allowed = NARROWER.get((module, stem.removesuffix("_test")), ALLOWED[module])
    return target in allowed or name in allowed


def complaints_of(path, text):
    """What is wrong with the includes of one file; `path` counts from the root of the source."""
    parts = path.split("/")
    found = []
    if parts[0] == "src" and len(parts) > 2:
        module, stem = parts[1], parts[-1].split(".")[0]
        if module not in ALLOWED:
            return [f"{path}: the module {module} has no line in the table"]
        for quoted, name in includes_of(text):
            if not permitted(module, stem, quoted, name):
                found.append(f"{path}: {module} may not include {name}")
            if quoted and "/" not in name:
                found.append(f'{path}: write "{module}/{name}" instead of "{name}"')
            if module in PURE_MODULES and (name in WORLD or name.startswith(WORLD_FOLDERS)):
                found.append(f"{path}: {module} never touches the world, so it does not include <{name}>")
    elif path.startswith(PUBLIC_ONLY):
        for quoted, name in includes_of(text):
            if ours(quoted, name) and not name.startswith("warder/"):
                found.append(f"{path}: sees only <warder/...>, not {name}")
    elif parts[0] == "include":
        for quoted, name in includes_of(text):
            if ours(quoted, name) and not name.startswith("warder/"):
                found.append(f"{path}: a public header may not include {name}")
    return found


def files_of(root):
    for folder in ("src", "include", "examples", "bench"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


class TheRule(unittest.TestCase):
    """The checker itself, on made-up files: a test that cannot fail holds nothing."""

    def test_a_module_may_include_itself_and_what_lies_below(self):
        self.assertEqual(complaints_of("src/broker/a.cc", '#include "broker/b.h"\n#include "base/error.h"\n'), [])

    def test_policy_may_not_include_sys(self):
        self.assertEqual(len(complaints_of("src/policy/a.cc", '#include "sys/fd.h"\n')), 1)

    def test_kernel_headers_named_sys_are_not_the_module_sys(self):
        self.assertEqual(complaints_of("src/audit/a.cc", "#include <sys/types.h>\n"), [])

    def test_config_sees_the_plan_but_not_the_spawning(self):
        self.assertEqual(complaints_of("src/config/a.cc", '#include "sandbox/plan.h"\n'), [])
        self.assertEqual(len(complaints_of("src/config/a.cc", '#include "sandbox/spawn.h"\n')), 1)

    def test_a_life_is_pure(self):
        self.assertEqual(len(complaints_of("src/supervise/lifecycle.cc", '#include "sandbox/stage.h"\n')), 1)
        self.assertEqual(complaints_of("src/supervise/worker.cc", '#include "sandbox/stage.h"\n'), [])

    def test_helpers_and_examples_see_only_the_public_headers(self):
        self.assertEqual(len(complaints_of("src/helpers/a.cc", '#include "base/error.h"\n')), 1)
        self.assertEqual(len(complaints_of("examples/a.cc", '#include "base/error.h"\n')), 1)
        self.assertEqual(complaints_of("examples/a.cc", "#include <warder/warder.hpp>\n"), [])

    def test_the_pure_modules_touch_no_socket_and_no_file(self):
        self.assertEqual(len(complaints_of("src/policy/a.cc", "#include <sys/socket.h>\n")), 1)
        self.assertEqual(len(complaints_of("src/protocol/a.cc", "#include <fstream>\n")), 1)

    def test_a_new_module_needs_a_line_in_the_table(self):
        self.assertEqual(len(complaints_of("src/novel/a.cc", "")), 1)


class TheSource(unittest.TestCase):
    root = pathlib.Path(".")

    def test_includes_go_one_way(self):
        found = [line for path, text in files_of(self.root) for line in complaints_of(path, text)]
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_heavy_headers_are_included_by_one_file(self):
        for what, pattern in ONCE.items():
            users = [path for path, text in files_of(self.root)
                     if any(pattern.search(name) for _, name in includes_of(text))]
            self.assertEqual(len(users), 1, f"{what} is included by {users}")
            self.assertTrue(users[0].endswith(".cc"), f"{what} is included by the header {users[0]}")


if __name__ == "__main__":
    TheSource.root = pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]
    unittest.main()
