// sandbox-view: tells what the sandbox looks like from inside, where there is no /proc, by asking the kernel. Each argument is
// one question; the answers are lines on standard output.
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

extern char** environ;

namespace {

void print_descriptors() {
    std::printf("fds");
    for (int fd = 0; fd < 4096; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0) std::printf(" %d", fd);
    }
    std::printf("\n");
}

void print_ids() {
    uid_t uid[3];
    gid_t gid[3];
    gid_t groups[64];
    ::getresuid(&uid[0], &uid[1], &uid[2]);
    ::getresgid(&gid[0], &gid[1], &gid[2]);
    const int count = ::getgroups(64, groups);
    std::printf("uids %u %u %u\ngids %u %u %u\ngroups", uid[0], uid[1], uid[2], gid[0], gid[1], gid[2]);
    for (int i = 0; i < count; ++i) std::printf(" %u", groups[i]);
    std::printf("\n");
}

void print_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    ::syscall(SYS_capget, &header, data);
    int bounding = 0;
    int ambient = 0;
    for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
        bounding += ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        ambient += ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0);
    }
    std::printf("effective %x%x permitted %x%x inheritable %x%x bounding %d ambient %d\n", data[1].effective, data[0].effective,
                data[1].permitted, data[0].permitted, data[1].inheritable, data[0].inheritable, bounding, ambient);
    std::printf("securebits %x\n", static_cast<unsigned>(::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0)));
}

void print_flags() {
    int signal = 0;
    ::prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0);
    std::printf("no_new_privs %d seccomp %d pdeathsig %d\n", ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
                ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0), signal);
}

void print_signals() {
    sigset_t blocked;
    ::sigprocmask(SIG_SETMASK, nullptr, &blocked);
    int count = 0;
    int ignored = 0;
    for (int signal = 1; signal <= 64; ++signal) {
        count += sigismember(&blocked, signal) == 1;
        struct sigaction action {};
        if (::sigaction(signal, nullptr, &action) == 0) ignored += action.sa_handler != SIG_DFL;
    }
    std::printf("blocked %d not_default %d\n", count, ignored);
}

void print_place() {
    char directory[4096];
    utsname names{};
    ::uname(&names);
    const mode_t mask = ::umask(0);
    ::umask(mask);
    std::printf("directory %s\nhostname %s domain %s\numask %03o\nnice %d\n", ::getcwd(directory, sizeof directory), names.nodename,
                names.domainname, mask, ::getpriority(PRIO_PROCESS, 0));
}

void print_priorities() {
    const long io = ::syscall(SYS_ioprio_get, 1, 0);
    sched_param parameters{};
    ::sched_getparam(0, &parameters);
    std::printf("io %ld scheduler %d priority %d cpus", io, ::sched_getscheduler(0), parameters.sched_priority);
    cpu_set_t set;
    CPU_ZERO(&set);
    ::sched_getaffinity(0, sizeof set, &set);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) std::printf(" %d", cpu);
    }
    std::printf("\n");
}

const char* name_of(long result);

// Whether memory that was writable can become executable, and what the kernel says of it.
void print_memory() {
    void* const memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::printf("executable %s\n", name_of(::mprotect(memory, 4096, PROT_READ | PROT_EXEC)));
    std::printf("mdwe %d personality %lx\n", ::prctl(66, 0, 0, 0, 0), ::syscall(SYS_personality, 0xffffffffUL));
}

// Of the session keyring: what it is called and whose it is ("keyring;uid;gid;permissions;name").
void print_keyring() {
    char text[256]{};
    const long size = ::syscall(SYS_keyctl, 6 /* KEYCTL_DESCRIBE */, -3 /* of the session */, text, sizeof text - 1);
    std::printf("keyring %s %s\n", name_of(size), size >= 0 ? text : "");
}

void print_dumpable() { std::printf("dumpable %d\n", ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)); }

void print_clocks() {
    timespec boot{};
    ::clock_gettime(CLOCK_BOOTTIME, &boot);
    std::printf("boottime %ld\n", static_cast<long>(boot.tv_sec));
}

void print_namespace(const char* kind) {
    char text[128]{};
    const std::string path = std::string("/proc/self/ns/") + kind;
    std::printf("namespace %s\n", ::readlink(path.c_str(), text, sizeof text - 1) > 0 ? text : "unseen");
}

void print_file(const char* path) {
    char text[256]{};
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t size = fd < 0 ? -1 : ::read(fd, text, sizeof text - 1);
    std::printf("file %s %s\n", path, size < 0 ? ::strerrorname_np(errno) : text);
    if (fd >= 0) ::close(fd);
}

void print_directory(const char* path) {
    struct stat status {};
    struct statfs system {};
    const long result = ::stat(path, &status) + ::statfs(path, &system);
    std::printf("directory %s %s %04o %u %lu\n", path, name_of(result), status.st_mode & 07777, status.st_uid,
                static_cast<unsigned long>(system.f_blocks) * static_cast<unsigned long>(system.f_bsize));
}

void bind_to(const char* port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
    std::printf("bind %s %s\n", port, name_of(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address)));
    ::close(fd);
}

void print_terminal() {
    for (const int fd : {0, 1, 2}) std::printf("terminal %d %d\n", ::isatty(fd), ::tcgetsid(fd) == ::getpid());
}

void print_environment() {
    for (char** variable = environ; *variable; ++variable) std::printf("env %s\n", *variable);
}

void print_limit(const char* resource) {
    rlimit limit{};
    ::getrlimit(static_cast<__rlimit_resource>(std::atoi(resource)), &limit);
    std::printf("limit %s %llu %llu\n", resource, static_cast<unsigned long long>(limit.rlim_cur),
                static_cast<unsigned long long>(limit.rlim_max));
}

const char* name_of(long result) { return result >= 0 ? "ok" : ::strerrorname_np(errno); }

void open_for(const char* path, int flags) {
    const int fd = ::open(path, flags | O_CLOEXEC, 0600);
    std::printf("open %s %s\n", path, name_of(fd));
    if (fd >= 0) ::close(fd);
}

// A child that runs `path`, and what exec says if it may not.
void execute(const char* path) {
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child == 0) {
        ::execl(path, path, "-c", "exit 0", nullptr);
        ::_exit(errno == EACCES ? 100 : 101);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    std::printf("execute %s %s\n", path, WEXITSTATUS(status) == 100 ? "EACCES" : WEXITSTATUS(status) == 101 ? "other" : "ok");
}

// "NUMBER,ARG,ARG…": one system call, and how it ended.
void call(const char* text) {
    long values[7]{};
    char* at = const_cast<char*>(text);
    for (long& value : values) {
        value = std::strtol(at, &at, 0);
        if (*at != ',') break;
        ++at;
    }
    const long result = ::syscall(values[0], values[1], values[2], values[3], values[4], values[5], values[6]);
    std::printf("call %s %s\n", text, name_of(result));
}

void answer(const std::string& question) {
    const auto colon = question.find(':');
    const std::string word = question.substr(0, colon);
    const std::string rest = colon == std::string::npos ? "" : question.substr(colon + 1);
    if (word == "fds") print_descriptors();
    else if (word == "ids") print_ids();
    else if (word == "capabilities") print_capabilities();
    else if (word == "flags") print_flags();
    else if (word == "signals") print_signals();
    else if (word == "place") print_place();
    else if (word == "priorities") print_priorities();
    else if (word == "memory") print_memory();
    else if (word == "keyring") print_keyring();
    else if (word == "clocks") print_clocks();
    else if (word == "dumpable") print_dumpable();
    else if (word == "namespace") print_namespace(rest.c_str());
    else if (word == "file") print_file(rest.c_str());
    else if (word == "directory") print_directory(rest.c_str());
    else if (word == "bind") bind_to(rest.c_str());
    else if (word == "terminal") print_terminal();
    else if (word == "environment") print_environment();
    else if (word == "limit") print_limit(rest.c_str());
    else if (word == "pids") std::printf("pid %d ppid %d sid %d\n", ::getpid(), ::getppid(), ::getsid(0));
    else if (word == "read") open_for(rest.c_str(), O_RDONLY);
    else if (word == "write") open_for(rest.c_str(), O_WRONLY);
    else if (word == "create") open_for(rest.c_str(), O_WRONLY | O_CREAT | O_EXCL);
    else if (word == "execute") execute(rest.c_str());
    else if (word == "call") call(rest.c_str());
    else if (word == "orphan") {
        // A grandchild that outlives its parent, and ends: somebody must reap it.
        if (::fork() == 0) {
            if (::fork() == 0) ::usleep(20'000);
            ::_exit(0);
        }
    } else if (word == "fork_and_wait") {
        if (::fork() == 0) {
            for (;;) ::pause();
        }
    } else if (word == "sleep") {
        std::fflush(stdout);
        for (;;) ::pause();
    } else {
        std::printf("unknown question %s\n", word.c_str());
        std::exit(2);
    }
    std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
    for (int i = 1; i < count; ++i) answer(arguments[i]);
}
