// Real sandboxes, seen from inside by sandbox-view and from outside through /proc.
#include "sandbox/spawn.h"

#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "sandbox.h"
#include "sandbox/probe.h"

using namespace sandbox;

namespace {

std::string status_line(pid_t pid, const std::string& name) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with(name + ":")) return line.substr(name.size() + 2);
    }
    return {};
}

std::string namespace_of(pid_t pid, const char* name) {
    char text[64];
    const std::string path = "/proc/" + std::to_string(pid) + "/ns/" + name;
    const ssize_t size = ::readlink(path.c_str(), text, sizeof text);
    return {text, size > 0 ? static_cast<std::size_t>(size) : 0};
}

int count_descriptors() {
    int count = 0;
    for (int fd = 0; fd < 4096; ++fd) count += ::fcntl(fd, F_GETFD) >= 0;
    return count;
}

// A worker that runs on, for looking at from outside.
struct Running {
    explicit Running(const Plan& plan, const Descriptors& descriptors = {})
        : prepared(prepare_or_fail(plan)), stub(*prepared) {
        REQUIRE(stub.failure().stage == Stage::none);
        auto started = spawn_worker(*prepared, descriptors, stub.pidfd());
        REQUIRE(started);
        worker = std::move(*started);
        REQUIRE(wait_for_status(worker).stage == Stage::none);
    }
    ~Running() {
        if (!worker.pidfd) return;
        [[maybe_unused]] const auto killed = send_signal(worker.pidfd.get(), SIGKILL);
        ended_within(worker.pidfd.get(), patience_ms);
        [[maybe_unused]] const auto reaped = reap(worker.pidfd.get());
    }
    PreparedSandbox prepared;
    Stub stub;
    Spawned worker;
};

bool becomes_true(bool (*condition)(pid_t), pid_t pid) {
    for (int i = 0; i < 500; ++i) {
        if (condition(pid)) return true;
        ::usleep(10'000);
    }
    return false;
}

}  // namespace

TEST_CASE("a program runs in a whole sandbox") {
    NEEDS_ROOT();
    const auto outcome = run(plan_for({"/usr/bin/id"}));
    CHECK(outcome.failure.stage == Stage::none);
    CHECK_FALSE(outcome.ended.by_signal);
    CHECK(outcome.ended.value == 0);
    CHECK(outcome.text == "uid=64123(tester) gid=64123(tester) groups=64123(tester)\n");
}

TEST_CASE("T7: after exec the descriptors are exactly those that were listed") {
    NEEDS_ROOT();
    // Others that must not come along: one that closes at exec, one that does not, one with a high number.
    const int kept = ::open("/dev/null", O_RDONLY);
    const int high = ::fcntl(kept, F_DUPFD, 500);
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(run(plan_for_view({"fds"})).text == "fds 0 1 2\n");
    CHECK(run(plan_for_view({"fds"}), {.broker = pair[1]}).text == "fds 0 1 2 3\n");
    Plan alone = plan_for_view({"fds"});
    alone.pid_namespace = false;
    CHECK(run(alone, {.broker = pair[1]}).text == "fds 0 1 2 3\n");
    CHECK(run(plan_for_view({"fds", "environment"}), {.broker = pair[1], .store = pair[0]}).text ==
          "fds 0 1 2 3 4\nenv LANG=C\nenv PATH=/usr/bin:/bin\nenv WARDER_SOCKET=3\nenv WARDER_STORE=4\n");
    for (const int fd : {kept, high, pair[0], pair[1]}) ::close(fd);
}

TEST_CASE("descriptors are proved also where fewer than 32 may be open") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"fds"});
    plan.limits = {{RLIMIT_NOFILE, 16, 16}};
    const PreparedSandbox prepared = prepare_or_fail(plan);
    Stub stub(*prepared);
    auto worker = spawn_worker(*prepared, {}, stub.pidfd());
    REQUIRE(worker);
    std::optional<Proof> proof;
    std::optional<SetupFailure> said;
    while (!(said = read_status(worker->status.get(), &proof))) {
        pollfd status{worker->status.get(), POLLIN, 0};
        REQUIRE(::poll(&status, 1, patience_ms) == 1);
    }
    CHECK(said->stage == Stage::none);
    REQUIRE(proof);
    CHECK(proof->descriptors == 0b111);
    CHECK(wait_for_end(*worker).value == 0);
}

TEST_CASE("descriptors reach their places whatever numbers they had before") {
    NEEDS_ROOT();
    // The broker's socket as 1, the output as 3: each stands where the other is to go.
    Pipe output;
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    const Fd saved_one(::fcntl(1, F_DUPFD_CLOEXEC, 100));
    const int was_three = ::fcntl(3, F_DUPFD_CLOEXEC, 100);
    const PreparedSandbox prepared = prepare_or_fail(plan_for_view({"fds", "environment"}));
    Stub stub(*prepared);
    std::fflush(stdout);
    ::dup2(pair[1], 1);
    ::dup2(output.writing.get(), 3);
    auto worker = spawn_worker(*prepared, {.broker = 1, .output = 3}, stub.pidfd());
    ::dup2(saved_one.get(), 1);
    if (was_three >= 0) ::dup2(was_three, 3);
    else ::close(3);
    output.writing.reset();
    REQUIRE(worker);
    CHECK(read_all(output.reading.get()) == "fds 0 1 2 3\nenv LANG=C\nenv PATH=/usr/bin:/bin\nenv WARDER_SOCKET=3\n");
    CHECK(wait_for_end(*worker).value == 0);
    for (const int fd : {was_three, pair[0], pair[1]}) ::close(fd);
}

TEST_CASE("the broker's socket arrives whole, and the parent keeps its own descriptors") {
    NEEDS_ROOT();
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    const int before = count_descriptors();
    const auto outcome =
        run(plan_for({"/usr/bin/python3", "-c", "import os; os.write(int(os.environ['WARDER_SOCKET']), b'hello')"}), {.broker = pair[1]});
    CHECK(outcome.ended.value == 0);
    char said[16];
    CHECK(::recv(pair[0], said, sizeof said, MSG_DONTWAIT) == 5);
    CHECK(count_descriptors() == before);
    ::close(pair[0]);
    ::close(pair[1]);
}

TEST_CASE("the worker has its ids, no groups and no capability in any set") {
    NEEDS_ROOT();
    const auto outcome = run(plan_for_view({"ids", "capabilities", "flags", "signals"}));
    CHECK(holds(outcome.text, "uids 64123 64123 64123\n"));
    CHECK(holds(outcome.text, "gids 64123 64123 64123\n"));
    CHECK(holds(outcome.text, "groups\n"));
    CHECK(holds(outcome.text, "effective 00 permitted 00 inheritable 00 bounding 0 ambient 0\n"));
    // NOROOT, and locked, with NO_SETUID_FIXUP, KEEP_CAPS and NO_CAP_AMBIENT_RAISE locked.
    CHECK(holds(outcome.text, "securebits eb\n"));
    CHECK(holds(outcome.text, "no_new_privs 1 seccomp 2 pdeathsig 9\n"));
    CHECK(holds(outcome.text, "blocked 0 not_default 0\n"));
}

TEST_CASE("a worker that is to run as root is still without capabilities") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"ids", "capabilities"});
    plan.uid = 0;
    plan.gid = 0;
    const auto outcome = run(plan);
    CHECK(holds(outcome.text, "uids 0 0 0\n"));
    CHECK(holds(outcome.text, "effective 00 permitted 00 inheritable 00 bounding 0 ambient 0\n"));
}

TEST_CASE("supplementary groups are exactly those of the plan") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"ids"});
    plan.groups = {64200, 64201};
    CHECK(holds(run(plan).text, "groups 64200 64201\n"));
}

TEST_CASE("signals that the parent blocks or ignores are as usual in the worker") {
    NEEDS_ROOT();
    sigset_t some;
    sigset_t before;
    sigemptyset(&some);
    sigaddset(&some, SIGTERM);
    sigaddset(&some, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &some, &before);
    const auto handler = std::signal(SIGPIPE, SIG_IGN);
    CHECK(holds(run(plan_for_view({"signals"})).text, "blocked 0 not_default 0\n"));
    std::signal(SIGPIPE, handler);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("there is no /proc, the root is read-only, /tmp is private and writable") {
    NEEDS_ROOT();
    const Fd foreign(::open("/tmp/warder-sandbox-test-foreign", O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    const auto outcome = run(plan_for_view({"read:/proc/self/status", "read:/sys", "create:/here", "create:/usr/here", "create:/etc/here",
                                            "create:/run/here", "create:/tmp/here", "create:/var/tmp/there", "create:/dev/shm/shared",
                                            "read:/tmp/warder-sandbox-test-foreign", "read:/etc/passwd", "read:/etc/shadow",
                                            "write:/dev/null", "read:/dev/urandom", "read:/boot", "read:/.tmp", "read:/old_root"}));
    ::unlink("/tmp/warder-sandbox-test-foreign");
    CHECK(holds(outcome.text, "open /proc/self/status ENOENT\n"));
    CHECK(holds(outcome.text, "open /sys ENOENT\n"));
    for (const auto* path : {"/here", "/usr/here", "/etc/here", "/run/here"}) {
        CAPTURE(path);
        CHECK_FALSE(holds(outcome.text, std::string("open ") + path + " ok\n"));
    }
    CHECK(holds(outcome.text, "open /tmp/here ok\n"));
    CHECK(holds(outcome.text, "open /var/tmp/there ok\n"));
    CHECK(holds(outcome.text, "open /dev/shm/shared ok\n"));
    CHECK(holds(outcome.text, "open /tmp/warder-sandbox-test-foreign ENOENT\n"));
    CHECK(holds(outcome.text, "open /etc/passwd ok\n"));
    CHECK(holds(outcome.text, "open /etc/shadow ENOENT\n"));
    CHECK(holds(outcome.text, "open /dev/null ok\n"));
    CHECK(holds(outcome.text, "open /dev/urandom ok\n"));
    CHECK(holds(outcome.text, "open /boot ENOENT\n"));
    CHECK_FALSE(holds(outcome.text, "open /.tmp ok\n"));
    CHECK(holds(outcome.text, "open /old_root ENOENT\n"));
}

TEST_CASE("without Landlock the mounts alone keep the root read-only") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"create:/here", "create:/usr/here", "create:/etc/here", "create:/dev/here", "create:/tmp/here", "write:/usr/bin/id"});
    plan.landlock = false;
    plan.uid = 0;   // so that no file mode hides the mount's answer
    plan.gid = 0;
    const auto outcome = run(plan);
    CHECK(holds(outcome.text, "open /here EROFS\n"));
    CHECK(holds(outcome.text, "open /usr/here EROFS\n"));
    CHECK(holds(outcome.text, "open /etc/here EROFS\n"));
    CHECK(holds(outcome.text, "open /dev/here EROFS\n"));
    CHECK(holds(outcome.text, "open /usr/bin/id EROFS\n"));
    CHECK(holds(outcome.text, "open /tmp/here ok\n"));
}

TEST_CASE("two lives of one worker do not share /tmp") {
    NEEDS_ROOT();
    const Plan plan = plan_for_view({"create:/tmp/mine"});
    CHECK(run(plan).text == "open /tmp/mine ok\n");
    CHECK(run(plan).text == "open /tmp/mine ok\n");
}

TEST_CASE("/tmp holds no more than it may") {
    NEEDS_ROOT();
    Plan plan = plan_for({"/usr/bin/python3", "-c", "open('/tmp/big', 'wb').write(b'x' * (3 << 20))"});
    plan.tmp_size = 1 << 20;
    CHECK(run(plan).ended.value == 1);
    plan.tmp_size = 8 << 20;
    CHECK(run(plan).ended.value == 0);
}

TEST_CASE("binds, files and directories stand where the plan has them") {
    NEEDS_ROOT();
    const std::string source = "/run/warder-sandbox-test";
    ::mkdir(source.c_str(), 0755);
    ::mkdir((source + "/writable").c_str(), 0755);
    REQUIRE(::chown((source + "/writable").c_str(), worker_uid, worker_uid) == 0);
    std::ofstream(source + "/text") << "text\n";
    Plan plan = plan_for_view({"read:/srv/deep/down/text", "create:/srv/deep/down/new", "create:/data/new", "read:/etc/app.conf",
                               "read:/opt/app/conf", "read:/tmp/late/text", "create:/tmp/late/new", "read:/tmp/file", "place"});
    plan.binds = {{.source = source, .target = "/srv/deep/down"},
                  {.source = source + "/writable", .target = "/data", .writable = true},
                  {.source = source, .target = "/tmp/late"},
                  {.source = source + "/text", .target = "/tmp/file"}};
    plan.files = {{"/etc/app.conf", "a = 1\n"}, {"/opt/app/conf", "b = 2\n"}};
    plan.directory = "/srv/deep";
    const auto outcome = run(plan);
    const bool written = ::access((source + "/writable/new").c_str(), F_OK) == 0;
    const bool written_wrongly = ::access((source + "/new").c_str(), F_OK) == 0;
    ::unlink((source + "/writable/new").c_str());
    ::unlink((source + "/text").c_str());
    ::rmdir((source + "/writable").c_str());
    ::rmdir(source.c_str());
    INFO(outcome.text);
    CHECK(holds(outcome.text, "open /srv/deep/down/text ok\n"));
    CHECK_FALSE(holds(outcome.text, "open /srv/deep/down/new ok\n"));
    CHECK(holds(outcome.text, "open /data/new ok\n"));
    CHECK(holds(outcome.text, "open /etc/app.conf ok\n"));
    CHECK(holds(outcome.text, "open /opt/app/conf ok\n"));
    CHECK(holds(outcome.text, "open /tmp/late/text ok\n"));
    CHECK_FALSE(holds(outcome.text, "open /tmp/late/new ok\n"));
    CHECK(holds(outcome.text, "open /tmp/file ok\n"));
    CHECK(holds(outcome.text, "directory /srv/deep\n"));
    CHECK(written);
    CHECK_FALSE(written_wrongly);
}

TEST_CASE("hostname, umask, nice and limits are the plan's") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"place", "limit:" + std::to_string(RLIMIT_NOFILE)});
    plan.hostname = "cellar";
    plan.umask = 0027;
    plan.nice = 7;
    plan.limits = {{RLIMIT_NOFILE, 64, 128}};
    const auto outcome = run(plan);
    CHECK(holds(outcome.text, "hostname cellar domain (none)\n"));
    CHECK(holds(outcome.text, "umask 027\n"));
    CHECK(holds(outcome.text, "nice 7\n"));
    CHECK(holds(outcome.text, "limit 7 64 128\n"));
}

TEST_CASE("the out-of-memory score is the plan's, not the parent's") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"sleep"});
    plan.oom_score_adjust = 321;
    const Running running(plan);
    std::ifstream file("/proc/" + std::to_string(running.worker.pid) + "/oom_score_adj");
    int score = 0;
    file >> score;
    CHECK(score == 321);
}

TEST_CASE("the worker is the caller's own child, and an ordinary process inside") {
    NEEDS_ROOT();
    const std::string ours = namespace_of(::getpid(), "pid_for_children");
    const Running running(plan_for_view({"sleep"}));
    CHECK(status_line(running.worker.pid, "PPid") == std::to_string(::getpid()));
    const std::string inside = status_line(running.worker.pid, "NSpid");
    CHECK(inside == std::to_string(running.worker.pid) + "\t2");
    CHECK(namespace_of(::getpid(), "pid_for_children") == ours);
    for (const auto* name : {"mnt", "pid", "ipc", "uts", "net"}) {
        CAPTURE(name);
        CHECK(namespace_of(running.worker.pid, name) != namespace_of(::getpid(), name));
        CHECK(namespace_of(running.worker.pid, name) == namespace_of(running.stub.pid(), name));
    }
    CHECK(holds(run(plan_for_view({"pids"})).text, "pid 2 ppid 0 sid 2\n"));
}

TEST_CASE("what the parent forks afterwards is born in its own pid namespace, after failures too") {
    NEEDS_ROOT();
    const std::string ours = namespace_of(::getpid(), "pid");
    Plan plan = plan_for_view({"fds"});
    plan.program = "/usr/bin/no-such-program";
    CHECK(run(plan).failure.stage == Stage::exec);
    const auto child = clone_process(0, -1);
    REQUIRE(child);
    if (child->pid == 0) {
        ::pause();
        ::_exit(0);
    }
    CHECK(namespace_of(child->pid, "pid") == ours);
    [[maybe_unused]] const auto killed = send_signal(child->pidfd.get(), SIGKILL);
    ended_within(child->pidfd.get(), patience_ms);
    [[maybe_unused]] const auto reaped = reap(child->pidfd.get());
}

TEST_CASE("a stub that is dead takes no worker, and the parent is as before") {
    NEEDS_ROOT();
    const PreparedSandbox prepared = prepare_or_fail(plan_for_view({"fds"}));
    auto stub = spawn_stub(*prepared);
    REQUIRE(stub);
    REQUIRE(wait_for_status(*stub).stage == Stage::none);
    REQUIRE(send_signal(stub->pidfd.get(), SIGKILL));
    REQUIRE(ended_within(stub->pidfd.get(), patience_ms));
    const std::string ours = namespace_of(::getpid(), "pid_for_children");
    CHECK_FALSE(spawn_worker(*prepared, {}, stub->pidfd.get()));
    CHECK(namespace_of(::getpid(), "pid_for_children") == ours);
    wait_for_end(*stub);
}

TEST_CASE("killing the stub kills the worker and all that it forked") {
    NEEDS_ROOT();
    Running running(plan_for_view({"fork_and_wait", "fork_and_wait", "sleep"}));
    running.stub.end();
    CHECK(ended_within(running.worker.pidfd.get(), patience_ms));
    const auto ended = reap(running.worker.pidfd.get());
    REQUIRE(ended);
    REQUIRE(ended->has_value());
    CHECK((*ended)->by_signal);
    CHECK((*ended)->value == SIGKILL);
    running.worker.pidfd.reset();
}

TEST_CASE("the stub reaps what is handed up to it, and holds nothing but the parent's pidfd") {
    NEEDS_ROOT();
    const Running running(plan_for_view({"orphan", "orphan", "sleep"}));
    const std::string children = "/proc/" + std::to_string(running.stub.pid()) + "/task/" + std::to_string(running.stub.pid()) + "/children";
    ::usleep(200'000);
    std::ifstream file(children);
    std::string pids;
    std::getline(file, pids);
    CHECK(pids.empty());
    CHECK(status_line(running.stub.pid(), "Uid") == "0\t0\t0\t0");   // and not the worker's, which could set its limits then
    CHECK(status_line(running.stub.pid(), "Groups").find_first_not_of(" \t") == std::string::npos);
    CHECK(status_line(running.stub.pid(), "CapEff") == "0000000000000000");
    CHECK(status_line(running.stub.pid(), "CapBnd") == "0000000000000000");
    CHECK(status_line(running.stub.pid(), "Name") == "warder-stub");
    for (int fd = 0; fd < 64; ++fd) {
        const std::string path = "/proc/" + std::to_string(running.stub.pid()) + "/fd/" + std::to_string(fd);
        struct stat status;
        CHECK((::lstat(path.c_str(), &status) == 0) == (fd == 0));
    }
}

TEST_CASE("D12: a worker cannot set limits, priority or processors of its stub, nor signal it") {
    NEEDS_ROOT();
    std::vector<std::string> asked;
    const std::pair<long, const char*> calls[] = {{SYS_prlimit64, "1,0,0,0"}, {SYS_setpriority, "0,1,5"}, {SYS_ioprio_set, "1,1,16391"}, {SYS_kill, "1,0"}};
    for (const auto& [number, arguments] : calls) asked.push_back("call:" + std::to_string(number) + "," + arguments);
    const auto outcome = run(plan_for_view(asked));
    for (const auto& call : asked) {
        CAPTURE(call);
        CHECK(holds(outcome.text, "call " + call.substr(5) + " EPERM\n"));
    }
}

TEST_CASE("an idle stub does not wake up") {
    NEEDS_ROOT();
    const Running running(plan_for_view({"sleep"}));
    ::usleep(50'000);
    const std::string before = status_line(running.stub.pid(), "voluntary_ctxt_switches");
    ::usleep(500'000);
    CHECK(status_line(running.stub.pid(), "voluntary_ctxt_switches") == before);
}

namespace {

// A parent that says whom it started and ends without a destructor, so that nobody is told. What is required in vain ends it too.
[[noreturn]] void start_and_vanish(bool with_pid_namespace, int say) noexcept {
    Plan plan = plan_for_view({"sleep"});
    plan.pid_namespace = with_pid_namespace;
    const Running running(plan);
    const pid_t said[2] = {running.worker.pid, with_pid_namespace ? running.stub.pid() : 0};
    if (::write(say, said, sizeof said) < 0) ::_exit(1);
    ::syscall(SYS_exit_group, 0);
    std::abort();
}

}  // namespace

TEST_CASE("when the parent dies, so do the stub and the worker") {
    NEEDS_ROOT();
    for (const bool with_pid_namespace : {true, false}) {
        CAPTURE(with_pid_namespace);
        Pipe pids;
        std::fflush(stdout);
        const auto parent = clone_process(0, -1);
        REQUIRE(parent);
        if (parent->pid == 0) start_and_vanish(with_pid_namespace, pids.writing.get());
        pids.writing.reset();
        pid_t said[2]{};
        REQUIRE(::read(pids.reading.get(), said, sizeof said) == sizeof said);
        const auto gone = [](pid_t pid) { return ::kill(pid, 0) != 0 || status_line(pid, "State").starts_with("Z"); };
        CHECK(becomes_true(gone, said[0]));
        if (with_pid_namespace) CHECK(becomes_true(gone, said[1]));
        ended_within(parent->pidfd.get(), patience_ms);
        [[maybe_unused]] const auto reaped = reap(parent->pidfd.get());
    }
}

TEST_CASE("L5: a child that is stopped in its set-up does not hold up the caller") {
    NEEDS_ROOT();
    const PreparedSandbox prepared = prepare_or_fail(plan_for_view({"fds"}));
    Stub stub(*prepared);
    auto worker = spawn_worker(*prepared, {}, stub.pidfd());
    REQUIRE(worker);
    REQUIRE(send_signal(worker->pidfd.get(), SIGSTOP));
    // Another starts and ends meanwhile.
    CHECK(run(plan_for_view({"fds"})).text == "fds 0 1 2\n");
    const auto said = read_status(worker->status.get());
    CHECK((!said || said->stage == Stage::none));
    REQUIRE(send_signal(worker->pidfd.get(), SIGCONT));
    CHECK(wait_for_status(*worker).stage == Stage::none);
    CHECK(wait_for_end(*worker).value == 0);
}

TEST_CASE("the parent may signal its worker although the worker's own signals are scoped") {
    NEEDS_ROOT();
    Running running(plan_for_view({"sleep"}));
    REQUIRE(send_signal(running.worker.pidfd.get(), SIGTERM));
    CHECK(wait_for_end(running.worker).value == SIGTERM);
    running.worker.pidfd.reset();
}

TEST_CASE("real programs run: threads, subprocesses, sockets, files, signals") {
    NEEDS_ROOT();
    const char* script = R"(
import threading, subprocess, socket, tempfile, signal, select, os, time, queue, random, mmap
results = queue.Queue()
threads = [threading.Thread(target=lambda: results.put(sum(range(1000)))) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert results.qsize() == 8
a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'
p = select.epoll(); p.register(a); p.poll(0)
with tempfile.TemporaryFile() as f: f.write(b'hello'); f.seek(0); assert f.read() == b'hello'
signal.signal(signal.SIGALRM, lambda *_: results.put('alarm')); signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(0.05)
assert results.qsize() == 9
server = socket.socket(socket.AF_UNIX); server.bind('/tmp/s'); server.listen(); c = socket.socket(socket.AF_UNIX); c.connect('/tmp/s')
pid = os.fork()
if pid == 0: os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
mmap.mmap(-1, 4096); random.SystemRandom().random()
print('fine', os.getlogin if False else os.cpu_count() > 0)
)";
    const auto outcome = run(plan_for({"/usr/bin/python3", "-c", script}));
    CHECK(outcome.text == "fine True\n");
    CHECK(outcome.ended.value == 0);
    const auto shell = run(plan_for_shell("echo one | /usr/bin/sed s/one/two/; id -u; (exit 5)"));
    CHECK(shell.text == "two\n64123\n");
    CHECK(shell.ended.value == 5);
}

TEST_CASE("Landlock lets only the program and its interpreters be run, but for binds with execute") {
    NEEDS_ROOT();
    CHECK(run(plan_for_view({"execute:/bin/sh", "execute:/usr/bin/id"})).text == "execute /bin/sh EACCES\nexecute /usr/bin/id EACCES\n");
    Plan plan = plan_for_view({"execute:/bin/sh"});
    plan.binds.push_back({.source = "/usr/bin", .target = "/usr/bin", .writable = false, .execute = true});
    CHECK(run(plan).text == "execute /bin/sh ok\n");
}

TEST_CASE("a script runs by its interpreter, and by env") {
    NEEDS_ROOT();
    const std::string directory = "/opt/warder-sandbox-script";   // /run may be noexec
    ::mkdir(directory.c_str(), 0755);
    for (const std::string line : {"#!/usr/bin/python3 -s", "#!/usr/bin/env python3", "#!/usr/bin/env -S python3 -s"}) {
        CAPTURE(line);
        const std::string path = directory + "/script";
        std::ofstream(path) << line << "\nprint('ran')\n";
        ::chmod(path.c_str(), 0755);
        const auto outcome = run(plan_for({path}));
        CHECK(outcome.failure.stage == Stage::none);
        CHECK(outcome.text == "ran\n");
        ::unlink(path.c_str());
    }
    ::rmdir(directory.c_str());
}

TEST_CASE("a program in /tmp of the host runs, although /tmp is private") {
    NEEDS_ROOT();
    std::string directory = "/tmp/warder-sandbox-XXXXXX";
    REQUIRE(::mkdtemp(directory.data()));
    const std::string path = directory + "/script";
    std::ofstream(path) << "#!/usr/bin/python3\nimport os; print(os.listdir('/tmp'))\n";
    ::chmod(path.c_str(), 0755);
    ::chmod(directory.c_str(), 0755);
    const auto outcome = run(plan_for({path}));
    ::unlink(path.c_str());
    ::rmdir(directory.c_str());
    CHECK(outcome.text == "['" + directory.substr(5) + "']\n");
}

TEST_CASE("an empty network has no interface that is up, and no sockets of the internet") {
    NEEDS_ROOT();
    const auto outcome = run(plan_for_view({"call:41,1,1,0", "call:41,2,1,0", "call:41,10,2,0", "call:41,16,3,0"}));
#if defined(__x86_64__)
    CHECK(holds(outcome.text, "call 41,1,1,0 ok\n"));
    CHECK(holds(outcome.text, "call 41,2,1,0 EPERM\n"));
    CHECK(holds(outcome.text, "call 41,10,2,0 EPERM\n"));
    CHECK(holds(outcome.text, "call 41,16,3,0 EPERM\n"));
#endif
    Plan plan = plan_for({"/usr/bin/python3", "-c", "import socket; s = socket.socket(); s.settimeout(1); print(s.connect_ex(('127.0.0.1', 1)))"});
    plan.calls.network = true;
    plan.landlock = false;
    CHECK(run(plan).text == std::to_string(ENETUNREACH) + "\n");
}

TEST_CASE("everything optional off is still a process without privileges") {
    NEEDS_ROOT();
    const ReachableView view;
    Plan plan = plan_for(view.asked({"ids", "capabilities", "fds"}));
    plan.root = Root::host;
    plan.mount_namespace = plan.pid_namespace = plan.ipc_namespace = plan.uts_namespace = false;
    plan.private_tmp = plan.landlock = plan.calls.enabled = false;
    plan.network = Network::host;
    const auto outcome = run(plan);
    CHECK(holds(outcome.text, "uids 64123 64123 64123\n"));
    CHECK(holds(outcome.text, "effective 00 permitted 00 inheritable 00 bounding 0 ambient 0\n"));
    CHECK(holds(outcome.text, "fds 0 1 2\n"));
}

TEST_CASE("capabilities that are given are in all five sets, are the only ones, and the secure bits are locked") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"ids", "capabilities", "flags"});
    plan.capabilities = 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_WAKE_ALARM;
    const auto outcome = run(plan);
    CHECK(outcome.failure.stage == Stage::none);
    CHECK(holds(outcome.text, "uids 64123 64123 64123\n"));
    CHECK(holds(outcome.text, "effective 8400 permitted 8400 inheritable 8400 bounding 2 ambient 2\n"));
    CHECK(holds(outcome.text, "securebits eb\n"));
    CHECK(holds(outcome.text, "no_new_privs 1 seccomp 2 pdeathsig 9\n"));
}

TEST_CASE("a capability that is given can be used, and is not there without") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"call:" + std::to_string(SYS_mlockall) + ",1"});
    plan.limits = {{RLIMIT_MEMLOCK, 0, 0}};
    CHECK(holds(run(plan).text, " EPERM\n"));
    plan.capabilities = 1ULL << CAP_IPC_LOCK;
    CHECK(holds(run(plan).text, " ok\n"));
}

TEST_CASE("priorities, scheduler and processors are those of the plan, whatever the parent has") {
    NEEDS_ROOT();
    cpu_set_t before;
    REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
    CHECK(holds(run(plan_for_view({"priorities"})).text, "io 0 scheduler 0 priority 0 cpus"));
    Plan plan = plan_for_view({"priorities"});
    plan.io_priority = {IoClass::best_effort, 6};
    plan.scheduling = {Scheduler::batch, 0};
    plan.cpus = {0};
    CHECK(holds(run(plan).text, "io 16390 scheduler 3 priority 0 cpus 0\n"));
    plan.io_priority = {IoClass::idle, 0};
    plan.scheduling = {Scheduler::round_robin, 7};
    CHECK(holds(run(plan).text, "io 24576 scheduler 2 priority 7 cpus 0\n"));
}

TEST_CASE("memory that was writable becomes executable only where the plan lets it") {
    NEEDS_ROOT();
    if (!probe_kernel().memory_deny_write_execute) return;
    CHECK(holds(run(plan_for_view({"memory"})).text, "executable ok\nmdwe 0 personality 0\n"));
    Plan plan = plan_for_view({"memory"});
    plan.memory_deny_write_execute = true;
    CHECK(holds(run(plan).text, "executable EACCES\nmdwe 1 personality 0\n"));
}

TEST_CASE("a parent's personality is not handed down") {
    NEEDS_ROOT();
    constexpr unsigned long no_randomisation = 0x0040000;
    ::syscall(SYS_personality, no_randomisation);
    const auto outcome = run(plan_for_view({"memory"}));
    ::syscall(SYS_personality, 0UL);
    CHECK(holds(outcome.text, "personality 0\n"));
}

TEST_CASE("the personality can be changed only where the plan does not lock it") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"call:" + std::to_string(SYS_personality) + ",0x0040000"});
    CHECK(holds(run(plan).text, " EPERM\n"));
    plan.calls.lock_personality = false;
    CHECK(holds(run(plan).text, " ok\n"));
}

TEST_CASE("the session keyring is new, and the worker's own") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"keyring"});
    plan.calls.allow = {"keyctl"};
    CHECK(holds(run(plan).text, "keyring ok keyring;64123;64123;"));
    CHECK(holds(run(plan).text, ";_ses\n"));
    plan.private_keyring = false;
    CHECK_FALSE(holds(run(plan).text, "keyring ok keyring;64123;64123;3f1b0000;_ses\n"));
}

TEST_CASE("without core dumps the limit is the one that also stops handlers") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"limit:" + std::to_string(RLIMIT_CORE)});
    plan.limits = {{RLIMIT_CORE, 4096, 8192}};
    CHECK(holds(run(plan).text, "limit 4 4096 8192\n"));
    plan.core_dumps = false;
    CHECK(holds(run(plan).text, "limit 4 1 1\n"));
}

TEST_CASE("what is not to be dumpable is not after exec, and cannot make itself so again") {
    NEEDS_ROOT();
    constexpr int set_dumpable = 4;
    const std::string call = "call:" + std::to_string(SYS_prctl) + "," + std::to_string(set_dumpable);
    for (const char* root : {"system", "minimal"}) {
        CAPTURE(root);
        Plan plan = plan_for_view({"dumpable", call + ",1", call + ",0", "read:/lib64/ld-linux-x86-64.so.2"});
        if (std::string(root) == "minimal") plan.root = Root::minimal;
        CHECK(holds(run(plan).text, "dumpable 1\n"));
        plan.dumpable = false;
        const auto outcome = run(plan);
        CHECK(holds(outcome.text, "dumpable 0\n"));
        CHECK(holds(outcome.text, " EPERM\n"));
        CHECK(holds(outcome.text, " ok\n"));
        if (::access("/lib64/ld-linux-x86-64.so.2", F_OK) == 0) CHECK(holds(outcome.text, "/lib64/ld-linux-x86-64.so.2 EACCES\n"));
    }
}

TEST_CASE("a script and a static program are not dumpable either, which a capability to read all files would undo") {
    NEEDS_ROOT();
    char script[] = "/tmp/warder-script-XXXXXX";
    {
        const Fd file(::mkstemp(script));
        REQUIRE(::write(file.get(), "#!/usr/bin/tail -f\n", 19) == 19);
        REQUIRE(::fchmod(file.get(), 0755) == 0);
    }
    const std::string here = sandbox_view();
    const std::string stub = here.substr(0, here.rfind("/tests/")) + "/src/sandbox/warder-stub";
    for (const std::string& program : {std::string(script), stub}) {
        CAPTURE(program);
        Plan plan = plan_for({program});
        plan.dumpable = false;
        const Running running(plan);
        struct stat status {};
        REQUIRE(::stat(("/proc/" + std::to_string(running.worker.pid) + "/status").c_str(), &status) == 0);
        CHECK(status.st_uid == 0);
    }
    ::unlink(script);
    Plan plan = plan_for({"/usr/bin/true"});
    plan.dumpable = false;
    plan.capabilities = 1ULL << CAP_DAC_READ_SEARCH;
    Unfit unfit;
    CHECK_FALSE(prepare(plan, unfit));
    CHECK_EQ(unfit.item, "dumpable");
}

TEST_CASE("a terminal that is asked for is the controlling one, and all three standard descriptors") {
    NEEDS_ROOT();
    const Fd master(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    REQUIRE(master);
    REQUIRE(::unlockpt(master.get()) == 0);
    char name[64];
    REQUIRE(::ptsname_r(master.get(), name, sizeof name) == 0);
    Plan plan = plan_for_view({"terminal"});
    plan.terminal = name;
    const Fd kept(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));   // else what was written is gone with the last holder
    const auto outcome = run(plan);
    CHECK(outcome.failure.stage == Stage::none);
    char said[256]{};
    CHECK(::read(master.get(), said, sizeof said - 1) > 0);
    CHECK(std::string(said) == "terminal 1 1\r\nterminal 1 1\r\nterminal 1 1\r\n");
    plan.terminal = "/dev/no-such-terminal";
    CHECK(run(plan).failure.stage == Stage::standard_input);
}

TEST_CASE("/dev/tty is there on request, is its own terminal and nobody else's, and nothing can be typed into it") {
    NEEDS_ROOT();
    const Fd master(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    REQUIRE(master);
    REQUIRE(::unlockpt(master.get()) == 0);
    char name[64];
    REQUIRE(::ptsname_r(master.get(), name, sizeof name) == 0);
    const std::string type = "call:" + std::to_string(SYS_ioctl) + ",0," + std::to_string(TIOCSTI) + ",0";
    Plan plan = plan_for_view({"write:/dev/tty", type});
    CHECK(holds(run(plan).text, "open /dev/tty ENOENT\n"));
    plan.devices = {"null", "tty"};
    CHECK(holds(run(plan).text, "open /dev/tty ENXIO\n"));
    plan.terminal = name;
    const Fd kept(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
    CHECK(run(plan).failure.stage == Stage::none);
    char said[256]{};
    CHECK(::read(master.get(), said, sizeof said - 1) > 0);
    CHECK(holds(said, "open /dev/tty ok\r\n"));
    CHECK(holds(said, " EPERM\r\n"));
}

TEST_CASE("a call has the answer that the plan gives it: another errno, the end of the worker, or by its argument") {
    NEEDS_ROOT();
    const std::string uname = "call:" + std::to_string(SYS_uname) + ",0";
    const std::string sync = "call:" + std::to_string(SYS_sync);
    const std::string name = "call:" + std::to_string(SYS_prctl) + ",16,0";
    Plan plan = plan_for_view({uname, sync, name});
    CHECK(holds(run(plan).text, " EFAULT\n"));
    plan.calls.deny = {{"uname", ENOANO}, {"@sync", ENOTTY}};
    plan.calls.rules = {{.call = "prctl", .argument = 0, .value = 16, .error = EMLINK}};
    const auto outcome = run(plan);
    CHECK(holds(outcome.text, uname.substr(5) + " ENOANO\n"));
    CHECK(holds(outcome.text, sync.substr(5) + " ENOTTY\n"));
    CHECK(holds(outcome.text, name.substr(5) + " EMLINK\n"));
    plan.calls.kill = {"@sync"};
    const auto killed = run(plan);
    CHECK(killed.ended.by_signal);
    CHECK(killed.ended.value == SIGSYS);
    plan.calls.kill.clear();
    plan.calls.deny.clear();
    plan.calls.log = {"@sync"};
    plan.calls.log_denied = true;
    CHECK(holds(run(plan).text, sync.substr(5) + " ok\n"));
}

TEST_CASE("a list of calls of its own replaces the usual one") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"call:" + std::to_string(SYS_socket) + ",1,1,0", "call:" + std::to_string(SYS_getpid)});
    CHECK(holds(run(plan).text, ",1,1,0 ok\n"));
    plan.calls.base = {"@default", "@basic-io", "@file-system", "@process", "@signal"};
    const auto outcome = run(plan);
    CHECK(holds(outcome.text, ",1,1,0 EPERM\n"));
    CHECK(holds(outcome.text, "call " + std::to_string(SYS_getpid) + " ok\n"));
}

TEST_CASE("the clocks of a time namespace are ahead by what was planned") {
    NEEDS_ROOT();
    if (!probe_kernel().time_namespaces) return;
    Plan plan = plan_for_view({"clocks"});
    plan.time_namespace = true;
    plan.boottime_offset = 10'000'000;
    for (const bool stub : {true, false}) {
        plan.pid_namespace = stub;
        const auto outcome = run(plan);
        CHECK(outcome.failure.stage == Stage::none);
        REQUIRE(holds(outcome.text, "boottime "));
        CHECK(std::stol(outcome.text.substr(outcome.text.find("boottime ") + 9)) > 10'000'000);
    }
}

TEST_CASE("a cgroup namespace of its own, and a network that somebody else made") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"sleep"});
    plan.cgroup_namespace = true;
    Running first(plan);
    CHECK(namespace_of(first.worker.pid, "cgroup") != namespace_of(::getpid(), "cgroup"));
    plan.network = Network::named;
    plan.network_path = "/proc/" + std::to_string(first.worker.pid) + "/ns/net";
    Running second(plan);
    CHECK(namespace_of(second.worker.pid, "net") == namespace_of(first.worker.pid, "net"));
    plan.network_path = "/no/such/network";
    const auto failed = run(plan);
    CHECK(failed.failure.stage == Stage::network);
    CHECK(failed.failure.error == ENOENT);
}

TEST_CASE("T25: a network and a terminal are found through root's symlinks, or through another's to what is that other's") {
    NEEDS_ROOT();
    char folder[] = "/tmp/warder-spawn-XXXXXX";
    REQUIRE(::mkdtemp(folder) != nullptr);
    const std::string link = std::string(folder) + "/link";
    const auto lead_to = [&link](const std::string& target, uid_t owner) {
        ::unlink(link.c_str());
        return ::symlink(target.c_str(), link.c_str()) == 0 && ::lchown(link.c_str(), owner, owner) == 0;
    };
    Plan plan = plan_for_view({"fds"});
    plan.network = Network::named;
    plan.network_path = link;
    const std::string ours = "/proc/" + std::to_string(::getpid()) + "/ns/net";
    REQUIRE(lead_to(ours, 0));
    CHECK(run(plan).failure.stage == Stage::none);
    REQUIRE(lead_to(ours, 61234));
    const auto refused = run(plan);
    CHECK(refused.failure.stage == Stage::network);
    CHECK(refused.failure.error != 0);

    const Fd master(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    char name[64];
    REQUIRE(::unlockpt(master.get()) == 0);
    REQUIRE(::ptsname_r(master.get(), name, sizeof name) == 0);
    Plan shown = plan_for_view({"fds"});
    shown.terminal = link;
    REQUIRE(lead_to(name, 61234));
    CHECK(run(shown).failure.error == EPERM);
    REQUIRE(::chown(name, 61234, static_cast<gid_t>(-1)) == 0);
    CHECK(run(shown).failure.stage == Stage::none);
    std::filesystem::remove_all(folder);
}

TEST_CASE("a sandbox may be made ahead, but not where something is looked up at each start, or where its process counts") {
    NEEDS_ROOT();
    const Plan usual = plan_for_view({"fds"});
    CHECK(may_be_made_ahead(*prepare_or_fail(usual)));
    Plan plan = usual;
    plan.pid_namespace = false;
    CHECK_FALSE(may_be_made_ahead(*prepare_or_fail(plan)));
    plan = usual;
    plan.network = Network::named;
    plan.network_path = "/proc/self/ns/net";
    CHECK_FALSE(may_be_made_ahead(*prepare_or_fail(plan)));
    plan = usual;
    plan.limits.push_back({RLIMIT_NPROC, 100, 100});
    CHECK_FALSE(may_be_made_ahead(*prepare_or_fail(plan)));
    plan = usual;
    plan.root = Root::host;
    plan.mount_namespace = plan.private_tmp = false;
    plan.binds.clear();
    CHECK_FALSE(may_be_made_ahead(*prepare_or_fail(plan)));
}

TEST_CASE("/proc shows the processes of the sandbox and nothing else") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"read:/proc/self/status", "read:/proc/1/stat", "read:/proc/cpuinfo", "read:/proc/sys/kernel/hostname",
                               "write:/proc/self/comm"});
    plan.proc = ProcView::processes;
    const auto outcome = run(plan);
    CHECK(outcome.failure.stage == Stage::none);
    CHECK(holds(outcome.text, "open /proc/self/status ok\n"));
    CHECK(holds(outcome.text, "open /proc/1/stat ok\n"));
    CHECK(holds(outcome.text, "open /proc/cpuinfo ENOENT\n"));
    CHECK(holds(outcome.text, "open /proc/sys/kernel/hostname ENOENT\n"));
    CHECK(holds(outcome.text, "open /proc/self/comm EACCES\n"));
    plan.pid_namespace = false;
    Unfit unfit;
    CHECK_FALSE(prepare(plan, unfit));
    CHECK(unfit.item == "proc");
}

TEST_CASE("a directory in memory is the worker's, as large as planned, and runs nothing") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"directory:/run/app", "create:/run/app/x", "create:/run/x"});
    plan.memory_directories = {{.target = "/run/app", .size = 1 << 20, .mode = 0750}};
    const auto outcome = run(plan);
    CHECK(outcome.failure.stage == Stage::none);
    CHECK(holds(outcome.text, "directory /run/app ok 0750 64123 1048576\n"));
    CHECK(holds(outcome.text, "open /run/app/x ok\n"));
    CHECK_FALSE(holds(outcome.text, "open /run/x ok\n"));
    plan.memory_directories[0].target = "/tmp/app";
    Unfit unfit;
    CHECK_FALSE(prepare(plan, unfit));
    CHECK(unfit.item == "/tmp/app");
}

TEST_CASE("text files say what was planned, and /dev holds what was listed") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"file:/etc/motd", "write:/etc/motd", "read:/dev/zero", "write:/dev/null"});
    plan.files = {{"/etc/motd", "hello"}};
    plan.devices = {"null"};
    const auto outcome = run(plan);
    CHECK(holds(outcome.text, "file /etc/motd hello\n"));
    CHECK_FALSE(holds(outcome.text, "open /etc/motd ok\n"));
    CHECK(holds(outcome.text, "open /dev/zero ENOENT\n"));
    CHECK(holds(outcome.text, "open /dev/null ok\n"));
    plan.devices = {"no-such-device"};
    Unfit unfit;
    CHECK_FALSE(prepare(plan, unfit));
    CHECK(unfit.item == "/dev/no-such-device");
}

TEST_CASE("a minimal root holds the program and what is listed, and no /usr beside it") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"read:/usr/bin/env", "read:/usr/lib", "read:/etc/passwd"});
    plan.root = Root::minimal;
    const auto outcome = run(plan);
    CHECK(outcome.failure.stage == Stage::none);
    CHECK(holds(outcome.text, "open /usr/bin/env ENOENT\n"));
    CHECK(holds(outcome.text, "open /etc/passwd ok\n"));
}

TEST_CASE("a minimal root holds the libraries that its program and those name, and no others") {
    NEEDS_ROOT();
    for (const char* program : {"/usr/bin/true", "/usr/bin/python3", "/usr/bin/ls"}) {
        if (::access(program, X_OK) != 0) continue;
        CAPTURE(program);
        Plan plan = plan_for({program, "--version"});
        plan.root = Root::minimal;
        const auto outcome = run(plan);
        CHECK(outcome.failure.stage == Stage::none);
        CHECK(outcome.ended.value == 0);
    }
    Plan plan = plan_for_view({"read:/usr/lib/x86_64-linux-gnu/libdl.so.2"});
    plan.root = Root::minimal;
    CHECK(holds(run(plan).text, " ENOENT\n"));
}

TEST_CASE("directories of its own are made for the worker, shown and named, and one that belongs to a third is refused") {
    NEEDS_ROOT();
    const std::string base = "/run/warder-test-own";
    const std::string path = base + "/state/web";
    Plan plan = plan_for_view({"environment", "create:" + path + "/x", "directory:" + path});
    plan.own_directories = {{path, "STATE_DIRECTORY", 0700}};
    const auto outcome = run(plan);
    CHECK(outcome.failure.stage == Stage::none);
    CHECK(holds(outcome.text, "env STATE_DIRECTORY=" + path + "\n"));
    CHECK(holds(outcome.text, "open " + path + "/x ok\n"));
    CHECK(holds(outcome.text, "directory " + path + " ok 0700 64123 "));
    CHECK(::chown(path.c_str(), 12345, 12345) == 0);
    Unfit unfit;
    const auto refused = prepare(plan, unfit);
    CHECK_FALSE(refused);
    CHECK(unfit.item == path);
    ::unlink((path + "/x").c_str());
    for (const auto& directory : {path, base + "/state", base}) ::rmdir(directory.c_str());
}

TEST_CASE("T47: nobody but root passes the parent of a worker's directories, but of those that others are to enter, and what was kept moves") {
    NEEDS_ROOT();
    const std::string base = "/run/warder-test-entered";
    const std::string hidden = base + "/state/web";
    const std::string entered = base + "/public/state/web";
    std::filesystem::create_directories(base + "/state");   // as an older warderd left it
    Plan plan = plan_for_view({"create:" + hidden + "/kept"});
    plan.own_directories = {{.path = hidden, .variable = "STATE_DIRECTORY", .former = {entered}}};
    CHECK(run(plan).failure.stage == Stage::none);
    struct stat about;
    REQUIRE(::stat((base + "/state").c_str(), &about) == 0);
    CHECK((about.st_mode & 07777) == 0700);
    plan = plan_for_view({"read:" + entered + "/kept"});
    plan.own_directories = {{.path = entered, .variable = "STATE_DIRECTORY", .mode = 0750, .former = {hidden}, .group = "games", .gid = 60, .entered = true}};
    CHECK(holds(run(plan).text, "open " + entered + "/kept ok\n"));
    REQUIRE(::stat(entered.c_str(), &about) == 0);
    CHECK((about.st_mode & 07777) == 02750);
    CHECK(about.st_gid == 60);
    CHECK(about.st_uid == plan.uid);
    CHECK_FALSE(std::filesystem::exists(hidden));
    for (const auto& parent : {base + "/public", base + "/public/state"}) {
        REQUIRE(::stat(parent.c_str(), &about) == 0);
        CHECK((about.st_mode & 07777) == 0755);
    }
    std::filesystem::remove_all(base);
}

TEST_CASE("a secret file is the worker's alone to read, in memory that it cannot write to, and as it is at each start") {
    NEEDS_ROOT();
    const std::string source = "/run/warder-test-secret";
    std::ofstream(source) << "first";
    REQUIRE(::chmod(source.c_str(), 0600) == 0);
    Plan plan = plan_for_view({"environment", "file:/run/secrets/key", "create:/run/secrets/more", "directory:/run/secrets"});
    plan.secret_files = {{"key", source}};
    const auto outcome = run(plan);
    CHECK(outcome.failure.stage == Stage::none);
    CHECK(holds(outcome.text, "env CREDENTIALS_DIRECTORY=/run/secrets\n"));
    CHECK(holds(outcome.text, "first"));
    CHECK_FALSE(holds(outcome.text, "open /run/secrets/more ok\n"));
    CHECK(holds(outcome.text, "directory /run/secrets ok 0500 64123 "));
    std::ofstream(source) << std::string(max_secret_file + 1, 'x');
    CHECK(run(plan).failure.stage == Stage::mounts);
    ::unlink(source.c_str());
    Unfit unfit;
    CHECK_FALSE(prepare(plan, unfit));
    CHECK(unfit.item == source);
}

TEST_CASE("the mounts of a sandbox are tried without making anything, and what is nowhere is told") {
    NEEDS_ROOT();
    Unfit unfit;
    Plan plan = plan_for_view({});
    plan.own_directories = {{.path = "/run/warder-test-tried/web", .variable = "STATE_DIRECTORY"}};
    plan.memory_directories = {{.target = "/run/app", .size = 4096}};
    plan.ptys = true;
    plan.proc = ProcView::processes;
    plan.secret_files = {{"key", "/etc/passwd"}};
    const auto tried = try_mounts(plan, unfit);
    CHECK_MESSAGE(tried.has_value(), unfit.item << " " << unfit.why);
    CHECK_FALSE(std::filesystem::exists("/run/warder-test-tried"));
    plan.binds.push_back({.source = "/usr/share", .target = "/lib/warder-there-is-no-such"});
    CHECK_FALSE(try_mounts(plan, unfit));
    CHECK(unfit.item == "/lib/warder-there-is-no-such");
}

TEST_CASE("on the host's network Landlock lets through the ports that are listed") {
    NEEDS_ROOT();
    if (probe_kernel().landlock < 4) return;
    Plan plan = plan_for_view({"bind:61017", "bind:61018"});
    plan.network = Network::host;
    plan.calls.network = true;
    CHECK(holds(run(plan).text, "bind 61017 ok\nbind 61018 ok\n"));
    plan.tcp_bind = {true, {61017}};
    CHECK(holds(run(plan).text, "bind 61017 ok\nbind 61018 EACCES\n"));
}

TEST_CASE("nothing on a mount that is noexec can be run, whatever Landlock lets through") {
    NEEDS_ROOT();
    Plan plan = plan_for_view({"execute:/opt/bin/true"});
    plan.binds = {{.source = "/usr/bin", .target = "/opt/bin", .writable = false, .execute = true}};
    CHECK(holds(run(plan).text, "execute /opt/bin/true ok\n"));
    plan.binds[0].no_execute = true;
    CHECK(holds(run(plan).text, "execute /opt/bin/true EACCES\n"));
}

namespace {

// Two layers on the host, with names that options of mount(2) would have to escape.
class LayersOfTest {
public:
    LayersOfTest() {
        char name[] = "/tmp/warder-layers-XXXXXX";
        REQUIRE(::mkdtemp(name) != nullptr);
        place = name;
        upper = place + "/a:b,c\\d";
        lower = place + "/b";
        REQUIRE(::chmod(name, 0755) == 0);
        for (const auto& directory : {upper, lower, lower + "/own", lower + "/roots"}) REQUIRE(::mkdir(directory.c_str(), 0755) == 0);
        write(upper + "/both", "of the first\n");
        write(lower + "/both", "of the second\n");
        write(lower + "/mine", "low\n");
        write(lower + "/own/a", "a\n");
        write(lower + "/roots/a", "a\n");
        for (const auto& path : {lower + "/mine", lower + "/own", lower + "/own/a"}) REQUIRE(::chown(path.c_str(), worker_uid, worker_uid) == 0);
    }
    ~LayersOfTest() {
        for (const char* path : {"/b/own/a", "/b/roots/a", "/b/mine", "/b/both", "/a:b,c\\d/both", "/b/null", "/b/tool"}) ::unlink((place + path).c_str());
        for (const auto& path : {lower + "/own", lower + "/roots", lower, upper, place}) ::rmdir(path.c_str());
    }
    LayersOfTest(const LayersOfTest&) = delete;
    LayersOfTest& operator=(const LayersOfTest&) = delete;

    static std::string text(const std::string& path) {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    std::vector<Overlay> overlay(std::uint64_t size = 1 << 20) const { return {{.target = "/srv/tree", .lower = {upper, lower}, .size = size}}; }

    std::string place;
    std::string upper;
    std::string lower;

private:
    static void write(const std::string& path, const std::string& text) {
        std::ofstream(path) << text;
        REQUIRE(::chmod(path.c_str(), 0644) == 0);
    }
};

}  // namespace

TEST_CASE("an overlay shows its layers, the first on top, takes what the worker writes, and is as it was for the next") {
    NEEDS_ROOT();
    if (!probe_kernel().overlays) return;
    const LayersOfTest layers;
    const std::string script = "cd /srv/tree && cat both && echo more >>mine && cat mine && rm both own/a && rmdir own && mkdir own && ls own && "
                               "mv mine mine2 && echo new >new && ls && stat -c '%u %g %a' . new && (echo x >roots/a; rm -f roots/a; true) 2>&1";
    Plan plan = plan_for_shell(script);
    plan.overlays = layers.overlay();
    for (int life = 0; life < 2; ++life) {
        const auto outcome = run(plan);
        CAPTURE(outcome.text);
        CHECK(outcome.failure.stage == Stage::none);
        CHECK(outcome.ended.value == 0);
        CHECK(outcome.text.starts_with("of the first\nlow\nmore\nmine2\nnew\nown\nroots\n64123 64123 755\n64123 64123 600\n"));
        // What belongs to root stays root's.
        CHECK(holds(outcome.text, "cannot create roots/a: Permission denied"));
        CHECK(holds(outcome.text, "'roots/a': Permission denied"));
    }
    CHECK(LayersOfTest::text(layers.upper + "/both") == "of the first\n");
    CHECK(LayersOfTest::text(layers.lower + "/mine") == "low\n");
    CHECK(LayersOfTest::text(layers.lower + "/own/a") == "a\n");
}

TEST_CASE("an overlay holds as much as was planned, opens no device, and runs nothing unless that was planned") {
    NEEDS_ROOT();
    if (!probe_kernel().overlays) return;
    const LayersOfTest layers;
    const std::string tool = layers.lower + "/tool";
    REQUIRE(::system(("cp /usr/bin/true '" + tool + "' && chmod 4755 '" + tool + "'").c_str()) == 0);
    const bool device = ::mknod((layers.lower + "/null").c_str(), S_IFCHR | 0666, 1U << 8 | 3U) == 0 && ::chmod((layers.lower + "/null").c_str(), 0666) == 0;
    Plan plan = plan_for_shell("cd /srv/tree; head -c 3000000 /dev/zero >big; stat -c %s big; ./tool && echo ran; echo x >null");
    plan.overlays = layers.overlay();
    const auto outcome = run(plan);
    CHECK(outcome.failure.stage == Stage::none);
    CHECK(holds(outcome.text, "No space left on device"));
    CHECK(holds(outcome.text, "./tool: Permission denied"));
    CHECK_FALSE(holds(outcome.text, "ran\n"));
    if (device) CHECK(holds(outcome.text, "cannot create null: Permission denied"));
    plan.overlays[0].no_execute = false;
    CHECK(holds(run(plan).text, "ran\n"));
}

TEST_CASE("a program runs from an overlay, and an overlay over a part of /usr is on top of it") {
    NEEDS_ROOT();
    if (!probe_kernel().overlays) return;
    const LayersOfTest layers;
    const std::string tool = layers.lower + "/tool";
    REQUIRE(::system(("cp /usr/bin/cat '" + tool + "'").c_str()) == 0);
    Plan plan = plan_for({"/usr/share/tool", "/usr/share/both"});
    plan.overlays = layers.overlay();
    plan.overlays[0].target = "/usr/share";
    plan.overlays[0].no_execute = false;
    const auto outcome = run(plan);
    CHECK(outcome.failure.stage == Stage::none);
    CHECK(outcome.text == "of the first\n");
    plan.root = Root::minimal;
    CHECK(run(plan).text == "of the first\n");
    plan.overlays[0].no_execute = true;
    const auto refused = run(plan);
    CHECK(refused.failure.stage == Stage::exec);
    CHECK(refused.failure.error == EACCES);
}

namespace {

Plan in_user_namespace(std::vector<std::string> questions, std::uint32_t inside) {
    Plan plan = plan_for_view(std::move(questions));
    plan.user_namespace = true;
    plan.uid_map = plan.gid_map = {{inside, own_id, 1}};
    return plan;
}

}  // namespace

TEST_CASE("in a user namespace the worker has the ids that the maps give it, no capability, and outside it is who it was") {
    NEEDS_ROOT();
    if (!probe_kernel().user_namespaces) return;
    for (const bool stub : {true, false}) {
        Plan plan = in_user_namespace({"ids", "capabilities", "file:/etc/passwd"}, 0);
        plan.pid_namespace = stub;
        plan.groups = {64200};
        auto outcome = run(plan);
        CHECK(outcome.failure.stage == Stage::none);
        // A group outside of the maps is shown as nobody's.
        CHECK(holds(outcome.text, "uids 0 0 0\ngids 0 0 0\ngroups 65534\n"));
        CHECK(holds(outcome.text, "effective 00 permitted 00 inheritable 00 bounding 0 ambient 0\nsecurebits eb\n"));
        CHECK_FALSE(holds(outcome.text, "tester"));
        plan = in_user_namespace({"ids", "file:/etc/passwd"}, own_id);
        plan.pid_namespace = stub;
        outcome = run(plan);
        CHECK(holds(outcome.text, "uids 64123 64123 64123\ngids 64123 64123 64123\ngroups\n"));
        CHECK(holds(outcome.text, "tester:x:64123:64123"));
    }
    Running running(in_user_namespace({"sleep"}, 0));
    CHECK(status_line(running.worker.pid, "Uid") == "64123\t64123\t64123\t64123");
    CHECK(namespace_of(running.worker.pid, "user") != namespace_of(::getpid(), "user"));
    CHECK(namespace_of(running.stub.pid(), "user") == namespace_of(::getpid(), "user"));
}

TEST_CASE("capabilities in a user namespace count there, and are nothing to the other namespaces of the sandbox") {
    NEEDS_ROOT();
    if (!probe_kernel().user_namespaces) return;
    const std::string hostname = "call:" + std::to_string(SYS_sethostname) + ",0,0";
    const std::string packets = "call:" + std::to_string(SYS_socket) + ",17,3,0";
    const std::string become_other = "call:" + std::to_string(SYS_setuid) + ",7";
    const std::string become_stranger = "call:" + std::to_string(SYS_setuid) + ",9999";
    Plan plan = plan_for_view({hostname, packets, "bind:80", "call:" + std::to_string(SYS_setgroups) + ",0,0", become_stranger, become_other});
    plan.landlock = plan.calls.enabled = false;
    for (const int one : {CAP_SYS_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE, CAP_SETUID, CAP_SETGID}) plan.capabilities |= 1ULL << one;
    const auto outside = run(plan).text;
    CHECK(holds(outside, hostname.substr(5) + " ok\n"));
    CHECK(holds(outside, packets.substr(5) + " ok\n"));
    CHECK(holds(outside, "bind 80 ok\n"));
    CHECK(holds(outside, become_stranger.substr(5) + " ok\n"));
    plan.user_namespace = true;
    plan.uid_map = {{0, own_id, 1}, {1, 100000, 10}};
    plan.gid_map = {{0, own_id, 1}};
    const auto inside = run(plan).text;
    CHECK(holds(inside, hostname.substr(5) + " EPERM\n"));
    CHECK(holds(inside, packets.substr(5) + " EPERM\n"));
    CHECK(holds(inside, "bind 80 EACCES\n"));
    CHECK(holds(inside, std::to_string(SYS_setgroups) + ",0,0 EPERM\n"));
    CHECK(holds(inside, become_stranger.substr(5) + " EINVAL\n"));
    CHECK(holds(inside, become_other.substr(5) + " ok\n"));
}

TEST_CASE("sys_admin in a user namespace makes mounts of its own, and neither uncovers nor loosens one of the sandbox's") {
    NEEDS_ROOT();
    if (!probe_kernel().user_namespaces || !probe_kernel().overlays) return;
    const LayersOfTest layers;
    const char* const script = R"(
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def say(name, result): print(name, 'ok' if result == 0 else errno.errorcode[ctypes.get_errno()], flush=True)
def remount(target): return libc.mount(None, target, None, 4096 | 32, None)
say('remount before', remount(b'/'))
say('unshare', libc.unshare(0x20000))
say('remount /', remount(b'/'))
say('remount /usr', remount(b'/usr'))
say('remount /srv/tree', remount(b'/srv/tree'))
say('umount /srv/tree', libc.umount2(b'/srv/tree', 0))
say('umount /tmp', libc.umount2(b'/tmp', 0))
say('proc', libc.mount(b'p', b'/tmp', b'proc', 0, None))
say('tmpfs', libc.mount(b't', b'/tmp', b'tmpfs', 0, None)))";
    Plan plan = plan_for({"/usr/bin/python3", "-c", script});
    plan.landlock = plan.calls.enabled = false;
    plan.overlays = layers.overlay();
    plan.capabilities = 1ULL << CAP_SYS_ADMIN;
    const auto outside = run(plan).text;
    CHECK(holds(outside, "remount before ok\n"));
    CHECK(holds(outside, "remount /usr ok\n"));
    plan.user_namespace = true;
    plan.uid_map = plan.gid_map = {{0, own_id, 1}};
    const auto inside = run(plan).text;
    CHECK(inside == "remount before EPERM\nunshare ok\nremount / EPERM\nremount /usr EPERM\nremount /srv/tree EPERM\n"
                    "umount /srv/tree EINVAL\numount /tmp EINVAL\nproc EPERM\ntmpfs ok\n");
}

TEST_CASE("a user namespace goes with a program that cannot be dumped and limits on processes") {
    NEEDS_ROOT();
    if (!probe_kernel().user_namespaces) return;
    for (const std::uint32_t inside : {0U, own_id}) {
        Plan plan = in_user_namespace({"dumpable", "ids"}, inside);
        plan.dumpable = false;
        plan.limits = {{RLIMIT_NPROC, 1, 1}};
        plan.nice = -1;
        const auto outcome = run(plan);
        CHECK(outcome.failure.stage == Stage::none);
        CHECK_FALSE(holds(outcome.text, "dumpable 1"));
        plan.arguments = {plan.program, "sleep"};
        const Life life(plan);
        CHECK_EQ(open_items(life.receipt()), "");
    }
}

TEST_CASE("maps that do not hold the worker, or that the kernel refuses, are refused before a start") {
    NEEDS_ROOT();
    if (!probe_kernel().user_namespaces) return;
    Unfit unfit;
    Plan plan = in_user_namespace({"ids"}, 0);
    plan.uid_map = {{0, 100000, 10}};
    CHECK_FALSE(prepare(plan, unfit));
    CHECK(unfit.item == "uid_map");
    plan.uid_map = {{0, own_id, 1}, {1, worker_uid, 1}};
    CHECK_FALSE(prepare(plan, unfit));
    CHECK(unfit.item == "user_namespace");
    plan.uid_map = {{0, own_id, 1}};
    plan.gid_map = {{0, 5, 1}};
    CHECK_FALSE(prepare(plan, unfit));
    CHECK(unfit.item == "gid_map");
    plan.gid_map = {{0, own_id, 1}};
    plan.without_root = true;
    CHECK_FALSE(prepare(plan, unfit));
}
