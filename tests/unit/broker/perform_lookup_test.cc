// Lookups while somebody swaps what is looked up. A friend of the worker exchanges a directory, or the last name, with
// a symlink to a folder outside, as fast as it can; whatever the operation and whoever it is performed as, nothing
// outside is ever opened, told of or changed.
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <thread>
#include <tuple>

#include "policy/path.h"
#include "protocol/message.h"
#include "unit/broker/stand.h"

using namespace warder;
using namespace warder::broker;
using warder::test::nobody;
using warder::test::Stand;

namespace {

constexpr auto long_enough = std::chrono::milliseconds(150);   // for each operation, as the worker and as root

constexpr Operation every_operation[] = {
    Operation::read,   Operation::write,    Operation::append, Operation::create, Operation::truncate, Operation::secret,
    Operation::stat,   Operation::access,   Operation::list,   Operation::watch,  Operation::readlink, Operation::mkdir,
    Operation::rmdir,  Operation::unlink,   Operation::rename, Operation::link,   Operation::symlink,  Operation::chmod,
    Operation::connect};

// Everything about a folder that an operation could have changed.
std::map<std::string, std::string> picture(const std::string& path) {
    std::map<std::string, std::string> seen;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
        struct stat about {};
        if (::lstat(entry.path().c_str(), &about) != 0) continue;
        seen[entry.path()] = std::to_string(about.st_ino) + " " + std::to_string(about.st_mode) + " " +
                             std::to_string(about.st_uid) + " " + std::to_string(about.st_size) + " " +
                             std::to_string(about.st_nlink) + " " + std::to_string(about.st_mtim.tv_nsec);
    }
    return seen;
}

int listen_at(const std::string& path) {
    const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    CHECK(::bind(socket, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
    CHECK(::listen(socket, 4096) == 0);
    return socket;
}

// The same names within and without, so that a lookup that strays succeeds.
void furnish(const std::string& path, std::string_view text) {
    std::filesystem::create_directories(path + "/directory");
    std::filesystem::create_directories(path + "/listed");
    std::ofstream(path + "/file") << text;
    std::ofstream(path + "/second") << text;
    CHECK(::symlink(std::string(text).c_str(), (path + "/link").c_str()) == 0);
    for (const char* name : {"", "/directory", "/listed", "/file", "/second"}) {
        CHECK(::chmod((path + name).c_str(), 0777) == 0);
        CHECK(::chown((path + name).c_str(), nobody.uid, nobody.gid) == 0);
    }
}

struct Race {
    Stand inside;
    Stand outside;
    std::map<std::string, std::string> before;
    ino_t foreign[5]{};
    Fd listeners[2];
    std::atomic<bool> over = false;
    std::thread friend_of_worker;
    int done = 0;
    int refused = 0;
    int strayed = 0;

    Race() {
        for (Stand* stand : {&inside, &outside}) {
            REQUIRE(::chown(stand->path.c_str(), nobody.uid, nobody.gid) == 0);
        }
        furnish(inside.at("sub"), "inside");
        furnish(outside.path, "outside");
        inside.write("sub/program", "", 0644);
        outside.write("program", "", 0755);
        listeners[0] = Fd(listen_at(inside.at("sub/socket")));
        listeners[1] = Fd(listen_at(outside.at("socket")));
        REQUIRE(::chmod(outside.at("socket").c_str(), 0777) == 0);
        before = picture(outside.path);
        int i = 0;
        for (const char* name : {"directory", "file", "second", "link", "socket"}) foreign[i++] = outside.about(name).st_ino;
    }
    ~Race() {
        over = true;
        if (friend_of_worker.joinable()) friend_of_worker.join();
    }

    void swap(const std::string& one, const std::string& other) {
        friend_of_worker = std::thread([this, one, other] {
            while (!over) {
                ::renameat2(AT_FDCWD, inside.at(one).c_str(), AT_FDCWD, inside.at(other).c_str(), RENAME_EXCHANGE);
            }
        });
    }

    // Relative, so that only RESOLVE_BENEATH and NO_SYMLINKS are in the way: an absolute one might cross a mount.
    std::string way_out() const { return "../" + std::string(policy::name_of_file(outside.path)); }

    bool is_foreign(ino_t inode) const {
        for (const ino_t one : foreign) {
            if (one == inode) return true;
        }
        return false;
    }

    bool leads_outside(const Task& task, const Performed& performed) const {
        struct stat about {};
        if (performed.fd && ::fstat(performed.fd.get(), &about) == 0 && is_foreign(about.st_ino)) return true;
        switch (task.operation) {
            case Operation::stat: return is_foreign(inode_in(performed.data));
            case Operation::readlink: return performed.data.find("outside") != std::string_view::npos;
            case Operation::list: return text_of(performed).find("only-outside") != std::string::npos;
            case Operation::secret: return text_of(performed) != "inside";
            case Operation::access: return true;   // it is not allowed of the file within
            default: return false;                 // what it changed is seen in the picture
        }
    }

    void judge(const Task& task, const Performed& performed) {
        const bool ok = performed.reason == Reason::ok;
        ++(ok ? done : refused);
        if (ok && leads_outside(task, performed)) ++strayed;
    }

    static ino_t inode_in(std::string_view data) {
        protocol::wire::Stat wire{};
        std::memcpy(&wire, data.data(), sizeof wire);
        return wire.inode;
    }

    static std::string text_of(const Performed& performed) {
        std::string text(performed.value, '\0');
        (void)!::pread(performed.fd.get(), text.data(), text.size(), 0);
        return text;
    }

    // What the operation takes away is there again for the next time.
    void restore(int real, Operation operation) {
        switch (operation) {
            case Operation::mkdir: ::unlinkat(real, "made", AT_REMOVEDIR); break;
            case Operation::symlink:
            case Operation::create:
            case Operation::link: ::unlinkat(real, "made", 0); break;
            case Operation::rmdir:
                ::mkdirat(real, "directory", 0777);
                std::ignore = ::fchownat(real, "directory", nobody.uid, nobody.gid, 0);
                break;
            case Operation::unlink:
            case Operation::rename:
                ::close(::openat(real, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0777));
                std::ignore = ::fchownat(real, "file", nobody.uid, nobody.gid, 0);
                break;
            case Operation::connect: Fd(::accept4(listeners[0].get(), nullptr, nullptr, SOCK_CLOEXEC)); break;
            default: break;
        }
    }

    bool strangers_called() const { return ::accept4(listeners[1].get(), nullptr, nullptr, SOCK_CLOEXEC) >= 0; }

    Task aimed(Operation operation, const std::string& directory, policy::As as) {
        static std::string path, second;
        const auto below = [&](const char* name) { return directory + name; };
        second = below("second");
        switch (operation) {
            case Operation::list: path = below("listed"); break;
            case Operation::rmdir: path = below("directory"); break;
            case Operation::readlink: path = below("link"); break;
            case Operation::connect: path = below("socket"); break;
            case Operation::symlink: second = "text", path = below("made"); break;
            case Operation::mkdir:
            case Operation::create: path = below("made"); break;
            case Operation::link: second = below("made"), path = below("file"); break;
            case Operation::access: path = below("program"); break;
            default: path = below("file"); break;
        }
        Task task = inside.task(operation, path, second);
        task.as = as;
        task.owner = nobody.uid;
        task.owner_group = nobody.gid;
        task.owned = true;
        task.mode = operation == Operation::access ? X_OK : 0700;
        task.address.family = policy::Family::unix_path;
        task.address.transport = policy::Transport::unix_stream;
        return task;
    }

    // On a busy machine it takes longer until a look falls between two swaps.
    void run_until_refused(const Task& task, int real) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        do run(task, real);
        while (refused == 0 && std::chrono::steady_clock::now() < end);
    }

    void run(const Task& task, int real) {
        const auto end = std::chrono::steady_clock::now() + long_enough;
        while (std::chrono::steady_clock::now() < end) {
            restore(real, task.operation);
            judge(task, inside.perform(task));
        }
    }
};

}  // namespace

TEST_CASE("T23: a directory that is swapped for a symlink leads no operation outside") {
    NEEDS_ROOT();
    for (const auto as : {policy::As::worker, policy::As::root}) {
        for (const auto operation : every_operation) {
            CAPTURE(name_of(operation));
            Race race;
            const Fd real(::open(race.inside.at("sub").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            race.outside.write("listed/only-outside", "");
            race.before = picture(race.outside.path);
            REQUIRE(::symlink(race.way_out().c_str(), race.inside.at("away").c_str()) == 0);
            race.swap("sub", "away");
            race.run_until_refused(race.aimed(operation, "sub/", as), real.get());
            CHECK(race.refused > 0);   // or nothing was swapped
            CHECK(race.strayed == 0);
            CHECK_FALSE(race.strangers_called());
            CHECK(picture(race.outside.path) == race.before);
        }
    }
}

TEST_CASE("T23: a last name that is swapped for a symlink leads no operation outside") {
    NEEDS_ROOT();
    for (const auto as : {policy::As::worker, policy::As::root}) {
        for (const auto operation : every_operation) {
            CAPTURE(name_of(operation));
            Race race;
            const Fd real(::open(race.inside.at("sub").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            const Task task = race.aimed(operation, "sub/", as);
            const std::string name(policy::name_of_file(task.path));
            if (name == "made") continue;   // nothing is there that could be swapped
            race.outside.write("listed/only-outside", "");
            race.before = picture(race.outside.path);
            REQUIRE(::symlink(("../" + race.way_out() + "/" + name).c_str(), race.inside.at("away").c_str()) == 0);
            race.swap("sub/" + name, "away");
            race.run(task, real.get());
            CHECK(race.done + race.refused > 0);
            CHECK(race.strayed == 0);
            CHECK_FALSE(race.strangers_called());
            CHECK(picture(race.outside.path) == race.before);
        }
    }
}

TEST_CASE("as root no path leads through a directory that belongs to somebody else") {
    NEEDS_ROOT();
    Stand stand;
    std::filesystem::create_directories(stand.at("root/theirs/below"));
    stand.write("root/file", "text");
    stand.write("root/theirs/file", "text");
    stand.write("root/theirs/below/file", "text");
    REQUIRE(::chown(stand.at("root/theirs").c_str(), 61999, 61999) == 0);
    for (const auto operation : every_operation) {
        if (operation == Operation::connect) continue;
        CAPTURE(name_of(operation));
        for (const char* path : {"root/theirs/file", "root/theirs/below/file"}) {
            CHECK(stand.perform(stand.task(operation, path, "root/other")).reason == Reason::foreign_owner);
        }
    }
    CHECK(stand.perform(stand.task(Operation::rename, "root/file", "root/theirs/other")).reason == Reason::foreign_owner);
    CHECK(stand.read("root/theirs/below/file") == "text");
    Task task = stand.task(Operation::read, "root/theirs/below/file");
    task.owner = 61999;
    CHECK(stand.perform(task).reason == Reason::ok);
    CHECK(stand.perform(stand.task(Operation::read, "root/file")).reason == Reason::ok);
}

TEST_CASE("T22: ways up, absolute paths and paths that are too long are refused whoever asks, as the kernel says it") {
    NEEDS_ROOT();
    Stand stand;
    const Stand elsewhere;   // never a file of the machine's: a test that fails here must not have removed it
    elsewhere.write("file", "its own");
    stand.write("file", "text");
    const std::string endless(5000, 'x');
    const std::string stray = "../" + std::string(policy::name_of_file(stand.path)) + "-stray";
    const std::string stray_below = "sub/../" + stray;
    const std::string stray_absolute = stand.path + "-stray";
    for (const auto as : {policy::As::worker, policy::As::root}) {
        for (const auto operation : {Operation::read, Operation::stat, Operation::mkdir, Operation::unlink, Operation::symlink}) {
            CAPTURE(name_of(operation));
            Task task = stand.task(operation, "", "text");
            task.as = as;
            for (const std::string& path : {stray, stray_below, stray_absolute}) {
                task.path = path;
                CHECK(stand.perform(task).reason == Reason::system);
            }
            const std::string absolute = elsewhere.at("file");
            task.path = absolute;
            CHECK(stand.perform(task).error == EXDEV);
            task.path = endless;
            CHECK(stand.perform(task).error == ENAMETOOLONG);
        }
    }
    CHECK_FALSE(std::filesystem::exists(stray_absolute));
    CHECK(elsewhere.read("file") == "its own");
}
