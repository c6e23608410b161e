/* Gets open files from another worker, with the kernel's word on who sent them, and shows what is in them. It may open
 * nothing itself. See handover_giver.c and handover.toml.
 *
 *     cc handover_taker.c -o /usr/local/bin/handover-taker $(pkg-config --cflags --libs warder)
 */
#define _GNU_SOURCE 1   /* for struct ucred */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <warder/warder.h>

enum { MOST_FILES = 16 };

struct parcel {
    int fds[MOST_FILES];
    size_t count;
    struct ucred sender;
    int has_sender;
};

/* Takes out of a message what came beside its text. */
static void unpack(struct msghdr *message, struct parcel *parcel) {
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at != NULL; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level != SOL_SOCKET) continue;
        if (at->cmsg_type == SCM_RIGHTS) {
            parcel->count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(parcel->fds, CMSG_DATA(at), parcel->count * sizeof(int));
        } else if (at->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&parcel->sender, CMSG_DATA(at), sizeof parcel->sender);
            parcel->has_sender = 1;
        }
    }
}

/* Returns 1 with `parcel` filled, its descriptors ours; 0 when the other side has ended; or -1. */
static int receive(int channel, struct parcel *parcel) {
    char text[64];
    struct iovec part = {text, sizeof text};
    union {
        struct cmsghdr header;   /* for its alignment */
        char bytes[CMSG_SPACE(MOST_FILES * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    memset(parcel, 0, sizeof *parcel);
    ssize_t size = 0;
    do {
        size = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    if (size < 0) return -1;
    unpack(&message, parcel);
    if (size == 0 && parcel->count == 0) return 0;
    /* More descriptors than there was room for. Those that came are ours all the same: the caller closes them. */
    if ((message.msg_flags & MSG_CTRUNC) != 0) return errno = EMSGSIZE, -1;
    return 1;
}

static void close_all(const struct parcel *parcel) {
    for (size_t i = 0; i < parcel->count; ++i) close(parcel->fds[i]);
}

/* Shows a file, and returns how many bytes it had. */
static long show(int fd) {
    char text[4096];
    long total = 0;
    for (;;) {
        const ssize_t size = read(fd, text, sizeof text);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) perror("handover-taker: read");
        if (size <= 0) return total;
        (void)fwrite(text, 1, (size_t)size, stdout);
        total += (long)size;
    }
}

/* Shows all files of a parcel, and tells the giver. */
static int take(int channel, const struct parcel *parcel) {
    char text[128];
    long bytes = 0;
    for (size_t i = 0; i < parcel->count; ++i) bytes += show(parcel->fds[i]);
    (void)fflush(stdout);
    /* The uid is the giver's own, kept for its name. Its pid is of another pid namespace, and reads 0 here. */
    const int length = snprintf(text, sizeof text, "%zu files with %ld bytes from uid %u", parcel->count, bytes,
                                (unsigned)parcel->sender.uid);
    return send(channel, text, (size_t)length, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* Until the channel ends, or brings what it should not. */
static void serve(int channel) {
    const int on = 1;
    struct parcel parcel;
    int got = 0;
    /* The kernel then says with each message who sent it. */
    if (setsockopt(channel, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
        perror("handover-taker: SO_PASSCRED");
        return;
    }
    do {
        got = receive(channel, &parcel);
        if (got > 0 && !parcel.has_sender) errno = EACCES, got = -1;
        if (got > 0) got = take(channel, &parcel) == 0 ? 1 : -1;
        if (got < 0) perror("handover-taker: the giver");
        close_all(&parcel);
    } while (got > 0);
}

int main(void) {
    warder_connection *parent = warder_connect();
    if (parent == NULL || warder_ready(parent, "taking") != 0) {
        fprintf(stderr, "handover-taker: %s\n", warder_why());
        return 1;
    }
    for (;;) {
        /* At the end of one channel the next comes: the other side was restarted. */
        const int channel = warder_channel(parent, "giver", -1);
        if (channel < 0) return fprintf(stderr, "handover-taker: %s\n", warder_why()), 1;
        serve(channel);
        close(channel);
    }
}
