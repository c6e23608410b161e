/* A parent and its child count to four over a socketpair, each saying the number after the one that it heard: a worker
 * that has no grant at all. Its sandbox lets it fork, and talk to its own child; it could open nothing, connect to nobody
 * and see no process but its own. See counting.toml.
 *
 *     cc counting.c -o /usr/local/bin/counting
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LAST = 4 };

/* A SEQPACKET socket keeps messages whole: what is sent at once is received at once. */
static int say(int other, const char *who, int number) {
    printf("%s: %d\n", who, number);
    return send(other, &number, sizeof number, MSG_NOSIGNAL) == (ssize_t)sizeof number ? 0 : -1;
}

/* The number that the other said, 0 if it has finished, or -1. */
static int hear(int other) {
    int number = 0;
    ssize_t size = 0;
    do {
        size = recv(other, &number, sizeof number, 0);
    } while (size < 0 && errno == EINTR);
    if (size <= 0) return (int)size;
    if (size != (ssize_t)sizeof number || number < 1 || number > LAST) return errno = EPROTO, -1;
    return number;
}

/* Answers each number by the next, until the last has been said. */
static int count(int other, const char *who) {
    for (;;) {
        const int heard = hear(other);
        if (heard < 0) return perror(who), 1;
        if (heard == 0 || heard == LAST) return 0;
        if (say(other, who, heard + 1) != 0) return perror(who), 1;
        if (heard + 1 == LAST) return 0;
    }
}

static int wait_for(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return perror("waitpid"), 1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(void) {
    int pair[2];
    /* So that each line is out before the other side says the next: its order is that of the count. */
    if (setvbuf(stdout, NULL, _IOLBF, 0) != 0) return perror("setvbuf"), 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return perror("socketpair"), 1;
    const pid_t child = fork();
    if (child < 0) return perror("fork"), 1;
    if (child == 0) {
        close(pair[0]);   /* or the child would never see that the parent has gone */
        _exit(count(pair[1], "child"));
    }
    close(pair[1]);
    int failed = say(pair[0], "parent", 1) != 0 || count(pair[0], "parent") != 0;
    close(pair[0]);
    if (wait_for(child) != 0) failed = 1;
    return failed;
}
