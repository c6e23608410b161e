// The receipt of a real child of each of many plans that are drawn by chance is as its plan; and held against a plan that is tighter
// in one item, it names that item: so it is not a receipt that is always content. WARDER_SEED draws others.
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "sandbox.h"
#include "sandbox/prepared.h"
#include "sandbox/probe.h"
#include "sys/capabilities.h"

using namespace sandbox;

namespace {

constexpr int plans = 200;

std::uint32_t seed() {
    const char* given = std::getenv("WARDER_SEED");
    return given == nullptr ? 2026 : static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10));
}

// What binds show.
class Scenery {
public:
    Scenery() {
        char name[] = "/tmp/warder-receipts-XXXXXX";
        REQUIRE(::mkdtemp(name) != nullptr);
        place = name;
        REQUIRE(::chmod(name, 0755) == 0);
        std::ofstream(place + "/text") << "text\n";
        for (const char* layer : {"/one", "/other"}) REQUIRE(::mkdir((place + layer).c_str(), 0755) == 0);
    }
    ~Scenery() {
        ::unlink((place + "/text").c_str());
        for (const char* layer : {"/one", "/other"}) ::rmdir((place + layer).c_str());
        ::rmdir(place.c_str());
    }
    Scenery(const Scenery&) = delete;
    Scenery& operator=(const Scenery&) = delete;
    std::string place;
};

class Drawing {
public:
    Drawing(std::uint32_t seed, const Scenery& scenery) : random_(seed), scenery_(scenery) {
        const auto held = capabilities::held();
        if (held) held_ = held->permitted;
    }

    Plan plan() {
        Plan plan = plan_for({"/usr/bin/sleep", "60"});
        held_by_worker_ = held_;
        identity(plan);
        namespaces(plan);
        mounts(plan);
        rights(plan);
        limits(plan);
        priorities(plan);
        return plan;
    }

    std::uint32_t below(std::uint32_t end) { return static_cast<std::uint32_t>(random_() % end); }
    bool once_in(std::uint32_t many) { return below(many) == 0; }

private:
    void identity(Plan& plan) {
        plan.uid = worker_uid + below(3);
        plan.gid = worker_uid + below(3);
        for (std::uint32_t i = below(4); i > 0; --i) plan.groups.push_back(64200 + 10 * i + below(10));
    }

    void namespaces(Plan& plan) {
        plan.pid_namespace = !once_in(3);
        plan.ipc_namespace = !once_in(3);
        plan.uts_namespace = !once_in(3);
        plan.network = once_in(2) ? Network::host : Network::none;
        plan.cgroup_namespace = kernel_.cgroup_namespaces && once_in(2);
        plan.time_namespace = kernel_.time_namespaces && once_in(4);
        plan.boottime_offset = below(1000);
        if (kernel_.user_namespaces && once_in(3)) user_namespace(plan);
        if (once_in(2)) plan.hostname = "host" + std::to_string(below(1000));
    }

    void user_namespace(Plan& plan) {
        plan.user_namespace = true;
        plan.uid_map = {{once_in(2) ? own_id : 0, own_id, 1}};
        plan.gid_map = {{once_in(2) ? own_id : 0, own_id, 1}};
        if (once_in(2)) plan.uid_map.push_back({1, 100000, 1 + below(60000)});
        for (std::uint32_t i = below(4); i > 0; --i) plan.gid_map.push_back({100 * i, 200000 + 100 * i, 1 + below(100)});
    }

    void mounts(Plan& plan) {
        plan.mount_namespace = !once_in(5);
        plan.root = !plan.mount_namespace ? Root::host : once_in(3) ? Root::minimal : Root::system;
        plan.private_tmp = plan.mount_namespace && !once_in(4);
        if (!plan.mount_namespace) return;
        if (once_in(3)) plan.binds.push_back({.source = scenery_.place, .target = "/srv/shown", .writable = once_in(2), .no_execute = once_in(2)});
        if (once_in(4)) plan.binds.push_back({.source = scenery_.place + "/text", .target = "/opt/text"});
        if (once_in(4)) plan.files.push_back({"/etc/app.conf", "a = 1\n"});
        if (once_in(4)) plan.memory_directories.push_back({.target = "/run/mine", .size = 1U << 20});
        if (kernel_.overlays && once_in(4)) overlay(plan, "/srv/tree");
        if (kernel_.overlays && once_in(8)) overlay(plan, plan.root == Root::system ? "/usr/share" : "/opt/tree");
        if (once_in(3)) plan.devices.resize(below(5));
        if (plan.pid_namespace && once_in(3)) plan.proc = ProcView::processes;
        if (once_in(6)) {
            plan.dumpable = false;   // which a capability that reads everything would undo
            held_by_worker_ &= ~(capabilities::bit(CAP_DAC_OVERRIDE) | capabilities::bit(CAP_DAC_READ_SEARCH));
        }
    }

    void overlay(Plan& plan, const char* target) {
        Overlay one{.target = target, .lower = {scenery_.place + "/one"}, .size = (1 + below(64)) * 4096 - below(2), .no_execute = once_in(2)};
        if (once_in(2)) one.lower.insert(one.lower.begin() + below(2), scenery_.place + "/other");
        plan.overlays.push_back(std::move(one));
    }

    void rights(Plan& plan) {
        for (std::uint32_t i = once_in(2) ? below(5) : 0; i > 0; --i) plan.capabilities |= held_by_worker_ & 1ULL << below(41);
        plan.landlock = !once_in(4);
        plan.calls.enabled = !once_in(4);
        plan.no_new_privileges = plan.landlock || plan.calls.enabled || once_in(2);
        plan.scope_signals = !once_in(3);
        plan.scope_abstract_sockets = !once_in(3);
        plan.memory_deny_write_execute = kernel_.memory_deny_write_execute && once_in(2);
        plan.private_keyring = !once_in(3);
        if (kernel_.landlock >= 4 && once_in(3)) plan.tcp_bind = {true, {8080}};
        plan.calls.restrict_suid_sgid = once_in(2);
        plan.calls.network = plan.network == Network::host;
        plan.calls.inet_sockets_lent = once_in(4);
        plan.calls.namespaces = once_in(4);
        if (once_in(4)) plan.calls.allow = {"keyctl", "@mount"};
        if (once_in(4)) plan.calls.deny = {{"@chown", EACCES}, {"uname", ENOANO}};
        if (once_in(12)) plan.calls.deny.push_back({"write"});   // no proof can be sent
    }

    // Not above our own: raising one takes a capability that a container may lack.
    void limits(Plan& plan) {
        struct Least {
            int resource;
            rlim_t value;
        };
        constexpr Least least[] = {{RLIMIT_NOFILE, 16}, {RLIMIT_NPROC, 500}, {RLIMIT_FSIZE, 4096}, {RLIMIT_STACK, 1 << 20}, {RLIMIT_AS, 1 << 30},
                                   {RLIMIT_DATA, 1 << 28}, {RLIMIT_CPU, 60}, {RLIMIT_CORE, 0}, {RLIMIT_LOCKS, 1}, {RLIMIT_SIGPENDING, 8},
                                   {RLIMIT_MSGQUEUE, 0}, {RLIMIT_RTTIME, 1000000}};
        for (const auto& one : least) {
            rlimit ours{};
            if (!once_in(3) || ::getrlimit(static_cast<__rlimit_resource>(one.resource), &ours) != 0) continue;
            const rlim_t hard = std::min(ours.rlim_max, one.value + below(100));
            plan.limits.push_back({one.resource, once_in(2) ? hard : std::min(hard, one.value), hard});
        }
        plan.core_dumps = !once_in(2);
        plan.umask = below(0100);
        plan.oom_score_adjust = static_cast<int>(below(1000));
    }

    bool may(int capability) const { return (held_ >> capability & 1) != 0; }

    // Mostly those that do not let a busy machine's other work go first.
    void priorities(Plan& plan) {
        if (once_in(3)) plan.nice = static_cast<int>(below(20));
        if (may(CAP_SYS_NICE) && once_in(3)) plan.nice = -static_cast<int>(below(20));
        if (once_in(3)) plan.scheduling.scheduler = once_in(4) ? Scheduler::idle : Scheduler::batch;
        plan.io_priority.io_class = std::array{IoClass::by_nice, IoClass::best_effort, IoClass::idle}[below(3)];
        if (may(CAP_SYS_NICE) && once_in(4)) plan.io_priority.io_class = IoClass::realtime;
        const bool has_levels = plan.io_priority.io_class == IoClass::best_effort || plan.io_priority.io_class == IoClass::realtime;
        if (has_levels) plan.io_priority.level = static_cast<int>(below(8));
        cpu_set_t ours;
        if (!once_in(2) || ::sched_getaffinity(0, sizeof ours, &ours) != 0) return;
        for (unsigned cpu = 0; cpu < CPU_SETSIZE && plan.cpus.empty(); ++cpu) {
            if (CPU_ISSET(cpu, &ours)) plan.cpus.push_back(cpu);
        }
    }

    std::mt19937 random_;
    const Scenery& scenery_;
    std::uint64_t held_ = 0;
    std::uint64_t held_by_worker_ = 0;
    const KernelFeatures kernel_ = probe_kernel();
};

// ---- Is it as its plan? ----

const ReceiptItem* find(const Receipt& receipt, std::string_view name) {
    const auto found = std::ranges::find(receipt.items, name, &ReceiptItem::name);
    return found == receipt.items.end() ? nullptr : &*found;
}

// What is told in other words than those in which it is wanted, or is not the plan's to say.
bool has_words_of_its_own(const Plan& plan, const ReceiptItem& item) {
    static const std::set<std::string_view> always = {"landlock", "session keyring", "core dumps", "cgroup", "evidence", "descriptors"};
    if (always.contains(item.name)) return true;
    if (item.name == "processors") return plan.cpus.empty();
    if (item.name == "hostname") return !plan.uts_namespace;
    if (item.name == "no_new_privs") return !plan.no_new_privileges;   // whoever runs the tests may have set it
    return false;
}

// sleep(1) changes nothing of itself: what is there is what was wanted, and not only as tight.
void check_as_planned(const Receipt& receipt, const Plan& plan) {
    CHECK(receipt.taken);
    CHECK_EQ(open_items(receipt), "");
    for (const auto& item : receipt.items) {
        CAPTURE(item.name);
        CHECK_EQ(item.effective.empty(), item.evidence == Evidence::none);
        if (item.evidence != Evidence::none && !has_words_of_its_own(plan, item)) CHECK_EQ(item.effective, item.wanted);
    }
}

// ---- Would it tell? ----

// Wants something tighter than what is there: the name of the item that has to differ, or nothing if there is nothing tighter here.
using Tighten = std::string (*)(Expected&, Drawing&);

template <bool Plan::* flag>
bool turn_on(Expected& expected) {
    if (expected.plan.*flag) return false;
    expected.plan.*flag = true;
    return true;
}

template <bool Plan::* flag>
bool turn_off(Expected& expected) {
    if (!(expected.plan.*flag)) return false;
    expected.plan.*flag = false;
    return true;
}

std::string if_so(bool so, std::string name) { return so ? std::move(name) : std::string(); }

std::string fewer_capabilities(Expected& expected, const char* which) {
    expected.plan.capabilities &= expected.plan.capabilities - 1;
    return which;
}

std::string another_user_namespace(Expected& expected, Drawing& drawing) {
    auto& plan = expected.plan;
    if (!plan.user_namespace) {
        plan.user_namespace = true;
        plan.uid_map = plan.gid_map = {{0, own_id, 1}};
    } else if (drawing.once_in(2)) {
        plan.uid_map.push_back({70000, 300000, 1});
    } else {
        plan.gid_map.back().count += 1;
    }
    return "user namespace";
}

std::string smaller_limit(Expected& expected, Drawing& drawing) {
    if (expected.plan.limits.empty()) return {};
    auto& limit = expected.plan.limits[drawing.below(static_cast<std::uint32_t>(expected.plan.limits.size()))];
    if (limit.hard < 2) return {};   // a core of one byte is none
    limit.hard = limit.soft = limit.hard / 2 - 1;
    if (limit.resource == RLIMIT_CORE && !expected.plan.core_dumps) return {};   // told as "core dumps"
    Expected one;
    one.plan.limits = {limit};
    for (const auto& item : compare(one, {}).items) {
        if (item.name.starts_with("limit ")) return item.name;
    }
    return {};
}

std::string read_only_mount(Expected& expected, Drawing& drawing) {
    std::vector<ExpectedMount*> writable;
    for (auto& one : expected.mounts) {
        if (!one.read_only && !one.path.starts_with("/.")) writable.push_back(&one);
    }
    if (writable.empty()) return {};
    ExpectedMount& one = *writable[drawing.below(static_cast<std::uint32_t>(writable.size()))];
    one.read_only = true;
    return "mount " + one.path;
}

// The first overlay with one thing about it that is not as it was made.
std::string another_overlay(Expected& expected, Drawing& drawing) {
    const auto found = std::ranges::find_if(expected.mounts, [](const auto& one) { return one.overlay.has_value(); });
    if (found == expected.mounts.end()) return {};
    auto& overlay = *found->overlay;
    switch (drawing.below(3)) {
        case 0: overlay.lower[0] = "/usr"; break;
        case 1: overlay.plan.size = overlay.plan.size > 4096 ? 4096 : 0; break;
        default: overlay.plan.lower.push_back("/usr"); break;
    }
    return "mount " + found->path;
}

std::string mount_without_devices(Expected& expected, Drawing&) {
    const auto with = std::ranges::find_if(expected.mounts, &ExpectedMount::devices);
    if (with == expected.mounts.end()) return {};
    with->devices = false;
    return "mount " + with->path;
}

std::string one_mount_less(Expected& expected, Drawing&) {
    return if_so(std::erase_if(expected.mounts, [](const auto& one) { return one.path == "/tmp" || one.path == "/proc"; }) > 0, "other mounts");
}

std::string set_ids_where_they_are_let_through(Expected& expected, Drawing&) {
    const bool seen = expected.plan.calls.enabled && expected.call.number >= 0;
    const bool wanted = seen && !expected.set_ids_refused && !std::exchange(expected.plan.calls.restrict_suid_sgid, true);
    return if_so(wanted, "set-user-id and set-group-id bits");
}

std::string landlock_where_there_is_none(Expected& expected, Drawing&) {
    if (!turn_on<&Plan::landlock>(expected)) return {};
    expected.act = ForbiddenAct::list_root;
    return "landlock";
}

std::string no_core_dumps(Expected& expected, Drawing&) {
    const auto planned = std::ranges::find(expected.plan.limits, RLIMIT_CORE, &Limit::resource);
    rlimit ours{};
    const bool got = ::getrlimit(RLIMIT_CORE, &ours) == 0;
    const rlim_t there = planned == expected.plan.limits.end() ? ours.rlim_max : planned->hard;
    return if_so(got && there > 1 && turn_off<&Plan::core_dumps>(expected), "core dumps");
}

struct Case {
    std::string_view item;   // "mount" and "limit" stand for all of theirs
    Tighten tighten;
};

constexpr Case cases[] = {
    {"uid", [](Expected& e, Drawing&) { return ++e.plan.uid, std::string("uid"); }},
    {"gid", [](Expected& e, Drawing&) { return ++e.plan.gid, std::string("gid"); }},
    {"groups", [](Expected& e, Drawing&) { return if_so(!e.plan.groups.empty() && (e.plan.groups.pop_back(), true), "groups"); }},
    {"inheritable capabilities", [](Expected& e, Drawing&) { return if_so(e.plan.capabilities != 0, fewer_capabilities(e, "inheritable capabilities")); }},
    {"permitted capabilities", [](Expected& e, Drawing&) { return if_so(e.plan.capabilities != 0, fewer_capabilities(e, "permitted capabilities")); }},
    {"effective capabilities", [](Expected& e, Drawing&) { return if_so(e.plan.capabilities != 0, fewer_capabilities(e, "effective capabilities")); }},
    {"bounding capabilities", [](Expected& e, Drawing&) { return if_so(e.plan.capabilities != 0, fewer_capabilities(e, "bounding capabilities")); }},
    {"ambient capabilities", [](Expected& e, Drawing&) { return if_so(e.plan.capabilities != 0, fewer_capabilities(e, "ambient capabilities")); }},
    {"no_new_privs", [](Expected& e, Drawing&) { return if_so(turn_on<&Plan::no_new_privileges>(e), "no_new_privs"); }},
    {"memory both writable and executable",
     [](Expected& e, Drawing&) { return if_so(turn_on<&Plan::memory_deny_write_execute>(e), "memory both writable and executable"); }},
    {"seccomp", [](Expected& e, Drawing&) { return ++e.inherited_filters, std::string("seccomp"); }},
    {"seccomp denies", [](Expected& e, Drawing&) { return if_so(e.call.number >= 0 && (++e.call.answer, true), "seccomp denies"); }},
    {"set-user-id and set-group-id bits", set_ids_where_they_are_let_through},
    {"landlock", landlock_where_there_is_none},
    {"mount namespace", [](Expected& e, Drawing&) { return if_so(turn_on<&Plan::mount_namespace>(e), "mount namespace"); }},
    {"pid namespace", [](Expected& e, Drawing&) { return if_so(turn_on<&Plan::pid_namespace>(e), "pid namespace"); }},
    {"network namespace",
     [](Expected& e, Drawing&) { return if_so(std::exchange(e.plan.network, Network::none) == Network::host, "network namespace"); }},
    {"ipc namespace", [](Expected& e, Drawing&) { return if_so(turn_on<&Plan::ipc_namespace>(e), "ipc namespace"); }},
    {"uts namespace", [](Expected& e, Drawing&) { return if_so(turn_on<&Plan::uts_namespace>(e), "uts namespace"); }},
    {"cgroup namespace", [](Expected& e, Drawing&) { return if_so(turn_on<&Plan::cgroup_namespace>(e), "cgroup namespace"); }},
    {"time namespace", [](Expected& e, Drawing&) { return if_so(turn_on<&Plan::time_namespace>(e), "time namespace"); }},
    {"user namespace", another_user_namespace},
    {"mount", read_only_mount},
    {"mount", mount_without_devices},
    {"mount", another_overlay},
    {"other mounts", one_mount_less},
    {"limit", smaller_limit},
    {"core dumps", no_core_dumps},
    {"session keyring", [](Expected& e, Drawing&) { return if_so(turn_on<&Plan::private_keyring>(e), "session keyring"); }},
    {"dumpable", [](Expected& e, Drawing&) { return if_so(turn_off<&Plan::dumpable>(e), "dumpable"); }},
    {"hostname", [](Expected& e, Drawing&) { return if_so(e.plan.uts_namespace && (e.plan.hostname = "another", true), "hostname"); }},
    {"nice", [](Expected& e, Drawing&) { return ++e.plan.nice, std::string("nice"); }},
    {"oom score", [](Expected& e, Drawing&) { return ++e.plan.oom_score_adjust, std::string("oom score"); }},
    {"umask", [](Expected& e, Drawing&) { return e.plan.umask ^= 0100, std::string("umask"); }},
    {"scheduling",
     [](Expected& e, Drawing&) { return if_so(std::exchange(e.plan.scheduling.scheduler, Scheduler::idle) != Scheduler::idle, "scheduling"); }},
    {"io priority",
     [](Expected& e, Drawing&) {
         const IoPriority before = std::exchange(e.plan.io_priority, {IoClass::idle, 0});
         const bool idle = before.io_class == IoClass::idle || (before.io_class == IoClass::by_nice && e.plan.scheduling.scheduler == Scheduler::idle);
         return if_so(!idle, "io priority");
     }},
    {"processors", [](Expected& e, Drawing&) { return e.plan.cpus = {8000}, std::string("processors"); }},
    {"cgroup", [](Expected& e, Drawing&) { return e.cgroup = "/sys/fs/cgroup/no/such/group", std::string("cgroup"); }},
    {"descriptors over exec", [](Expected& e, Drawing&) { return e.descriptors &= ~1U, std::string("descriptors over exec"); }},
};

// The plan has no say in these.
const std::set<std::string_view> same_for_all = {"securebits", "parent-death signal", "personality", "descriptors"};

std::string_view kind_of(std::string_view item) {
    for (const std::string_view many : {"mount /", "limit "}) {
        if (item.starts_with(many)) return item.substr(0, 5);
    }
    return item;
}

class Counts {
public:
    void saw(const Receipt& receipt) {
        for (const auto& item : receipt.items) {
            if (item.evidence != Evidence::none) seen_.insert(std::string(kind_of(item.name)));
        }
    }
    // The one that was held against a receipt the least.
    std::array<std::size_t, std::size(cases)> in_order() const {
        std::array<std::size_t, std::size(cases)> order{};
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair(tried_[i], i); });
        return order;
    }
    void tried(std::size_t which) { ++tried_[which]; }

    void check_complete() const {
        std::set<std::string_view> covered = same_for_all;
        for (std::size_t i = 0; i < std::size(cases); ++i) {
            CHECK_MESSAGE(tried_[i] > 0, std::string(cases[i].item));
            covered.insert(cases[i].item);
        }
        for (const auto& kind : seen_) CHECK_MESSAGE(covered.contains(kind), kind);
    }

private:
    std::set<std::string> seen_;
    std::array<int, std::size(cases)> tried_{};
};

// Of what nobody proved a tighter plan says nothing more.
bool can_be_seen(const Life& life, const ReceiptItem& item) {
    return life.proof || (item.evidence == Evidence::read && item.name != "landlock");
}

// Among what can be tighter in this plan, three that had their turn the least.
void check_tighter_is_told(const Life& life, Drawing& drawing, Counts& counts) {
    int left = 3;
    for (const std::size_t which : counts.in_order()) {
        Expected tighter = expected_of(*life.prepared, life.given, {});
        const std::string name = cases[which].tighten(tighter, drawing);
        if (name.empty()) continue;
        const Receipt receipt = take_receipt(tighter, life.worker.pid, life.proof);
        const ReceiptItem* item = find(receipt, name);
        REQUIRE_MESSAGE(item != nullptr, name);
        if (!can_be_seen(life, *item)) continue;
        CHECK_MESSAGE(!item->matches, in_words(*item));
        if (item->binding) CHECK(mismatch(receipt) != nullptr);
        counts.tried(which);
        if (--left == 0) return;
    }
}

std::string plan_in_words(const Expected& expected) {
    std::string words;
    for (const auto& item : compare(expected, {}).items) words += item.name + ": " + item.wanted + "; ";
    return words;
}

}  // namespace

TEST_CASE("the receipt of each of 200 plans drawn by chance is as the plan, and names what a tighter plan wants") {
    NEEDS_ROOT();
    const Scenery scenery;
    const std::uint32_t from = seed();
    CAPTURE(from);
    Drawing drawing(from, scenery);
    Counts counts;
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    const Fd ours(pair[0]);
    const Fd theirs(pair[1]);
    for (int i = 0; i < plans; ++i) {
        CAPTURE(i);
        const Plan plan = drawing.plan();
        const Descriptors given{.broker = drawing.once_in(2) ? theirs.get() : -1};
        const Life life(plan, given);
        const Expected expected = expected_of(*life.prepared, given, {});
        INFO(plan_in_words(expected));
        CHECK_EQ(life.proof.has_value(), expected.proof_can_be_sent);
        const Receipt receipt = life.receipt();
        check_as_planned(receipt, plan);
        check_tighter_is_told(life, drawing, counts);
        counts.saw(receipt);
    }
    counts.check_complete();
}
