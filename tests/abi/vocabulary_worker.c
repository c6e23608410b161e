/* A worker that uses each function of warder.h that asks for something by the grant `all`, and ends with the number of those that
 * did not do what they should. Its parent is tests/abi/parent.py. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "warder/warder.h"

static int wrong;

#define MUST(condition)                                                                           \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            ++wrong;                                                                              \
            fprintf(stderr, "%d: not so: %s (%s)\n", __LINE__, #condition, warder_why());         \
        }                                                                                         \
    } while (0)

static int holds(int fd, const char *text) {
    char buffer[64];
    const ssize_t size = fd < 0 ? -1 : read(fd, buffer, sizeof buffer);
    if (fd >= 0) close(fd);
    return size == (ssize_t)strlen(text) && memcmp(buffer, text, (size_t)size) == 0;
}

static void on_paths(warder_connection *w) {
    warder_file file;
    char text[64];
    MUST(warder_mkdir(w, "all", "dir", 0750) == 0);
    MUST(warder_stat(w, "all", "dir", &file) == 0 && S_ISDIR(file.mode) && (file.mode & 0777) == 0750);
    MUST(warder_stat(w, "all", "a.txt", &file) == 0 && file.size == 5 && file.links == 1 && file.modified == 1700000000);
    MUST(file.modified_ns == 123456789 && file.uid == getuid());
    MUST(warder_access(w, "all", "a.txt", R_OK) == 0);
    MUST(warder_access(w, "all", "absent", R_OK) == -1 && errno == ENOENT);
    MUST(warder_link(w, "all", "a.txt", "dir/b.txt") == 0);
    MUST(warder_symlink(w, "all", "current", "dir/b.txt") == 0);
    MUST(warder_readlink(w, "all", "current", text, sizeof text) == 9 && strcmp(text, "dir/b.txt") == 0);
    MUST(warder_readlink(w, "all", "a.txt", text, sizeof text) == -1 && errno == EINVAL);
    MUST(warder_chmod(w, "all", "a.txt", 0600) == 0);
    MUST(warder_truncate(w, "all", "a.txt", 3) == 0);
    MUST(warder_stat(w, "all", "dir/b.txt", &file) == 0 && file.size == 3 && (file.mode & 0777) == 0600 && file.links == 2);
    MUST(warder_rename(w, "all", "a.txt", "c.txt") == 0);
    MUST(warder_rmdir(w, "all", "dir") == -1 && errno == ENOTEMPTY);
    MUST(warder_unlink(w, "all", "dir/b.txt") == 0);
    MUST(warder_rmdir(w, "all", "dir") == 0);
    MUST(holds(warder_watch(w, "all", "c.txt", 0, 0), "lent by operation 20"));
}

static void on_a_list(warder_connection *w) {
    char bytes[256];
    warder_entry entry;
    size_t offset = 0;
    int files = 0;
    int links = 0;
    const int fd = warder_list(w, "all", NULL);
    const ssize_t size = read(fd, bytes, sizeof bytes);
    MUST(size > 0);
    close(fd);
    while (size > 0 && warder_next_entry(bytes, (size_t)size, &offset, &entry) == 1) {
        files += entry.type == 'f' && strcmp(entry.name, "c.txt") == 0;
        links += entry.type == 'l' && strcmp(entry.name, "current") == 0;
    }
    MUST(files == 1 && links == 1 && offset == (size_t)size);
}

static void on_the_rest(warder_connection *w) {
    static const char *const values[] = {"daily", NULL};
    const warder_narrowing kept = {WARDER_BIT(WARDER_READ), "in", "*.csv", 5, 0};
    warder_process process;
    char text[64];
    MUST(holds(warder_raw(w, "all", 0), "lent by operation 21"));
    MUST(holds(warder_packet(w, "all", 0), "lent by operation 22"));
    MUST(holds(warder_netlink(w, "all", 0), "lent by operation 23"));
    MUST(holds(warder_device(w, "all", NULL, 0), "lent by operation 24"));
    MUST(holds(warder_syslog(w, "all", 0), "lent by operation 32"));
    MUST(warder_lookup(w, "all", "user:web", text, sizeof text) == 32 && strncmp(text, "web:x:64000:", 12) == 0);
    MUST(warder_sysctl_get(w, "all", "net.core.somaxconn", text, sizeof text) == 3 && strcmp(text, "128") == 0);
    MUST(warder_sysctl_set(w, "all", "net.core.somaxconn", "1024") == 0);
    MUST(warder_sysctl_get(w, "all", "net.core.somaxconn", text, sizeof text) == 4 && strcmp(text, "1024") == 0);
    MUST(warder_run(w, "all", values, &process) == 0 && process.in == -1 && process.err == -1 && process.pid == 4711);
    MUST(holds(process.out, "out") && holds(process.pidfd, "pidfd"));
    MUST(warder_signal(w, "all", NULL, 1) == 0);
    MUST(warder_restart(w, "all", NULL) == 0);
    MUST(warder_narrow(w, "all", &kept) == 0);
    MUST(warder_stat(w, "none", "a", &(warder_file){0}) == -1 && errno == EACCES);
    MUST(strcmp(warder_why(), "worker test has no grant none") == 0);
    MUST(holds(warder_channel(w, "parser", 10000), "a channel"));
}

int main(void) {
    warder_connection *w = warder_connect();
    if (w == NULL) return 100;
    on_paths(w);
    on_a_list(w);
    on_the_rest(w);
    MUST(warder_ready(w, "done") == 0);
    warder_close(w);
    return wrong;
}
