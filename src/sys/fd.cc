#include "sys/fd.h"

#include <fcntl.h>

namespace warder {

Result<Fd> Fd::duplicate() const {
    const int copy = ::fcntl(number_, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) return failure("fcntl(F_DUPFD_CLOEXEC)");
    return Fd(copy);
}

}  // namespace warder
