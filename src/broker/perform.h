// What the files of perform() share: how a path is looked up for a task, what may be lent, and how an operation ends.
// Inside this module only; everybody else calls perform().
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <expected>
#include <string_view>

#include "base/fixed_string.h"
#include "broker/task.h"
#include "policy/path.h"
#include "sys/files.h"

namespace warder::broker {

Performed refused(Reason reason);
Performed failed(int error);
Performed failed(const Error& error);
Performed lent(Fd fd, const struct stat& about, std::uint64_t value = 0);
// Lends `fd` as it was asked for: waiting, unless the request wants it not to.
Performed lent_as_asked(const Task& task, Fd fd, std::uint64_t value = 0);
// Data for the reply. EMSGSIZE when the reply has no room for it any more.
Performed told(Texts& texts, std::string_view data, std::uint64_t value = 0);

// A value, or how the operation ended for want of it.
template <typename T>
using Tried = std::expected<T, Performed>;
using Ended = std::unexpected<Performed>;

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

std::uint64_t resolve_for(const Task& task, Patience patience);

// RESOLVE_CACHED says EAGAIN for a cold path, O_NONBLOCK says EWOULDBLOCK for a lease: both mean "with patience,
// perhaps".
Performed not_opened(const Error& error, Patience patience);

// open_at() of what is there already. With patience it lasts until no other process holds a lease on the file: the
// deadline of the request ends that.
Result<Fd> open_patiently(int directory, const char* path, std::uint64_t flags, std::uint64_t resolve, Patience patience);

// Where the last step of a lookup is taken: a directory, and what is left of the path.
struct Place {
    Fd opened;
    int directory = -1;
    std::string_view name;
};

// For what is opened: as the worker the whole path is left, which openat2 looks up at once.
Tried<Place> place_of(const Task& task, std::string_view path, Patience patience);
// For what changes a directory: one name is left, since mkdirat(2) and its like take no RESOLVE flags.
Tried<Place> parent_of(const Task& task, std::string_view path);

// Opens `path` (empty: the held directory itself) with these flags of open(2).
Tried<Fd> open_below(const Task& task, std::string_view path, std::uint64_t flags, Patience patience);

// What may be at the end of a path.
enum class Wanted : std::uint8_t { anything, regular, regular_or_directory };

// Looks at what was opened, before anything of it changes. Reason::system: errno says why not.
Reason gate(const Task& task, int fd, struct stat& about, Wanted wanted);
// The same as a whole: empty when all is well.
Performed passed(const Task& task, int fd, struct stat& about, Wanted wanted);

// Under root what is made may have to be given away, and is anybody's to replace in between: each checks what it gives.
inline bool gives_away(const Task& task) { return task.owned && task.as == policy::As::root; }

// An anonymous file that is filled once and then nobody can change, of no more than the task has left. Errors: memfd_create(2).
Result<Fd> new_sealed_file(const char* name);
// EDQUOT, told as too_many: the worker holds as much of such memory as it may.
bool has_memory_for(const Task& task, std::uint64_t size);
Performed lend_sealed(Fd memory, std::uint64_t size);

// perform_files.cc
Performed open_file(const Task& task, Patience patience);
Performed truncate_file(const Task& task);
Performed lend_secret(const Task& task, Patience patience);

// perform_paths.cc
Performed tell_stat(const Task& task, Patience patience, Texts& texts);
Performed test_access(const Task& task, Patience patience);
Performed read_link(const Task& task, Patience patience, Texts& texts);
Performed list_directory(const Task& task);
// `watcher`: an inotify instance that is the worker's, or why there is none.
Performed watch_path(const Task& task, Patience patience, Result<Fd> watcher);
Performed make_directory(const Task& task);
Performed remove_name(const Task& task, int flags);
Performed rename_path(const Task& task);
Performed link_file(const Task& task);
Performed make_symlink(const Task& task);
Performed change_mode(const Task& task);

// perform_sockets.cc
Performed connect_to(const Task& task, Patience patience);
Performed connect_to_log(const Task& task, Patience patience);
Performed lend_raw(const Task& task);
Performed lend_packet(const Task& task);
Performed lend_netlink(const Task& task);

// perform_system.cc
Performed open_device(const Task& task, Texts& texts);
Performed read_sysctl(const Task& task, Texts& texts);
Performed write_sysctl(const Task& task);

}  // namespace warder::broker
