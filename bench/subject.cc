#include "bench/subject.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "bench/orders.h"
#include "protocol/codec.h"

namespace warder::bench {

using namespace std::chrono_literals;

namespace {

Result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return failure(ENAMETOOLONG, "a socket of the bench");
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

Result<void> write_file(const std::string& path, std::string_view text) {
    std::ofstream file(path, std::ios::binary);
    file << text;
    file.flush();
    if (!file) return failure(EIO, "writing a file of the bench");
    return {};
}

Result<Fd> listen_on(const std::string& path) {
    const sockaddr_un address = TRY(address_of(path));
    Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!listener) return failure("socket");
    const int on = 1;   // before anybody connects: the kernel then says who sends
    if (::setsockopt(listener.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) return failure("SO_PASSCRED");
    if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return failure("bind");
    if (::chmod(path.c_str(), 0666) != 0) return failure("chmod");
    if (::listen(listener.get(), 1024) != 0) return failure("listen");
    return listener;
}

Result<void> wait_readable(int fd, Duration patience) {
    pollfd wanted{fd, POLLIN, 0};
    const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(patience).count();
    const int ready = ::poll(&wanted, 1, static_cast<int>(timeout));
    if (ready < 0) return failure("poll");
    if (ready == 0) return failure(ETIMEDOUT, "waiting for a worker of the bench");
    return {};
}

Result<Visitor> greeted(Fd socket) {
    Hello hello{};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
    iovec part{&hello, sizeof hello};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (::recvmsg(socket.get(), &message, MSG_WAITALL) != static_cast<ssize_t>(sizeof hello)) {
        return failure(EPROTO, "a worker's hello");
    }
    const cmsghdr* head = CMSG_FIRSTHDR(&message);
    if (head == nullptr || head->cmsg_type != SCM_CREDENTIALS) return failure(EPROTO, "a worker's credentials");
    ucred said{};
    std::memcpy(&said, CMSG_DATA(head), sizeof said);
    hello.name[sizeof hello.name - 1] = '\0';
    return Visitor{hello.name, {said.pid, said.uid, said.gid}, std::move(socket)};
}

Result<void> read_whole(int fd, void* into, std::size_t size) {
    auto* at = static_cast<char*>(into);
    while (size > 0) {
        const auto got = ::read(fd, at, size);
        if (got <= 0) return failure(got < 0 ? errno : EPIPE, "hearing from a worker of the bench");
        at += got;
        size -= static_cast<std::size_t>(got);
    }
    return {};
}

std::string daemon_config(const std::string& root, const std::string& more) {
    return "[daemon]\nruntime_directory = \"" + root + "/run\"\nstate_directory = \"" + root +
           "/state\"\nlog_directory = \"" + root + "/log\"\ncontrol_group = \"root\"\nlog_keeper = false\n" + more + "\n";
}

// The warderd that runs, for a signal handler. Its parent-death signal does not outlive its change of credentials (prctl(2)).
volatile std::sig_atomic_t running = -1;
volatile std::sig_atomic_t ended_by = 0;

// Asked to end, we end warderd: whatever waits for its workers then fails, and everything is put away on the way out.
void end_the_subject(int signal) {
    ended_by = signal;
    if (running > 0) {
        ::kill(running, SIGTERM);
    } else {
        ::signal(signal, SIG_DFL);
        ::raise(signal);
    }
}

// As many descriptors as the kernel lets us have: each of a thousand trees is held open.
void raise_descriptor_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

[[noreturn]] void become_warderd(const Programs& programs, const std::string& config, const std::string& log) {
    const pid_t bench = ::getppid();
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != bench) ::_exit(1);
    raise_descriptor_limit();
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    ::execl(programs.warderd.c_str(), "warderd", "--config", config.c_str(), nullptr);
    ::_exit(127);
}

}  // namespace

bool told_to_end() { return ended_by != 0; }

Result<Scratch> Scratch::create() {
    const char* base = std::getenv("TMPDIR");
    std::string path = std::string(base == nullptr ? "/tmp" : base) + "/warder-bench-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return failure("mkdtemp");
    Scratch scratch(std::move(path));
    TRY(scratch.fill());
    return scratch;
}

Result<void> Scratch::fill() {
    if (::chmod(path_.c_str(), 0755) != 0) return failure("chmod");
    for (const char* name : {"/site", "/trees", "/run", "/state", "/log"}) {
        if (::mkdir((path_ + name).c_str(), 0755) != 0) return failure("mkdir");
    }
    TRY(write_file(site() + "/page.html", "<!doctype html><title>bench</title>\n"));
    listener_ = TRY(listen_on(socket()));
    return {};
}

Scratch::~Scratch() {
    if (path_.empty()) return;
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

Result<std::string> Scratch::make_tree(std::size_t number) const {
    std::string path = path_ + "/trees/" + std::to_string(number);
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return failure("mkdir");
    return path;
}

namespace {

// Sends an order and reads as many samples as it asks for.
Result<Samples> ordered(int socket, const Order& order) {
    if (::send(socket, &order, sizeof order, MSG_NOSIGNAL) < 0) return failure("ordering a worker of the bench");
    Samples samples(order.count);
    TRY(read_whole(socket, samples.data(), samples.size() * sizeof samples[0]));
    return samples;
}

}  // namespace

Result<Samples> Visitor::opens(std::size_t count, std::size_t width) {
    return ordered(socket.get(), {static_cast<std::uint32_t>(count), static_cast<std::uint32_t>(width)});
}

Result<Samples> Visitor::kind(const KindSteps& steps, std::size_t count) {
    return ordered(socket.get(), {static_cast<std::uint32_t>(count), static_cast<std::uint32_t>(steps.timed), Doing::kind,
                                  static_cast<std::uint32_t>(steps.before), static_cast<std::uint32_t>(steps.after)});
}

void show_log(const Scratch& scratch) {
    std::ifstream log(scratch.log());
    for (std::string line; std::getline(log, line);) std::fprintf(stderr, "%s\n", line.c_str());
}

Result<Visitor> next_visitor(const Scratch& scratch, Duration patience) {
    if (const auto came = wait_readable(scratch.listener(), patience); !came) {
        show_log(scratch);
        return Failure(came.error());
    }
    Fd socket(::accept4(scratch.listener(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) return failure("accept4");
    return greeted(std::move(socket));
}

std::string worker_config(const Scratch& scratch, const Programs& programs, std::string_view name, std::string_view sandbox,
                          std::size_t grants) {
    std::string text = "[worker." + std::string(name) + "]\nexec = [\"" + programs.worker + "\"]\nready = \"libwarder\"\n";
    text += "restart = { policy = \"always\", delay = \"0s\", jitter = 0.0, start_limit_burst = 0 }\n";
    text += "max_request_rate = 1000000\n";   // the cost of requests is measured, not their quota
    if (!sandbox.empty()) text += "sandbox = { profile = \"" + std::string(sandbox) + "\" }\n";
    text += "[worker." + std::string(name) + ".grants]\nbench = { connect = \"unix:" + scratch.socket() + "\" }\n";
    for (std::size_t i = 1; i < grants; ++i) {
        const auto tree = scratch.make_tree(i);
        if (tree) text += "tree" + std::to_string(i) + " = { read = \"" + *tree + "\", type = \"tree\" }\n";
    }
    return text + "site = { read = \"" + scratch.site() + "\", type = \"tree\" }\n\n";
}

Result<Subject> Subject::start(const Scratch& scratch, const Programs& programs, const std::string& workers,
                               const std::string& daemon) {
    const std::string config = scratch.path() + "/warder.toml";
    TRY(write_file(config, daemon_config(scratch.path(), daemon) + workers));
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::signal(signal, end_the_subject);
    const pid_t pid = ::fork();
    if (pid < 0) return failure("fork");
    if (pid == 0) become_warderd(programs, config, scratch.log());
    running = pid;
    return Subject(pid, scratch.path() + "/run/control.sock");
}

Subject::~Subject() {
    if (pid_ > 0) stop();
}

int Subject::stop() {
    running = -1;
    ::kill(pid_, SIGTERM);
    int status = 0;
    for (int i = 0; i < 1500; ++i) {
        if (::waitpid(pid_, &status, WNOHANG) == pid_) {
            pid_ = -1;
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        }
        std::this_thread::sleep_for(10ms);
    }
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return -1;
}

Result<std::string> Subject::command(protocol::Verb verb, std::string_view worker) {
    const sockaddr_un address = TRY(address_of(control_path_));
    Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!socket) return failure("socket");
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return failure("connecting to the control socket");
    }
    Channel channel(std::move(socket));
    std::array<std::byte, max_message> buffer;
    const auto flags = worker.empty() ? std::uint16_t{0} : static_cast<std::uint16_t>(protocol::CommandFlag::wait);
    const protocol::Command wanted{.verb = verb, .flags = flags, .number = 0, .worker = worker, .argument = {}, .second = {}};
    TRY(channel.send_waiting(TRY(protocol::encode_command(buffer, RequestId{1}, wanted))));
    std::string text;
    for (;;) {
        const Received got = TRY(channel.receive_waiting(buffer));
        if (got.kind != Received::Kind::message) return failure(EPIPE, "the control socket");
        const auto report = TRY(protocol::decode_report(TRY(protocol::decode(got.bytes))));
        if (report.error != 0) return failure(report.error, "a command of the bench");
        text += report.text;
        if (!report.more) return text;
    }
}

namespace {

// The number that stands behind `name` in a report.
Result<std::uint64_t> number_in(const std::string& report, std::string_view name) {
    const std::string key = '"' + std::string(name) + "\":";
    const auto at = report.find(key);
    if (at == std::string::npos) return failure(EPROTO, "a report without what the bench looks for");
    return std::strtoull(report.c_str() + at + key.size(), nullptr, 10);
}

}  // namespace

Result<Subject::Loop> Subject::loop() {
    const std::string report = TRY(command(protocol::Verb::version));
    return Loop{TRY(number_in(report, "turns")), TRY(number_in(report, "over_5ms"))};
}

void Subject::move(Place place) const {
    move_to(place, pid_);
    for (const pid_t child : children_of(pid_)) move_to(place, child);
}

std::vector<pid_t> children_of(pid_t parent) {
    std::vector<pid_t> children;
    const std::string number = std::to_string(parent);
    std::ifstream list("/proc/" + number + "/task/" + number + "/children");
    for (pid_t child = 0; list >> child;) children.push_back(child);
    return children;
}

}  // namespace warder::bench
