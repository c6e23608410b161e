#!/usr/bin/env python3
"""Breaks lines that security rests on, one at a time, and sees that a unit test notices each.

    run.py SOURCE_ROOT WORK_DIRECTORY

The tree is copied to WORK_DIRECTORY and built there once; each mutation then compiles one file anew. A mutation whose text
is not in its file any more is a failure as well: the line that it broke has moved, and so must the mutation.
"""

import os
import pathlib
import shutil
import subprocess
import sys
from typing import NamedTuple


class Mutation(NamedTuple):
    file: str
    line: str  # stands once in the file
    broken: str
    tests: str  # the folder of tests/unit that must notice


MUTATIONS = [
    # Who asked
    Mutation("src/broker/authenticate.cc", "if (!received.authenticated) return Sender::unknown;", "", "broker"),
    Mutation("src/broker/authenticate.cc", "if (same_sender(received.sender, session.who)) return Sender::requester;",
             "if (received.sender.uid == session.who.uid) return Sender::requester;", "broker"),
    Mutation("src/broker/authenticate.cc", "if (session.cgroup_id == 0 || pidfd < 0) return false;", "if (pidfd < 0) return true;",
             "broker"),
    Mutation("src/broker/authenticate.cc", "received.sender.uid == session.who.uid && received.sender.gid == session.who.gid",
             "received.sender.gid == session.who.gid", "broker"),
    # What is granted
    Mutation("src/policy/decide.cc", "if (absolute && !covers(tree.path, asked)) return {Reason::not_granted, {}};", "", "policy"),
    Mutation("src/policy/decide.cc", "if (absolute ? !clean_absolute(asked) : !clean_relative(asked)) return {Reason::bad_path, {}};", "",
             "policy"),
    Mutation("src/policy/decide.cc", "return grant.rights.has(operation) && suits(grant.kind, operation);",
             "return suits(grant.kind, operation);", "policy"),
    Mutation("src/policy/decide.cc", "if (!within(tree, remainder)) return {Reason::given_up, {}};", "", "policy"),
    Mutation("src/policy/decide.cc", "case Operation::chmod: return (mode & ~0777U) == 0;",
             "case Operation::chmod: return (mode & ~07777U) == 0;", "policy"),
    Mutation("src/policy/decide.cc", "if ((request.flags & ~flags_taken_by(request.operation)) != 0) return Reason::bad_flags;", "", "policy"),
    Mutation("src/policy/narrow.cc", "(inner != outer && !covers(outer, inner))", "false", "policy"),
    Mutation("src/policy/narrow.cc", "std::min(grant.shape.uses, most)", "std::max(grant.shape.uses, most)", "policy"),
    Mutation("src/policy/narrow.cc", "smaller.rights.keep(request.argument);", "", "policy"),
    Mutation("src/policy/path.cc", "&& path[directory.size()] == '/' && path.starts_with(directory)",
             "&& path.starts_with(directory)", "policy"),
    Mutation("src/policy/path.cc", """(component != "." && component != "..")""", """component != ".\"""", "policy"),
    Mutation("src/policy/path.cc", "if (path[at] == '\\0') return false;", "", "policy"),
    # With whose rights, and on what
    Mutation("src/broker/perform.cc", "default: return task.as == policy::As::root;", "default: return true;", "broker"),
    Mutation("src/broker/perform_lookup.cc", "if (!task.cross_mounts) resolve |= RESOLVE_NO_XDEV;", "", "broker"),
    Mutation("src/broker/perform_lookup.cc", "RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS",
             "RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS", "broker"),
    Mutation("src/broker/perform_lookup.cc", "if (!is_wanted(about, wanted)) return Reason::not_regular;", "", "broker"),
    Mutation("src/sys/privileges.cc", "return ::syscall(SYS_setgroups, 0, nullptr) == 0 && ::syscall(SYS_setresgid, gid, gid, gid) == 0 &&",
             "return ::syscall(SYS_setresgid, gid, gid, gid) == 0 &&", "sys"),
    Mutation("src/sys/privileges.cc", "if (set_groups(identity.supplementary()) && set_effective_gid(identity.gid) &&",
             "if (set_effective_gid(identity.gid) &&", "sys"),
    Mutation("src/sys/privileges.cc", "!set_effective_gid(own_.gid) || !set_groups(own_.supplementary())",
             "!set_effective_gid(own_.gid)", "sys"),
    # The filter
    Mutation("src/sys/seccomp.cc", "program.push_back(jump_if_equal(native_abi, 1, 0));", "program.push_back(jump_if_equal(native_abi, 1, 1));",
             "sys"),
    Mutation("src/sys/seccomp.cc", "program.push_back({BPF_JMP | BPF_JGE | BPF_K, 0, 1, first_foreign_number});",
             "program.push_back({BPF_JMP | BPF_JGE | BPF_K, 1, 1, first_foreign_number});", "sys"),
    Mutation("src/sys/seccomp.cc", "program.push_back(statement(BPF_ALU | BPF_AND | BPF_K, test.mask));",
             "program.push_back(statement(BPF_ALU | BPF_AND | BPF_K, 0));", "sys"),
    # What arrives
    Mutation("src/protocol/codec.cc", "return span.offset <= strings.size() && span.length <= strings.size() - span.offset;",
             "return span.offset <= strings.size();", "protocol"),
    Mutation("src/protocol/codec.cc", "if (head.count == 0 || head.count > max_requests) return bad(\"number of requests\");", "", "protocol"),
    Mutation("src/protocol/codec.cc", "if (head.item_size < sizeof(Item)) return bad(\"request too short\");", "", "protocol"),
    Mutation("src/protocol/codec.cc", "if (header.flags != 0) return bad(\"message flags\");", "", "protocol"),
    Mutation("src/sys/channel.cc", "received.authenticated = raw.pid > 0;", "received.authenticated = true;", "sys"),
]

LONGEST = 300  # seconds that the tests of one folder may take


def copy(source: pathlib.Path, work: pathlib.Path) -> pathlib.Path:
    tree = work / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(source, tree, symlinks=True, ignore=shutil.ignore_patterns("build*", ".git", "__pycache__"))
    return tree


def build(work: pathlib.Path) -> subprocess.CompletedProcess:
    return subprocess.run(["ninja", "-C", work / "build", "tests/unit/unit-tests"], capture_output=True, text=True)


def set_up(tree: pathlib.Path, work: pathlib.Path) -> None:
    shutil.rmtree(work / "build", ignore_errors=True)
    subprocess.run(["meson", "setup", "--prefix=/usr", "-Doptimization=0", work / "build", tree], check=True, stdout=subprocess.DEVNULL)
    built = build(work)
    if built.returncode != 0:
        sys.exit(built.stdout[-4000:])


def passes(work: pathlib.Path, folder: str) -> bool:
    tests = [work / "build/tests/unit/unit-tests", f"-sf=*unit/{folder}/*"]
    try:
        return subprocess.run(tests, cwd=work / "build", capture_output=True, timeout=LONGEST).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def survives(mutation: Mutation, tree: pathlib.Path, work: pathlib.Path) -> str | None:
    """Why it is not noticed, or nothing."""
    file = tree / mutation.file
    whole = file.read_text()
    if whole.count(mutation.line) != 1:
        return "its line is not there once any more"
    file.write_text(whole.replace(mutation.line, mutation.broken))
    try:
        if build(work).returncode != 0:
            return "it does not compile"
        return "no test notices" if passes(work, mutation.tests) else None
    finally:
        file.write_text(whole)


def main() -> int:
    source, work = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    if os.geteuid() != 0:
        print("skipped: the tests of what root does need root")
        return 77
    work.mkdir(parents=True, exist_ok=True)
    tree = copy(source, work)
    set_up(tree, work)
    for folder in sorted({mutation.tests for mutation in MUTATIONS}):
        if not passes(work, folder):
            print(f"FAILED: unit/{folder} without a mutation")
            return 1
    failed = 0
    for mutation in MUTATIONS:
        why = survives(mutation, tree, work)
        failed += why is not None
        print(f"{'noticed ' if why is None else 'SURVIVED'}  {mutation.file}: {mutation.line}" + (f"  ({why})" if why else ""), flush=True)
    print(f"{len(MUTATIONS) - failed} of {len(MUTATIONS)} noticed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
