/* libwarder: how a worker asks warderd, the parent that holds the keys, for files, sockets and secrets.
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
 *                     worker's main process ask (requesters = "main")
 *         EPROTO      the other side broke the protocol; the connection is of no more use
 *         EMFILE      this process has no room for another descriptor
 *         EDQUOT      over a quota
 *         ECANCELED   the worker or warderd is stopping
 *  2. Denials. "Not granted" is EACCES, whether or not the file exists: where one may not look, absent and denied look
 *     the same. Where the grant allows the request, the errno is the kernel's own (ENOENT, EADDRINUSE, ...).
 *  3. Descriptors. A descriptor that is returned belongs to the caller, who closes it with close(2). All are close-on-exec.
 *     They are blocking unless WARDER_NONBLOCK was asked for.
 *  4. Strings. Strings that go in are NUL-terminated, are copied during the call and stay the caller's. Paths are bytes;
 *     everything else is UTF-8. Strings that come out are never to be freed; each function says how long they live.
 *  5. Threads. One connection may be used by any number of threads at once; requests of several threads take turns.
 *     warder_close() is for when no other call is running on that connection.
 *  6. fork(2). Under requesters = "main" (the default), every call of a forked child fails with EPERM and touches nothing.
 *     Under requesters = "group" children that were forked after the connect use the same connection, each safely
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

/* Where warderd tells a worker the number of its descriptor, in decimal. */
#define WARDER_SOCKET_VARIABLE "WARDER_SOCKET"

/* A connection. (Not `struct warder`: in C++ that is the name of a namespace.) */
typedef struct warder_connection warder_connection;

/* ---- Connecting ---- */

/* Connects over the descriptor that $WARDER_SOCKET names, and says hello.
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

/* The worker's name in the configuration. Lives as long as the connection. Since 0.1. */
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

/* A secret: a read-only, sealed memfd with its bytes; fstat(2) gives the size. Each call has its own offset.
 * errno: EACCES, ENOENT (granted, but there is no such secret), and those of convention 1. Since 0.1. */
int warder_secret(warder_connection *connection, const char *grant);

/* Renames `from` to `to`, both below one grant, replacing what was there; with no grant both are absolute.
 * Returns 0 or -1. errno: EACCES, EINVAL, those of renameat2(2), and those of convention 1. Since 0.1. */
int warder_rename(warder_connection *connection, const char *grant, const char *from, const char *to);

/* Removes the file `path` below a grant, or an absolute one with no grant.
 * Returns 0 or -1. errno: EACCES, EINVAL, those of unlinkat(2), and those of convention 1. Since 0.1. */
int warder_unlink(warder_connection *connection, const char *grant, const char *path);

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
    WARDER_UNLINK = 9
};

/* Flags of a warder_request, as they stand on the wire. WARDER_NONBLOCK is another. */
enum {
    WARDER_READ_TOO = 0x0001,  /* write, create: for reading too */
    WARDER_TRUNCATE = 0x0002,  /* write, create */
    WARDER_EXCLUSIVE = 0x0004  /* create */
};

/* The most requests of one call. */
#define WARDER_MAX_REQUESTS 253

typedef struct warder_request {
    uint16_t operation;
    uint16_t flags;
    uint32_t mode;       /* create: permission bits, or 0 */
    const char *grant;   /* or NULL */
    const char *target;  /* path or address, or NULL */
    const char *second;  /* rename: the new name; otherwise NULL */
    uint64_t reserved;   /* 0 */
} warder_request;

#define WARDER_WHY_SIZE 256

typedef struct warder_result {
    int fd;                     /* the caller's, or -1 */
    int error;                  /* 0 or an errno */
    int reason;                 /* WARDER_REASON_... */
    uint32_t grant;             /* the grant that decided, by its place in the configuration, or 0xffffffff */
    uint64_t value;             /* secret: its size in bytes; connect: 1 while it is still connecting; otherwise 0 */
    char why[WARDER_WHY_SIZE];  /* for a denial, the sentence; NUL-terminated */
    uint64_t reserved;
} warder_result;

/* Asks for `count` things (1 to WARDER_MAX_REQUESTS) in one message, and waits for all. `results` has room for as many and
 * is filled in the order of the requests.
 * Returns how many succeeded (perhaps 0: then look at the results), or -1 if nothing was answered; then no result was
 * filled. Descriptors are the caller's.
 * errno of -1: EINVAL (count, or a reserved field set), EMSGSIZE (texts of more than 64 KiB together), and those of
 * convention 1. EMFILE stands in the results that it hit. Since 0.1. */
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
    WARDER_REASON_STOPPING = 19
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
    WARDER_EVENT_REVOKED = 5   /* the grant `name` was taken away */
};

#define WARDER_NAME_SIZE 256

typedef struct warder_event {
    int type;
    int fd;                       /* the caller's, or -1 */
    uint64_t value;
    uint32_t lost;                /* events that were dropped before this one: the queue holds 32 */
    char name[WARDER_NAME_SIZE];  /* NUL-terminated, perhaps empty */
    uint64_t reserved;
} warder_event;

/* Waits for the next event, at most `timeout_ms` milliseconds (0: only looks; negative: for ever). Several stops, or several
 * reloads, that were not taken yet are one.
 * Returns 1 with `event` filled, 0 when the time is over, or -1. errno: those of convention 1; ECONNRESET only when every
 * event was taken. Since 0.1. */
int warder_next_event(warder_connection *connection, warder_event *event, int timeout_ms);

/* A descriptor that is readable when warder_next_event(connection, &event, 0) may have something to give, or the session is
 * over: for poll, select and epoll. Call it then until it returns 0. The descriptor is the connection's: never read, written or closed by the caller.
 * Returns it, or -1. errno: EMFILE, ENFILE, ENOMEM, EPERM (convention 6). Since 0.1. */
int warder_fd(warder_connection *connection);

/* ---- This library ---- */

/* The library's version, "0.1.0". Static. Since 0.1. */
const char *warder_version(void);

#ifdef __cplusplus
}
#endif

#endif
