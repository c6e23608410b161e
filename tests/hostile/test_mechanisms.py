"""Each attempt of tests/hostile/attempts with all mechanisms removed, where it must succeed, and with each alone of those that are
said to stop it, where it must fail. What this kernel or this machine refuses by itself is told and not counted."""

import concurrent.futures
import contextlib
import os
import subprocess
import unittest

from harness import WarderTest, program
from world import World, table

DRIVER = program("tests/hostile/attempts/mechanisms")
STUB = program("src/sandbox/warder-stub")
WORKERS = 4
# Answers of an attempt that went wrong before it came to its point.
NO_ANSWER = {None, "EIO", "EBADF", "EFAULT", "nothing", "no pipe", "not lent", "SIGALRM", "ENOTCONN", "ENOTSOCK", "EPIPE"}
# Some kernels let nobody without capabilities attach a filter to a socket.
MAY_ALSO_STOP = {("D13-filter", "capabilities"), ("D13-filter", "user")}
# The lists are exact for this kernel; an older one refuses more by itself.
EXACT_FROM = (6, 18)


def kernel():
    return tuple(int(word) for word in os.uname().release.split("-")[0].split(".")[:2])


def implied(listed, mechanism):
    """Who is not root has no capabilities; the filter of `strict` is that of `service` and more; a filter and Landlock need no_new_privs."""
    if mechanism == "user":
        return "capabilities" in listed
    if mechanism == "strict_filter" and "filter" in listed:
        return True
    return "no_new_privileges" in listed and mechanism in ("filter", "strict_filter", "landlock_files", "landlock_ports", "landlock_scope")


def complaints(one, alone):
    """What its list says beside what each mechanism alone brought about: it names all that stop it, and no other."""
    listed = one["stopped_by"].split(",")
    wrong = []
    for mechanism, outcomes in alone.items():
        if "not here" in outcomes:
            continue
        outcome = outcomes.get(one["name"])
        stopped = outcome != "open" and outcome not in NO_ANSWER
        if mechanism in listed and not stopped:
            wrong.append(f"{one['name']} is to be stopped by {mechanism} alone: {outcome}")
        known = implied(listed, mechanism) or (one["name"], mechanism) in MAY_ALSO_STOP or kernel() < EXACT_FROM
        if mechanism not in listed and stopped and not known:
            wrong.append(f"{one['name']} does not list {mechanism}, which alone stops it: {outcome}")
    return wrong


class Mechanisms(World, WarderTest):
    def run_sandbox(self, told, mechanism, kind, names):
        done = subprocess.run([DRIVER, mechanism, *told, f"kind={kind}", f"names={','.join(names)}"], capture_output=True, text=True,
                              timeout=100, stdin=subprocess.DEVNULL)
        seen = dict(line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
        if "not here" not in seen:
            self.assertIn("end", seen, f"{mechanism}, {kind}: {done.stdout}{done.stderr}")
        return seen

    def group(self):
        """A group of cgroup v2 to be in, if there can be one: what can be left, and learned of."""
        with open("/proc/self/cgroup") as lines:
            own = next((line.rstrip("\n")[3:] for line in lines if line.startswith("0::")), "/")
        with open("/proc/self/mountinfo") as lines:
            mounts = [line.split() for line in lines if " - cgroup2 " in line]
        for mount in mounts:
            path = os.path.join(mount[4], own.strip("/"), f"hostile-{os.getpid()}")
            with contextlib.suppress(OSError):
                os.mkdir(path)
                self.addCleanup(os.rmdir, path)
                return [f"cgroup={path}", f"group={os.path.basename(path)}"]
        return []

    def test_each_mechanism_alone_stops_what_it_is_said_to_stop(self):
        attempts = table()
        told = [*self.make_world(), *self.group(), f"stub={STUB}"]
        mechanisms = sorted({name for one in attempts for name in one["stopped_by"].split(",") if name})
        kinds = {kind: [one["name"] for one in attempts if one["group"] == kind] for kind in ("plain", "sockets")}
        cells = [(mechanism, kind) for mechanism in ["none", *mechanisms] for kind in kinds]
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            seen = dict(zip(cells, pool.map(lambda sandbox: self.run_sandbox(told, *sandbox, kinds[sandbox[1]]), cells)))
        wrong, refused = [], []
        for one in attempts:
            bare = seen["none", one["group"]].get(one["name"])
            if bare in one["absent"].split(" "):
                refused.append(f"{one['name']} ({bare})")
            elif bare != "open":
                wrong.append(f"{one['name']} does not succeed with all mechanisms removed: {bare}")
            else:
                wrong += complaints(one, {name: seen[name, one["group"]] for name in mechanisms})
        print(f"\nrefused by this kernel or machine, not counted: {', '.join(refused)}")
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))
        self.assertGreaterEqual(len(attempts) - len(refused), 150)

    def test_what_nothing_stops_is_declared_open_and_nothing_else_is(self):
        for one in table():
            self.assertEqual(not one["stopped_by"], "open" == one["strict"], one["name"])


if __name__ == "__main__":
    unittest.main()
