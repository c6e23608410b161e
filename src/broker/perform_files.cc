// Files that are opened and lent, emptied or cut, and secrets that are copied out of one.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "broker/memory_account.h"
#include "broker/perform.h"
#include "sys/kernel.h"

namespace warder::broker {
namespace {

// O_NONBLOCK: neither a FIFO, a device nor a lease makes us wait. O_NOCTTY: no terminal becomes ours.
constexpr std::uint64_t never_waiting = O_NONBLOCK | O_NOCTTY | O_LARGEFILE;

std::uint64_t access_flags(const Task& task) {
    switch (task.operation) {
        case Operation::write:
        case Operation::create: return has(task.flags, OpenFlag::read_too) ? O_RDWR : O_WRONLY;
        case Operation::append: return O_WRONLY | O_APPEND;
        default: return O_RDONLY;
    }
}

struct Opened {
    Result<Fd> fd;
    bool made = false;
};

// Creating tells whether it made the file, so that only a new one is given to its owner. Bounded: a name that comes and
// goes as we look is answered with what the kernel last said.
Opened create_or_open(const Task& task, int directory, const char* path, std::uint64_t flags, std::uint64_t resolve,
                      Patience patience) {
    Opened opened{Failure(Error{EAGAIN, "openat2"})};
    for (int attempt = 0; attempt < 4; ++attempt) {
        opened.fd = open_at(directory, path, flags | O_CREAT | O_EXCL, task.mode, resolve);
        if (opened.fd || opened.fd.error().number != EEXIST || has(task.flags, OpenFlag::exclusive)) {
            opened.made = opened.fd.has_value();
            return opened;
        }
        opened.fd = open_patiently(directory, path, flags, resolve, patience);
        if (opened.fd || opened.fd.error().number != ENOENT) return opened;
    }
    return opened;
}

Opened open_for(const Task& task, int directory, const char* path, Patience patience) {
    const std::uint64_t flags = access_flags(task) | never_waiting;
    const std::uint64_t resolve = resolve_for(task, patience);
    if (task.operation == Operation::create) return create_or_open(task, directory, path, flags, resolve, patience);
    return {open_patiently(directory, path, flags, resolve, patience)};
}

// The owner of what was just made, and its emptying: only now, since O_TRUNC would have emptied a file that the gate
// refuses.
Result<void> prepare(const Task& task, int file, bool made, Patience patience) {
    if (made && task.owned && ::fchown(file, task.owner, task.owner_group) != 0) return failure("fchown");
    if (has(task.flags, OpenFlag::truncate) && !made && ::ftruncate(file, 0) != 0) return failure("ftruncate");
    // In line it is a regular file of the kernel's own, for which O_NONBLOCK means nothing (open(2)); a FUSE server is told of it.
    if (patience == Patience::never) return {};
    if (::fcntl(file, F_SETFL, task.operation == Operation::append ? O_APPEND : 0) != 0) return failure("fcntl");
    return {};
}

// Copies what is there, at most max_secret bytes of it, through one buffer that is wiped. Returns how much that was.
Result<std::uint64_t> copy_secret(const Task& task, int source, int memory, std::span<char> part) {
    std::size_t total = 0;
    for (;;) {
        const ssize_t size = ::read(source, part.data(), part.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return failure("read");
        if (size == 0) return total;
        total += static_cast<std::size_t>(size);
        if (total > max_secret) return failure(EFBIG, "copying a secret");
        if (!has_memory_for(task, total)) return failure(EDQUOT, "copying a secret");
        const ssize_t written = ::write(memory, part.data(), static_cast<std::size_t>(size));
        if (written != size) return failure(written < 0 ? errno : ENOSPC, "write");
    }
}

Performed seal_secret(const Task& task, int source) {
    auto memory = new_sealed_file("warder-secret");
    if (!memory) return failed(memory.error());
    std::array<char, 4096> part;
    const auto copied = copy_secret(task, source, memory->get(), part);
    ::explicit_bzero(part.data(), part.size());
    if (!copied && copied.error().number == EDQUOT) return refused(Reason::too_many);
    if (!copied) return failed(copied.error());
    return lend_sealed(std::move(*memory), *copied);
}

}  // namespace

Performed open_file(const Task& task, Patience patience) {
    auto place = place_of(task, task.path, patience);
    if (!place) return std::move(place.error());
    WARDER_UNINITIALIZED const CPath path(place->name);
    if (!path.fits()) return failed(ENAMETOOLONG);
    Opened opened = open_for(task, place->directory, path.get(), patience);
    if (!opened.fd) return not_opened(opened.fd.error(), patience);
    Fd file = std::move(*opened.fd);
    struct stat about;
    auto gated = passed(task, file.get(), about, Wanted::regular);
    if (gated.reason != Reason::ok) return gated;
    if (const auto prepared = prepare(task, file.get(), opened.made, patience); !prepared) return failed(prepared.error());
    return lent(std::move(file), about);
}

Performed truncate_file(const Task& task) {
    if (task.argument > static_cast<std::uint64_t>(INT64_MAX)) return refused(Reason::bad_argument);
    auto file = open_below(task, task.path, O_WRONLY | never_waiting, Patience::until_deadline);
    if (!file) return std::move(file.error());
    struct stat about;
    auto gated = passed(task, file->get(), about, Wanted::regular);
    if (gated.reason != Reason::ok) return gated;
    if (::ftruncate(file->get(), static_cast<off_t>(task.argument)) != 0) return failed(errno);
    return {};
}

Performed lend_secret(const Task& task, Patience patience) {
    auto file = open_below(task, task.path, O_RDONLY | never_waiting, patience);
    if (!file) return std::move(file.error());
    struct stat about;
    auto gated = passed(task, file->get(), about, Wanted::regular);
    if (gated.reason != Reason::ok) return gated;
    if (!has_memory_for(task, 0)) return refused(Reason::too_many);
    return seal_secret(task, file->get());
}

Result<Fd> new_sealed_file(const char* name) {
    Fd memory(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | kernel::mfd_noexec_seal));
    if (!memory && errno == EINVAL) memory = Fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!memory) return failure("memfd_create");
    return memory;
}

bool has_memory_for(const Task& task, std::uint64_t size) { return memory_taken_by(size) <= task.memory_left; }

Performed lend_sealed(Fd memory, std::uint64_t size) {
    if (::fchmod(memory.get(), 0400) != 0) return failed(errno);
    constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (::fcntl(memory.get(), F_ADD_SEALS, seals) != 0) return failed(errno);
    ::lseek(memory.get(), 0, SEEK_SET);
    struct stat about;
    if (::fstat(memory.get(), &about) != 0) return failed(errno);
    const auto name = name_memory(memory.get());
    auto performed = lent(std::move(memory), about, size);
    performed.generation = name ? name->generation : 0;
    performed.memory = memory_taken_by(size);
    return performed;
}

}  // namespace warder::broker
