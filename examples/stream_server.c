/* A unix stream server without any right of its own: the socket on which it accepts is lent by warderd, which bound it
 * before this program began and keeps it while it is restarted. Whatever message comes is shown, and goes back as it
 * came.
 *
 * Its client is stream_client.c; stream.toml has the grants of both.
 *
 *     cc stream_server.c -o /usr/local/bin/stream-server $(pkg-config --cflags --libs warder)
 */
#define _GNU_SOURCE 1   /* for accept4 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <warder/warder.h>

enum { MESSAGE_SIZE = 1024 };

/* A stream knows no messages: a receive may bring a part of one. Returns 1; 0 when the client has finished; or -1. */
static int receive_message(int client, char *message) {
    for (size_t have = 0; have < MESSAGE_SIZE;) {
        const ssize_t size = recv(client, message + have, MESSAGE_SIZE - have, 0);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return (int)size;
        have += (size_t)size;
    }
    return 1;
}

/* MSG_NOSIGNAL: a client that has gone is an errno, not the end of this process by SIGPIPE. */
static int send_message(int client, const char *message) {
    for (size_t sent = 0; sent < MESSAGE_SIZE;) {
        const ssize_t size = send(client, message + sent, MESSAGE_SIZE - sent, MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return -1;
        sent += (size_t)size;
    }
    return 0;
}

static void serve(int client) {
    char message[MESSAGE_SIZE];
    int got = 0;
    while ((got = receive_message(client, message)) == 1) {
        (void)fwrite(message, 1, sizeof message, stdout);
        (void)fflush(stdout);
        if (send_message(client, message) != 0) {
            got = -1;
            break;
        }
    }
    if (got < 0) perror("stream-server: a client");
}

int main(void) {
    warder_connection *parent = warder_connect();
    if (parent == NULL) return fprintf(stderr, "stream-server: %s\n", warder_why()), 1;
    const int listener = warder_listen(parent, "clients", NULL, 0);
    if (listener < 0) return fprintf(stderr, "stream-server: %s\n", warder_why()), 1;
    if (warder_ready(parent, "accepting") != 0) return fprintf(stderr, "stream-server: %s\n", warder_why()), 1;
    for (;;) {
        const int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (client < 0) return perror("stream-server: accept"), 1;
        serve(client);
        close(client);
    }
}
