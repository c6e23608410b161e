/* libwarder: how a worker asks warderd, the parent that holds the keys, for files, sockets, devices, secrets, commands and
 * whatever else it has no right to itself.
 *
 * A worker starts with nothing but one descriptor, whose number stands in $WARDER_SOCKET. Over it the worker asks by the
 * names of the grants in its configuration, and gets open descriptors, or an errno and one sentence about why not.
 *
 * Conventions
 *
 *  1. Errors. A function that can fail returns -1 (or NULL) and sets errno. warder_why() then gives the reason as a
 *     sentence, and warder_last_reason() as a number. On success errno is left as it was or not; do not look.
 *     Each function lists its own errnos. These may come from every function that takes a connection and talks:
 *         ECONNRESET  warderd has ended the session, or has ended
 *         EPERM       this process was forked from the one that connected, and the configuration lets only the
 *                     worker's main process ask (request_access = "main")
 *         EPROTO      the other side broke the protocol; the connection is of no more use
 *         EMFILE      this process has no room for another descriptor
 *         EDQUOT      over a quota
 *         ECANCELED   the worker or warderd is stopping
 *  2. Denials. "Not granted" is EACCES, whether or not the file exists: where one may not look, absent and denied look
 *     the same. Where the grant allows the request, the errno is the kernel's own (ENOENT, EADDRINUSE, ...).
 *  3. Descriptors. A descriptor that is returned belongs to the caller, who closes it with close(2). All are close-on-exec.
 *     They are blocking unless WARDER_NONBLOCK was asked for.
 *  4. Strings. Strings that go in are NUL-terminated, are copied during the call and stay the caller's. Paths are bytes;
 *     everything else is UTF-8. Strings that come out are never to be freed; each function says how long they live. A
 *     function that fills a caller's buffer of `size` bytes does as snprintf(3): it returns the whole text's length without
 *     the NUL, writes at most `size` bytes, the last of them a NUL, and what is longer is cut. Size 0 only measures.
 *  5. Threads. One connection may be used by any number of threads at once; requests of several threads take turns.
 *     warder_close() is for when no other call is running on that connection.
 *  6. fork(2). Under request_access = "main" (the default), every call of a forked child fails with EPERM and touches nothing.
 *     Under request_access = "all" children that were forked after the connect use the same connection, each safely
 *     beside the others. A stop or reload event always goes to the process that connected; any other event to the process
 *     that happened to read it. warder_fd() gives another descriptor in the child. The connection does not live over
 *     exec.
 *  7. Signals. Calls are restarted when a signal handler interrupts them. SIGPIPE is never raised.
 *  8. Memory. The functions that ask allocate nothing. No exception leaves this library.
 *  9. Compatibility. The library's soname is libwarder.so.0 and every symbol carries the version WARDER_0.1. Structures
 *     only grow at their reserved fields, which must be 0. Numbers are never renumbered or reused.
 */
#ifndef WARDER_WARDER_H
#define WARDER_WARDER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WARDER_VERSION_MAJOR 0
#define WARDER_VERSION_MINOR 1
#define WARDER_VERSION_PATCH 0

/* Where warderd tells a worker the number of its descriptor, in decimal; and of the one to its descriptor store, if it has a right
 * to keep or to pass descriptors. */
#define WARDER_SOCKET_VARIABLE "WARDER_SOCKET"
#define WARDER_STORE_VARIABLE "WARDER_STORE"

/* A connection. (Not `struct warder`: in C++ that is the name of a namespace.) */
typedef struct warder_connection warder_connection;

/* ---- Connecting ---- */

/* Connects over the descriptor that $WARDER_SOCKET names, and says hello; takes over the one that $WARDER_STORE names, too.
 * Returns the connection, or NULL. A process has one such connection: calling again returns the same handle, and it is
 * closed when it was closed as often. The descriptor belongs to the connection from now on and becomes close-on-exec.
 * errno: ENOENT (no $WARDER_SOCKET: not started by warderd), EINVAL (its value is not a number), EBADF, ENOTSOCK,
 * EPROTOTYPE (the descriptor is not a SOCK_SEQPACKET socket of AF_UNIX), EPROTONOSUPPORT (no common version of the
 * protocol), ENOMEM, and those of convention 1. Since 0.1. */
warder_connection *warder_connect(void);

/* The same over the descriptor `fd`, which belongs to the connection if this succeeds and stays the caller's if not. Two
 * connections over one socket would take each other's replies. errno: as warder_connect. Since 0.1. */
warder_connection *warder_connect_fd(int fd);

/* Closes the connection and frees the handle. Descriptors that were lent stay open. NULL is allowed. errno is kept. In a
 * forked child it closes the child's copy and disturbs nobody. Since 0.1. */
void warder_close(warder_connection *connection);

/* The worker's name in the configuration, "" for NULL. Lives as long as the connection. Since 0.1. */
const char *warder_worker(const warder_connection *connection);

/* ---- Asking ---- */

/* Flag of sockets: lent non-blocking. (Files are asked for with the O_ flags of open(2).) */
#define WARDER_NONBLOCK 0x0008

/* Opens a file by grant.
 * `grant`: the grant's name, or NULL: then `path` is absolute and the policy finds the grant.
 * `path`: for a tree, the path below it ("css/site.css"), without "..", "." or "//"; NULL for a grant on one file.
 * `flags`, as open(2) has them, decide which right is asked for:
 *     O_RDONLY                              read
 *     O_WRONLY, O_RDWR  [O_TRUNC]           write
 *     O_WRONLY | O_APPEND                   append (the file must be there; append never lends reading)
 *     O_WRONLY, O_RDWR | O_CREAT [O_TRUNC, O_EXCL]    create
 *   O_CLOEXEC, O_NOCTTY, O_NOFOLLOW and O_LARGEFILE are allowed and change nothing; O_NONBLOCK is passed on.
 * `mode`: permission bits (0777) of a file that is made, or 0 for the grant's own. The umask of this process does not count.
 * Returns an open descriptor, the caller's, or -1.
 * errno: EACCES (not granted, or not a regular file), EINVAL (other flags, or a path that is not clean), ENAMETOOLONG (over
 * 4095 bytes), EAGAIN (cannot be done without waiting), ETIMEDOUT, those of openat2(2), and those of convention 1. Since 0.1. */
int warder_open(warder_connection *connection, const char *grant, const char *path, int flags, mode_t mode);

/* Opens a file by its absolute path: warder_open with no grant. Since 0.1. */
int warder_open_path(warder_connection *connection, const char *path, int flags, mode_t mode);

/* ---- Paths ----
 *
 * Each of these is a right of its own in the configuration. `grant` and `path` are as for warder_open, but for a tree the path
 * may be NULL where its own directory is meant (stat, access, list, watch). Each may fail with EACCES, EINVAL (a path that is
 * not clean), ENAMETOOLONG (over 4095 bytes), EAGAIN, ETIMEDOUT, those of the call of the kernel that is named, and those of
 * convention 1. */

/* What a file is. Times are seconds since 1970. */
typedef struct warder_file {
    uint64_t device;
    uint64_t inode;
    uint32_t mode;         /* type and permission bits, as st_mode */
    uint32_t links;
    uint32_t uid;
    uint32_t gid;
    uint64_t size;         /* bytes */
    uint64_t blocks;       /* of 512 bytes */
    int64_t modified;
    int64_t changed;
    uint32_t modified_ns;
    uint32_t changed_ns;
    uint64_t reserved[3];
} warder_file;

/* Fills `about`. A symlink is itself, not what it points to. Returns 0 or -1. errno: above, statx(2). Since 0.1. */
int warder_stat(warder_connection *connection, const char *grant, const char *path, warder_file *about);

/* Whether the worker's own credentials may do `mode` (R_OK 4, W_OK 2, X_OK 1, or several) to the file. Returns 0, or -1 with
 * EACCES where they may not. errno: above, EINVAL (mode), faccessat(2). Since 0.1. */
int warder_access(warder_connection *connection, const char *grant, const char *path, int mode);

/* The text of a symlink, into a caller's buffer (convention 4). Returns its length, or -1. errno: above, readlinkat(2). Since
 * 0.1. */
ssize_t warder_readlink(warder_connection *connection, const char *grant, const char *path, char *text, size_t size);

/* The names in a directory, but for "." and "..": a sealed memfd, to be read or mapped. For each name it has one letter for its
 * type (f file, d directory, l symlink, p FIFO, s socket, b and c devices, ? unknown), the name, and a NUL.
 * Returns a descriptor, the caller's, or -1. errno: above, getdents64(2), EOVERFLOW (too many names), ENOMEM. Since 0.1. */
int warder_list(warder_connection *connection, const char *grant, const char *path);

typedef struct warder_entry {
    const char *name;   /* into the list; NUL-terminated */
    size_t length;      /* of the name, without the NUL */
    char type;          /* 'f', 'd', 'l', ... */
} warder_entry;

/* The next name among the `size` bytes of a list. `offset`, 0 at first, is moved on.
 * Returns 1 with `entry` filled, 0 at the end, or -1. errno: EPROTO (no such list), EINVAL. Asks nobody. Since 0.1. */
int warder_next_entry(const char *list, size_t size, size_t *offset, warder_entry *entry);

/* Makes a directory, with the permission bits `mode` (0777), or 0 for the grant's own. Returns 0 or -1. errno: above, mkdirat(2).
 * Since 0.1. */
int warder_mkdir(warder_connection *connection, const char *grant, const char *path, mode_t mode);

/* Removes an empty directory. Returns 0 or -1. errno: above, unlinkat(2). Since 0.1. */
int warder_rmdir(warder_connection *connection, const char *grant, const char *path);

/* Renames `from` to `to`, both below one grant, replacing what was there; with no grant both are absolute.
 * Returns 0 or -1. errno: above, renameat2(2). Since 0.1. */
int warder_rename(warder_connection *connection, const char *grant, const char *from, const char *to);

/* Removes the file `path` below a grant, or an absolute one with no grant.
 * Returns 0 or -1. errno: above, unlinkat(2). Since 0.1. */
int warder_unlink(warder_connection *connection, const char *grant, const char *path);

/* Makes `to` another name of `from`, both below one grant. Returns 0 or -1. errno: above, linkat(2). Since 0.1. */
int warder_link(warder_connection *connection, const char *grant, const char *from, const char *to);

/* Makes `path` a symlink with the text `text`: relative, from the link's own directory downwards, or absolute and inside the
 * grant. (symlink(2) has the two the other way round.) Returns 0 or -1. errno: above, symlinkat(2). Since 0.1. */
int warder_symlink(warder_connection *connection, const char *grant, const char *path, const char *text);

/* Changes the permission bits (0777) of a file; set-id and sticky bits cannot be set. Returns 0 or -1. errno: above, fchmod(2).
 * Since 0.1. */
int warder_chmod(warder_connection *connection, const char *grant, const char *path, mode_t mode);

/* Makes a file `size` bytes long. Returns 0 or -1. errno: above, ftruncate(2). Since 0.1. */
int warder_truncate(warder_connection *connection, const char *grant, const char *path, uint64_t size);

/* An inotify descriptor with one watch, on the file or directory: read inotify_events from it. `events`: IN_ bits of
 * inotify(7) among IN_ALL_EVENTS, 0 for all, with IN_ONLYDIR, IN_EXCL_UNLINK, IN_ONESHOT and IN_DONT_FOLLOW (which changes nothing: no
 * symlink is followed) if wanted; IN_MASK_ADD and IN_MASK_CREATE are EINVAL, since there is one watch. `flags`: 0 or WARDER_NONBLOCK. Returns a descriptor, the caller's, or -1. errno:
 * above, EINVAL (events), EMFILE and ENOSPC (too many inotify instances or watches). Since 0.1. */
int warder_watch(warder_connection *connection, const char *grant, const char *path, uint32_t events, int flags);

/* ---- Sockets, devices and secrets ---- */

/* A bound socket, which listens where its type does. warderd keeps it over restarts of the worker: connections wait.
 * `grant`: its name, or NULL: then `address` is given ("tcp:127.0.0.1:8080", "unix:/run/a.sock", "unix-dgram:@name").
 * `address`: NULL for what the grant names.
 * `flags`: 0 or WARDER_NONBLOCK (which is a property of the socket, shared by all its holders).
 * Returns a descriptor, the caller's, or -1.
 * errno: EACCES, EINVAL (flags, address), EADDRINUSE, EADDRNOTAVAIL, EIO (the kept socket was lost and could not be made
 * again), those of socket(2), bind(2) and listen(2), and those of convention 1. Since 0.1. */
int warder_listen(warder_connection *connection, const char *grant, const char *address, int flags);

/* A socket that is connected, or that is connecting: wait until it is writable, then read SO_ERROR; a blocking one may
 * simply be written to. `grant` and `address` as for warder_listen; a grant on a range needs the address.
 * errno: EACCES, EINVAL, ECONNREFUSED, ENETUNREACH, EAGAIN (a unix socket whose backlog is full), those of connect(2), and
 * those of convention 1. Since 0.1. */
int warder_dial(warder_connection *connection, const char *grant, const char *address, int flags);

/* As warder_dial, to an address by name ("tcp:db.example.org:5432"), which warderd has resolved by its own resolver: the
 * `nth` of the addresses that were found, from 0 on; warder_dial takes the first. Try the next when one does not answer.
 * errno: as warder_dial; EADDRNOTAVAIL (there are not so many), ENOENT (no such host), EAGAIN (no answer from the
 * resolver, or ETIMEDOUT). Since 0.1. */
int warder_dial_nth(warder_connection *connection, const char *grant, const char *address, unsigned nth, int flags);

/* A raw, packet or netlink socket of the protocol (and, a packet socket, of the interface) that the grant names; packet and
 * netlink sockets are bound. `grant`: its name, or NULL where the worker has one only. `flags`: 0 or WARDER_NONBLOCK.
 * Returns a descriptor, the caller's, or -1. errno: EACCES, EINVAL, those of socket(2) and bind(2), and those of convention 1.
 * Since 0.1. */
int warder_raw(warder_connection *connection, const char *grant, int flags);
int warder_packet(warder_connection *connection, const char *grant, int flags);
int warder_netlink(warder_connection *connection, const char *grant, int flags);

/* A datagram socket that is connected to the system's log. Send lines of syslog(3) with send(2). `grant` and `flags` as for
 * warder_raw. errno: EACCES, EINVAL, ECONNREFUSED (nobody reads the log), those of connect(2), and those of convention 1.
 * Since 0.1. */
int warder_syslog(warder_connection *connection, const char *grant, int flags);

/* An open device. A tun or tap device is configured: its interface is the grant's (TUNGETIFF says its name). `grant`: its name, or NULL: then `path` is
 * absolute. `path`: NULL for what the grant names. `flags`: 0 or WARDER_NONBLOCK.
 * Returns a descriptor, the caller's, or -1. errno: EACCES, EINVAL, ENOENT, ENXIO, EBUSY, those of openat2(2) and of the
 * device, and those of convention 1. Since 0.1. */
int warder_device(warder_connection *connection, const char *grant, const char *path, int flags);

/* A secret: a read-only, sealed memfd with its bytes; fstat(2) gives the size. Each call has its own offset.
 * errno: EACCES, ENOENT (granted, but there is no such secret), and those of convention 1. Since 0.1. */
int warder_secret(warder_connection *connection, const char *grant);

/* ---- Names, keys, commands and other workers ---- */

/* What the system's name services say of `key`: "user:web", "uid:33", "group:adm", "gid:4", "service:http/tcp" give a line of
 * passwd(5), group(5), services(5); "host:db.example.org" gives its addresses. Each line ends with a newline. `grant`: its
 * name, or NULL: the key decides. Into a caller's buffer (convention 4); an answer has at most 48 KiB.
 * Returns its length, or -1. errno: EACCES, EINVAL (no such key), ENOENT (granted, and there is none of that name), EAGAIN (the
 * resolver is not running), ETIMEDOUT, and those of convention 1. Since 0.1. */
ssize_t warder_lookup(warder_connection *connection, const char *grant, const char *key, char *text, size_t size);

/* The value of a key of sysctl(8) ("net.core.somaxconn"), without its last newline, into a caller's buffer (convention 4).
 * `grant`: its name, or NULL: the key decides. Returns its length, or -1. errno: EACCES, EINVAL, ENOENT, those of read(2), and
 * those of convention 1. Since 0.1. */
ssize_t warder_sysctl_get(warder_connection *connection, const char *grant, const char *key, char *text, size_t size);

/* Sets it. Returns 0 or -1. errno: EACCES, EINVAL (also the kernel's, for a value that it does not take), ENOENT, those of
 * write(2), and those of convention 1. Since 0.1. */
int warder_sysctl_set(warder_connection *connection, const char *grant, const char *key, const char *value);

/* A command that runs. Descriptors are the caller's, or -1 where the grant lends none. */
typedef struct warder_process {
    int in;                /* write to it what the command reads from its standard input */
    int out;               /* read from it what the command writes to its standard output */
    int err;               /* ... to its standard error */
    int pidfd;             /* poll(2) says POLLIN when it has ended */
    int64_t pid;           /* as warderd knows it, for people: it means nothing in the worker's own pid namespace */
    uint64_t ends_dropped; /* for warder_wait; leave it as it is */
    uint64_t reserved[1];
} warder_process;

/* Runs the grant's command. `values`: one for each placeholder of the command, in their order, then NULL; NULL for a command without
 * placeholders. No shell sees them; none has a line break in it. `grant`: its name, or NULL where the worker has one command only.
 * Returns 0 with `process` filled, once the command has begun, or -1. It is killed at the grant's timeout.
 * errno: EACCES, EINVAL (a value is not of its placeholder's type, or there are more or fewer than placeholders), E2BIG (over 16 KiB together),
 * EDQUOT (as many run as may at once), ENOENT, ENOEXEC and the others of execve(2), EAGAIN, ETIMEDOUT, and those of convention 1.
 * Since 0.1. */
int warder_run(warder_connection *connection, const char *grant, const char *const *values, warder_process *process);

/* How a command ended. */
typedef struct warder_end {
    int value;             /* its exit code or, by_signal, the signal's number */
    int by_signal;         /* 0 or 1 */
    int timed_out;         /* 1: it was killed at its grant's timeout */
    int reserved[5];
} warder_end;

/* Waits until the command of `process` has ended, as warder_next_event does, and says how: warderd tells the worker, which is no
 * parent of it and could not wait(2) for it. Each end is told once, in whichever process of request_access = "all" waits for it;
 * other events stay. A thread or process that is in warder_next_event meanwhile may get it instead. The descriptors of `process`
 * may be closed already. An end that nobody waited for is given up when another command has the same pid.
 * Returns 0 with `end` filled, or -1. errno: ETIMEDOUT (not in time), EOVERFLOW (1024 ends lay there that nobody waited for, so the
 * oldest were dropped since this command began, and its own may be among them: its pidfd still tells whether it has ended),
 * EINVAL, and those of convention 1. Since 0.1. */
int warder_wait(warder_connection *connection, const warder_process *process, warder_end *end, int timeout_ms);

/* Sends signal number `signal` to another worker's main process. `grant`: its name, or NULL: then `worker` names the other; NULL
 * for the one that the grant names. Returns 0 or -1. errno: EACCES, EINVAL (a signal that the grant does not list), ESRCH and
 * EAGAIN (it is not running), and those of convention 1. Since 0.1. */
int warder_signal(warder_connection *connection, const char *grant, const char *worker, int signal);

/* Restarts another worker, as warderctl restart does. It is begun when this returns, not done. As warder_signal. Since 0.1. */
int warder_restart(warder_connection *connection, const char *grant, const char *worker);

/* The bit of an operation in `operations` below: WARDER_BIT(WARDER_READ) | WARDER_BIT(WARDER_LIST). */
#define WARDER_BIT(operation) (UINT64_C(1) << (operation))

/* What is kept of a grant. */
typedef struct warder_narrowing {
    uint64_t operations;   /* bits; 0: none, the grant is given up; ~0: all that it has */
    const char *target;    /* tree: a path at or below it; connect: an address or a range within its own; NULL: as it is */
    const char *names;     /* tree, sysctl, lookup: a pattern that names must match as well; NULL: as it is */
    uint32_t uses;         /* at most so many from now on; 0: as it is */
    uint32_t reserved;     /* 0 */
} warder_narrowing;

/* Makes one of the worker's own grants smaller, for the rest of its life; never larger. `kept` NULL: it is given up. What was lent
 * by it before stays open. Returns 0 or -1. errno: EACCES (no such grant), EINVAL (not within what it is now, or nothing of that
 * kind to narrow), EDQUOT (more than 8 patterns), and those of convention 1. Since 0.1. */
int warder_narrow(warder_connection *connection, const char *grant, const warder_narrowing *kept);

/* ---- Many at once ---- */

/* Operations, as they stand on the wire. */
enum {
    WARDER_READ = 1,
    WARDER_WRITE = 2,
    WARDER_APPEND = 3,
    WARDER_CREATE = 4,
    WARDER_LISTEN = 5,
    WARDER_CONNECT = 6,
    WARDER_SECRET = 7,
    WARDER_RENAME = 8,
    WARDER_UNLINK = 9,
    WARDER_STAT = 10,
    WARDER_ACCESS = 11,
    WARDER_READLINK = 12,
    WARDER_LIST = 13,
    WARDER_MKDIR = 14,
    WARDER_RMDIR = 15,
    WARDER_LINK = 16,
    WARDER_SYMLINK = 17,
    WARDER_CHMOD = 18,
    WARDER_TRUNCATE = 19,
    WARDER_WATCH = 20,
    WARDER_RAW = 21,
    WARDER_PACKET = 22,
    WARDER_NETLINK = 23,
    WARDER_DEVICE = 24,
    WARDER_CHANNEL = 25,       /* never asked for: see warder_channel */
    WARDER_LOOKUP = 26,
    WARDER_SYSCTL_READ = 27,
    WARDER_SYSCTL_WRITE = 28,
    WARDER_RUN = 29,
    WARDER_SIGNAL = 30,
    WARDER_RESTART = 31,
    WARDER_SYSLOG = 32,
    WARDER_NARROW = 33
};

/* Flags of a warder_request, as they stand on the wire. WARDER_NONBLOCK is another. */
enum {
    WARDER_READ_TOO = 0x0001,  /* write, create: for reading too */
    WARDER_TRUNCATED = 0x0002, /* write, create: emptied */
    WARDER_EXCLUSIVE = 0x0004  /* create */
};

/* The most requests of one call. */
#define WARDER_MAX_REQUESTS 253

typedef struct warder_request {
    uint16_t operation;
    uint16_t flags;
    uint32_t mode;       /* create, mkdir, chmod: permission bits; access: 4, 2, 1; narrow: uses; otherwise 0 */
    const char *grant;   /* or NULL */
    const char *target;  /* path, address, key, worker or, of a run, values, one a line; or NULL */
    const char *second;  /* rename, link: the new name; symlink: its text; sysctl: the value; narrow: a pattern; otherwise NULL */
    uint64_t argument;   /* truncate: bytes; watch: event bits; signal: its number; narrow: operations; connect: which
                            address of a name; otherwise 0 */
    void *data;          /* where the data of a stat (72 bytes, the protocol's), readlink, lookup, sysctl or tun goes; or NULL */
    size_t data_room;    /* bytes there; what is longer is cut, and no NUL is added */
} warder_request;

#define WARDER_WHY_SIZE 512   /* sentences have at most 480 bytes, the remedy at their end */

typedef struct warder_result {
    int fd;                     /* the caller's, or -1 */
    int more_fds[3];            /* run: those that follow, or -1; `value` says which they are */
    int error;                  /* 0 or an errno */
    int reason;                 /* WARDER_REASON_... */
    uint32_t grant;             /* the grant that decided, by its place in the configuration, or 0xffffffff */
    uint64_t value;             /* secret, list: bytes; connect: 1 while it is still connecting; watch: the watch's number; run:
                                   bit 0 stdin, 1 stdout, 2 stderr, 3 pidfd, the pid from bit 32 on */
    size_t data_size;           /* bytes of data that there are, whatever there was room for */
    char why[WARDER_WHY_SIZE];  /* for a denial, the sentence; NUL-terminated */
    uint64_t reserved;
} warder_result;

/* Asks for `count` things (1 to WARDER_MAX_REQUESTS) in one message, and waits for all. `results` has room for as many and
 * is filled in the order of the requests.
 * Returns how many succeeded (perhaps 0: then look at the results), or -1 if nothing was answered; then no result was
 * filled. Descriptors are the caller's.
 * errno of -1: EINVAL (count), EMSGSIZE (texts of more than 64 KiB together), and those of
 * convention 1. EMFILE stands in the results that it hit. A run, signal or restart is asked for alone (EINVAL in its result).
 * Since 0.1. */
int warder_open_many(warder_connection *connection, const warder_request *requests, warder_result *results, size_t count);

/* ---- Why ---- */

/* Why a request ended as it did; the numbers of the protocol. */
enum {
    WARDER_REASON_OK = 0,
    WARDER_REASON_NO_SUCH_GRANT = 1,
    WARDER_REASON_NOT_GRANTED = 2,
    WARDER_REASON_WRONG_OPERATION = 3,
    WARDER_REASON_NAME_NOT_MATCHED = 4,
    WARDER_REASON_BAD_PATH = 5,
    WARDER_REASON_BAD_ADDRESS = 6,
    WARDER_REASON_BAD_FLAGS = 7,
    WARDER_REASON_UNKNOWN_OPERATION = 8,
    WARDER_REASON_SYSTEM = 9,
    WARDER_REASON_NOT_REGULAR = 10,
    WARDER_REASON_REFUSED_FILESYSTEM = 11,
    WARDER_REASON_FOREIGN_OWNER = 12,
    WARDER_REASON_WOULD_BLOCK = 13,
    WARDER_REASON_DEADLINE = 14,
    WARDER_REASON_TOO_MANY = 15,
    WARDER_REASON_NOT_REQUESTER = 16,
    WARDER_REASON_LISTENER_LOST = 17,
    WARDER_REASON_PROTOCOL = 18,
    WARDER_REASON_STOPPING = 19,
    WARDER_REASON_USED_UP = 20,
    WARDER_REASON_TOO_LATE = 21,
    WARDER_REASON_GIVEN_UP = 22,
    WARDER_REASON_BAD_ARGUMENT = 23,
    WARDER_REASON_UNAVAILABLE = 24,
    WARDER_REASON_PRIVATE_ADDRESS = 25
};

/* One sentence about the last call of this thread that failed, with what would allow it where it was denied. Never NULL;
 * empty if no call of this thread has failed. Valid until this thread's next failing call. Since 0.1. */
const char *warder_why(void);

/* The reason of the last call of this thread that failed; WARDER_REASON_SYSTEM if it was no decision of warderd's, and
 * WARDER_REASON_NOT_REQUESTER for the EPERM of convention 1. Since 0.1. */
int warder_last_reason(void);

/* The name of a reason ("not-granted"), or "unknown". Static. Since 0.1. */
const char *warder_reason_name(int reason);

/* ---- A worker's life ---- */

/* Says that the worker is ready, with a text for people (NULL for none, at most 4096 bytes). Returns 0 or -1. errno: EMSGSIZE,
 * EACCES, and those of convention 1. Since 0.1. */
int warder_ready(warder_connection *connection, const char *text);

/* Says how the worker is doing, for people. As warder_ready. Since 0.1. */
int warder_status(warder_connection *connection, const char *text);

/* What warderd says unasked. */
enum {
    WARDER_EVENT_STOP = 1,     /* finish what you do, then exit */
    WARDER_EVENT_RELOAD = 2,   /* read your own configuration again */
    WARDER_EVENT_CHANNEL = 3,  /* `fd` is the new end of the channel `name` */
    WARDER_EVENT_SECRET = 4,   /* the secret of grant `name` was rotated: `fd` is the new one, `value` its generation */
    WARDER_EVENT_REVOKED = 5,  /* the grant `name` was taken away */
    WARDER_EVENT_LOOKUP = 6,   /* to the resolver only: look `name` up ("host:db.example"), and call warder_found with `value` */
    WARDER_EVENT_ENDED = 7     /* a command that the grant `name` ran has ended: `value` has its exit code or signal in bits 0 to 7,
                                  bit 8 if it was a signal, bit 9 if that was its timeout, and its pid from bit 32 on. See warder_wait */
};

#define WARDER_NAME_SIZE 320

typedef struct warder_event {
    int type;
    int fd;                       /* the caller's, or -1 */
    uint64_t value;
    uint32_t lost;                /* events that were dropped before this one: the queue holds 32, and 1024 ends of commands */
    char name[WARDER_NAME_SIZE];  /* NUL-terminated, perhaps empty */
    uint64_t reserved;
} warder_event;

/* Waits for the next event, at most `timeout_ms` milliseconds (0: only looks; negative: for ever). Several stops, or several
 * reloads, that were not taken yet are one.
 * Returns 1 with `event` filled, 0 when the time is over, or -1. errno: those of convention 1; ECONNRESET only when every
 * event was taken. Since 0.1. */
int warder_next_event(warder_connection *connection, warder_event *event, int timeout_ms);

/* The newest end of the channel that `grant` names: warderd brings one when the worker starts and, when the other side was
 * restarted, a new one; ends that came before are closed if nobody took them. Waits for it as warder_next_event does; other
 * events stay for that. A thread that is in warder_next_event meanwhile may get it instead.
 * Returns a descriptor, the caller's, or -1. errno: ETIMEDOUT (none in time), EINVAL, EMFILE (it came while there was no room
 * for it), and those of convention 1. Since 0.1. */
int warder_channel(warder_connection *connection, const char *grant, int timeout_ms);

/* The resolver's answer to a lookup event. `query`: the event's value. `error`: 0, or an errno (ENOENT: there is no such name).
 * `text`: what was found, lines (of a host its addresses), at most 48 KiB; NULL for none. It is sent and not waited for.
 * Returns 0 or -1. errno: EMSGSIZE, and those of convention 1. Since 0.1. */
int warder_found(warder_connection *connection, uint64_t query, int error, const char *text);

/* A descriptor that is readable when warder_next_event(connection, &event, 0) may have something to give, or the session is
 * over: for poll, select and epoll. Call it then until it returns 0. The descriptor is the connection's: never read, written or closed by the caller.
 * Returns it, or -1. errno: EMFILE, ENFILE, ENOMEM, EPERM (convention 6). Since 0.1. */
int warder_fd(warder_connection *connection);

/* ---- The store ----
 *
 * Descriptors that warderd's descriptor store keeps for this worker over its restarts, if the configuration grants it. It is asked over
 * a second socket; calls to it take turns among themselves, and nobody else waits for it. These may fail with ENOENT (no
 * $WARDER_STORE: the worker has no such right), and those of convention 1. A name has 1 to 63 of the characters
 * [a-zA-Z0-9_.-]. */

/* Uses the descriptor `fd` as the socket to the descriptor store: for connections of warder_connect_fd. It belongs to the connection
 * if this succeeds and stays the caller's if not. Returns 0 or -1. errno: EBUSY (there is one already), EBADF, ENOTSOCK,
 * EPROTOTYPE, ENOMEM, EPERM. Since 0.1. */
int warder_use_store(warder_connection *connection, int fd);

/* Has `count` descriptors (1 to 253) kept under a name. They stay the caller's, too: close them if you like.
 * Returns 0 or -1. errno: above, EEXIST (the name is taken), EINVAL (no such name can be; count), EDQUOT (more than the grant
 * has), EBADF, ETOOMANYREFS, and EACCES, EPERM or ENOSYS where the worker's filter denies sendmsg(2). Since 0.1. */
int warder_store_put(warder_connection *connection, const char *name, const int *fds, size_t count);

/* Gives back what is kept under a name, in the order in which it was put; nothing is kept there any more.
 * Returns how many there were; they are in `fds`, the caller's. Or -1, with nothing taken: all stay kept. errno: above, with
 * ENOENT also for a name that is not there, ERANGE (there are more than `room`: warder_store_list says how many), and EMFILE (this
 * process has no room for all; where other threads open descriptors at that very moment some may be lost). Since 0.1. */
int warder_store_fetch(warder_connection *connection, const char *name, int *fds, size_t room);

/* What is kept, into a caller's buffer (convention 4): for each name a line "NAME COUNT\n". Returns its length, or -1. errno: above.
 * Since 0.1. */
ssize_t warder_store_list(warder_connection *connection, char *text, size_t size);

/* ---- This library ---- */

/* The library's version, "0.1.0". Static. Since 0.1. */
const char *warder_version(void);

#ifdef __cplusplus
}
#endif

#endif
