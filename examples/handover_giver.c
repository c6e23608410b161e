/* Passes open files to another worker. This one may read the files of its grant `files`, and nothing else; the other
 * (handover_taker.c) may open nothing at all, and reads what it is handed. Both hold an end of the channel that
 * handover.toml declares. When either is restarted, both get a new one, and all is handed over again.
 *
 *     handover-giver FILE...       names below the grant `files`
 *
 *     cc handover_giver.c -o /usr/local/bin/handover-giver $(pkg-config --cflags --libs warder)
 */
#define _GNU_SOURCE 1   /* for struct ucred */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <warder/warder.h>

enum { MOST_FILES = 16 };

/* Opens all files by one message to warderd. Returns 0 with `fds` filled, or -1, with nothing left open. */
static int open_all(warder_connection *parent, char *const *names, size_t count, int *fds) {
    warder_request requests[MOST_FILES];
    warder_result results[MOST_FILES];
    memset(requests, 0, sizeof requests);
    for (size_t i = 0; i < count; ++i) {
        requests[i].operation = WARDER_READ;
        requests[i].grant = "files";
        requests[i].target = names[i];
    }
    const int opened = warder_open_many(parent, requests, results, count);
    if (opened < 0) return fprintf(stderr, "handover-giver: %s\n", warder_why()), -1;
    for (size_t i = 0; i < count; ++i) {
        fds[i] = results[i].fd;
        if (results[i].error != 0) {
            fprintf(stderr, "handover-giver: %s: %s %s\n", names[i], strerror(results[i].error), results[i].why);
        }
    }
    if ((size_t)opened == count) return 0;
    for (size_t i = 0; i < count; ++i) {
        if (fds[i] >= 0) close(fds[i]);
    }
    return -1;
}

/* One message: some text, the array of descriptors, and who we are, which the kernel checks before it passes it on. */
static int send_all(int channel, const int *fds, size_t count) {
    char text[64];
    const int length = snprintf(text, sizeof text, "%zu files", count);
    const struct ucred self = {.pid = getpid(), .uid = getuid(), .gid = getgid()};
    struct iovec part = {text, (size_t)length};
    union {
        struct cmsghdr header;   /* for its alignment */
        char bytes[CMSG_SPACE(MOST_FILES * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int)) + CMSG_SPACE(sizeof self)};
    struct cmsghdr *at = CMSG_FIRSTHDR(&message);
    at->cmsg_level = SOL_SOCKET;
    at->cmsg_type = SCM_RIGHTS;
    at->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(at), fds, count * sizeof(int));
    at = CMSG_NXTHDR(&message, at);
    at->cmsg_level = SOL_SOCKET;
    at->cmsg_type = SCM_CREDENTIALS;
    at->cmsg_len = CMSG_LEN(sizeof self);
    memcpy(CMSG_DATA(at), &self, sizeof self);
    return sendmsg(channel, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static int hand_over(warder_connection *parent, int channel, char *const *names, size_t count) {
    int fds[MOST_FILES];
    if (open_all(parent, names, count, fds) != 0) return -1;
    const int sent = send_all(channel, fds, count);
    const int error = errno;
    for (size_t i = 0; i < count; ++i) close(fds[i]);   /* the other has its own now: the same open files */
    if (sent != 0) fprintf(stderr, "handover-giver: sending: %s\n", strerror(error));
    return sent;
}

/* Shows what the other says, until its end: then it was restarted, and a new channel comes. */
static void listen_to(int channel) {
    char text[256];
    for (;;) {
        const ssize_t size = recv(channel, text, sizeof text, 0);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return;
        printf("the taker says: %.*s\n", (int)size, text);
        (void)fflush(stdout);
    }
}

int main(int argc, char **argv) {
    const size_t count = (size_t)argc - 1;
    if (argc < 2 || count > MOST_FILES) {
        fprintf(stderr, "usage: handover-giver FILE... (at most %d)\n", MOST_FILES);
        return 2;
    }
    warder_connection *parent = warder_connect();
    if (parent == NULL || warder_ready(parent, "giving") != 0) {
        fprintf(stderr, "handover-giver: %s\n", warder_why());
        return 1;
    }
    for (;;) {
        const int channel = warder_channel(parent, "taker", -1);
        if (channel < 0) return fprintf(stderr, "handover-giver: %s\n", warder_why()), 1;
        if (hand_over(parent, channel, argv + 1, count) == 0) listen_to(channel);
        close(channel);
    }
}
