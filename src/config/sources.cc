#include "config/sources.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "base/mount_table.h"
#include "sys/fd.h"
#include "sys/path_walk.h"
#include "sys/process.h"

namespace warder::config {
namespace {

constexpr std::size_t largest_file = 16U << 20;    // bytes: a config is read whole into memory
constexpr std::size_t largest_sum = 64U << 20;
constexpr std::size_t max_files = 4096;
constexpr int dies_within_ms = 100;

// ---- What the child says ----

enum class Word : char { about = 'a', waits = 'w', source = 's', problem = 'p', end = 'e' };

// A word, two lengths and two texts: the file, and what there is to say of it.
struct Said {
    Word word = Word::end;
    std::uint32_t file_size = 0;
    std::uint32_t text_size = 0;
};

std::string words_for(int error) { return std::generic_category().message(error); }

// Of the machine itself, where each number is somebody (user_namespaces(7)).
bool in_first_user_namespace() {
    std::ifstream map("/proc/self/uid_map");
    std::uint32_t inside = 1;
    std::uint32_t outside = 1;
    std::uint32_t count = 0;
    map >> inside >> outside >> count;
    return inside == 0 && outside == 0 && count == 0xffffffffU;
}

// In another one, everybody outside of it has one number.
bool is_trusted(std::uint32_t id, std::uint32_t own) {
    constexpr std::uint32_t overflow = 65534;
    return id == 0 || id == own || (id == overflow && !in_first_user_namespace());
}

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};

// Runs in the child. A class only to keep at hand where it tells and how it may read.
class Reader {
public:
    Reader(int to, Occasion occasion) : to_(to), occasion_(occasion) {}

    void read(const std::string& path) {
        say(Word::about, path, {});
        struct stat about;
        const bool directory = ::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode);
        const std::string main = directory ? path + "/warder.toml" : path;
        read_file(AT_FDCWD, main, main, directory ? Among::drop_ins : Among::named);
        const std::size_t slash = main.rfind('/');
        read_drop_ins(slash == std::string::npos ? "conf.d" : main.substr(0, slash + 1) + "conf.d");
        say(Word::end, {}, {});
    }

private:
    enum class Among : std::uint8_t { named, drop_ins };   // what the operator named may be a pipe

    void send(const void* bytes, std::size_t size) {
        const char* at = static_cast<const char*>(bytes);
        while (size > 0) {
            const ssize_t sent = ::write(to_, at, size);
            if (sent < 0 && errno == EINTR) continue;
            if (sent <= 0) ::_exit(1);
            at += sent;
            size -= static_cast<std::size_t>(sent);
        }
    }

    void say(Word word, const std::string& file, const std::string& text) {
        const Said said{word, static_cast<std::uint32_t>(file.size()), static_cast<std::uint32_t>(text.size())};
        send(&said, sizeof said);
        send(file.data(), file.size());
        send(text.data(), text.size());
    }

    void complain(const std::string& file, const std::string& what) { say(Word::problem, file, what); }
    void unreadable(const std::string& file, const std::string& why) { complain(file, "cannot be read: " + why); }

    // Who may write to it decides what warderd does.
    void check_writers(const std::string& path, const struct stat& about) {
        const auto complain_of = [&](const std::string& who, const char* remedy) {
            complain(path, who + ", who could have warderd do anything: " + remedy + " " + path);
        };
        if (!is_trusted(about.st_uid, ::geteuid())) complain_of("belongs to uid " + std::to_string(about.st_uid), "chown root");
        if ((about.st_mode & S_IWOTH) != 0 && !S_ISCHR(about.st_mode)) {
            complain_of("may be written to by everybody", "chmod go-w");
        } else if ((about.st_mode & S_IWGRP) != 0 && !S_ISCHR(about.st_mode) && !is_trusted(about.st_gid, ::getegid())) {
            complain_of("may be written to by gid " + std::to_string(about.st_gid), "chmod g-w");
        }
    }

    // Without a name: of a shell's <(...) or |.
    static bool is_anonymous_pipe(int fd) {
        constexpr long pipefs = 0x50495045;
        struct statfs where;
        return ::fstatfs(fd, &where) == 0 && static_cast<long>(where.f_type) == pipefs;
    }

    // Empty: it may be read.
    std::string fault_of(int fd, const struct stat& about, Among among) const {
        if (S_ISREG(about.st_mode)) return {};
        if (S_ISDIR(about.st_mode)) return words_for(EISDIR);
        const bool pipe = S_ISFIFO(about.st_mode) && is_anonymous_pipe(fd);
        const bool terminal = S_ISCHR(about.st_mode) && ::isatty(fd) != 0;
        const bool null = S_ISCHR(about.st_mode) && about.st_rdev == ::makedev(1, 3);
        if (among == Among::named && null) return {};
        if (among == Among::named && (pipe || terminal)) {
            if (occasion_ == Occasion::first) return {};
            return "it is a pipe or a terminal, which is read once: put the config into a file to be able to reload it";
        }
        if (S_ISFIFO(about.st_mode)) return "it is a FIFO, and only regular files are read";
        if (S_ISSOCK(about.st_mode)) return "it is a socket, and only regular files are read";
        return "it is a device, and only regular files are read";
    }

    void read_file(int directory, const std::string& name, const std::string& path, Among among) {
        say(Word::about, path, {});
        const Fd file(::openat(directory, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
        if (!file) return explain(directory, name, path, errno);
        struct stat about;
        if (::fstat(file.get(), &about) != 0) return unreadable(path, words_for(errno));
        if (const auto fault = fault_of(file.get(), about, among); !fault.empty()) return unreadable(path, fault);
        check_writers(path, about);
        if (!S_ISREG(about.st_mode)) say(Word::waits, path, {});
        const auto text = read_all(file.get());
        if (!text) return unreadable(path, text.error());
        if (sum_ += text->size(); sum_ > largest_sum) return unreadable(path, "all files together are larger than 64 MiB");
        say(Word::source, path, *text);
    }

    // ENXIO is what a socket answers, and a device that is not there; EWOULDBLOCK, what somebody has a lease on.
    void explain(int directory, const std::string& name, const std::string& path, int error) {
        struct stat about;
        if (error == ENXIO) return unreadable(path, "it is a socket or a device, and only regular files are read");
        if (error == EWOULDBLOCK) return unreadable(path, "somebody holds a lease on it");
        const bool dangling = error == ENOENT && ::fstatat(directory, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(about.st_mode);
        unreadable(path, dangling ? "it is a symlink that leads to nothing" : words_for(error));
    }

    static std::expected<std::string, std::string> read_all(int fd) {
        std::string text;
        char part[64 * 1024];
        for (;;) {
            const ssize_t size = ::read(fd, part, sizeof part);
            if (size == 0) return text;
            if (size < 0 && errno == EAGAIN) {
                pollfd ready{fd, POLLIN, 0};
                ::poll(&ready, 1, -1);
            } else if (size < 0 && errno != EINTR) {
                return std::unexpected(words_for(errno));
            } else if (size > 0) {
                text.append(part, static_cast<std::size_t>(size));
            }
            if (text.size() > largest_file) return std::unexpected(std::string("it is larger than 16 MiB"));
        }
    }

    // An absent conf.d is an empty one.
    void read_drop_ins(const std::string& path) {
        say(Word::about, path, {});
        Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC));
        if (!directory && errno == ENOENT) return;
        struct stat about;
        if (!directory || ::fstat(directory.get(), &about) != 0) return unreadable(path, words_for(errno));
        check_writers(path, about);
        const int number = directory.get();
        const std::unique_ptr<DIR, CloseDirectory> listing(::fdopendir(directory.release()));
        if (!listing) return unreadable(path, words_for(errno));
        for (const auto& name : names_in(listing.get(), path)) read_file(number, name, path + "/" + name, Among::drop_ins);
    }

    std::vector<std::string> names_in(DIR* listing, const std::string& path) {
        std::vector<std::string> names;
        constexpr std::string_view ending = ".toml";
        errno = 0;
        while (const dirent* entry = ::readdir(listing)) {
            const std::string name = entry->d_name;
            if (name[0] != '.' && name.size() > ending.size() && name.ends_with(ending)) names.push_back(name);
            if (names.size() > max_files) {
                unreadable(path, "it has more than " + std::to_string(max_files) + " files");
                return {};
            }
        }
        if (errno != 0) unreadable(path, words_for(errno));
        std::ranges::sort(names);
        return names;
    }

    int to_;
    Occasion occasion_;
    std::size_t sum_ = 0;
};

// warderd is one thread, so its heap is whole in a child.
[[noreturn]] void read_and_tell(const std::string& path, Occasion occasion, int to) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Reader(to, occasion).read(path);
    for (;;) ::syscall(SYS_exit_group, 0);
}

// ---- What the parent takes ----

// A child that hangs in the kernel is left behind: it has been told to die.
void end(const Fd& child) {
    (void)send_signal(child.get(), SIGKILL);
    if (ended_within(child.get(), dies_within_ms)) (void)reap(child.get());
}

Problem problem_of(const std::string& file, std::string what) {
    Problem problem;
    problem.where.file = file;
    problem.what = std::move(what);
    return problem;
}

class Taker {
public:
    Taker(int from, int patience_ms) : from_(from), patience_ms_(patience_ms) {}

    Gathered take() {
        while (take_one()) {}
        return std::move(gathered_);
    }

private:
    bool take_one() {
        Said said;
        std::string file;
        std::string text;
        const bool whole = take(&said, sizeof said) && take(file, said.file_size) && take(text, said.text_size);
        if (!whole) return give_up();
        waits_ = said.word == Word::waits;
        if (said.word == Word::about) about_ = std::move(file);
        if (said.word == Word::source) gathered_.sources.push_back({std::move(file), std::move(text)});
        else if (said.word == Word::problem) gathered_.problems.push_back(problem_of(file, std::move(text)));
        return said.word != Word::end;
    }

    bool take(std::string& into, std::size_t size) {
        into.resize(size);
        return take(into.data(), size);
    }

    bool take(void* into, std::size_t size) {
        char* at = static_cast<char*>(into);
        while (size > 0) {
            pollfd ready{from_, POLLIN, 0};
            const int found = ::poll(&ready, 1, waits_ ? -1 : patience_ms_);
            if (found < 0 && errno == EINTR) continue;
            silent_ = found == 0;
            const ssize_t got = found == 1 ? ::read(from_, at, size) : 0;
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) return false;
            at += got;
            size -= static_cast<std::size_t>(got);
        }
        return true;
    }

    bool give_up() {
        const Mount mount = mount_behind(mount_table(), about_);
        const std::string where = answered_by_others(mount.type) ? " (on " + mount.type + " at " + mount.point + ")" : "";
        const std::string why = silent_ ? "it does not answer" + where : "who read it has died";
        gathered_.problems.push_back(problem_of(about_, "cannot be read: " + why));
        return false;
    }

    int from_;
    int patience_ms_;
    bool waits_ = false;
    bool silent_ = false;
    std::string about_;
    Gathered gathered_;
};

Gathered failed(const std::string& path, const char* what) {
    const int error = errno;
    return {{}, {problem_of(path, "cannot be read: " + std::string(what) + ": " + words_for(error))}};
}

}  // namespace

Gathered gather(const std::string& path, Occasion occasion, int patience_ms) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failed(path, "pipe2");
    const Fd from(ends[0]);
    Fd to(ends[1]);
    std::optional<Cloned> child;
    {
        const SignalsBlocked blocked;
        auto cloned = clone_process(0, -1);
        if (cloned && cloned->pid == 0) read_and_tell(path, occasion, to.get());
        if (cloned) child = std::move(*cloned);
    }
    if (!child) return failed(path, "clone3");
    to.reset();
    Gathered gathered = Taker(from.get(), patience_ms).take();
    end(child->pidfd);
    return gathered;
}

}  // namespace warder::config
