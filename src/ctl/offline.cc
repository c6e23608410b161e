#include "ctl/offline.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <climits>

#include "sys/fd.h"

extern char** environ;

namespace warder::ctl {
namespace {

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

std::string own_program() {
    std::array<char, PATH_MAX> path{};
    const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
    return size > 0 ? std::string(path.data(), static_cast<std::size_t>(size)) : "";
}

std::string read_all(const Fd& fd) {
    std::string text;
    std::array<char, 16 * 1024> buffer;
    for (;;) {
        const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return text;
        text.append(buffer.data(), static_cast<std::size_t>(size));
    }
}

Result<pid_t> spawn(const std::string& program, const std::vector<std::string>& arguments, int output) {
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    pid_t pid = -1;
    const int error = ::posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) return failure(error, "starting warderd");
    return pid;
}

}  // namespace

std::string find_warderd(const std::string& own) {
    const std::string neighbour = directory_of(directory_of(own)) + "/daemon/warderd";
    if (::access(neighbour.c_str(), X_OK) == 0) return neighbour;
    const std::string beside = directory_of(directory_of(own)) + "/sbin/warderd";
    if (::access(beside.c_str(), X_OK) == 0) return beside;
    return WARDER_SBINDIR "/warderd";
}

Result<Finished> run_warderd(const std::vector<std::string>& arguments) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failure("pipe2");
    const Fd reading(ends[0]);
    Fd writing(ends[1]);
    const pid_t pid = TRY(spawn(find_warderd(own_program()), arguments, writing.get()));
    writing.reset();
    Finished finished;
    finished.output = read_all(reading);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return finished;
}

}  // namespace warder::ctl
