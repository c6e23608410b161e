#include "sys/standard_descriptors.h"

#include <fcntl.h>
#include <unistd.h>

namespace warder {

void hold_standard_descriptors() {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        if (::fcntl(fd, F_GETFD) < 0) (void)::open("/", O_PATH);   // the lowest number that is free
    }
}

}  // namespace warder
