// attempts: `run GROUP key=value...` tries each as a worker of warderd and writes a line for each to its grant `out`; `try
// names=NAME,... key=value...` tries those in a sandbox of the test's; `list` prints the table, `legend` the mechanisms; `victim key=value...` stands still and says what of it can be reached.
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "attempt.h"

namespace attempts {

void step_aside(int namespaces) {
    if (::unshare(namespaces) == 0 && (namespaces & CLONE_NEWNS) != 0) ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
}

int run(const std::string& program, const std::string& argument) {
    int told[2];
    if (::pipe2(told, O_CLOEXEC) != 0) return -errno;
    const pid_t child = ::fork();
    if (child == 0) {
        char* const arguments[] = {const_cast<char*>("program"), const_cast<char*>(argument.c_str()), nullptr};
        if (program.starts_with('#')) ::syscall(SYS_execveat, std::atoi(program.c_str() + 1), "", arguments, environ, 0x1000);
        else ::execve(program.c_str(), arguments, environ);
        const int error = errno;
        ::_exit(::write(told[1], &error, sizeof error) == sizeof error ? 127 : 126);
    }
    ::close(told[1]);
    int error = 0;
    const bool failed = ::read(told[0], &error, sizeof error) == sizeof error;
    ::close(told[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (failed) return -error;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

bool become_ordinary() {
    constexpr uid_t nobody = 65533;
    if (::geteuid() != 0) return true;
    return ::setgroups(0, nullptr) == 0 && ::setresgid(nobody, nobody, nobody) == 0 && ::setresuid(nobody, nobody, nobody) == 0;
}

int own_file(const Context& context, const char* name, int flags, mode_t mode) {
    return ::open(context.own(name).c_str(), flags | O_CLOEXEC, mode);
}

bool copy_itself(const Context& context, int into) {
    const int from = ::open(context.below("shown/attempts").c_str(), O_RDONLY | O_CLOEXEC);
    char buffer[65536];
    for (ssize_t size = 0; (size = ::read(from, buffer, sizeof buffer)) != 0;) {
        if (size < 0 || ::write(into, buffer, static_cast<std::size_t>(size)) != size) return false;
    }
    return true;
}

namespace {

std::vector<Attempt> all() {
    std::vector<Attempt> every;
    for (const auto part : {on_files(), on_the_kernel(), on_processes(), on_networks(), on_what_is_lent()}) every.insert(every.end(), part.begin(), part.end());
    return every;
}

std::string in_words(int answer) {
    if (answer == 0) return "open";
    if (answer == only_its_own) return "its own";
    const char* name = ::strerrorname_np(answer);
    return name == nullptr ? std::to_string(answer) : name;
}

// In a child of its own, so that what it changes of itself ends with it.
std::string outcome_of(const Attempt& attempt, const Context& context) {
    if (attempt.needs != none_lent && context.lent[attempt.needs] < 0) return "not lent";
    int told[2];
    if (::pipe2(told, O_CLOEXEC) != 0) return "no pipe";
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(5);
        const int answer = attempt.function(context);
        ::_exit(::write(told[1], &answer, sizeof answer) == sizeof answer ? 0 : 1);
    }
    ::close(told[1]);
    int answer = 0;
    const bool answered = ::read(told[0], &answer, sizeof answer) == sizeof answer;
    ::close(told[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (answered) return in_words(answer);
    return WIFSIGNALED(status) ? std::string("SIG") + ::sigabbrev_np(WTERMSIG(status)) : "nothing";
}

void read_arguments(Context& context, char** first) {
    for (char** one = first; *one != nullptr; ++one) {
        const std::string text = *one;
        const std::size_t at = text.find('=');
        if (at != std::string::npos) context.told[text.substr(0, at)] = text.substr(at + 1);
    }
}

int list() {
    for (const auto& one : all()) {
        std::printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", one.name, one.group == Group::plain ? "plain" : "sockets", one.what, one.strict, one.service,
                    names_of(one.stopped_by).c_str(), one.absent);
    }
    return 0;
}

int run_group(const std::string& group, char** arguments) {
    Context context{};
    for (int& fd : context.lent) fd = -1;
    read_arguments(context, arguments);
    const char* socket = std::getenv("WARDER_SOCKET");
    int out = STDOUT_FILENO;
    context.told["broker"] = socket == nullptr ? "-1" : socket;
    if (socket != nullptr) ask_for_descriptors(std::atoi(socket), context.lent, out);
    for (const auto& one : all()) {
        if ((one.group == Group::plain) == (group == "plain")) ::dprintf(out, "%s\t%s\n", one.name, outcome_of(one, context).c_str());
    }
    ::dprintf(out, "end\t\n");
    for (;;) ::pause();
}

// Those that are told by name, with what a test lends, to the end.
int try_some(char** arguments) {
    Context context{};
    for (int& fd : context.lent) fd = -1;
    read_arguments(context, arguments);
    const char* const socket = std::getenv("WARDER_SOCKET");
    if (socket == nullptr) return 2;
    context.told["broker"] = socket;
    take_descriptors(std::atoi(socket), context.lent);
    const std::string names = "," + context.text("names") + ",";
    for (const auto& one : all()) {
        if (names.find("," + std::string(one.name) + ",") == names.npos) continue;
        ::dprintf(STDOUT_FILENO, "%s\t%s\n", one.name, outcome_of(one, context).c_str());
    }
    ::dprintf(STDOUT_FILENO, "end\t\n");
    return 0;
}

bool is_root() { return ::geteuid() == 0; }

bool has_raw() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    ::syscall(SYS_capget, &header, data);
    return (data[0].effective >> CAP_NET_RAW & 1) != 0;
}

}  // namespace

// Counted where everybody may read it. The kernel sends it unasked, in the name of whoever made this process an owner.
int* counted = nullptr;
void count_signal(int) { ++*counted; }

void count_signals(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    void* const at = file < 0 ? MAP_FAILED : ::mmap(nullptr, sizeof *counted, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (at == MAP_FAILED) return;
    counted = static_cast<int*>(at);
    ::signal(SIGIO, count_signal);
}

int be_a_victim(const Context& c) {
    alignas(4096) static char page[4096] = "a victim's memory";
    if (c.told.contains("count")) count_signals(c.text("count"));
    const auto uid = static_cast<uid_t>(c.number("uid"));
    if (::setresgid(uid, uid, uid) != 0 || ::setresuid(uid, uid, uid) != 0) return 1;
    ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int shm = ::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    const int msg = ::msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    const int sem = ::semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    const std::string name = "hostile." + std::to_string(::getpid());
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
        const int fd = ::socket(AF_UNIX, type, 0);
        const std::string at = name + (type == SOCK_DGRAM ? ".d" : "");
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path + 1, at.data(), at.size());
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + at.size());
        if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), size) != 0) return 1;
        if (type == SOCK_STREAM && ::listen(fd, 128) != 0) return 1;
    }
    const mqd_t queue = ::mq_open(("/" + name).c_str(), O_RDWR | O_CREAT, 0600, nullptr);
    const int named = ::shm_open(("/" + name).c_str(), O_RDWR | O_CREAT, 0644);
    std::printf("pid=%d uid=%u shm=%d msg=%d sem=%d name=%s address=%p page=%p\n", ::getpid(), uid, shm, msg, sem, name.c_str(),
                static_cast<void*>(page), static_cast<void*>(page));
    std::fflush(stdout);
    char byte = 0;
    while (::read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR) {}
    ::shmctl(shm, IPC_RMID, nullptr);
    ::msgctl(msg, IPC_RMID, nullptr);
    ::semctl(sem, 0, IPC_RMID);
    if (named >= 0) ::shm_unlink(("/" + name).c_str());
    if (queue >= 0) ::mq_unlink(("/" + name).c_str());
    return 0;
}

}  // namespace attempts

int main(int count, char** arguments) {
    using namespace attempts;
    const std::string what = count > 1 ? arguments[1] : "";
    if (what == "nothing") return 0;
    if (what == "is-root") return is_root() ? 0 : 1;
    if (what == "has-raw") return has_raw() ? 0 : 1;
    if (what == "list") return list();
    if (what == "legend") return std::fputs(legend().c_str(), stdout) < 0 ? 1 : 0;
    if (what == "run" && count > 2) return run_group(arguments[2], arguments + 3);
    if (what == "try") return try_some(arguments + 2);
    if (what == "victim") {
        Context context{};
        read_arguments(context, arguments + 2);
        return be_a_victim(context);
    }
    return 2;
}
