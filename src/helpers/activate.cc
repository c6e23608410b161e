// warder-activate: starts a program that knows nothing of Warder with listeners that warderd keeps for it.
//
//     warder-activate [--nginx] GRANT... -- PROGRAM [ARGUMENT]...
//
// It is the first program of a worker. It asks for each grant, puts the sockets to descriptors 3, 4, ... in that order, as
// sd_listen_fds(3) has it (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES), with --nginx also as nginx has it, and becomes PROGRAM,
// which has no way to warderd any more.
#include <fcntl.h>
#include <unistd.h>
#include <warder/warder.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr int exit_not_run = 127;

constexpr int first_passed = 3;
constexpr std::size_t max_passed = 64;
constexpr int above_all_passed = first_passed + static_cast<int>(max_passed);

struct Task {
    bool nginx = false;
    std::vector<std::string> grants;
    char** program = nullptr;   // and its arguments, to a null pointer
};

bool read_task(char** words, Task& task) {
    for (; *words != nullptr && std::strcmp(*words, "--") != 0; ++words) {
        if (std::strcmp(*words, "--nginx") == 0) task.nginx = true;
        else task.grants.emplace_back(*words);
    }
    if (*words == nullptr || words[1] == nullptr) return false;
    task.program = words + 1;
    return !task.grants.empty() && task.grants.size() <= max_passed;
}

int failed(const std::string& what, const char* why) {
    std::fprintf(stderr, "warder-activate: %s: %s\n", what.c_str(), why);
    return exit_failed;
}

// Above all numbers that are to be given, so that moving one into place never overwrites another.
int listen_for(warder_connection* parent, const std::string& grant) {
    const int lent = warder_listen(parent, grant.c_str(), nullptr, 0);
    if (lent < 0) return -1;
    const int lifted = ::fcntl(lent, F_DUPFD_CLOEXEC, above_all_passed);
    ::close(lent);
    return lifted;
}

// Opened at exec for the program: dup2 leaves close-on-exec behind.
bool place(const std::vector<int>& sockets) {
    for (std::size_t i = 0; i < sockets.size(); ++i) {
        if (::dup2(sockets[i], first_passed + static_cast<int>(i)) < 0) return false;
    }
    return true;
}

void tell(const Task& task) {
    std::string names;
    std::string numbers;
    for (std::size_t i = 0; i < task.grants.size(); ++i) {
        names += (i == 0 ? "" : ":") + task.grants[i];
        numbers += std::to_string(first_passed + static_cast<int>(i)) + ";";
    }
    ::setenv("LISTEN_FDS", std::to_string(task.grants.size()).c_str(), 1);
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDNAMES", names.c_str(), 1);
    if (task.nginx) ::setenv("NGINX", numbers.c_str(), 1);
    ::unsetenv(WARDER_SOCKET_VARIABLE);
    ::unsetenv(WARDER_STORE_VARIABLE);
}

}  // namespace

int main(int, char** words) {
    Task task;
    if (!read_task(words + 1, task)) {
        std::fputs("usage: warder-activate [--nginx] GRANT... -- PROGRAM [ARGUMENT]...\n", stderr);
        return exit_usage;
    }
    warder_connection* parent = warder_connect();
    if (parent == nullptr) return failed("connecting to warderd", warder_why());
    std::vector<int> sockets;
    for (const auto& grant : task.grants) {
        sockets.push_back(listen_for(parent, grant));
        if (sockets.back() < 0) return failed("grant " + grant, warder_why());
    }
    warder_close(parent);
    if (!place(sockets)) return failed("placing descriptors", std::strerror(errno));
    tell(task);
    ::execv(task.program[0], task.program);
    failed(task.program[0], std::strerror(errno));
    return exit_not_run;
}
