#include "client/fork_mark.h"

#include <sys/mman.h>
#include <unistd.h>

namespace warder::client {

ForkMark::~ForkMark() {
    if (mark_ != nullptr) ::munmap(const_cast<std::byte*>(mark_), size_);
}

void ForkMark::set() {
    owner_ = ::getpid();
    const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    void* page = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return;
    if (::madvise(page, size, MADV_WIPEONFORK) != 0) {
        ::munmap(page, size);
        return;
    }
    mark_ = static_cast<std::byte*>(page);
    size_ = size;
    *mark_ = std::byte{1};
}

bool ForkMark::here() const { return mark_ != nullptr ? *mark_ != std::byte{0} : ::getpid() == owner_; }

}  // namespace warder::client
