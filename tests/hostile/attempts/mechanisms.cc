// mechanisms: `mechanisms MECHANISM key=value...` runs attempts as `attempts try` does, in a sandbox in which nothing but that one
// mechanism is there, and lends them what a daemon would. With `none` it is a process of root's like any other. It runs as root; what
// a mechanism is, is said once, in the table below, by the plan's own items.
#include <fcntl.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "attempt.h"
#include "daemon/own_sandbox.h"
#include "sandbox/prepared.h"
#include "sandbox/program.h"
#include "sandbox/spawn.h"
#include "sys/capabilities.h"
#include "sys/channel.h"
#include "sys/kernel.h"
#include "sys/landlock.h"
#include "sys/process.h"
#include "sys/socket_options.h"

using namespace warder;
using namespace warder::sandbox;

namespace {

constexpr uid_t worker_uid = 64998;
constexpr int patience_ms = 60'000;

[[noreturn]] void give_up(const std::string& why) {
    std::fprintf(stderr, "mechanisms: %s\n", why.c_str());
    std::exit(2);
}

// One that this kernel has not: its attempts cannot be tried here.
[[noreturn]] void not_here(const std::string& why) {
    std::printf("not here\t%s\n", why.c_str());
    std::exit(0);
}

// ---- What a mechanism alone is ----

struct Sandbox {
    Plan plan;
    attempts::Group group = attempts::Group::plain;
    std::string home;
    std::function<void(Prepared&)> change = [](Prepared&) {};
    bool daemon_filter = false;
    bool exec_seal = false;
    bool seals = false;
    bool refuse_descriptors = false;
};

void filter_of_service(Sandbox& sandbox) {
    sandbox.plan.no_new_privileges = sandbox.plan.calls.enabled = true;
    sandbox.plan.calls.network = true;
    auto& calls = sandbox.plan.calls;
    calls.inet_sockets_lent = calls.datagram_sockets_lent = calls.listeners_lent = calls.connections_lent = sandbox.group == attempts::Group::sockets;
    if (calls.inet_sockets_lent) calls.lent_sockets = socket_options::lent_ipv4 | socket_options::lent_ipv6 | socket_options::lent_tcp | socket_options::lent_udp;
}

// A domain of Landlock that holds nothing but what is left of `handled` after `keep`.
void landlock_of(Sandbox& sandbox, std::function<void(Prepared&)> keep) {
    sandbox.plan.no_new_privileges = sandbox.plan.landlock = true;
    sandbox.change = std::move(keep);
}

// The host's tree stays; the rules are those of a root of its own.
void rules_of_a_root(Prepared& prepared, Plan as, const std::string& home) {
    as.root = Root::system;
    as.mount_namespace = true;
    as.binds = {{.source = home + "/shown", .target = home + "/shown"}, {.source = home + "/tmp", .target = home + "/tmp", .writable = true}};
    prepared.rights = rights_of(as, chain_of(as), landlock::abi(), landlock::errata());
    prepared.rights.handled.net = prepared.rights.handled.scoped = 0;
    std::erase_if(prepared.rights.paths, [](const auto& right) { return ::access(right.path.c_str(), F_OK) != 0; });
}

void only_ports(Prepared& prepared) {
    prepared.rights = {};
    prepared.rights.handled.net = landlock::all_of(landlock::abi()).net;
    if (prepared.rights.handled.net == 0) not_here("Landlock restricts no ports");
}

void only_scopes(Prepared& prepared) {
    prepared.rights = {};
    prepared.rights.handled.scoped = landlock::all_of(landlock::abi()).scoped;
    if (prepared.rights.handled.scoped == 0) not_here("Landlock has no scopes");
}

void tree_of_its_own(Sandbox& sandbox) {
    Plan& plan = sandbox.plan;
    plan.mount_namespace = plan.private_tmp = true;
    plan.root = Root::system;
    plan.binds = {{.source = sandbox.home + "/shown", .target = sandbox.home + "/shown"},
                  {.source = sandbox.home + "/tmp", .target = sandbox.home + "/tmp", .writable = true}};
}

using Change = void (*)(Sandbox&);

Change change_of(std::uint32_t mechanism) {
    switch (mechanism) {
        case attempts::user:
            return [](Sandbox& sandbox) {
                sandbox.plan.uid = sandbox.plan.gid = worker_uid;
                sandbox.plan.capabilities = 0;
            };
        case attempts::capabilities: return [](Sandbox& sandbox) { sandbox.plan.capabilities = 0; };
        case attempts::no_new_privileges: return [](Sandbox& sandbox) { sandbox.plan.no_new_privileges = true; };
        case attempts::mounts: return tree_of_its_own;
        case attempts::pids: return [](Sandbox& sandbox) { sandbox.plan.pid_namespace = true; };
        case attempts::network: return [](Sandbox& sandbox) { sandbox.plan.network = Network::none; };
        case attempts::ipc: return [](Sandbox& sandbox) { sandbox.plan.ipc_namespace = true; };
        case attempts::uts: return [](Sandbox& sandbox) { sandbox.plan.uts_namespace = true; };
        case attempts::cgroups: return [](Sandbox& sandbox) { sandbox.plan.cgroup_namespace = true; };
        case attempts::filter: return filter_of_service;
        case attempts::strict_filter:
            return [](Sandbox& sandbox) {
                filter_of_service(sandbox);
                sandbox.plan.calls.network = false;
                sandbox.plan.calls.base = {"@strict-service"};
                sandbox.plan.calls.few_ioctls = true;
            };
        case attempts::landlock_files:
            return [](Sandbox& sandbox) {
                landlock_of(sandbox, [plan = sandbox.plan, home = sandbox.home](Prepared& prepared) { rules_of_a_root(prepared, plan, home); });
            };
        case attempts::landlock_ports: return [](Sandbox& sandbox) { landlock_of(sandbox, only_ports); };
        case attempts::landlock_scope: return [](Sandbox& sandbox) { landlock_of(sandbox, only_scopes); };
        case attempts::executable_memory: return [](Sandbox& sandbox) { sandbox.plan.memory_deny_write_execute = true; };
        case attempts::keyring: return [](Sandbox& sandbox) { sandbox.plan.private_keyring = true; };
        case attempts::no_core: return [](Sandbox& sandbox) { sandbox.plan.core_dumps = false; };
        case attempts::daemon_filter: return [](Sandbox& sandbox) { sandbox.daemon_filter = true; };
        case attempts::exec_seal: return [](Sandbox& sandbox) { sandbox.exec_seal = true; };
        case attempts::seals: return [](Sandbox& sandbox) { sandbox.seals = true; };
        case attempts::pass_rights: return [](Sandbox& sandbox) { sandbox.refuse_descriptors = true; };
        default: return [](Sandbox&) {};
    }
}

// A process of root's as any other: all that a sandbox can take is there.
Plan nothing_taken(std::vector<std::string> arguments) {
    Plan plan;
    plan.program = arguments.at(0);
    plan.arguments = std::move(arguments);
    plan.user = "root";
    plan.uid = plan.gid = 0;
    plan.root = Root::host;
    plan.mount_namespace = plan.pid_namespace = plan.ipc_namespace = plan.uts_namespace = plan.private_tmp = false;
    plan.network = Network::host;
    plan.no_new_privileges = plan.landlock = plan.scope_signals = plan.scope_abstract_sockets = plan.private_keyring = plan.calls.enabled = false;
    const auto held = capabilities::held();
    if (!held) give_up("capabilities cannot be read");
    plan.capabilities = held->permitted;
    return plan;
}

// ---- The world that it is in ----

void deny_as_warderd() {
    std::vector<std::string> names;
    for (const auto name : daemon::denied_calls()) names.emplace_back(name);
    const auto program = seccomp::compile_denied(names, "nfsservctl", EXFULL);
    if (!program || seccomp::install(program->data(), static_cast<unsigned short>(program->size())) != 0) give_up("the filter of warderd");
}

// Of the session keyring that warderd has, and that its workers shall not reach.
void keep_a_key(const std::string& name) {
    if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0) return;
    ::syscall(SYS_add_key, "user", name.c_str(), "a secret", 8, KEY_SPEC_SESSION_KEYRING);
}

// As a program outside would remember it: where the file is, whatever its name.
std::string handle_of(const std::string& path) {
    alignas(file_handle) unsigned char space[sizeof(file_handle) + MAX_HANDLE_SZ]{};
    auto* const handle = reinterpret_cast<file_handle*>(space);
    handle->handle_bytes = MAX_HANDLE_SZ;
    int mount = 0;
    if (::name_to_handle_at(AT_FDCWD, path.c_str(), handle, &mount, 0) != 0) return "00";
    std::string hex;
    for (std::size_t i = 0; i < sizeof(file_handle) + handle->handle_bytes; ++i) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", space[i]);
        hex += digits;
    }
    return hex;
}

// ---- What is lent ----

Fd opened(const std::string& path, int flags, uid_t owner) {
    Fd file(::open(path.c_str(), flags | O_NOCTTY | O_CLOEXEC, 0600));
    if (!file) give_up("cannot open " + path);
    if ((flags & O_CREAT) != 0 && ::fchown(file.get(), owner, owner) != 0) give_up("cannot give " + path);
    return file;
}

// A program, so that it can be run where nothing stops that.
Fd secret_for(const Sandbox& sandbox) {
    constexpr unsigned executable = 0x10;   // MFD_EXEC
    const unsigned kind = sandbox.exec_seal ? kernel::mfd_noexec_seal : executable;
    Fd memory(::memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING | kind));
    if (!memory && sandbox.exec_seal) not_here("memory cannot be sealed against being run");
    if (!memory) memory = Fd(::memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    const Fd from(::open(sandbox.plan.program.c_str(), O_RDONLY | O_CLOEXEC));
    char buffer[65536];
    for (ssize_t size = 0; (size = ::read(from.get(), buffer, sizeof buffer)) > 0;) {
        if (::write(memory.get(), buffer, static_cast<std::size_t>(size)) != size) give_up("a secret cannot be written");
    }
    if (!sandbox.exec_seal && ::fchmod(memory.get(), 0500) != 0) give_up("a secret cannot be made a program");
    if (sandbox.exec_seal && ::fchmod(memory.get(), 0400) != 0) give_up("a secret cannot be given a mode");
    constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (sandbox.seals && ::fcntl(memory.get(), F_ADD_SEALS, seals) != 0) give_up("a secret cannot be sealed");
    return memory;
}

Fd terminal_of(const Fd& master) {
    char name[64];
    if (!master || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0 || ::ptsname_r(master.get(), name, sizeof name) != 0) {
        give_up("no terminal");
    }
    return opened(name, O_RDWR, 0);
}

Fd inet(int type, long port) {
    Fd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    const auto* const where = reinterpret_cast<const sockaddr*>(&address);
    const bool good = port == 0 ? ::bind(fd.get(), where, sizeof address) == 0 && ::listen(fd.get(), 8) == 0
                                : ::connect(fd.get(), where, sizeof address) == 0;
    if (!good) give_up("no socket to lend");
    return fd;
}

Fd stream_to(const std::string& path) {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) give_up("no stream to lend");
    return fd;
}

// In the order of attempts::Lent.
// Connected to itself.
Fd datagrams_of_ipv6() {
    Fd fd(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_addr = IN6ADDR_LOOPBACK_INIT;
    socklen_t size = sizeof address;
    if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
        ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
        ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
        give_up("a socket of IPv6");
    }
    return fd;
}

std::vector<Fd> what_is_lent(const Sandbox& sandbox, const attempts::Context& context, const std::string& name, const Fd& master) {
    const std::string files = sandbox.home + "/lent/" + name;
    std::vector<Fd> lent;
    lent.push_back(opened(sandbox.home + "/lent/readable", O_RDONLY, 0));
    lent.push_back(opened(files + ".append", O_WRONLY | O_APPEND | O_CREAT, sandbox.plan.uid));
    lent.push_back(opened(files + ".write", O_RDWR | O_CREAT, sandbox.plan.uid));
    lent.push_back(secret_for(sandbox));
    lent.push_back(terminal_of(master));
    lent.push_back(stream_to(sandbox.home + "/door"));
    lent.push_back(opened(sandbox.home + "/shown", O_RDONLY | O_DIRECTORY, 0));
    lent.push_back(inet(SOCK_STREAM, 0));
    lent.push_back(inet(SOCK_STREAM, context.number("user.tcp")));
    lent.push_back(inet(SOCK_DGRAM, context.number("user.udp")));
    lent.push_back(datagrams_of_ipv6());
    return lent;
}

// All in one message, for `attempts try`.
void send_over(int socket, const std::vector<Fd>& lent) {
    char byte = 0;
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(attempts::lent_kinds * sizeof(int))]{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof control - CMSG_LEN(0));
    int numbers[attempts::lent_kinds];
    for (std::size_t i = 0; i < lent.size(); ++i) numbers[i] = lent[i].get();
    head->cmsg_len = CMSG_LEN(sizeof numbers);
    std::memcpy(CMSG_DATA(head), numbers, sizeof numbers);
    if (::sendmsg(socket, &message, MSG_NOSIGNAL) != 1) give_up("nothing could be lent");
}

// ---- A life ----

void wait_until_it_runs(const Spawned& spawned) {
    std::optional<SetupFailure> said;
    while (!said) {
        pollfd status{spawned.status.get(), POLLIN, 0};
        if (::poll(&status, 1, patience_ms) != 1) give_up("its set-up does not end");
        said = read_status(spawned.status.get());
    }
    if (said->stage != Stage::none) give_up("set-up failed: " + std::string(name_of(said->stage)) + " " + std::strerror(said->error));
}

Spawned begun(Result<Spawned> spawned) {
    if (!spawned) give_up(describe(spawned.error()));
    wait_until_it_runs(*spawned);
    return std::move(*spawned);
}

PreparedSandbox prepared_for(const Sandbox& sandbox, const std::string& stub) {
    Unfit unfit;
    auto prepared = prepare(sandbox.plan, unfit, stub);
    if (!prepared) not_here(unfit.item + ": " + unfit.why + ": " + describe(prepared.error()));
    sandbox.change(**prepared);
    return std::move(*prepared);
}

int live(const Sandbox& sandbox, const attempts::Context& context, const std::string& name) {
    const PreparedSandbox prepared = prepared_for(sandbox, context.text("stub"));
    const Fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    const std::vector<Fd> lent = what_is_lent(sandbox, context, name, master);
    auto pair = make_channel_pair();
    if (!pair) give_up("no channel");
    if (sandbox.refuse_descriptors && !pair->ours.refuse_descriptors()) not_here("SO_PASSRIGHTS is not known");
    send_over(pair->ours.get(), lent);
    Spawned stub;
    const Fd group(::open(context.text("cgroup").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (needs_stub(*prepared)) stub = begun(spawn_stub(*prepared));
    const Descriptors given{.broker = pair->theirs.get(), .output = STDOUT_FILENO, .error = STDERR_FILENO, .cgroup = group.get()};
    const Spawned worker = begun(spawn_worker(*prepared, given, stub.pidfd ? stub.pidfd.get() : -1));
    if (!ended_within(worker.pidfd.get(), patience_ms)) give_up("it does not end");
    const auto ended = reap(worker.pidfd.get());
    if (stub.pidfd) {
        [[maybe_unused]] const auto killed = send_signal(stub.pidfd.get(), SIGKILL);
    }
    return ended && *ended && !(*ended)->by_signal ? (*ended)->value : 1;
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 3) return 2;
    const std::string name = arguments[1];
    attempts::Context context{};
    std::vector<std::string> told;
    for (int i = 2; i < count; ++i) {
        const std::string text = arguments[i];
        const std::size_t at = text.find('=');
        if (at != std::string::npos) context.told[text.substr(0, at)] = text.substr(at + 1);
        told.push_back(text);
    }
    const std::string home = context.text("dir");
    const std::string sandbox_name = name + "." + context.text("kind");
    told.push_back("sandbox=" + sandbox_name);
    told.push_back("handle=" + handle_of(home + "/hidden/public"));
    told.insert(told.begin(), {home + "/shown/attempts", "try"});
    const std::uint32_t mechanism = attempts::mechanism_of(name);
    if (mechanism == 0 && name != "none") return 2;
    Sandbox sandbox;
    sandbox.group = context.text("kind") == "sockets" ? attempts::Group::sockets : attempts::Group::plain;
    sandbox.home = home;
    sandbox.plan = nothing_taken(std::move(told));
    change_of(mechanism)(sandbox);
    keep_a_key(context.text("key"));
    if (sandbox.daemon_filter) deny_as_warderd();
    return live(sandbox, context, sandbox_name);
}
