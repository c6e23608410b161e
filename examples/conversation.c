/* A conversation of four lines over a socketpair, between a parent that may open files and a child that may not: what
 * warderd does all day, with nothing around it. The child asks for a file; the parent passes the open descriptor; the child
 * says what it read; the parent says goodbye.
 *
 * Each line is one SEQPACKET message, and the kernel says with each who sent it: that is what the parent believes. */
#define _GNU_SOURCE 1   /* for struct ucred */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct line {
    char text[128];
    int fd;      /* came along, or -1 */
    pid_t from;  /* the kernel's word, or 0 */
};

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

static int say(int socket, const char *text, int fd) {
    struct iovec part = {(char *)text, strlen(text)};
    union control control = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof fd);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static int hear(int socket, struct line *line) {
    struct iovec part = {line->text, sizeof line->text - 1};
    union control control = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    const ssize_t size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (size <= 0) return -1;
    line->text[size] = '\0';
    line->fd = -1;
    line->from = 0;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at != NULL; at = CMSG_NXTHDR(&message, at)) {
        struct ucred sender;
        if (at->cmsg_level != SOL_SOCKET) continue;
        if (at->cmsg_type == SCM_RIGHTS) memcpy(&line->fd, CMSG_DATA(at), sizeof line->fd);
        if (at->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&sender, CMSG_DATA(at), sizeof sender);
            line->from = sender.pid;
        }
    }
    return 0;
}

static int child(int socket) {
    struct line line;
    char word[64] = "";
    if (say(socket, "may I read /etc/hostname?", -1) != 0 || hear(socket, &line) != 0 || line.fd < 0) return 1;
    printf("child:  heard \"%s\", with descriptor %d\n", line.text, line.fd);
    const ssize_t size = read(line.fd, word, sizeof word - 1);
    close(line.fd);
    char text[128];
    snprintf(text, sizeof text, "thank you, I read %zd bytes", size);
    if (say(socket, text, -1) != 0 || hear(socket, &line) != 0) return 1;
    printf("child:  heard \"%s\"\n", line.text);
    return 0;
}

/* Each line must come from `other`: a message of anybody else ends the conversation. */
static int parent(int socket, pid_t other) {
    struct line line;
    if (hear(socket, &line) != 0 || line.from != other) return 1;
    printf("parent: heard \"%s\" from %s\n", line.text, line.from == other ? "my child" : "a stranger");
    const int fd = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || say(socket, "here it is", fd) != 0) return 1;
    close(fd);
    if (hear(socket, &line) != 0 || line.from != other) return 1;
    printf("parent: heard \"%s\"\n", line.text);
    return say(socket, "goodbye", -1) != 0;
}

int main(void) {
    int pair[2];
    const int on = 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return perror("socketpair"), 1;
    /* Before the fork: what is sent earlier carries nobody's name. */
    if (setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) return perror("SO_PASSCRED"), 1;
    const pid_t pid = fork();
    if (pid < 0) return perror("fork"), 1;
    if (pid == 0) {
        close(pair[0]);
        _exit(child(pair[1]));
    }
    close(pair[1]);
    const int failed = parent(pair[0], pid);
    close(pair[0]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    return failed || status != 0;
}
