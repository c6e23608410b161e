#include "daemon/find_program.h"

#include <fcntl.h>
#include <unistd.h>

namespace warder::daemon {

std::string find_program(const std::string& beside, const std::string& installed) {
    char self[4096];
    const ssize_t size = ::readlink("/proc/self/exe", self, sizeof self);
    if (size <= 0) return installed;
    std::string path(self, static_cast<std::size_t>(size));
    path.resize(path.rfind('/'));
    path.resize(path.rfind('/') + 1);
    path += beside;
    return ::access(path.c_str(), X_OK) == 0 ? path : installed;
}

Result<Fd> duplicate_of(int number) {
    Fd copy(::fcntl(number, F_DUPFD_CLOEXEC, 3));
    if (!copy) return failure("fcntl(F_DUPFD_CLOEXEC)");
    return copy;
}

}  // namespace warder::daemon
