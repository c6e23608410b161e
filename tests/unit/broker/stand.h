// What tests of perform() stand on: a folder held by descriptor, as a grant's is, and tasks below it. Nothing of the
// broker.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "broker/task.h"

#define NEEDS_ROOT()                     \
    do {                                 \
        if (::geteuid() != 0) {          \
            MESSAGE("skipped: not root"); \
            return;                      \
        }                                \
    } while (false)

// In a child, where doctest has no say: the line that was not as it must be is the child's exit status.
#define HOLDS(condition)                           \
    do {                                           \
        if (!(condition)) return __LINE__ % 255 + 1; \
    } while (false)

namespace warder::test {

// Somebody without rights: what the tests' workers are performed for.
inline constexpr Identity nobody{.uid = 61234, .gid = 61234};

struct Stand {
    std::string path;
    Fd directory;
    Privileges privileges;
    std::unique_ptr<broker::Texts> texts = std::make_unique<broker::Texts>();
    mode_t umask_before = ::umask(0);   // as in an opener

    explicit Stand(const char* base = "/tmp") : path(std::string(base) + "/warder-stand-XXXXXX") {
        REQUIRE(::mkdtemp(path.data()) != nullptr);
        REQUIRE(::chmod(path.c_str(), 0755) == 0);
        directory = Fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
    ~Stand() {
        privileges.become_root();
        ::umask(umask_before);
        std::filesystem::remove_all(path);
    }
    Stand(const Stand&) = delete;
    Stand& operator=(const Stand&) = delete;

    std::string at(const std::string& name) const { return path + "/" + name; }
    void write(const std::string& name, std::string_view text, mode_t mode = 0644) const {
        std::ofstream(at(name)) << text;
        ::chmod(at(name).c_str(), mode);
    }
    std::string read(const std::string& name) const {
        std::ifstream file(at(name));
        return {std::istreambuf_iterator<char>(file), {}};
    }
    struct stat about(const std::string& name) const {
        struct stat raw {};
        CHECK(::lstat(at(name).c_str(), &raw) == 0);
        return raw;
    }
    bool there(const std::string& name) const { return ::faccessat(AT_FDCWD, at(name).c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

    broker::Task task(Operation operation, std::string_view name, std::string_view second = {}) const {
        broker::Task made;
        made.operation = operation;
        made.path = name;
        made.second = second;
        made.directory = directory.get();
        made.local = true;
        made.memory_left = 64 << 20;
        made.as = policy::As::root;
        return made;
    }
    broker::Task worker_task(Operation operation, std::string_view name, std::string_view second = {}) const {
        broker::Task made = task(operation, name, second);
        made.as = policy::As::worker;
        return made;
    }

    broker::Performed perform(const broker::Task& task,
                              broker::Patience patience = broker::Patience::until_deadline) {
        texts->clear();
        auto performed = broker::perform(task, patience, privileges, nobody, *texts);
        privileges.become_root();
        return performed;
    }
};

// Runs `function` in a child with namespaces of its own (CLONE_NEWNET, CLONE_NEWNS); 0 when everything held.
template <typename Function>
int in_namespaces(int namespaces, const Function& function) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(20);
        ::_exit(::unshare(namespaces) == 0 ? function() : 254);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace warder::test
