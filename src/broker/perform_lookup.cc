// How a path is looked up for a task, and what is looked at before anything of it is lent or changed.
#include <fcntl.h>
#include <linux/openat2.h>
#include <time.h>

#include "base/bytes.h"
#include "broker/perform.h"

namespace warder::broker {
namespace {

constexpr std::uint64_t never_upwards = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;

// Under root's credentials permissions do not count, so ownership must: a hard link or a foreign owner may be
// somebody's trap.
bool trusted_owner(const Task& task, const struct stat& about) {
    const bool one_name = S_ISDIR(about.st_mode) || about.st_nlink == 1;
    return one_name && (about.st_uid == 0 || about.st_uid == task.owner);
}

bool is_wanted(const struct stat& about, Wanted wanted) {
    switch (wanted) {
        case Wanted::regular: return S_ISREG(about.st_mode);
        case Wanted::regular_or_directory: return S_ISREG(about.st_mode) || S_ISDIR(about.st_mode);
        default: return true;
    }
}

Tried<Fd> open_directory(const Task& task, int from, std::string_view path, Patience patience) {
    WARDER_UNINITIALIZED const CPath text(path);
    if (!text.fits()) return Ended(failed(ENAMETOOLONG));
    auto directory = open_at(from, text.get(), O_PATH | O_DIRECTORY, 0, resolve_for(task, patience));
    if (!directory) return Ended(not_opened(directory.error(), patience));
    return std::move(*directory);
}

// As root every directory on the way is looked at: one that belongs to somebody else is somebody else's to fill.
Tried<Place> walk(const Task& task, std::string_view path, Patience patience) {
    Place place{Fd(), task.directory, path};
    for (std::size_t slash; (slash = place.name.find('/')) != std::string_view::npos;) {
        // A slash in front is left for the kernel to refuse, as it refuses "..".
        const auto name = place.name.substr(0, slash == 0 ? 1 : slash);
        auto next = open_directory(task, place.directory, name, patience);
        if (!next) return Ended(std::move(next.error()));
        struct stat about;
        if (const auto told = status_of(next->get(), about); !told) return Ended(failed(told.error()));
        if (!trusted_owner(task, about)) return Ended(refused(Reason::foreign_owner));
        place.opened = std::move(*next);
        place.directory = place.opened.get();
        place.name.remove_prefix(slash + 1);
    }
    return place;
}

}  // namespace

std::uint64_t resolve_for(const Task& task, Patience patience) {
    std::uint64_t resolve = never_upwards;
    if (!task.cross_mounts) resolve |= RESOLVE_NO_XDEV;
    if (patience == Patience::never) resolve |= RESOLVE_CACHED;
    return resolve;
}

Performed not_opened(const Error& error, Patience patience) {
    if (patience == Patience::never && error.number == EAGAIN) return refused(Reason::would_block);
    return failed(error);
}

// The first try has told the lease's holder to let go. Asked again rather than waited for in open(2) itself, which would
// then also wait for a FIFO that took the file's place.
Result<Fd> open_patiently(int directory, const char* path, std::uint64_t flags, std::uint64_t resolve, Patience patience) {
    constexpr timespec pause{0, 5'000'000};
    for (;;) {
        auto opened = open_at(directory, path, flags, 0, resolve);
        const bool leased = !opened && opened.error().number == EAGAIN;
        if (!leased || patience == Patience::never) return opened;
        ::nanosleep(&pause, nullptr);
    }
}

Tried<Place> place_of(const Task& task, std::string_view path, Patience patience) {
    if (path.empty()) return Place{Fd(), task.directory, "."};
    if (task.as == policy::As::root) return walk(task, path, patience);
    return Place{Fd(), task.directory, path};
}

Tried<Place> parent_of(const Task& task, std::string_view path) {
    const std::string_view above = policy::directory_of(path);
    if (task.as == policy::As::root) return walk(task, path, Patience::until_deadline);
    if (above.empty()) return Place{Fd(), task.directory, path};
    auto opened = open_directory(task, task.directory, above, Patience::until_deadline);
    if (!opened) return Ended(std::move(opened.error()));
    const int number = opened->get();
    return Place{std::move(*opened), number, policy::name_of_file(path)};
}

Tried<Fd> open_below(const Task& task, std::string_view path, std::uint64_t flags, Patience patience) {
    auto place = place_of(task, path, patience);
    if (!place) return Ended(std::move(place.error()));
    WARDER_UNINITIALIZED const CPath name(place->name);
    if (!name.fits()) return Ended(failed(ENAMETOOLONG));
    auto opened = open_patiently(place->directory, name.get(), flags, resolve_for(task, patience), patience);
    if (!opened) return Ended(not_opened(opened.error(), patience));
    return std::move(*opened);
}

Reason gate(const Task& task, int fd, struct stat& about, Wanted wanted) {
    if (!status_of(fd, about)) return Reason::system;
    if (!is_wanted(about, wanted)) return Reason::not_regular;
    if (task.cross_mounts) {
        const auto type = file_system_of(fd);
        if (!type) return Reason::system;
        if (is_kernel_view(*type)) return Reason::refused_filesystem;
    }
    const bool owner_counts = task.as == policy::As::root && wanted != Wanted::anything && task.operation != Operation::secret;
    return owner_counts && !trusted_owner(task, about) ? Reason::foreign_owner : Reason::ok;
}

Performed passed(const Task& task, int fd, struct stat& about, Wanted wanted) {
    const Reason reason = gate(task, fd, about, wanted);
    if (reason == Reason::system) return failed(errno);
    return refused(reason);   // of Reason::ok: nothing to say
}

}  // namespace warder::broker
