#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "config/sources.h"
#include "unit/config/one.h"

namespace warder::config {
namespace {

namespace filesystem = std::filesystem;

using testing::shown;

// A directory of its own, gone with the test.
class Directory {
public:
    Directory() {
        char name[] = "/tmp/warder-load-XXXXXX";
        REQUIRE(mkdtemp(name) != nullptr);
        path_ = name;
    }
    ~Directory() { filesystem::remove_all(path_); }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;

    void write(const std::string& name, const std::string& text) const {
        filesystem::create_directories(filesystem::path(at(name)).parent_path());
        std::ofstream(at(name)) << text;
    }
    std::string at(const std::string& name) const { return path_ + "/" + name; }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

std::string one_worker(const std::string& name) { return "[worker." + name + "]\nexec = \"/usr/bin/x\"\n"; }

TEST_CASE("a file is read together with the conf.d beside it, in order of name") {
    const Directory etc;
    etc.write("warder.toml", one_worker("main"));
    etc.write("conf.d/20-b.toml", one_worker("b"));
    etc.write("conf.d/10-z.toml", one_worker("z"));
    etc.write("conf.d/readme.txt", "no TOML");
    etc.write("conf.d/.hidden.toml", "no TOML");
    etc.write("conf.d/30-c.toml~", "no TOML");
    for (const std::string& path : {etc.path(), etc.at("warder.toml")}) {
        const Parsed parsed = load(path);
        CHECK_EQ(shown(parsed.problems), "");
        REQUIRE_EQ(parsed.config.workers.size(), 3);
        CHECK_EQ(parsed.config.workers[0].name, "main");
        CHECK_EQ(parsed.config.workers[1].name, "z");
        CHECK_EQ(parsed.config.workers[2].name, "b");
        CHECK_EQ(parsed.config.files.at(1), etc.at("conf.d/10-z.toml"));
    }
}

TEST_CASE("a file without conf.d is enough") {
    const Directory etc;
    etc.write("other.toml", one_worker("a"));
    CHECK_EQ(load(etc.at("other.toml")).config.workers.size(), 1);
}

TEST_CASE("a file that is not there is a problem") {
    const Directory etc;
    CHECK_EQ(shown(load(etc.at("warder.toml")).problems),
             etc.at("warder.toml") + ": error: cannot be read: No such file or directory\n");
    CHECK_FALSE(load(etc.path()).ok());
}

TEST_CASE("what cannot be read does not keep the rest from being checked") {
    const Directory etc;
    etc.write("warder.toml", one_worker("a") + "redy = 1\n");
    etc.write("conf.d/x.toml/a", "");
    CHECK_EQ(shown(load(etc.path()).problems),
             etc.at("conf.d/x.toml") + ": error: cannot be read: Is a directory\n" + etc.at("warder.toml") +
                 ":3:1: error: unknown key \"redy\" in worker \"a\"\n"
                 "    3 | redy = 1\n"
                 "      | ^~~~ did you mean \"ready\"?\n");
}

TEST_CASE("what others may write to is refused, by whom and with what to do") {
    const Directory etc;
    etc.write("warder.toml", one_worker("a"));
    etc.write("conf.d/b.toml", one_worker("b"));
    const auto with = [&etc](const std::string& name, unsigned mode, gid_t group, uid_t owner) {
        const std::string file = etc.at(name);
        const auto before = filesystem::status(file).permissions();
        if (::chown(file.c_str(), owner, group) != 0) return std::string("cannot be given away");
        filesystem::permissions(file, filesystem::perms(mode));
        std::string said = shown(load(etc.path()).problems);
        filesystem::permissions(file, before);
        if (::chown(file.c_str(), ::geteuid(), ::getegid()) != 0) said += "cannot be taken back";
        return said;
    };
    const auto error = [&etc](const std::string& name, const std::string& what, const std::string& remedy) {
        return etc.at(name) + ": error: " + what + ", who could have warderd do anything: " + remedy + " " + etc.at(name) + "\n";
    };
    const uid_t us = ::geteuid();
    const gid_t ours = ::getegid();
    CHECK_EQ(with("warder.toml", 0664, ours, us), "");
    CHECK_EQ(with("warder.toml", 0666, ours, us), error("warder.toml", "may be written to by everybody", "chmod go-w"));
    CHECK_EQ(with("conf.d", 0777, ours, us), error("conf.d", "may be written to by everybody", "chmod go-w"));
    etc.write("given", "");
    if (::chown(etc.at("given").c_str(), 61234, 61234) != 0) return;   // who has no other uids
    CHECK_EQ(with("conf.d/b.toml", 0664, 61234, us), error("conf.d/b.toml", "may be written to by gid 61234", "chmod g-w"));
    CHECK_EQ(with("warder.toml", 0644, 61234, 61234), error("warder.toml", "belongs to uid 61234", "chown root"));
    CHECK_EQ(with("conf.d", 0755, 0, 61234), error("conf.d", "belongs to uid 61234", "chown root"));
}

// Below a limit of its own, so that what waits after all is seen as what it is.
std::string said_by(const std::string& path, Occasion occasion = Occasion::first) {
    ::alarm(60);
    std::string said = shown(load(path, {}, occasion).problems);
    ::alarm(0);
    return said;
}

TEST_CASE("T52: what is no regular file below the config's path is told at once and not waited for") {
    const Directory etc;
    etc.write("warder.toml", one_worker("a"));
    etc.write("conf.d/b.toml", one_worker("b"));
    const auto with = [&](const std::string& why, const auto& make) {
        const std::string path = etc.at("conf.d/x.toml");
        make(path.c_str());
        for (const auto occasion : {Occasion::first, Occasion::again}) CHECK_EQ(said_by(etc.path(), occasion), path + ": error: cannot be read: " + why + "\n");
        filesystem::remove_all(path);
    };
    with("it is a FIFO, and only regular files are read", [](const char* path) { REQUIRE(::mkfifo(path, 0600) == 0); });
    with("it is a FIFO, and only regular files are read", [&](const char* path) {
        REQUIRE(::mkfifo(etc.at("pipe").c_str(), 0600) == 0);
        filesystem::create_symlink(etc.at("pipe"), path);
    });
    with("it is a socket or a device, and only regular files are read", [](const char* path) {
        const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        ::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
        REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        ::close(fd);
    });
    with("Is a directory", [](const char* path) { filesystem::create_directory(path); });
    with("it is a symlink that leads to nothing", [](const char* path) { filesystem::create_symlink("/nowhere/at/all", path); });
    with("Too many levels of symbolic links", [](const char* path) { filesystem::create_symlink(path, path); });
    for (const char* device : {"/dev/zero", "/dev/null", "/dev/full", "/dev/urandom"}) {
        with("it is a device, and only regular files are read", [device](const char* path) { filesystem::create_symlink(device, path); });
    }
    CHECK_EQ(said_by(etc.path()), "");
}

TEST_CASE("T52: the file itself is no FIFO and no endless device, and conf.d a directory") {
    const Directory etc;
    REQUIRE(::mkfifo(etc.at("warder.toml").c_str(), 0600) == 0);
    CHECK_EQ(said_by(etc.path()), etc.at("warder.toml") + ": error: cannot be read: it is a FIFO, and only regular files are read\n");
    CHECK_EQ(said_by(etc.at("warder.toml")), etc.at("warder.toml") + ": error: cannot be read: it is a FIFO, and only regular files are read\n");
    CHECK_EQ(said_by("/dev/zero"), "/dev/zero: error: cannot be read: it is a device, and only regular files are read\n");
    CHECK_EQ(said_by("/dev/null"), "");
    const Directory other;
    other.write("warder.toml", one_worker("a"));
    REQUIRE(::mkfifo(other.at("conf.d").c_str(), 0600) == 0);
    CHECK_EQ(said_by(other.path()), other.at("conf.d") + ": error: cannot be read: Not a directory\n");
}

TEST_CASE("a pipe of the shell is read as long as it takes, once") {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const std::string path = "/dev/fd/" + std::to_string(ends[0]);
    const pid_t writer = ::fork();
    if (writer == 0) {
        const std::string whole = one_worker("slow");
        for (const auto& part : {whole.substr(0, 9), whole.substr(9)}) {
            ::usleep(100'000);
            (void)!::write(ends[1], part.data(), part.size());
        }
        ::_exit(0);
    }
    ::close(ends[1]);
    const Gathered gathered = gather(path, Occasion::first, 20);   // shorter than the writer takes
    CHECK_EQ(shown(gathered.problems), "");
    REQUIRE_EQ(gathered.sources.size(), 1);
    CHECK_EQ(gathered.sources[0].text, one_worker("slow"));
    CHECK_NE(said_by(path, Occasion::again).find("it is a pipe or a terminal, which is read once"), std::string::npos);
    ::close(ends[0]);
    ::waitpid(writer, nullptr, 0);
}

TEST_CASE("a file larger than 16 MiB is not read") {
    const Directory etc;
    etc.write("warder.toml", std::string((16U << 20) + 1, '#'));
    CHECK_EQ(shown(load(etc.path()).problems), etc.at("warder.toml") + ": error: cannot be read: it is larger than 16 MiB\n");
}

}  // namespace
}  // namespace warder::config
