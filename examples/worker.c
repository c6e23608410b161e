/* The smallest worker in C: reads the file of its grant `greeting` once a second until it is told to stop.
 *
 *     [worker.greeter.grants]
 *     greeting = { read = "/etc/greeting" }
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <warder/warder.h>

int main(void) {
    warder_connection *parent = warder_connect();
    warder_event event = {0};
    if (parent == NULL || warder_ready(parent, "greeting") != 0) return perror(warder_why()), 1;
    while (event.type != WARDER_EVENT_STOP && warder_next_event(parent, &event, 1000) >= 0) {
        char text[256];
        const int fd = warder_open(parent, "greeting", NULL, O_RDONLY, 0);
        const ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text);
        if (fd < 0) fprintf(stderr, "%s\n", warder_why());
        if (size > 0) (void)fwrite(text, 1, (size_t)size, stdout), (void)fflush(stdout);
        if (fd >= 0) close(fd);
    }
    warder_close(parent);
    return 0;
}
