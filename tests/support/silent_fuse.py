"""FUSE file systems whose server does not answer: what a hung NFS mount looks like to everybody who uses it. And one that does."""

import contextlib
import ctypes
import os
import select
import stat
import struct
import threading

libc = ctypes.CDLL(None, use_errno=True)

LOOKUP, GETATTR, STATFS, INIT, OPEN = 1, 3, 17, 26, 14
MNT_DETACH = 2
HEADER = struct.Struct("=IIQQIIIHH")
FILE, FILE_ID = "file", 2


def attributes(node):
    mode = stat.S_IFDIR | 0o755 if node == 1 else stat.S_IFREG | 0o666
    return struct.pack("=QQQQQQIIIIIIIIII", node, 100, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


class SilentFuse:
    """Mounted at `path`. Says nothing at all, or with `looks` answers whoever looks a name up and asks for attributes, and is
    silent from open(2) on. Its answers hold for `valid` seconds."""

    options = ""

    def __init__(self, path, looks=False, valid=60):
        self.path = path
        self.valid = valid
        self.device = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other{self.options}"
        if libc.mount(b"silent", path.encode(), b"fuse", 0, options.encode()) != 0:
            error = ctypes.get_errno()
            os.close(self.device)
            raise OSError(error, "mount")
        self.asked = []   # the operations that came
        self.ending = threading.Event()
        self.server = threading.Thread(target=self.serve, daemon=True) if looks else None
        if self.server:
            self.server.start()

    def serve(self):
        poll = select.poll()
        poll.register(self.device, select.POLLIN)
        while not self.ending.is_set():
            if not poll.poll(50):
                continue
            with contextlib.suppress(OSError):
                self.answer(os.read(self.device, 1 << 17))

    def answer(self, message):
        _, operation, unique, node, *_ = HEADER.unpack_from(message)
        self.asked.append(operation)
        if operation == INIT:
            self.reply(unique, struct.pack("=IIIIHHIIHHIIH22x", 7, 31, 65536, 0, 12, 9, 65536, 1, 16, 0, 0, 0, 0))
        elif operation == LOOKUP:
            known = message[HEADER.size:].rstrip(b"\0") == FILE.encode()
            self.reply(unique, struct.pack("=QQQQII", FILE_ID, 0, self.valid, self.valid, 0, 0) + attributes(FILE_ID) if known else b"",
                       0 if known else -2)
        elif operation == GETATTR:
            self.reply(unique, struct.pack("=QII", self.valid, 0, 0) + attributes(node))
        elif operation == STATFS:
            self.reply(unique, struct.pack("=QQQQQIIII24x", 1, 1, 1, 1, 1, 4096, 255, 4096, 0))

    def reply(self, unique, body, error=0):
        os.write(self.device, struct.pack("=IiQ", 16 + len(body), error, unique) + body)

    def fall_silent(self):
        self.ending.set()
        if self.server:
            self.server.join()

    def end(self):
        """Everybody who waits is told ENOTCONN or ECONNABORTED, and the mount is gone."""
        self.fall_silent()
        if self.device >= 0:
            libc.umount2(self.path.encode(), MNT_DETACH)
            os.close(self.device)
            self.device = -1


class MemoryFuse(SilentFuse):
    """One whose server answers: directories and files can be made, given away and opened; what is written is dropped. The kernel
    checks permissions by the owners and modes that the server keeps."""

    FORGETS = (2, 36, 42)   # FORGET, INTERRUPT, BATCH_FORGET: they have no reply
    SETATTR, MKDIR, WRITE, CREATE, OPENDIR = 4, 9, 16, 35, 27
    options = ",default_permissions"

    def __init__(self, path):
        self.modes, self.owners, self.names = {1: stat.S_IFDIR | 0o755}, {1: (0, 0)}, {}
        super().__init__(path, looks=True)

    def attributes(self, node):
        uid, gid = self.owners[node]
        return struct.pack("=QQQQQQIIIIIIIIII", node, 0, 0, 0, 0, 0, 0, 0, 0, self.modes[node], 1, uid, gid, 0, 4096, 0)

    def entry(self, node):
        return struct.pack("=QQQQII", node, 0, 0, 0, 0, 0) + self.attributes(node)

    def make(self, parent, name, mode, owner):
        node = len(self.modes) + 1
        self.names[parent, name], self.modes[node], self.owners[node] = node, mode, owner
        return node

    def change(self, node, valid, mode, uid, gid):
        if valid & 1:
            self.modes[node] = stat.S_IFMT(self.modes[node]) | stat.S_IMODE(mode)
        before = self.owners[node]
        self.owners[node] = (uid if valid & 2 else before[0], gid if valid & 4 else before[1])

    def answer(self, message):
        _, operation, unique, node, uid, gid, *_ = HEADER.unpack_from(message)
        body = message[HEADER.size:]
        if operation in self.FORGETS:
            return
        if operation == LOOKUP:
            found = self.names.get((node, body.rstrip(b"\0")))
            self.reply(unique, self.entry(found) if found else b"", 0 if found else -2)
        elif operation == GETATTR:
            self.reply(unique, struct.pack("=QII", 0, 0, 0) + self.attributes(node))
        elif operation == self.SETATTR:
            valid, mode, _, uid, gid = struct.unpack_from("=I64xIIII", body)
            self.change(node, valid, mode, uid, gid)
            self.reply(unique, struct.pack("=QII", 0, 0, 0) + self.attributes(node))
        elif operation == self.MKDIR:
            made = self.make(node, body[8:].rstrip(b"\0"), stat.S_IFDIR | struct.unpack_from("=I", body)[0], (uid, gid))
            self.reply(unique, self.entry(made))
        elif operation == self.CREATE:
            made = self.make(node, body[16:].rstrip(b"\0"), struct.unpack_from("=II", body)[1], (uid, gid))
            self.reply(unique, self.entry(made) + struct.pack("=QII", 1, 0, 0))
        elif operation in (OPEN, self.OPENDIR):
            self.reply(unique, struct.pack("=QII", 1, 0, 0))
        elif operation == self.WRITE:
            self.reply(unique, struct.pack("=II", struct.unpack_from("=QQI", body)[2], 0))
        elif operation in (INIT, STATFS):
            super().answer(message)
        else:
            self.reply(unique, b"", 0)   # flush, release: done
