#include "opener/runner_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <list>
#include <optional>
#include <vector>

#include "broker/sentence.h"
#include "protocol/codec.h"
#include "sys/channel.h"
#include "sys/privileges.h"
#include "sys/process.h"

namespace warder::opener {
namespace {

using namespace runner_wire;

constexpr int parent_socket = 3;
constexpr int child_status = 3;                                         // in the command, until exec
constexpr int lifted_from = 16;                                         // above all numbers that a command gets
constexpr rlim_t usual_descriptors = 1024;                              // warderd's own soft limit would break select(2)
constexpr Duration answer_patience = std::chrono::seconds(1);           // with a worker that does not read its replies
constexpr Duration leftover_interval = std::chrono::milliseconds(20);   // groups that cannot be removed yet

struct Pipe {
    Fd reading;
    Fd writing;
};

Result<Pipe> make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return failure("pipe2");
    return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// ---- The child between clone3 and exec: nothing allocates, nothing returns ----

struct Birth {
    int in = -1;
    int out = -1;
    int err = -1;
    int status = -1;
    pid_t runner = -1;
    uid_t uid = 65534;
    gid_t gid = 65534;
    char* const* words = nullptr;
};

class Newborn {
public:
    explicit Newborn(const Birth& birth) : birth_(birth), status_(birth.status) {}

    [[noreturn]] void become_command() {
        reset_signals();
        must(::setsid());
        place_descriptors();
        set_surroundings();
        become_user();
        die_with_runner();
        let_signals_in();
        char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        char* const environment[] = {path, nullptr};
        ::execve(birth_.words[0], birth_.words, environment);
        fail(errno);
    }

private:
    [[noreturn]] void fail(int number) {
        [[maybe_unused]] const ssize_t size = ::write(status_, &number, sizeof number);
        for (;;) ::syscall(SYS_exit_group, 127);
    }
    void must(long result) {
        if (result < 0) fail(errno);
    }

    // By number: glibc's own keep state about threads, which the child of a bare clone3 must not touch. Ignored signals would
    // stay ignored after exec.
    void reset_signals() {
        struct {
            unsigned long handler, flags, restorer, mask;
        } const by_default{};
        for (int signal = 1; signal <= 64; ++signal) {
            ::syscall(SYS_rt_sigaction, signal, &by_default, nullptr, sizeof by_default.mask);
        }
    }

    void place_descriptors() {
        const int wanted[] = {birth_.in, birth_.out, birth_.err, birth_.status};
        int lifted[4];
        for (int i = 0; i < 4; ++i) must(lifted[i] = ::fcntl(wanted[i], F_DUPFD_CLOEXEC, lifted_from));
        status_ = lifted[3];
        for (int i = 0; i < 3; ++i) must(::dup3(lifted[i], i, 0));
        must(::dup3(lifted[3], child_status, O_CLOEXEC));
        status_ = child_status;
        must(::syscall(SYS_close_range, child_status + 1, ~0U, 0));
    }

    void set_surroundings() {
        ::umask(022);
        must(::chdir("/"));
        rlimit limit{};
        if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
        limit.rlim_cur = std::min(limit.rlim_max, usual_descriptors);
        must(::setrlimit(RLIMIT_NOFILE, &limit));
    }

    // Another user than root keeps no capability: leaving uid 0 clears them, and none is inheritable or ambient here.
    void become_user() {
        must(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
        if (!settle_as(birth_.uid, birth_.gid)) fail(errno);
    }

    // After the change of credentials, which clears it.
    void die_with_runner() {
        must(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
        if (::getppid() != birth_.runner) fail(ESRCH);
    }

    void let_signals_in() {
        const unsigned long none = 0;
        must(::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none));
    }

    const Birth& birth_;
    int status_;
};

// ---- One group of processes for each command ----

// Killing it reaches what left the command's session, too. Without cgroups there is the process group alone.
struct Group {
    std::string path;
    Fd directory;

    static Group make(const std::string& groups, std::uint64_t job) {
        Group group;
        if (groups.empty()) return group;
        group.path = groups + "/" + std::to_string(job);
        if (::mkdir(group.path.c_str(), 0755) != 0) return {};
        group.directory = Fd(::open(group.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        return group;
    }

    void kill() const {
        if (!directory) return;
        const Fd file(::openat(directory.get(), "cgroup.kill", O_WRONLY | O_CLOEXEC));
        [[maybe_unused]] const ssize_t size = file ? ::write(file.get(), "1", 1) : 0;
    }
};

// ---- Commands ----

struct Command {
    enum class State { starting, answering, running };

    State state = State::starting;
    std::uint64_t job = 0;
    RequestId request{};
    GrantId grant = GrantId::none;
    std::string grant_name;
    std::string program;
    Channel worker;        // until it was answered
    Fd status;             // until exec, or its failure
    Fd in, out, err;       // the worker's ends, until it was answered
    Fd pidfd;
    pid_t pid = -1;
    Group group;
    int error = 0;
    Instant started{};
    Instant deadline{};    // of the command
    Instant answer_by{};   // of this state, before it runs
    bool killed = false;
    bool timed_out = false;
    bool ended = false;    // a zombie: reaped when the worker was answered
};

class Runner {
public:
    Runner(Channel parent, const RunnerOrders& orders) : parent_(std::move(parent)), orders_(orders) {}

    [[noreturn]] void run() {
        for (;;) {
            wait();
            if (!hear_parent()) leave();
            const Instant now = monotonic_now();
            for (auto& command : commands_) tend(command, now);
            commands_.remove_if([](const Command& command) { return command.job == 0; });
            remove_leftovers();
        }
    }

private:
    void wait() {
        polled_.assign(1, {parent_.get(), POLLIN, 0});
        Instant next = leftovers_.empty() ? Instant::never() : monotonic_now() + leftover_interval;
        for (const auto& command : commands_) {
            if (command.state == Command::State::starting) polled_.push_back({command.status.get(), POLLIN, 0});
            if (command.state == Command::State::answering) polled_.push_back({command.worker.get(), POLLOUT, 0});
            if (!command.ended) polled_.push_back({command.pidfd.get(), POLLIN, 0});
            if (command.state != Command::State::running) next = std::min(next, command.answer_by);
            if (!command.killed) next = std::min(next, command.deadline);
        }
        (void)::poll(polled_.data(), polled_.size(), milliseconds_until(next));
    }

    static int milliseconds_until(Instant then) {
        if (then == Instant::never()) return -1;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(then - monotonic_now()).count();
        return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
    }

    // False when the parent is gone.
    bool hear_parent() {
        for (;;) {
            Fd channel;
            const auto taken = parent_.receive_with_fds(incoming_, std::span(&channel, 1), MSG_DONTWAIT);
            if (!taken || taken->received.kind == Received::Kind::closed) return false;
            if (taken->received.kind == Received::Kind::nothing) return true;
            obey(taken->received.bytes, std::move(channel));
        }
    }

    void obey(Bytes bytes, Fd channel) {
        Reader reader(bytes);
        const auto kind = Reader(bytes).take<Kind>();
        if (kind == Kind::kill) {
            const auto order = reader.take<Kill>();
            for (auto& command : commands_) {
                if (reader.ok() && command.job == order.job) kill(command);
            }
        } else if (kind == Kind::start && channel) {
            const auto order = reader.take<Start>();
            auto texts = texts_of(reader.left());
            if (reader.ok() && texts.size() == order.words + 1U && order.words > 0) begin(order, texts, std::move(channel));
        }
    }

    // NUL-terminated texts, as they stand in the message; a last one without its end is none.
    static std::vector<char*> texts_of(Bytes bytes) {
        std::vector<char*> texts;
        auto* at = const_cast<char*>(reinterpret_cast<const char*>(bytes.data()));
        auto* const end = at + bytes.size();
        while (at < end) {
            auto* const stop = std::find(at, end, '\0');
            if (stop == end) break;
            texts.push_back(at);
            at = stop + 1;
        }
        return texts;
    }

    void begin(const Start& order, std::vector<char*>& texts, Fd channel) {
        Command& command = commands_.emplace_back();
        command.job = order.job;
        command.request = RequestId{order.request};
        command.grant = GrantId{order.grant};
        command.grant_name = texts[0];
        command.program = texts[1];
        command.worker = Channel(std::move(channel));
        command.started = monotonic_now();
        command.deadline = command.started + Duration(order.timeout);
        command.answer_by = command.started + orders_.begin_within;
        texts.push_back(nullptr);
        const auto forked = fork(command, order, texts.data() + 1);
        if (!forked) settle(command, forked.error().number);
    }

    Result<void> fork(Command& command, const Start& order, char* const* words) {
        Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
        if (!null) return failure("opening /dev/null");
        Pipe in, out, err;
        if ((order.pipes & pipe_in) != 0) in = TRY(make_pipe());
        if ((order.pipes & pipe_out) != 0) out = TRY(make_pipe());
        if ((order.pipes & pipe_err) != 0) err = TRY(make_pipe());
        Pipe status = TRY(make_pipe());
        const auto or_null = [&](const Fd& fd) { return fd ? fd.get() : null.get(); };
        const Birth birth{.in = or_null(in.reading), .out = or_null(out.writing), .err = or_null(err.writing),
                          .status = status.writing.get(), .runner = ::getpid(), .uid = order.uid, .gid = order.gid,
                          .words = words};
        command.group = Group::make(orders_.groups, order.job);
        const SignalsBlocked blocked;
        auto child = clone_process(0, command.group.directory ? command.group.directory.get() : -1);
        if (!child) return Failure(child.error());
        if (child->pid == 0) Newborn(birth).become_command();
        command.pid = child->pid;
        command.pidfd = std::move(child->pidfd);
        command.status = std::move(status.reading);
        command.in = std::move(in.writing);
        command.out = std::move(out.reading);
        command.err = std::move(err.reading);
        return {};
    }

    void tend(Command& command, Instant now) {
        if (command.pidfd && !command.ended) command.ended = ended_within(command.pidfd.get(), 0);
        if (command.state == Command::State::starting) look_at_status(command);
        if (command.state == Command::State::answering) answer(command);
        if (command.state != Command::State::running && command.answer_by <= now) give_up(command);
        if (command.deadline <= now && !command.ended && !command.killed) {
            command.timed_out = true;
            kill(command);
        }
        if (command.state == Command::State::running && (command.ended || !command.pidfd)) finish(command, now);
    }

    void look_at_status(Command& command) {
        pollfd ready{command.status.get(), POLLIN, 0};
        if (::poll(&ready, 1, 0) != 1) return;
        int number = 0;
        const ssize_t size = ::read(command.status.get(), &number, sizeof number);
        if (size == sizeof number) return settle(command, number);
        // A child that is killed in its set-up closes the pipe without a word too.
        settle(command, !command.killed ? 0 : command.timed_out ? ETIMEDOUT : ECANCELED);
    }

    // It runs, or it does not and this is why: the worker is to hear of it.
    void settle(Command& command, int error) {
        command.error = error;
        command.status.reset();
        command.state = Command::State::answering;
        command.answer_by = monotonic_now() + answer_patience;
        answer(command);
    }

    void answer(Command& command) {
        protocol::Outcome outcome;
        outcome.error = command.error;
        outcome.grant = command.grant;
        policy::Sentence sentence;
        std::array<int, max_lent_by_run> fds;
        if (command.error == 0) {
            outcome.value = static_cast<std::uint64_t>(command.pid) << 32;
            std::uint64_t end = 1;   // protocol::RunEnd
            for (const auto* fd : {&command.in, &command.out, &command.err, &command.pidfd}) {
                if (*fd) {
                    fds[outcome.fds++] = fd->get();
                    outcome.value |= end;
                }
                end <<= 1;
            }
        } else {
            outcome.reason = command.timed_out ? Reason::deadline : Reason::system;
            sentence = broker::failure_sentence(command.grant_name, Operation::run, command.program, outcome.reason, command.error);
            outcome.text = sentence.view();
        }
        const auto message = protocol::encode_answer(outgoing_, command.request, std::span(&outcome, 1));
        if (!message) return unanswered(command, EMSGSIZE);
        const auto sent = command.worker.send(*message, std::span(fds).first(outcome.fds));
        if (!sent && sent.error().number == EAGAIN) return;
        if (!sent) return unanswered(command, sent.error().number);
        begun(command, command.error);
    }

    // Nobody holds its ends: it is over, and warderd tells the worker when that reads again.
    void unanswered(Command& command, int error) {
        kill(command);
        begun(command, command.error != 0 ? command.error : error, true);
    }

    // The worker does not read, or the program is on something that hangs.
    void give_up(Command& command) {
        kill(command);
        if (command.state == Command::State::answering) return unanswered(command, EAGAIN);
        command.timed_out = true;
        settle(command, ETIMEDOUT);
    }

    // Everything of the worker's is let go of: from here on it is between the worker and the command.
    void begun(Command& command, int error, bool unanswered = false) {
        command.state = Command::State::running;
        command.worker.close();
        for (auto* fd : {&command.in, &command.out, &command.err}) fd->reset();
        report({.kind = Kind::begun, .pid = command.pid, .job = command.job, .error = error, .unanswered = unanswered ? 1U : 0U});
    }

    void kill(Command& command) {
        command.killed = true;
        command.group.kill();
        // The zombie keeps the number, so the group is surely its own. A child that has no session yet is reached by itself.
        if (command.pid > 0) ::kill(-command.pid, SIGKILL);
        if (command.pidfd) (void)send_signal(command.pidfd.get(), SIGKILL);
    }

    // What it left behind ends with it: a command that is over costs nothing any more.
    void finish(Command& command, Instant now) {
        kill(command);
        Report ended{.kind = Kind::ended, .pid = command.pid, .job = command.job, .timed_out = command.timed_out ? 1U : 0U,
                     .ran = (now - command.started).count()};
        if (command.pidfd) {
            const auto end = reap(command.pidfd.get());
            if (end && *end) {
                ended.value = (*end)->value;
                ended.by_signal = (*end)->by_signal ? 1 : 0;
            }
        }
        if (!command.group.path.empty()) leftovers_.push_back(std::move(command.group.path));
        command.job = 0;
        report(ended);
    }

    // The parent reads, or it is gone, and then hear_parent() says so.
    void report(const Report& said) { (void)parent_.send_waiting(std::as_bytes(std::span(&said, 1))); }

    void remove_leftovers() {
        std::erase_if(leftovers_, [](const std::string& path) { return ::rmdir(path.c_str()) == 0 || errno != EBUSY; });
    }

    [[noreturn]] void leave() {
        for (auto& command : commands_) kill(command);
        remove_leftovers();
        ::_exit(0);
    }

    Channel parent_;
    const RunnerOrders orders_;
    std::list<Command> commands_;
    std::vector<std::string> leftovers_;
    std::vector<pollfd> polled_;
    std::array<std::byte, max_message> incoming_;
    std::array<std::byte, max_message> outgoing_;
};

}  // namespace

void run_commands(Fd socket, const RunnerOrders& orders) {
    ::prctl(PR_SET_NAME, "warder-runner");
    ::prctl(PR_SET_DUMPABLE, 0);
    if (socket.get() != parent_socket && ::dup3(socket.release(), parent_socket, O_CLOEXEC) < 0) ::_exit(1);
    if (::close_range(parent_socket + 1, ~0U, 0) != 0) ::_exit(1);
    // No parent-death signal: it sees the end of its parent on the socket, and then ends its commands before itself.
    static std::optional<Runner> runner;
    runner.emplace(Channel(Fd(parent_socket)), orders);
    runner->run();
}

}  // namespace warder::opener
