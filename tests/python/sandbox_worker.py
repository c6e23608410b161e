"""A worker for test_daemon.py: asks warderd for everything that a grant can give, from inside its sandbox. What failed goes,
with its traceback, to the grant `report`; then it is ready, and waits for the stop.
"""

import asyncio
import errno
import os
import socket
import sys
import threading
import traceback

import warder
from warder.aio import AsyncConnection

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def expect(error, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except error as caught:
        return caught
    raise AssertionError(f"{error.__name__} is due")


@check
def the_hello_names_the_worker(parent):
    assert parent.worker == sys.argv[1], parent.worker


@check
def files_are_read_by_grant_and_by_path(parent):
    with parent.open("site", "index.html") as file, parent.open_path(sys.argv[2] + "/index.html") as same:
        assert file.read() == same.read() == "hello\n"


@check
def what_is_not_granted_is_denied_with_a_sentence(parent):
    denied = expect(warder.Denied, parent.open, "nothing", "a")
    assert denied.reason == warder.Reason.NO_SUCH_GRANT and denied.errno == errno.EACCES, denied
    denied = expect(warder.Denied, parent.open_path, "/etc/shadow")
    assert denied.reason == warder.Reason.NOT_GRANTED and len(denied.sentence) > 10, denied
    denied = expect(warder.Denied, parent.open, "site", "index.html", "r+")
    assert denied.reason == warder.Reason.WRONG_OPERATION and denied.grant == "site", denied
    denied = expect(warder.Denied, parent.open, "site", "/etc/passwd")
    assert denied.reason == warder.Reason.NOT_GRANTED, denied
    for path in ("../secret", "a/../../secret", "a//b", "a/", ".", "x\0y"):
        bad = expect(OSError, parent.open, "site", path)
        assert bad.errno == errno.EINVAL and bad.reason == warder.Reason.BAD_PATH, (path, bad)


@check
def absent_files_are_not_found(parent):
    absent = expect(FileNotFoundError, parent.open, "site", "absent")
    assert absent.reason == warder.Reason.SYSTEM


@check
def files_are_made_written_renamed_and_removed(parent):
    with parent.open("data", "new", "x") as file:
        file.write("one")
    expect(FileExistsError, parent.open, "data", "new", "x")
    with parent.open("data", "new", "r+") as file:
        assert file.read() == "one"
    with parent.open("data", "new", "w+") as file:
        file.write("two")
        file.seek(0)
        assert file.read() == "two"
    parent.rename("data", "new", "newer")
    expect(FileNotFoundError, parent.open, "data", "new", "r+")
    parent.unlink("data", "newer")
    expect(FileNotFoundError, parent.unlink, "data", "newer")


@check
def a_secret_is_lent_sealed(parent):
    assert parent.secret("key") == b"very secret\n"
    fd = parent.secret_fd("key")
    try:
        assert os.fstat(fd).st_size == 12
        expect(OSError, os.write, fd, b"x")
    finally:
        os.close(fd)


@check
def sockets_listen_and_connect(parent):
    for listening, connecting in (("tcp", "to_tcp"), ("unix", "to_unix")):
        with parent.listen(listening) as listener, parent.connect(connecting, timeout=10) as near:
            with listener.accept()[0] as far:
                near.sendall(b"over " + listening.encode())
                assert far.recv(99) == b"over " + listening.encode()


@check
def what_would_make_a_socket_is_denied_in_the_sandbox(parent):
    expect(OSError, socket.socket, socket.AF_INET, socket.SOCK_STREAM)
    with parent.listen("tcp") as listener:
        expect(PermissionError, listener.listen)


@check
def many_files_come_at_once(parent):
    files = parent.open_many([("site", "index.html"), ("site", "absent")] * 150)
    for file, absent in zip(files[::2], files[1::2]):
        assert file.read() == b"hello\n" and isinstance(absent, FileNotFoundError)
        file.close()


@check
def threads_ask_at_once(parent):
    failed = []

    def work():
        try:
            for _ in range(50):
                with parent.open("site", "index.html", "rb") as file:
                    assert file.read() == b"hello\n"
        except BaseException:
            failed.append(traceback.format_exc())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]


@check
def tasks_ask_at_once(parent):
    async def main():
        async with await AsyncConnection.sharing(parent) as shared:
            async def one():
                with await shared.open("site", "index.html", "rb") as file:
                    assert file.read() == b"hello\n"

            for _ in range(5):
                await asyncio.gather(*(one() for _ in range(30)))

    asyncio.run(main())


@check
def children_ask_as_the_config_lets_them(parent):
    def child():
        if parent.requesters == warder.Requesters.MAIN:
            expect(PermissionError, parent.open, "site", "index.html")
            return
        for _ in range(50):
            with parent.open("site", "index.html", "rb") as file:
                assert file.read() == b"hello\n"

    pids = [forked(child) for _ in range(3)]
    if parent.requesters != warder.Requesters.MAIN:
        child()
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0


def forked(work):
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main():
    with warder.Connection() as parent:
        with parent.open("report", mode="a") as report:
            for function in CHECKS:
                try:
                    function(parent)
                except BaseException:
                    report.write(f"{function.__name__}\n{traceback.format_exc()}\n")
            report.write(f"{len(CHECKS)} checks\n")
        parent.status("checked")
        parent.ready("checked")
        while True:
            with parent.next_event() as event:
                if event.kind == warder.EventKind.STOP:
                    return


if __name__ == "__main__":
    main()
