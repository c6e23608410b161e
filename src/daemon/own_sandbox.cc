#include "daemon/own_sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <cstdlib>

#include "daemon/capabilities.h"
#include "sandbox/receipt.h"
#include "sys/files.h"
#include "sys/seccomp.h"

namespace warder::daemon {
namespace {

// Loading code into the kernel, the ways into it that were broken into most, and calls that nobody has used for decades.
constexpr std::string_view denied[] = {
    "bpf", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module", "query_module",
    "get_kernel_syms", "io_uring_setup", "io_uring_enter", "io_uring_register", "perf_event_open", "userfaultfd", "acct", "swapon",
    "swapoff", "iopl", "ioperm", "lookup_dcookie", "uselib", "_sysctl", "vm86", "vm86old",
};

// A call that no kernel has. With our filter it answers what no kernel would: that is how a successor finds it.
constexpr std::string_view marker = "nfsservctl";
constexpr int marker_answer = EXFULL;

bool filter_is_there() {
    const int number = seccomp::call_number(std::string(marker));
    return number >= 0 && ::syscall(number, 0, 0, 0) < 0 && errno == marker_answer;
}

Result<void> install_filter() {
    if (filter_is_there()) return {};
    const std::vector<std::string> names(std::begin(denied), std::end(denied));
    const auto program = TRY(seccomp::compile_denied(names, std::string(marker), marker_answer));
    const int error = seccomp::install(program.data(), static_cast<unsigned short>(program.size()), seccomp::Speculation::as_before);
    if (error != 0) return failure(error, "seccomp");
    return {};
}

std::vector<std::string> never_had(const Needs& needs, capabilities::Set permitted) {
    std::vector<std::string> sentences;
    for (const auto& need : needs.list()) {
        if ((permitted & capabilities::bit(need.capability)) != 0) continue;
        sentences.push_back(capabilities::name_of(need.capability) + " is needed and not there (" + need.reasons.front() + ")");
    }
    return sentences;
}

bool closes_at_exec(int fd) {
    const auto info = read_file("/proc/self/fdinfo/" + std::to_string(fd), 4096);
    if (!info) return true;   // closed meanwhile
    const std::string flags(sandbox::status_field("\n" + *info, "flags"));
    return (std::strtoul(flags.c_str(), nullptr, 8) & O_CLOEXEC) != 0;
}

// Numbers above standard error that would go along through an exec.
std::string open_over_exec() {
    DIR* directory = ::opendir("/proc/self/fd");
    std::string numbers;
    while (const dirent* entry = directory == nullptr ? nullptr : ::readdir(directory)) {
        const std::string_view name = entry->d_name;
        int fd = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), fd).ec != std::errc{} || fd <= STDERR_FILENO) continue;
        if (!closes_at_exec(fd)) numbers += (numbers.empty() ? "" : " ") + std::string(name);
    }
    if (directory != nullptr) ::closedir(directory);
    return numbers.empty() ? "none" : numbers;
}

control::SandboxItem item(std::string name, std::string wanted, std::string effective, control::Evidence evidence) {
    const bool matches = wanted == effective;
    return {std::move(name), std::move(wanted), std::move(effective), evidence, matches};
}

}  // namespace

std::vector<std::string_view> denied_calls() { return {std::begin(denied), std::end(denied)}; }

void OwnSandbox::close_memory_and_descriptors() {
    ::prctl(PR_SET_DUMPABLE, 0);
    rlimit core{};
    ::getrlimit(RLIMIT_CORE, &core);
    core.rlim_cur = std::min<rlim_t>(core.rlim_max, 1);   // of 0 bytes a handler would still get one, core(5); workers may have more
    ::setrlimit(RLIMIT_CORE, &core);
    constexpr unsigned close_at_exec = 1U << 2;   // CLOSE_RANGE_CLOEXEC (5.11)
    ::syscall(SYS_close_range, STDERR_FILENO + 1, UINT_MAX, close_at_exec);
}

// The filter before the capabilities: without no_new_privs it takes CAP_SYS_ADMIN.
Result<OwnSandbox> OwnSandbox::put_on(const config::Config& config) {
    OwnSandbox sandbox;
    const Needs needs = needed_by(config);
    const auto before = TRY(capabilities::held());
    sandbox.missing_ = never_had(needs, before.permitted);
    if (needs_new_privileges(config).empty() && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failure("prctl(PR_SET_NO_NEW_PRIVS)");
    sandbox.no_new_privileges_ = ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
    TRY(install_filter());
    TRY(capabilities::keep_only(needs.set()));
    sandbox.kept_ = needs.set() & before.permitted;
    return sandbox;
}

std::vector<std::string> OwnSandbox::restarts_for(const config::Config& next) const {
    return daemon::restarts_for(next, kept_, no_new_privileges_);
}

std::vector<control::SandboxItem> OwnSandbox::receipt(const std::string& cgroup) const {
    using control::Evidence;
    std::vector<control::SandboxItem> items;
    const auto status = read_file("/proc/self/status", 16 * 1024);
    const auto field = [&](const char* key) { return status ? std::string(sandbox::status_field(*status, key)) : std::string(); };
    const auto set = [&](const char* key) { return capabilities::in_words(std::strtoull(field(key).c_str(), nullptr, 16)); };
    const std::string kept = capabilities::in_words(kept_);
    const std::string uid = std::to_string(::getuid());
    items.push_back(item("uid", uid + " " + uid + " " + uid + " " + uid, [&] {
        std::string ids = field("Uid");
        std::ranges::replace(ids, '\t', ' ');
        return ids;
    }(), Evidence::read));
    items.push_back(item("permitted capabilities", kept, set("CapPrm"), Evidence::read));
    items.push_back(item("effective capabilities", kept, set("CapEff"), Evidence::read));
    items.push_back(item("inheritable capabilities", "none", set("CapInh"), Evidence::read));
    items.push_back(item("bounding capabilities", kept, set("CapBnd"), Evidence::read));
    items.push_back(item("ambient capabilities", "none", set("CapAmb"), Evidence::read));
    items.push_back(item("no_new_privs", no_new_privileges_ ? "set" : "not set", field("NoNewPrivs") == "1" ? "set" : "not set", Evidence::read));
    items.push_back(item("seccomp", "filter", field("Seccomp") == "2" ? "filter" : "none", Evidence::read));
    items.push_back(item("seccomp denies", "its fixed list", filter_is_there() ? "its fixed list" : "nothing", Evidence::proved));
    items.push_back(item("memory readable by others", "no", ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 ? "yes" : "no", Evidence::proved));
    rlimit core{};
    const bool none = ::getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur <= 1;
    items.push_back(item("core dumps", "none", none ? "none" : "possible", Evidence::read));
    items.push_back(item("descriptors over exec", "none", open_over_exec(), Evidence::read));
    const std::string group = status ? cgroup : std::string();
    if (!group.empty()) items.push_back({"cgroup", group + "/daemon", group + "/daemon", Evidence::read, true});
    return items;
}

}  // namespace warder::daemon
