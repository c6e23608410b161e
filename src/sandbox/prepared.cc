#include "sandbox/prepared.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "sandbox/calls.h"
#include "sandbox/forbidden.h"
#include "sandbox/id_map.h"
#include "sandbox/probe.h"
#include "sandbox/program.h"
#include "sandbox/reach.h"
#include "sandbox/receipt.h"
#include "sandbox/requirements.h"
#include "sandbox/stub_path.h"
#include "sys/files.h"
#include "sys/namespaces.h"
#include "sys/own_limits.h"
#include "sys/path_walk.h"
#include "sys/user_namespace.h"

namespace warder::sandbox {
namespace {

Failure refuse(Unfit& unfit, std::string item, std::string why, int error = EOPNOTSUPP) {
    unfit = {std::move(item), std::move(why)};
    return failure(error, "preparing a sandbox");
}

std::uint64_t namespaces_of(const Plan& plan) {
    std::uint64_t flags = 0;
    if (plan.mount_namespace) flags |= CLONE_NEWNS;
    if (plan.ipc_namespace) flags |= CLONE_NEWIPC;
    if (plan.uts_namespace) flags |= CLONE_NEWUTS;
    if (plan.network != Network::host) flags |= CLONE_NEWNET;
    if (plan.cgroup_namespace) flags |= CLONE_NEWCGROUP;
    if (plan.time_namespace) flags |= CLONE_NEWTIME;
    return flags;
}

// No higher than our own hard limit: raising that would take CAP_SYS_RESOURCE.
void add_default(std::vector<Limit>& limits, int resource, rlim_t soft, rlim_t hard) {
    if (std::ranges::find(limits, resource, &Limit::resource) != limits.end()) return;
    rlimit own{};
    ::getrlimit(static_cast<__rlimit_resource_t>(resource), &own);
    limits.push_back({resource, std::min(soft, own.rlim_max), std::min(hard, own.rlim_max)});
}

// Of these two warderd has others for itself; what it has of the rest is what every worker begins with. A core of 0 bytes is still
// piped into a handler; a limit of 1 is what the kernel takes for "not even that" (core(5)).
std::vector<Limit> limits_of(const Plan& plan) {
    std::vector<Limit> limits = plan.limits;
    add_default(limits, RLIMIT_NOFILE, worker_descriptors, worker_descriptors_most);
    if (plan.core_dumps) {
        add_default(limits, RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY);
        return limits;
    }
    std::erase_if(limits, [](const Limit& limit) { return limit.resource == RLIMIT_CORE; });
    rlimit own{};
    ::getrlimit(RLIMIT_CORE, &own);
    const rlim_t most = std::min<rlim_t>(own.rlim_max, 1);
    limits.push_back({RLIMIT_CORE, most, most});
    return limits;
}

std::vector<unsigned long> mask_of(const std::vector<unsigned>& cpus) {
    constexpr unsigned bits = sizeof(unsigned long) * CHAR_BIT;
    std::vector<unsigned long> mask;
    for (const unsigned cpu : cpus) {
        if (mask.size() <= cpu / bits) mask.resize(cpu / bits + 1);
        mask[cpu / bits] |= 1UL << cpu % bits;
    }
    return mask;
}

std::vector<std::string> with_socket(std::vector<std::string> environment) {
    environment.push_back("WARDER_SOCKET=" + std::to_string(worker_socket));
    return environment;
}

std::vector<std::string> with_store(std::vector<std::string> environment) {
    environment.push_back("WARDER_STORE=" + std::to_string(worker_store));
    return environment;
}

std::vector<std::string> arguments_of(const Plan& plan) {
    return plan.arguments.empty() ? std::vector<std::string>{plan.program} : plan.arguments;
}

bool clean_path(const std::string& path) {
    return path.starts_with('/') && path.size() < PATH_MAX && path.find('\0') == std::string::npos;
}

constexpr std::size_t max_layers = 64;   // whose names fit into a page

constexpr unsigned max_cpus = 8192;   // CONFIG_NR_CPUS goes no further

// What makes no sense anywhere.
Result<void> check_values(const Plan& plan, Unfit& unfit) {
    if (!clean_path(plan.program)) return refuse(unfit, "program", "is not an absolute path", EINVAL);
    if (!clean_path(plan.directory)) return refuse(unfit, "directory", "is not an absolute path", EINVAL);
    for (const auto& bind : plan.binds) {
        if (!clean_path(bind.source)) return refuse(unfit, bind.source, "is not an absolute path", EINVAL);
        if (!clean_path(bind.target) || bind.target == "/") return refuse(unfit, bind.target, "is no place for a bind", EINVAL);
    }
    for (const auto& file : plan.files) {
        if (!clean_path(file.target)) return refuse(unfit, file.target, "is not an absolute path", EINVAL);
    }
    for (const auto* strings : {&plan.arguments, &plan.environment}) {
        for (const auto& text : *strings) {
            if (text.find('\0') != std::string::npos) return refuse(unfit, text.c_str(), "holds a NUL byte", EINVAL);
        }
    }
    if (plan.uid == static_cast<uid_t>(-1)) return refuse(unfit, "uid", "-1 means \"unchanged\" to the kernel", EINVAL);
    if (plan.gid == static_cast<gid_t>(-1)) return refuse(unfit, "gid", "-1 means \"unchanged\" to the kernel", EINVAL);
    for (const unsigned cpu : plan.cpus) {
        if (cpu >= max_cpus) return refuse(unfit, "cpus", "no kernel counts that many", EINVAL);
    }
    for (const auto& one : plan.memory_directories) {
        if (!clean_path(one.target) || one.target == "/") return refuse(unfit, one.target, "is no place for a directory in memory", EINVAL);
    }
    for (const auto& one : plan.overlays) {
        if (!clean_path(one.target) || one.target == "/") return refuse(unfit, one.target, "is no place for an overlay", EINVAL);
        if (one.lower.empty() || one.lower.size() > max_layers) return refuse(unfit, one.target, "is an overlay of 1 to 64 layers", EINVAL);
        for (const auto& layer : one.lower) {
            if (!clean_path(layer)) return refuse(unfit, layer, "is not an absolute path", EINVAL);
        }
    }
    for (const auto& one : plan.own_directories) {
        if (!clean_path(one.path) || one.path == "/") return refuse(unfit, one.path, "is no path for a directory", EINVAL);
    }
    if (plan.network == Network::named && !clean_path(plan.network_path)) return refuse(unfit, "network", "is not an absolute path", EINVAL);
    if (!plan.terminal.empty() && !clean_path(plan.terminal)) return refuse(unfit, "terminal", "is not an absolute path", EINVAL);
    return {};
}

constexpr std::uint64_t reading_all = 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_DAC_READ_SEARCH;

// Items that hold only together with another.
Result<void> check_whole(const Plan& plan, Unfit& unfit) {
    const bool mounts = plan.mount_namespace;
    if (!mounts && plan.root != Root::host) return refuse(unfit, "root", "a root of its own needs a mount namespace", EINVAL);
    if (mounts && plan.root == Root::host) return refuse(unfit, "mount_namespace", "needs a root of its own in it", EINVAL);
    if (!mounts && !plan.binds.empty()) return refuse(unfit, "binds", "need a mount namespace", EINVAL);
    if (!mounts && !plan.files.empty()) return refuse(unfit, "files", "need a mount namespace", EINVAL);
    if (!mounts && plan.private_tmp) return refuse(unfit, "private_tmp", "needs a mount namespace", EINVAL);
    if (!mounts && !plan.memory_directories.empty()) return refuse(unfit, "memory", "needs a mount namespace", EINVAL);
    if (!plan.overlays.empty() && !mounts) return refuse(unfit, "overlays", "need a root of their own", EINVAL);
    if (!plan.overlays.empty() && plan.without_root) return refuse(unfit, "overlays", "take rights over files, which there are none without root", EINVAL);
    if (plan.user_namespace && plan.without_root) return refuse(unfit, "user_namespace", "is warderd's own already without root", EINVAL);
    if (!plan.dumpable && !mounts) return refuse(unfit, "dumpable", "false needs a root of its own", EINVAL);
    if (!plan.dumpable && (plan.capabilities & reading_all) != 0) {
        return refuse(unfit, "dumpable", "false is nothing to who may read every file (dac_override, dac_read_search)", EINVAL);
    }
    const bool shows_processes = plan.proc != ProcView::hidden;
    if (shows_processes && (!mounts || !plan.pid_namespace)) {
        return refuse(unfit, "proc", "needs a root and a pid namespace of its own", EINVAL);
    }
    if (plan.calls.monitored && !plan.calls.enabled) return refuse(unfit, "evidence", "is about a filter, and there is none", EINVAL);
    const bool filters = plan.landlock || plan.calls.enabled;
    if (!plan.no_new_privileges && filters) {
        return refuse(unfit, "no_new_privileges", "is needed for Landlock and seccomp", EINVAL);
    }
    return {};
}

// fs.suid_dumpable is what a program gets that may not be read: 1 is for debugging, and makes it nothing.
Result<void> check_dumps(const Plan& plan, Unfit& unfit) {
    const auto text = plan.dumpable ? Result<std::string>(std::string()) : read_file("/proc/sys/fs/suid_dumpable", 16);
    if (text && text->starts_with('1')) return refuse(unfit, "dumpable", "cannot be false: fs.suid_dumpable is 1 here; set it to 0 or 2");
    return {};
}

unsigned last_capability() {
    unsigned capability = 0;
    while (::prctl(PR_CAPBSET_READ, capability + 1, 0, 0, 0) >= 0) ++capability;
    return capability;
}

std::uint64_t bounding_set(unsigned last) {
    std::uint64_t set = 0;
    for (unsigned capability = 0; capability <= last; ++capability) {
        if (::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 0) set |= 1ULL << capability;
    }
    return set;
}

// What this kernel would have to do.
Result<void> check_kernel(const Plan& plan, const KernelFeatures& kernel, Unfit& unfit) {
    for (const auto& lack : lacks_of(plan, kernel)) return refuse(unfit, lack.item, lack.why + "; instead: " + lack.instead);
    if ((plan.capabilities >> last_capability()) > 1) return refuse(unfit, "capabilities", "the kernel does not know one of them");
    return {};
}

std::string octal(mode_t mode) {
    char text[16];
    std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(mode));
    return text;
}

std::vector<std::string> memory_options_of(const Plan& plan) {
    std::vector<std::string> options;
    for (const auto& one : plan.memory_directories) {
        options.push_back("mode=" + octal(one.mode) + ",size=" + std::to_string(one.size) + ",uid=" + std::to_string(plan.uid) +
                          ",gid=" + std::to_string(plan.gid));
    }
    return options;
}

// Of these there may be many in a config, and the kernel counts them all together (pty(7)).
constexpr int max_ptys = 64;

std::vector<std::string> memory_targets_of(const Plan& plan) {
    std::vector<std::string> targets;
    for (const auto& one : plan.memory_directories) targets.push_back("/" + past_own_links(plan, one.target));
    return targets;
}

// The directory is full when each of them is as large as it may be.
std::string secrets_options_of(const Plan& plan) {
    const std::uint64_t size = plan.secret_files.size() * (max_secret_file + 4096) + 4096;
    return "mode=0500,size=" + std::to_string(size) + ",uid=" + std::to_string(plan.uid) + ",gid=" + std::to_string(plan.gid);
}

// The names in `options` are ours alone, so nothing in them is to be escaped, and many of them fit into the page that mount(2) takes.
OverlayMounts mounts_of(const Overlay& plan, const Layers& layers) {
    std::string lower;
    for (const auto& layer : layers.lower) lower += (lower.empty() ? "" : ":") + layer;
    const std::string upper = layers.top + "/upper";
    const std::string work = layers.top + "/work";
    return {.top = layers.top, .top_options = "mode=0700,size=" + std::to_string(plan.size), .upper = upper, .work = work,
            .target = layers.target, .options = "lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work};
}

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string name_in_parent(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Who may not pass it runs none of the programs that the worker leaves in its own directory, whatever their bits and modes are.
Result<Fd> make_parent(const OwnDirectory& wanted) {
    const std::string path = parent_of(wanted.path);
    const mode_t mode = wanted.entered ? 0755 : 0700;
    TRY(made_directory_as_root(parent_of(path), 0755));
    Fd parent = TRY(made_directory_as_root(path, mode));
    struct stat about;
    if (::fstat(parent.get(), &about) != 0) return failure("fstat");
    const bool other = about.st_uid == ::getuid() && (about.st_mode & 07777) != mode;
    if (other && ::chmod(own_path(parent.get()).c_str(), mode) != 0) return failure("chmod");
    return parent;
}

bool is_directory_of(int parent, const std::string& name, uid_t owner) {
    struct stat about;
    return ::fstatat(parent, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(about.st_mode) && about.st_uid == owner;
}

// What the worker has kept comes along. Both places are in directories of root's.
Result<void> move_former(const OwnDirectory& wanted, int parent, const Plan& plan) {
    const std::string name = name_in_parent(wanted.path);
    struct stat about;
    if (::fstatat(parent, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0) return {};
    for (const auto& former : wanted.former) {
        const auto from = open_directory_as_root(parent_of(former));
        const std::string old = name_in_parent(former);
        if (!from || !is_directory_of(from->get(), old, plan.uid)) continue;
        if (::renameat(from->get(), old.c_str(), parent, name.c_str()) != 0) return failure("renameat");
        return {};
    }
    return {};
}

// Made by root in a directory of root's, so nobody can have put something else there. One that belongs to a third is left alone. What
// is made in one that a group may enter is the group's too.
Result<void> make_own_directory(const OwnDirectory& wanted, const Plan& plan, Unfit& unfit) {
    const auto made = make_parent(wanted);
    if (!made) return refuse(unfit, parent_of(wanted.path), "cannot be made: " + describe(made.error()), made.error().number);
    const Fd& parent = *made;
    if (const auto moved = move_former(wanted, parent.get(), plan); !moved) {
        return refuse(unfit, wanted.path, "cannot be moved to: " + describe(moved.error()), moved.error().number);
    }
    const bool shared = wanted.gid != own_group;
    const std::string name = name_in_parent(wanted.path);
    if (::mkdirat(parent.get(), name.c_str(), 0700) != 0 && errno != EEXIST) return refuse(unfit, wanted.path, "cannot be made", errno);
    const Fd directory(::openat(parent.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat status;
    if (!directory || ::fstat(directory.get(), &status) != 0) return refuse(unfit, wanted.path, "is no directory", errno);
    if (status.st_uid != ::getuid() && status.st_uid != plan.uid) return refuse(unfit, wanted.path, "belongs to another user", EPERM);
    if (::fchown(directory.get(), plan.uid, shared ? wanted.gid : plan.gid) != 0) return refuse(unfit, wanted.path, "cannot be given to the worker", errno);
    if (::fchmod(directory.get(), wanted.mode | (shared ? S_ISGID : 0)) != 0) return refuse(unfit, wanted.path, "cannot be given its mode", errno);
    return {};
}

// Asked once more when there are some that were perhaps not there.
Result<Facts> prepare_sources(const Plan& plan, Unfit& unfit) {
    const std::string mountinfo = mount_table();
    Facts facts = TRY(reach(plan, mountinfo, unfit));
    if (plan.own_directories.empty()) return facts;
    for (const auto& own : plan.own_directories) TRY(make_own_directory(own, plan, unfit));
    return reach(plan, mountinfo, unfit);
}

// The plan as it is carried out: with what it prefers and cannot have left out, and its own directories shown and named.
Plan completed(const Plan& from, const KernelFeatures& kernel) {
    Plan plan = without_lacking(from, kernel);
    plan.calls.stays_undumpable = !plan.dumpable;
    for (const auto& own : plan.own_directories) {
        if (plan.mount_namespace) plan.binds.push_back({.source = own.path, .target = own.path, .writable = true, .no_execute = own.no_execute});
        plan.environment.push_back(own.variable + "=" + own.path);
    }
    if (!plan.secret_files.empty()) plan.environment.push_back(std::string("CREDENTIALS_DIRECTORY=") + secrets_directory);
    plan.calls.ptys = plan.ptys;
    return plan;
}

std::string directory_of_this_program() {
    char path[PATH_MAX];
    const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
    const std::string exe(path, size > 0 ? static_cast<std::size_t>(size) : 0);
    return exe.substr(0, exe.rfind('/') + 1);
}

// Beside this program (a build tree has it in the next directory, tests two up), or where it is installed.
Result<Fd> open_stub(const std::string& given, Unfit& unfit) {
    const std::string here = directory_of_this_program();
    std::vector<std::string> places{given};
    if (given.empty()) {
        places = {here + "warder-stub", here + "../sandbox/warder-stub", here + "../../src/sandbox/warder-stub", installed_stub};
    }
    for (const auto& place : places) {
        Fd stub(::open(place.c_str(), O_PATH | O_CLOEXEC));
        if (stub) return stub;
    }
    return refuse(unfit, places.back(), "is the reaper of each pid namespace, but is not installed", ENOENT);
}

// All that makes one filter differ from another, as text.
std::string key_of(const seccomp::Rules& rules, bool monitored) {
    std::string key = monitored ? "monitored" : "";
    const auto add = [&key](auto number) { key += std::to_string(number) + ","; };
    for (const auto* numbers : {&rules.allowed, &rules.killed, &rules.logged, &rules.absent}) {
        for (const int number : *numbers) add(number);
        key += ';';
    }
    for (const auto& [call, error] : rules.refused) key += std::to_string(call) + ":" + std::to_string(error) + ",";
    for (const auto& denial : rules.denials) {
        key += ';';
        add(denial.call);
        add(denial.error);
        for (const auto& test : denial.tests) {
            add(static_cast<int>(test.argument) + (test.upper_half ? 8 : 0) + (test.when == seccomp::Test::When::differs ? 16 : 0));
            add(test.value);
            add(test.mask);
        }
    }
    for (const auto& pairs : rules.pairs) {
        key += ';';
        for (const int number : {pairs.call, static_cast<int>(pairs.first), static_cast<int>(pairs.second), pairs.error}) add(number);
        add(pairs.other_firsts ? 1 : 0);
        for (const auto& group : pairs.groups) {
            key += ':';
            add(group.first);
            for (const auto second : group.seconds) add(second);
        }
    }
    return key;
}

// Compiled once for all who want the same.
Result<std::shared_ptr<const Filters>> filters_for(const seccomp::Rules& rules, bool monitored) {
    static std::map<std::string, std::weak_ptr<const Filters>> known;
    std::erase_if(known, [](const auto& entry) { return entry.second.expired(); });
    const std::string key = key_of(rules, monitored);
    if (const auto found = known.find(key); found != known.end()) return found->second.lock();
    auto made = std::make_shared<Filters>();
    made->calls = TRY(seccomp::compile(rules));
    if (monitored) made->telling_calls = seccomp::telling(made->calls);
    made->stub_calls = TRY(seccomp::compile_few(stub_calls()));
    known[key] = made;
    return made;
}

Result<void> prepare_calls(Prepared& prepared, const KernelFeatures& kernel, Unfit& unfit) {
    const Plan& plan = prepared.plan;
    if (!plan.calls.enabled) return {};
    const auto sent = kernel.pass_rights ? SentDescriptors::refused_by_socket : SentDescriptors::refused_by_filter;
    std::string unknown;
    const auto rules = rules_of(plan.calls, sent, unknown);
    if (!rules) return refuse(unfit, unknown, "names neither a system call nor a group of them", EINVAL);
    prepared.filters = TRY(filters_for(*rules, plan.calls.monitored));
    return {};
}

// Made once, and shared by its lives, one after the other: it holds nothing but the maps.
Result<void> prepare_user_namespace(Prepared& prepared, Unfit& unfit) {
    const Plan& plan = prepared.plan;
    if (!plan.user_namespace) return {};
    const auto uids = resolved(plan.uid_map, plan.uid);
    const auto gids = resolved(plan.gid_map, plan.gid);
    const auto uid = inside_of(uids, plan.uid);
    const auto gid = inside_of(gids, plan.gid);
    if (!uid) return refuse(unfit, "uid_map", "does not hold the worker's own uid, " + std::to_string(plan.uid), EINVAL);
    if (!gid) return refuse(unfit, "gid_map", "does not hold the worker's own gid, " + std::to_string(plan.gid), EINVAL);
    auto made = make_user_namespace(text_of(uids), text_of(gids));
    if (!made) return refuse(unfit, "user_namespace", "cannot be made: " + describe(made.error()), made.error().number);
    prepared.inside_uid = *uid;
    prepared.inside_gid = *gid;
    prepared.user_namespace = std::move(*made);
    return {};
}

Result<void> prepare_mounts(Prepared& prepared, const Chain& chain, const Facts& facts, Unfit& unfit) {
    if (!prepared.plan.mount_namespace) return {};
    prepared.tree = TRY(lay_out(prepared.plan, chain, unfit, facts));
    for (std::size_t i = 0; i < prepared.tree.layers.size(); ++i) {
        prepared.overlays.push_back(mounts_of(prepared.plan.overlays[i], prepared.tree.layers[i]));
    }
    prepared.mounts = TRY(make_template(prepared.tree, unfit));
    return {};
}

unsigned inherited_filters() {
    const auto status = read_file("/proc/self/status", 16 * 1024);
    return status ? static_cast<unsigned>(std::atoi(std::string(status_field(*status, "Seccomp_filters")).c_str())) : 0;
}

// A process decides about its signals when it begins, so this is done once and not by 64 system calls in each child.
std::uint64_t signals_not_by_default() {
    std::uint64_t set = 0;
    for (int signal = 1; signal <= 64; ++signal) {
        struct {
            unsigned long handler, flags, restorer, mask;
        } action{};
        if (::syscall(SYS_rt_sigaction, signal, nullptr, &action, sizeof action.mask) == 0 && action.handler != 0) set |= 1ULL << (signal - 1);
    }
    return set;
}

// How the child shall prove that what was prepared is in force.
void prepare_proofs(Prepared& prepared) {
    prepared.forbidden_call = forbidden_by(prepared.filters->calls);
    if (prepared.plan.landlock) prepared.forbidden_act = forbidden_by(prepared.rights);
    prepared.inherited_filters = inherited_filters();
}

Result<void> prepare_descriptors(Prepared& prepared, const std::string& stub_path, Unfit& unfit) {
    if (!prepared.plan.pid_namespace) return {};
    prepared.stub = TRY(open_stub(stub_path, unfit));
    prepared.own_pid_namespace = TRY(open_own_pid_namespace());
    return {};
}

}  // namespace

StringVector::StringVector(std::vector<std::string> strings) : strings_(std::move(strings)) {
    pointers_.clear();
    for (auto& text : strings_) pointers_.push_back(text.data());
    pointers_.push_back(nullptr);
}

Prepared::Prepared(const Plan& from)
    : plan(from),
      arguments(arguments_of(from)),
      environment(from.environment),
      environment_with_socket(with_socket(from.environment)),
      environment_with_store(with_store(with_socket(from.environment))),
      namespaces(namespaces_of(from)),
      hostname(from.hostname.empty() ? from.user : from.hostname),
      tmp_options("mode=1777,size=" + std::to_string(from.tmp_size)),
      memory_options(memory_options_of(from)),
      memory_targets(memory_targets_of(from)),
      secrets_options(secrets_options_of(from)),
      secrets_in_memory(secrets_options + ",noswap"),
      ptys_options("newinstance,ptmxmode=0666,mode=0620,max=" + std::to_string(max_ptys) + ",gid=" + std::to_string(from.gid)),
      inside_uid(from.uid),
      inside_gid(from.gid),
      time_offsets("monotonic " + std::to_string(from.monotonic_offset) + " 0\nboottime " + std::to_string(from.boottime_offset) + " 0\n"),
      limits(limits_of(from)),
      cpus(mask_of(from.cpus)) {}

void PreparedDeleter::operator()(Prepared* prepared) const { delete prepared; }

Result<PreparedSandbox> prepare(const Plan& wanted, Unfit& unfit, const std::string& stub_path, const std::string& controllers) {
    KernelFeatures kernel = probe_kernel();
    kernel.controllers = controllers;
    const Plan plan = completed(wanted, kernel);
    TRY(check_values(plan, unfit));
    TRY(check_whole(plan, unfit));
    TRY(check_kernel(plan, kernel, unfit));
    TRY(check_dumps(plan, unfit));
    const Facts facts = TRY(prepare_sources(plan, unfit));
    PreparedSandbox prepared(new Prepared(plan));
    const Chain chain = chain_of(plan);
    if (plan.landlock) prepared->rights = rights_of(plan, chain, kernel.landlock, kernel.landlock_errata);
    TRY(prepare_calls(*prepared, kernel, unfit));
    TRY(prepare_user_namespace(*prepared, unfit));
    TRY(prepare_mounts(*prepared, chain, facts, unfit));
    TRY(prepare_descriptors(*prepared, stub_path, unfit));
    prepared->last_capability = last_capability();
    prepared->bounding = bounding_set(prepared->last_capability);
    prepared->signals = signals_not_by_default();
    prepare_proofs(*prepared);
    return prepared;
}

Result<PreparedSandbox> prepare_to_look(const Plan& wanted, Unfit& unfit) {
    Plan plan = completed(wanted, probe_kernel());
    std::erase_if(plan.binds, [&](const Bind& bind) {
        return std::ranges::find(plan.own_directories, bind.source, &OwnDirectory::path) != plan.own_directories.end() && !look_at(bind.source).found.exists;
    });
    plan.own_directories.clear();
    TRY(check_values(plan, unfit));
    const Facts facts = TRY(reach(plan, mount_table(), unfit));
    PreparedSandbox prepared(new Prepared(plan));
    TRY(prepare_mounts(*prepared, chain_of(plan), facts, unfit));
    return prepared;
}

Result<void> rehearse(Plan plan, Unfit& unfit, const std::string& controllers) {
    for (const auto& own : plan.own_directories) {
        if (plan.mount_namespace && ::access(own.path.c_str(), F_OK) == 0) {
            plan.binds.push_back({.source = own.path, .target = own.path, .writable = true});
        }
    }
    plan.own_directories.clear();
    TRY(prepare(plan, unfit, {}, controllers));
    // What it is run with is looked for by exec(2) alone otherwise.
    for (const auto& file : chain_of_program(plan).files) {
        if (::access(host_path(file, plan).c_str(), F_OK) != 0 && errno == ENOENT) return refuse(unfit, file, "is needed to run the program, and is not there", ENOENT);
    }
    return {};
}

// What cannot be told without waiting is looked at as at load, where servers are first asked whether they answer.
bool stale(const Prepared& prepared, Theirs theirs) {
    const auto changed = [theirs](const Seen& seen) {
        return seen.others ? theirs == Theirs::asked : may_have_changed(seen);
    };
    return std::ranges::any_of(prepared.tree.seen, changed);
}

std::vector<std::string> replaced_files(const Prepared& prepared) {
    std::vector<std::string> replaced;
    for (const auto& seen : prepared.tree.seen) {
        const bool bound = std::ranges::find(prepared.plan.binds, seen.path, &Bind::source) != prepared.plan.binds.end();
        const bool file = seen.found.exists && !seen.found.directory && !seen.others;
        if (bound && file && is_another(seen)) replaced.push_back(seen.path);
    }
    return replaced;
}

const Plan& plan_of(const Prepared& prepared) { return prepared.plan; }

const seccomp::Program& filter_of(const Prepared& prepared) { return prepared.filters->calls; }

bool needs_stub(const Prepared& prepared) { return prepared.plan.pid_namespace; }

bool may_be_made_ahead(const Prepared& prepared) {
    const Plan& plan = prepared.plan;
    const bool counts_processes = std::ranges::find(prepared.limits, RLIMIT_NPROC, &Limit::resource) != prepared.limits.end();
    const bool looked_up = plan.network == Network::named || !plan.overlays.empty();
    return needs_stub(prepared) && prepared.mounts && !looked_up && !counts_processes;
}

}  // namespace warder::sandbox
