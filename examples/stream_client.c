/* A unix stream client without any right of its own: the connected socket is lent by warderd. It sends four messages of
 * 1,024 bytes, each after the one before came back unchanged, then says that it is ready and stays connected until it
 * is told to stop. See stream_server.c and stream.toml.
 *
 *     cc stream_client.c -o /usr/local/bin/stream-client $(pkg-config --cflags --libs warder)
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <warder/warder.h>

enum { MESSAGES = 4, MESSAGE_SIZE = 1024 };

static void fill(char *message, int number) {
    const int head = snprintf(message, MESSAGE_SIZE, "message %d of %d ", number, MESSAGES);
    memset(message + head, 'a' + number - 1, (size_t)(MESSAGE_SIZE - head));
    message[MESSAGE_SIZE - 1] = '\n';
}

static int send_whole(int server, const char *message) {
    for (size_t sent = 0; sent < MESSAGE_SIZE;) {
        const ssize_t size = send(server, message + sent, MESSAGE_SIZE - sent, MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return -1;
        sent += (size_t)size;
    }
    return 0;
}

/* A stream knows no messages: a receive may bring a part of one. */
static int receive_whole(int server, char *message) {
    for (size_t have = 0; have < MESSAGE_SIZE;) {
        const ssize_t size = recv(server, message + have, MESSAGE_SIZE - have, 0);
        if (size < 0 && errno == EINTR) continue;
        if (size == 0) errno = ECONNRESET;
        if (size <= 0) return -1;
        have += (size_t)size;
    }
    return 0;
}

/* Sends one message and waits for it to come back. */
static int exchange(int server, int number) {
    char message[MESSAGE_SIZE];
    char answer[MESSAGE_SIZE];
    fill(message, number);
    if (send_whole(server, message) != 0 || receive_whole(server, answer) != 0) return -1;
    if (memcmp(message, answer, sizeof answer) != 0) return errno = EBADMSG, -1;
    (void)fwrite(answer, 1, sizeof answer, stdout);
    (void)fflush(stdout);
    return 0;
}

int main(void) {
    warder_connection *parent = warder_connect();
    if (parent == NULL) return fprintf(stderr, "stream-client: %s\n", warder_why()), 1;
    const int server = warder_dial(parent, "server", NULL, 0);
    if (server < 0) return fprintf(stderr, "stream-client: %s\n", warder_why()), 1;
    for (int number = 1; number <= MESSAGES; ++number) {
        if (exchange(server, number) != 0) return perror("stream-client: the server"), 1;
    }
    if (warder_ready(parent, "all came back") != 0) return fprintf(stderr, "stream-client: %s\n", warder_why()), 1;
    warder_event event = {0};
    while (event.type != WARDER_EVENT_STOP && warder_next_event(parent, &event, -1) >= 0) {
        if (event.fd >= 0) close(event.fd);
    }
    close(server);
    warder_close(parent);
    return 0;
}
