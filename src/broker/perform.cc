// What root does for a worker, operation by operation. Every path is looked up below a held directory with no symlink
// followed; a file's type and, under root, its owner are looked at on the open descriptor, before anything of it changes.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/bytes.h"
#include "broker/socket_name.h"
#include "broker/task.h"
#include "policy/path.h"
#include "sys/files.h"
#include "sys/kernel.h"

namespace warder::broker {
namespace {

constexpr std::uint64_t never_upwards = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;

Performed refused(Reason reason) { return {Fd(), reason, errno_of(reason), 0, 0, 0, {}}; }
Performed failed(int error) { return {Fd(), Reason::system, error, 0, 0, 0, {}}; }
Performed lent(Fd fd, const struct stat& about, std::uint64_t value = 0) {
    return {std::move(fd), Reason::ok, 0, value, about.st_dev, about.st_ino, {}};
}
Performed failed(const Error& error) { return failed(error.number); }

// A path with its NUL. The text came from a datagram, which has none.
class CPath {
public:
    explicit CPath(std::string_view path) {
        fits_ = path.size() < text_.size();
        const std::size_t size = fits_ ? path.size() : 0;
        std::memcpy(text_.data(), path.data(), size);
        text_[size] = '\0';
    }
    bool fits() const { return fits_; }
    const char* get() const { return text_.data(); }

private:
    bool fits_ = false;
    std::array<char, policy::max_path + 1> text_;
};

std::uint64_t resolve_for(const Task& task, Patience patience) {
    std::uint64_t resolve = never_upwards;
    if (!task.cross_mounts) resolve |= RESOLVE_NO_XDEV;
    if (patience == Patience::never) resolve |= RESOLVE_CACHED;
    return resolve;
}

// Only a lookup that stays in memory, on a file system that asks nobody else, is done without patience.
bool may_be_done_here(const Task& task, Patience patience) {
    if (patience == Patience::until_deadline) return true;
    if (task.directory < 0 || task.cross_mounts) return false;
    switch (task.operation) {
        case Operation::read: return task.local || task.overlay;
        case Operation::write:
        case Operation::append: return task.local && !has(task.flags, OpenFlag::truncate);
        case Operation::connect: return task.local;
        default: return false;
    }
}

// RESOLVE_CACHED says EAGAIN for a cold path, O_NONBLOCK says EWOULDBLOCK for a lease: both mean "with patience, perhaps".
Performed not_opened(const Error& error, Patience patience) {
    if (patience == Patience::never && error.number == EAGAIN) return refused(Reason::would_block);
    return failed(error);
}

std::uint64_t access_flags(const Task& task) {
    switch (task.operation) {
        case Operation::write:
        case Operation::create: return has(task.flags, OpenFlag::read_too) ? O_RDWR : O_WRONLY;
        case Operation::append: return O_WRONLY | O_APPEND;
        default: return O_RDONLY;
    }
}

// Under root's credentials permissions do not count, so ownership must: a hard link or a foreign owner may be somebody's trap.
bool trusted_owner(const Task& task, const struct stat& about) {
    return about.st_nlink == 1 && (about.st_uid == 0 || about.st_uid == task.owner);
}

Reason gate(const Task& task, int fd, struct stat& about) {
    if (::fstat(fd, &about) != 0) return Reason::system;
    if (!S_ISREG(about.st_mode)) return Reason::not_regular;
    if (task.cross_mounts) {
        const auto type = file_system_of(fd);
        if (!type || is_kernel_view(*type)) return Reason::refused_filesystem;
    }
    if (task.as == policy::As::root && task.operation != Operation::secret && !trusted_owner(task, about)) {
        return Reason::foreign_owner;
    }
    return Reason::ok;
}

struct Opened {
    Result<Fd> fd;
    bool made = false;
};

// Creating tells whether it made the file, so that only a new one is given to its owner. Bounded: a name that comes and
// goes as we look is answered with what the kernel last said.
Opened create_or_open(const Task& task, const char* path, std::uint64_t flags, std::uint64_t resolve) {
    Opened opened{Failure(Error{EAGAIN, "openat2"})};
    for (int attempt = 0; attempt < 4; ++attempt) {
        opened.fd = open_at(task.directory, path, flags | O_CREAT | O_EXCL, task.mode, resolve);
        if (opened.fd || opened.fd.error().number != EEXIST || has(task.flags, OpenFlag::exclusive)) {
            opened.made = opened.fd.has_value();
            return opened;
        }
        opened.fd = open_at(task.directory, path, flags, 0, resolve);
        if (opened.fd || opened.fd.error().number != ENOENT) return opened;
    }
    return opened;
}

Opened open_for(const Task& task, const char* path, Patience patience) {
    // O_NONBLOCK: neither a FIFO, a device nor a lease makes us wait. O_NOCTTY: no terminal becomes ours.
    const std::uint64_t flags = access_flags(task) | O_NONBLOCK | O_NOCTTY | O_LARGEFILE;
    const std::uint64_t resolve = resolve_for(task, patience);
    if (task.operation == Operation::create) return create_or_open(task, path, flags, resolve);
    return {open_at(task.directory, path, flags, 0, resolve)};
}

Performed open_file(const Task& task, Patience patience) {
    WARDER_UNINITIALIZED const CPath path(task.path);
    if (!path.fits()) return failed(ENAMETOOLONG);
    Opened opened = open_for(task, path.get(), patience);
    if (!opened.fd) return not_opened(opened.fd.error(), patience);
    Fd file = std::move(*opened.fd);
    struct stat about;
    const Reason reason = gate(task, file.get(), about);
    if (reason == Reason::system) return failed(errno);
    if (reason != Reason::ok) return refused(reason);
    if (opened.made && task.owned && ::fchown(file.get(), task.owner, task.owner_group) != 0) return failed(errno);
    // Emptied only now: O_TRUNC would have emptied a file that the gate refuses.
    if (has(task.flags, OpenFlag::truncate) && !opened.made && ::ftruncate(file.get(), 0) != 0) return failed(errno);
    if (::fcntl(file.get(), F_SETFL, task.operation == Operation::append ? O_APPEND : 0) != 0) return failed(errno);
    return lent(std::move(file), about);
}

// Reads what is there into `memory`, which it leaves sized and sealed. The bytes pass through one buffer that is wiped.
Performed seal_secret(int source) {
    Fd memory(::memfd_create("warder-secret", MFD_CLOEXEC | MFD_ALLOW_SEALING | kernel::mfd_noexec_seal));
    if (!memory && errno == EINVAL) memory = Fd(::memfd_create("warder-secret", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!memory) return failed(errno);
    std::array<char, 4096> part;
    std::size_t total = 0;
    int error = 0;
    for (;;) {
        const ssize_t size = ::read(source, part.data(), part.size());
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) {
            error = size < 0 ? errno : 0;
            break;
        }
        total += static_cast<std::size_t>(size);
        if (total > max_secret) error = EFBIG;
        if (error == 0 && ::write(memory.get(), part.data(), static_cast<std::size_t>(size)) != size) error = errno;
        if (error != 0) break;
    }
    ::explicit_bzero(part.data(), part.size());
    if (error != 0) return failed(error);
    if (::fchmod(memory.get(), 0400) != 0) return failed(errno);
    constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (::fcntl(memory.get(), F_ADD_SEALS, seals) != 0) return failed(errno);
    ::lseek(memory.get(), 0, SEEK_SET);
    struct stat about;
    if (::fstat(memory.get(), &about) != 0) return failed(errno);
    return lent(std::move(memory), about, total);
}

Performed lend_secret(const Task& task, Patience patience) {
    WARDER_UNINITIALIZED const CPath path(task.path);
    if (!path.fits()) return failed(ENAMETOOLONG);
    auto file = open_at(task.directory, path.get(), O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, resolve_for(task, patience));
    if (!file) return not_opened(file.error(), patience);
    struct stat about;
    const Reason reason = gate(task, file->get(), about);
    if (reason == Reason::system) return failed(errno);
    if (reason != Reason::ok) return refused(reason);
    return seal_secret(file->get());
}

// A socket's path is looked up like any other, and connected to by its descriptor: connect(2) itself would follow links.
Result<SocketName> find_socket(const Task& task, Patience patience, Fd& found) {
    WARDER_UNINITIALIZED const CPath path(task.path);
    if (!path.fits()) return failure(ENAMETOOLONG, "openat2");
    found = TRY(open_at(task.directory, path.get(), O_PATH | O_NOFOLLOW, 0, resolve_for(task, patience)));
    struct stat about;
    if (::fstat(found.get(), &about) != 0) return failure("fstat");
    if (!S_ISSOCK(about.st_mode)) return failure(ECONNREFUSED, "connect");
    FixedString<40> name("/proc/self/fd/");
    name.append_number(static_cast<std::uint64_t>(found.get()));
    return unix_socket_name(name.view(), Abstract::no);
}

Performed connect_to(const Task& task, Patience patience) {
    const auto& address = task.address;
    Fd found;
    SocketName name;
    if (address.family == policy::Family::unix_path) {
        auto path_name = find_socket(task, patience, found);
        if (!path_name) return not_opened(path_name.error(), patience);
        name = *path_name;
    } else {
        name = socket_name(address);
    }
    Fd socket(::socket(socket_family(address.family), socket_type(address.transport) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return failed(errno);
    const bool connected = ::connect(socket.get(), name.get(), name.size) == 0;
    // A unix socket whose backlog is full says EAGAIN, which is told as it is: nobody waits for it here.
    if (!connected && errno != EINPROGRESS) return failed(errno);
    if (!has(task.flags, OpenFlag::nonblock) && ::fcntl(socket.get(), F_SETFL, 0) != 0) return failed(errno);
    struct stat about;
    if (::fstat(socket.get(), &about) != 0) return failed(errno);
    return lent(std::move(socket), about, connected ? 0U : 1U);
}

// The directory of a path and its last name: what rename and unlink need, since they take no RESOLVE flags themselves.
struct Parent {
    Fd opened;
    int directory = -1;
    std::string_view name;
};

Result<Parent> parent_of(const Task& task, std::string_view path) {
    const std::string_view directory = policy::directory_of(path);
    Parent parent;
    parent.name = policy::name_of_file(path);
    parent.directory = task.directory;
    if (directory.empty()) return parent;
    const CPath text(directory);
    if (!text.fits()) return failure(ENAMETOOLONG, "openat2");
    parent.opened = TRY(open_at(task.directory, text.get(), O_PATH | O_DIRECTORY, 0,
                                resolve_for(task, Patience::until_deadline)));
    parent.directory = parent.opened.get();
    return parent;
}

Result<void> unlink_file(const Task& task) {
    const Parent parent = TRY(parent_of(task, task.path));
    if (::unlinkat(parent.directory, CPath(parent.name).get(), 0) != 0) return failure("unlinkat");
    return {};
}

Result<void> rename_file(const Task& task) {
    const Parent from = TRY(parent_of(task, task.path));
    const Parent to = TRY(parent_of(task, task.second));
    if (::renameat(from.directory, CPath(from.name).get(), to.directory, CPath(to.name).get()) != 0) {
        return failure("renameat");
    }
    return {};
}

Performed outcome_of(const Result<void>& result) {
    return result ? Performed{} : failed(result.error());
}

Performed perform_held(const Task& task, Patience patience) {
    switch (task.operation) {
        case Operation::read:
        case Operation::write:
        case Operation::append:
        case Operation::create: return open_file(task, patience);
        case Operation::secret: return lend_secret(task, patience);
        case Operation::connect: return connect_to(task, patience);
        case Operation::rename: return outcome_of(rename_file(task));
        case Operation::unlink: return outcome_of(unlink_file(task));
        default: break;   // listeners are lent by the broker, which keeps them
    }
    return refused(Reason::unknown_operation);
}

bool needs_directory(const Task& task) {
    return task.operation != Operation::connect || task.address.family == policy::Family::unix_path;
}

// A directory that is not held is found by its name first, as root and with symlinks: the prefix is the administrator's.
Performed perform_below_prefix(Task task, Privileges& privileges, const Identity& worker, Texts& texts) {
    privileges.become_root();
    const CPath prefix(task.prefix);
    if (!prefix.fits()) return failed(ENAMETOOLONG);
    auto directory = open_at(AT_FDCWD, prefix.get(), O_PATH | O_DIRECTORY, 0, RESOLVE_NO_MAGICLINKS);
    if (!directory) return failed(directory.error());
    const auto type = file_system_of(directory->get());
    if (!type) return failed(type.error());
    if (is_kernel_view(*type)) return refused(Reason::refused_filesystem);
    task.directory = directory->get();
    return perform(task, Patience::until_deadline, privileges, worker, texts);
}

}  // namespace

Performed perform(const Task& task, Patience patience, Privileges& privileges, const Identity& worker, Texts& texts) {
    if (needs_directory(task)) {
        if (!may_be_done_here(task, patience)) return refused(Reason::would_block);
        if (task.directory < 0) return perform_below_prefix(task, privileges, worker, texts);
    }
    if (task.as == policy::As::root) {
        privileges.become_root();
    } else if (const auto became = privileges.become(worker); !became) {
        return failed(became.error());
    }
    return perform_held(task, patience);
}

}  // namespace warder::broker
