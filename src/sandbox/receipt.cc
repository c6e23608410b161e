#include "sandbox/receipt.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <limits>

#include "base/mount_table.h"
#include "base/time.h"
#include "sandbox/group_limits.h"
#include "sandbox/id_map.h"
#include "sandbox/program.h"
#include "sys/capabilities.h"

namespace warder::sandbox {
namespace {

std::string_view line_after(std::string_view text, std::size_t begin) { return text.substr(begin, text.find('\n', begin) - begin); }

template <typename Number>
std::optional<Number> number_in(std::string_view text, int base = 10) {
    Number value{};
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value, base);
    return parsed.ec == std::errc{} ? std::optional(value) : std::nullopt;
}

std::vector<std::string_view> words_in(std::string_view text) {
    std::vector<std::string_view> words;
    for (std::size_t at = text.find_first_not_of(" \t"); at != text.npos; at = text.find_first_not_of(" \t", at)) {
        const std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
        words.push_back(text.substr(at, end - at));
        at = end;
    }
    return words;
}

std::string joined(const std::vector<std::string>& words, std::string_view separator) {
    std::string text;
    for (const auto& word : words) text += (text.empty() ? std::string() : std::string(separator)) + word;
    return text;
}

std::string errno_word(int number) {
    const char* name = ::strerrorname_np(number);
    return name != nullptr ? name : std::to_string(number);
}

// ---- Limits: their names here and in /proc/PID/limits ----

struct LimitName {
    int resource;
    std::string_view name;
    std::string_view in_proc;
};

constexpr LimitName limit_names[] = {
    {RLIMIT_CPU, "cpu", "Max cpu time"},
    {RLIMIT_FSIZE, "fsize", "Max file size"},
    {RLIMIT_DATA, "data", "Max data size"},
    {RLIMIT_STACK, "stack", "Max stack size"},
    {RLIMIT_CORE, "core", "Max core file size"},
    {RLIMIT_RSS, "rss", "Max resident set"},
    {RLIMIT_NPROC, "nproc", "Max processes"},
    {RLIMIT_NOFILE, "nofile", "Max open files"},
    {RLIMIT_MEMLOCK, "memlock", "Max locked memory"},
    {RLIMIT_AS, "as", "Max address space"},
    {RLIMIT_LOCKS, "locks", "Max file locks"},
    {RLIMIT_SIGPENDING, "sigpending", "Max pending signals"},
    {RLIMIT_MSGQUEUE, "msgqueue", "Max msgqueue size"},
    {RLIMIT_NICE, "nice", "Max nice priority"},
    {RLIMIT_RTPRIO, "rtprio", "Max realtime priority"},
    {RLIMIT_RTTIME, "rttime", "Max realtime timeout"},
};

std::string limit_text(rlim_t value) { return value == RLIM_INFINITY ? "unlimited" : std::to_string(value); }

std::optional<rlim_t> limit_value(std::string_view text) {
    return text == "unlimited" ? std::optional<rlim_t>(RLIM_INFINITY) : number_in<rlim_t>(text);
}

struct SeenLimit {
    rlim_t soft = 0;
    rlim_t hard = 0;
};

std::optional<SeenLimit> find_limit(std::string_view limits, std::string_view in_proc) {
    const std::size_t at = limits.find("\n" + std::string(in_proc) + " ");
    if (at == limits.npos) return std::nullopt;
    const auto words = words_in(line_after(limits, at + 1).substr(in_proc.size()));
    const auto soft = words.empty() ? std::nullopt : limit_value(words[0]);
    const auto hard = words.size() < 2 ? std::nullopt : limit_value(words[1]);
    return soft && hard ? std::optional(SeenLimit{*soft, *hard}) : std::nullopt;
}

// ---- Mounts ----

struct SeenMount {
    std::string path;
    bool read_only = false;
    bool nosuid = false;
    bool nodev = false;
    bool noexec = false;
    std::string type;
    std::string own_options;   // of the file system itself
};

bool has_option(std::string_view options, std::string_view wanted) {
    return ("," + std::string(options) + ",").find("," + std::string(wanted) + ",") != std::string::npos;
}

std::vector<SeenMount> mounts_in(std::string_view mountinfo) {
    std::vector<SeenMount> mounts;
    for (std::size_t at = 0; at < mountinfo.size(); at = std::min(mountinfo.find('\n', at), mountinfo.size()) + 1) {
        const auto words = words_in(line_after(mountinfo, at));
        if (words.size() < 6) continue;
        const auto dash = static_cast<std::size_t>(std::ranges::find(words, "-") - words.begin());
        const auto behind = [&](std::size_t count) { return dash + count < words.size() ? std::string(words[dash + count]) : std::string(); };
        mounts.push_back({unescape_mount_word(words[4]), has_option(words[5], "ro"), has_option(words[5], "nosuid"),
                          has_option(words[5], "nodev"), has_option(words[5], "noexec"), behind(1), behind(3)});
    }
    return mounts;
}

std::string mount_words(bool read_only, bool nosuid, bool nodev) {
    return std::string(read_only ? "read-only" : "writable") + (nosuid ? ", nosuid" : "") + (nodev ? ", nodev" : "");
}

bool as_tight(const SeenMount& seen, const ExpectedMount& wanted) {
    return (seen.read_only || !wanted.read_only) && seen.nosuid && (seen.nodev || wanted.devices);
}

// "lowerdir=/a:/b,upperdir=/c": each value of a key, in the order in which they stand there.
std::vector<std::string> option_values(std::string_view options, std::string_view key) {
    std::vector<std::string> values;
    while (!options.empty()) {
        const std::string_view one = options.substr(0, options.find(','));
        options.remove_prefix(std::min(options.size(), one.size() + 1));
        if (one.starts_with(key) && one.substr(key.size()).starts_with('=')) values.push_back(unescape_mount_word(one.substr(key.size() + 1)));
    }
    return values;
}

// The last mount at a place is the one on top.
const SeenMount* find_mount(const std::vector<SeenMount>& mounts, std::string_view path) {
    const SeenMount* found = nullptr;
    for (const auto& one : mounts) {
        if (one.path == path) found = &one;
    }
    return found;
}

// The deepest that covers it, the later of two at one place.
const ExpectedMount* covering(const std::vector<ExpectedMount>& wanted, const std::string& path) {
    const ExpectedMount* found = nullptr;
    for (const auto& one : wanted) {
        const bool covers = one.path != "/" && lies_below(path, one.path);
        if (covers && (found == nullptr || one.path.size() >= found->path.size())) found = &one;
    }
    return found;
}

// ---- The comparison ----

class Comparer {
public:
    Comparer(const Expected& expected, const Observed& seen) : expected_(expected), plan_(expected.plan), seen_(seen) {
        if (!seen.there || seen.proof) return;
        no_proof_ = expected.proof_can_be_sent;
    }

    Receipt run() {
        identity();
        capabilities();
        privileges();
        calls();
        files();
        namespaces();
        mounts();
        limits();
        keyring();
        dumps();
        hostname();
        scheduling();
        processor();
        disk();
        processors();
        cgroup();
        group_limits();
        descriptors();
        receipt_.taken = seen_.there;
        return std::move(receipt_);
    }

private:
    // What a look at an item gives: its words, whether it is as tight as wanted, and whether it confines.
    struct Look {
        std::string words;
        bool matches = true;
        bool confines = false;
    };

    ReceiptItem& add(std::string name, std::string wanted, Evidence evidence, const std::optional<Look>& look) {
        ReceiptItem item{.name = std::move(name), .wanted = std::move(wanted), .effective = {}};
        if (look) {
            item.effective = look->words;
            item.evidence = evidence;
            item.matches = look->matches;
            item.confines = look->confines && look->matches;
        }
        receipt_.items.push_back(std::move(item));
        return receipt_.items.back();
    }

    // A proof that should have come and did not is no proof: what it was to show counts as not in force.
    ReceiptItem& add_proved(std::string name, std::string wanted, const std::optional<Look>& look) {
        ReceiptItem& item = add(std::move(name), std::move(wanted), Evidence::proved, look);
        if (no_proof_) item.matches = false;
        if (no_proof_) item.effective = "not proved";
        return item;
    }

    // A program with this capability may have changed what it is about since its exec: that is shown, and not judged.
    bool may(int capability) const { return (plan_.capabilities & capabilities::bit(capability)) != 0; }

    std::optional<std::string_view> status(std::string_view key) const {
        if (!seen_.there || seen_.status.find("\n" + std::string(key) + ":") == seen_.status.npos) return std::nullopt;
        return status_field(seen_.status, key);
    }

    void identity();
    void four_ids(const char* name, const char* key, std::uint32_t wanted, int capability);
    void groups();
    void capabilities();
    void capability_set(const char* name, const char* key);
    void privileges();
    void calls();
    void filter_is_there();
    void filter_works();
    void filter_tells();
    void set_ids();
    void files();
    void namespaces();
    void name_space(const char* name, std::size_t index, bool own);
    void user_namespace();
    void mounts();
    void one_mount(const ExpectedMount& wanted, const std::vector<SeenMount>& there);
    void one_overlay(const ExpectedMount& wanted, const std::vector<SeenMount>& there);
    void other_mounts(const std::vector<SeenMount>& there);
    void limits();
    void limit(const Limit& wanted, const LimitName& name);
    void keyring();
    void dumps();
    void hostname();
    void scheduling();
    void processor();
    void disk();
    void processors();
    void cgroup();
    void group_limits();
    void descriptors();

    const Expected& expected_;
    const Plan& plan_;
    const Observed& seen_;
    bool no_proof_ = false;
    Receipt receipt_;
};

void Comparer::identity() {
    four_ids("uid", "Uid", plan_.uid, CAP_SETUID);
    four_ids("gid", "Gid", plan_.gid, CAP_SETGID);
    groups();
}

// Real, effective, saved and that of the file system.
void Comparer::four_ids(const char* name, const char* key, std::uint32_t wanted, int capability) {
    const std::string text = std::to_string(wanted);
    std::optional<Look> look;
    if (const auto field = status(key)) {
        const auto words = words_in(*field);
        const bool same = words.size() == 4 && std::ranges::all_of(words, [&](auto word) { return word == text; });
        std::string all;
        for (const auto word : words) all += (all.empty() ? "" : " ") + std::string(word);
        look = Look{same ? text : all, same, same && wanted != 0 && !plan_.without_root};
        if (plan_.without_root) look->words += ", not separated: warderd's own";
    }
    add(name, text, Evidence::read, look).binding = !may(capability);
}

void Comparer::groups() {
    std::vector<gid_t> wanted = plan_.groups;
    std::ranges::sort(wanted);
    const auto in_words = [](const std::vector<gid_t>& list) {
        std::string words;
        for (const gid_t gid : list) words += (words.empty() ? "" : " ") + std::to_string(gid);
        return words.empty() ? "none" : words;
    };
    std::optional<Look> look;
    if (const auto field = status("Groups")) {
        std::vector<gid_t> there;
        for (const auto word : words_in(*field)) there.push_back(number_in<gid_t>(word).value_or(0));
        std::ranges::sort(there);
        look = Look{in_words(there), there == wanted, there.empty()};
    }
    add("groups", in_words(wanted), Evidence::read, look).binding = !may(CAP_SETGID);
}

void Comparer::capabilities() {
    capability_set("inheritable capabilities", "CapInh");
    capability_set("permitted capabilities", "CapPrm");
    capability_set("effective capabilities", "CapEff");
    capability_set("bounding capabilities", "CapBnd");
    capability_set("ambient capabilities", "CapAmb");
}

void Comparer::capability_set(const char* name, const char* key) {
    std::optional<Look> look;
    if (const auto field = status(key)) {
        const auto set = number_in<std::uint64_t>(*field, 16);
        const bool within = set && (*set & ~plan_.capabilities) == 0;
        look = Look{set ? capabilities::in_words(*set) : std::string(*field), within, within};
    }
    add(name, capabilities::in_words(plan_.capabilities), Evidence::read, look);
}

void Comparer::privileges() {
    std::optional<Look> set;
    if (const auto field = status("NoNewPrivs")) set = Look{*field == "1" ? "set" : "not set", *field == "1" || !plan_.no_new_privileges, *field == "1"};
    add("no_new_privs", plan_.no_new_privileges ? "set" : "not set", Evidence::read, set);
    std::optional<Look> bits;
    std::optional<Look> death;
    std::optional<Look> writing;
    std::optional<Look> personality;
    if (const auto& proof = seen_.proof) {
        const bool all = proof->securebits >= 0 && (static_cast<unsigned long>(proof->securebits) & worker_securebits) == worker_securebits;
        bits = Look{all ? "noroot, all locked" : "bits " + std::to_string(proof->securebits), all, all};
        death = Look{proof->parent_death_signal == SIGKILL ? "KILL" : std::to_string(proof->parent_death_signal),
                     proof->parent_death_signal == SIGKILL, false};
        personality = Look{proof->personality == 0 ? "native" : "bits " + std::to_string(proof->personality), proof->personality == 0, false};
        writing = Look{proof->memory_deny > 0 ? "denied" : "allowed", proof->memory_deny > 0 || !plan_.memory_deny_write_execute,
                       proof->memory_deny > 0};
    }
    add_proved("securebits", "noroot, all locked", bits);
    add_proved("parent-death signal", "KILL", death);
    add_proved("personality", "native", personality).binding = false;
    add_proved("memory both writable and executable", plan_.memory_deny_write_execute ? "denied" : "allowed", writing);
}

void Comparer::calls() {
    filter_is_there();
    filter_works();
    set_ids();
    filter_tells();
}

// What was read of the filter holds if it is the one that is in force, which its answer proves.
void Comparer::set_ids() {
    const bool wanted = plan_.calls.enabled && plan_.calls.restrict_suid_sgid;
    const char* const name = "set-user-id and set-group-id bits";
    if (!plan_.calls.enabled) return void(add(name, "allowed", Evidence::none, std::nullopt));
    std::optional<Look> look;
    if (seen_.proof && expected_.call.number >= 0) {
        const bool refused = expected_.set_ids_refused && seen_.proof->calls == expected_.call.answer;
        look = Look{refused ? "refused" : "allowed", refused || !wanted, refused};
    }
    add_proved(name, wanted ? "refused" : "allowed", look);
}

void Comparer::filter_is_there() {
    const unsigned own = plan_.calls.enabled ? 1 : 0;
    const unsigned wanted = expected_.inherited_filters + own;
    std::optional<Look> look;
    if (const auto mode = status("Seccomp")) {
        const auto count = status("Seccomp_filters");
        // Before 5.9 nobody counts them: then one is what "filter" says.
        const unsigned filters = number_in<unsigned>(count.value_or("")).value_or(*mode == "2" ? wanted : 0);
        const bool filtered = *mode == "2" || wanted == 0;
        const bool enough = filters >= wanted;
        std::string words = *mode == "2" ? "filter" : *mode == "0" ? "none" : "mode " + std::string(*mode);
        if (*mode == "2") words = std::to_string(filters) + (filters == 1 ? " filter" : " filters");
        // That it has one of its own is what confines: the inherited one only says what nobody needs.
        look = Look{words, filtered && enough, *mode == "2" && filters > expected_.inherited_filters};
    }
    add("seccomp", wanted == 0 ? "none" : std::to_string(wanted) + (wanted == 1 ? " filter" : " filters"), Evidence::read, look);
}

void Comparer::filter_works() {
    if (!plan_.calls.enabled) return;
    const ForbiddenCall& call = expected_.call;
    if (call.number < 0) {
        add("seccomp denies", "nothing that could be tried", Evidence::none, std::nullopt);
        return;
    }
    const std::string name(call.name);
    std::optional<Look> look;
    if (seen_.proof) {
        const bool denied = seen_.proof->calls == call.answer;
        look = Look{name + (seen_.proof->calls == 0 ? ": let through" : ": " + errno_word(seen_.proof->calls)), denied, denied};
    }
    add_proved("seccomp denies", name + ": " + errno_word(call.answer), look);
}

// Its answer comes from the syscall monitor alone, through the listener of this very filter.
void Comparer::filter_tells() {
    if (!plan_.calls.enabled) return;
    if (!plan_.calls.monitored) {
        add("evidence", "errno: nobody is told what is denied", Evidence::none, std::nullopt);
        return;
    }
    std::optional<Look> look;
    if (seen_.proof) {
        const bool told = seen_.proof->syscall_monitor == seccomp::listener_answer;
        look = Look{told ? "full: a syscall monitor answered" : "nobody answered", told, false};
    }
    add_proved("evidence", "full: a syscall monitor answers what is denied", look);
}

void Comparer::files() {
    if (!plan_.landlock) {
        add("landlock", "off", Evidence::none, std::nullopt);
        return;
    }
    const std::string abi = "ABI " + std::to_string(expected_.landlock) +
                            (expected_.signals_left_out ? " with its fault of threads (signals: by the pid namespace)" : "");
    if (expected_.act == ForbiddenAct::none) {
        add("landlock", abi + ", which forbids nothing here that could be tried", Evidence::none, std::nullopt);
        return;
    }
    std::optional<Look> look;
    const std::string act(name_of(expected_.act));
    if (seen_.proof) {
        const bool denied = seen_.proof->landlock == landlock_answer;
        look = Look{act + (seen_.proof->landlock == 0 ? ": let through" : ": " + errno_word(seen_.proof->landlock)), denied, denied};
    }
    add_proved("landlock", abi + ", " + act + ": " + errno_word(landlock_answer), look);
}

void Comparer::namespaces() {
    name_space("mount namespace", 0, plan_.mount_namespace);
    name_space("pid namespace", 1, plan_.pid_namespace);
    name_space("network namespace", 2, plan_.network != Network::host);
    name_space("ipc namespace", 3, plan_.ipc_namespace);
    name_space("uts namespace", 4, plan_.uts_namespace);
    name_space("cgroup namespace", 5, plan_.cgroup_namespace);
    name_space("time namespace", 7, plan_.time_namespace);
    user_namespace();
}

std::string user_namespace_words(const std::vector<IdRange>& uids, const std::vector<IdRange>& gids, bool groups_fixed) {
    return "own, uids " + in_words(uids) + ", gids " + in_words(gids) + (groups_fixed ? ", setgroups denied" : ", setgroups allowed");
}

// The kernel tells the maps in the reader's own numbers, and nobody can write them twice.
void Comparer::user_namespace() {
    constexpr std::size_t index = 6;
    const bool told = seen_.there && seen_.theirs[index] != 0 && seen_.ours[index] != 0;
    const bool apart = told && seen_.theirs[index] != seen_.ours[index];
    std::optional<Look> look;
    if (!plan_.user_namespace) {
        if (told) look = Look{apart ? "own" : "warderd's", true, apart};
        add("user namespace", "warderd's", Evidence::read, look);
        return;
    }
    const auto uids = resolved(plan_.uid_map, plan_.uid);
    const auto gids = resolved(plan_.gid_map, plan_.gid);
    if (told && !apart) look = Look{"warderd's", false, false};
    if (apart) {
        const auto uids_seen = parse_id_map(seen_.uid_map);
        const auto gids_seen = parse_id_map(seen_.gid_map);
        const bool fixed = seen_.setgroups == "deny\n";
        const bool same = uids_seen == uids && gids_seen == gids && fixed;
        look = Look{user_namespace_words(uids_seen.value_or(std::vector<IdRange>{}), gids_seen.value_or(std::vector<IdRange>{}), fixed), same, same};
    }
    add("user namespace", user_namespace_words(uids, gids, true), Evidence::read, look);
}

void Comparer::name_space(const char* name, std::size_t index, bool own) {
    std::optional<Look> look;
    if (seen_.there && seen_.theirs[index] != 0 && seen_.ours[index] != 0) {
        const bool apart = seen_.theirs[index] != seen_.ours[index];
        look = Look{apart ? "own" : "the host's", apart || !own, apart};
    }
    add(name, own ? "own" : "the host's", Evidence::read, look);
}

void Comparer::mounts() {
    if (expected_.mounts.empty()) {
        add("root", plan_.mount_namespace ? "system" : "the host's", Evidence::none, std::nullopt);
        return;
    }
    const auto there = mounts_in(seen_.mountinfo);
    for (const auto& wanted : expected_.mounts) {
        if (wanted.overlay) one_overlay(wanted, there);
        else if (!wanted.path.starts_with("/.")) one_mount(wanted, there);
    }
    other_mounts(there);
}

// A place that is not found may have been reached through a link of the host's: then nothing is claimed of it.
void Comparer::one_mount(const ExpectedMount& wanted, const std::vector<SeenMount>& there) {
    std::optional<Look> look;
    if (const SeenMount* mount = find_mount(there, wanted.path)) {
        look = Look{mount_words(mount->read_only, mount->nosuid, mount->nodev), as_tight(*mount, wanted), as_tight(*mount, wanted)};
    } else if (wanted.at_path && !there.empty()) {
        look = Look{"not there", false, false};
    }
    add("mount " + wanted.path, mount_words(wanted.read_only, true, !wanted.devices), Evidence::read, look);
}

constexpr std::uint64_t page = 4096;

std::string overlay_words(const std::vector<std::string>& layers, const std::string& size, const std::string& attributes) {
    return "overlay of " + joined(layers, ", ") + ", " + size + ", " + attributes;
}

// The layers as the kernel names them: each must be the read-only mount that was prepared for it.
std::vector<std::string> layers_seen(const ExpectedOverlay& wanted, const SeenMount& overlay, const std::vector<SeenMount>& there) {
    std::vector<std::string> layers;
    const auto lists = option_values(overlay.own_options, "lowerdir");
    std::string_view list = lists.empty() ? std::string_view() : std::string_view(lists.front());
    while (!list.empty()) {
        const std::string name(list.substr(0, list.find(':')));
        list.remove_prefix(std::min(list.size(), name.size() + 1));
        const auto known = static_cast<std::size_t>(std::ranges::find(wanted.lower, name) - wanted.lower.begin());
        const SeenMount* mount = find_mount(there, name);
        const bool tight = mount != nullptr && mount->read_only && mount->nosuid && mount->nodev;
        layers.push_back(known < wanted.plan.lower.size() && tight ? wanted.plan.lower[known] : name);
    }
    return layers;
}

// Of the tmpfs that is written to; tmpfs tells it in KiB, and only where it is not what it would be by itself.
std::optional<std::uint64_t> size_seen(const ExpectedOverlay& wanted, const SeenMount& overlay, const std::vector<SeenMount>& there) {
    const auto upper = option_values(overlay.own_options, "upperdir");
    const SeenMount* top = find_mount(there, wanted.top);
    if (top == nullptr || top->type != "tmpfs" || upper.empty() || !lies_below(upper.front(), wanted.top)) return std::nullopt;
    const auto sizes = option_values(top->own_options, "size");
    if (sizes.empty() || !sizes.front().ends_with('k')) return std::nullopt;
    const auto kibibytes = number_in<std::uint64_t>(sizes.front());
    return kibibytes ? std::optional(*kibibytes * 1024) : std::nullopt;
}

void Comparer::one_overlay(const ExpectedMount& wanted, const std::vector<SeenMount>& there) {
    const Overlay& plan = wanted.overlay->plan;
    const auto attributes = [](bool read_only, bool nosuid, bool nodev, bool noexec) {
        return mount_words(read_only, nosuid, nodev) + (noexec ? ", noexec" : "");
    };
    const auto attributes_of = [&](const SeenMount& mount) { return attributes(mount.read_only, mount.nosuid, mount.nodev, mount.noexec); };
    const std::uint64_t size = (plan.size + page - 1) / page * page;
    std::optional<Look> look;
    if (const SeenMount* mount = find_mount(there, wanted.path); mount != nullptr && mount->type != "overlay") {
        look = Look{mount->type + ", " + attributes_of(*mount), false, false};
    } else if (mount != nullptr) {
        const auto layers = layers_seen(*wanted.overlay, *mount, there);
        const auto most = size_seen(*wanted.overlay, *mount, there);
        const bool tight = as_tight(*mount, wanted) && (mount->noexec || !plan.no_execute) && layers == plan.lower && most && *most <= size;
        const std::string limit = !most ? "no size told" : *most == size ? format_size(plan.size) : format_size(*most);
        look = Look{overlay_words(layers, limit, attributes_of(*mount)), tight, tight};
    }
    const std::string planned = attributes(wanted.read_only, true, true, plan.no_execute);
    add("mount " + wanted.path, overlay_words(plan.lower, format_size(plan.size), planned), Evidence::read, look);
}

// What came along below a tree of the host must be as tight as the tree; anything else must not be there.
void Comparer::other_mounts(const std::vector<SeenMount>& there) {
    if (there.empty()) {
        add("other mounts", "none", Evidence::read, std::nullopt);
        return;
    }
    const bool all_found = std::ranges::all_of(expected_.mounts, [&](const auto& one) { return find_mount(there, one.path) != nullptr; });
    std::vector<std::string> stray;
    std::vector<std::string> loose;
    for (const auto& mount : there) {
        if (std::ranges::find(expected_.mounts, mount.path, &ExpectedMount::path) != expected_.mounts.end()) continue;
        const ExpectedMount* over = covering(expected_.mounts, mount.path);
        if (over == nullptr) stray.push_back(mount.path);
        else if (!as_tight(mount, *over)) loose.push_back(mount.path + " (" + mount_words(mount.read_only, mount.nosuid, mount.nodev) + ")");
    }
    const bool good = loose.empty() && (stray.empty() || !all_found);
    stray.insert(stray.end(), loose.begin(), loose.end());
    add("other mounts", "none", Evidence::read, Look{stray.empty() ? "none" : joined(stray, ", "), good, good});
}

void Comparer::limits() {
    for (const auto& wanted : plan_.limits) {
        // Without core dumps that limit is another one, and 1 is less than 0: see below.
        if (wanted.resource == RLIMIT_CORE && !plan_.core_dumps) continue;
        const auto* name = std::ranges::find(limit_names, wanted.resource, &LimitName::resource);
        if (name != std::end(limit_names)) limit(wanted, *name);
    }
    const auto core = find_limit(seen_.limits, "Max core file size");
    const bool planned = std::ranges::find(plan_.limits, RLIMIT_CORE, &Limit::resource) != plan_.limits.end();
    if (planned && plan_.core_dumps) return;
    std::optional<Look> look;
    // Of 0 bytes a handler would still get one; the kernel takes 1 for "not even that" (core(5)).
    if (core) look = Look{core->hard <= 1 ? "none" : limit_text(core->hard), core->hard <= 1 || plan_.core_dumps, core->hard <= 1};
    add("core dumps", plan_.core_dumps ? "as warderd has them" : "none", Evidence::read, look);
}

// The hard limit is the kernel's: without a capability it only goes down, and the soft one stays below it.
void Comparer::limit(const Limit& wanted, const LimitName& name) {
    std::optional<Look> look;
    if (const auto there = find_limit(seen_.limits, name.in_proc)) {
        const bool same = there->soft == there->hard;
        look = Look{same ? limit_text(there->hard) : limit_text(there->soft) + " of " + limit_text(there->hard),
                    there->hard <= wanted.hard && there->soft <= wanted.hard, true};
    }
    const std::string text = wanted.soft == wanted.hard ? limit_text(wanted.hard) : limit_text(wanted.soft) + " of " + limit_text(wanted.hard);
    add("limit " + std::string(name.name), text, Evidence::read, look).binding = !may(CAP_SYS_RESOURCE);
}

void Comparer::scheduling() {
    std::optional<Look> nice;
    std::optional<Look> oom;
    std::optional<Look> mask;
    const bool there = seen_.there;
    if (there && seen_.nice) nice = Look{std::to_string(*seen_.nice), *seen_.nice >= plan_.nice, false};
    if (const auto score = there ? number_in<int>(seen_.oom_score) : std::nullopt) {
        oom = Look{std::to_string(*score), *score >= plan_.oom_score_adjust, false};
    }
    if (const auto field = status("Umask")) mask = Look{std::string(*field), number_in<mode_t>(*field, 8) == plan_.umask, false};
    char text[8];
    const auto end = std::to_chars(text, text + sizeof text, plan_.umask, 8).ptr;
    const std::string digits(text, end);
    add("nice", std::to_string(plan_.nice), Evidence::read, nice).binding = !may(CAP_SYS_NICE);
    add("oom score", std::to_string(plan_.oom_score_adjust), Evidence::read, oom).binding = !may(CAP_SYS_RESOURCE);
    // A default of the program's own, which many set as the first thing they do.
    add("umask", std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') + digits, Evidence::read, mask).binding = false;
}

// That it is the one which it made itself, after the change of ids, is all that makes it private.
void Comparer::keyring() {
    std::optional<Look> look;
    if (const auto& proof = seen_.proof; proof && plan_.private_keyring) {
        const bool none = proof->keyring_made == -EPERM || proof->keyring_made == -ENOSYS;
        const bool own = proof->keyring_made > 0 && proof->keyring == proof->keyring_made && proof->keyring_size == 0;
        look = Look{none ? "none can be reached" : own ? "own, empty" : "serial " + std::to_string(proof->keyring), none || own, none || own};
    }
    if (plan_.private_keyring) add_proved("session keyring", "own, empty", look);
    else add("session keyring", "warderd's", Evidence::none, std::nullopt);
}

void Comparer::dumps() {
    std::optional<Look> look;
    if (seen_.there && seen_.dumpable) look = Look{*seen_.dumpable ? "yes" : "no", !*seen_.dumpable || plan_.dumpable, !*seen_.dumpable};
    add("dumpable", plan_.dumpable ? "yes" : "no", Evidence::read, look);
}

void Comparer::hostname() {
    const std::string wanted = plan_.hostname.empty() ? plan_.user : plan_.hostname;
    std::optional<Look> look;
    if (const auto& proof = seen_.proof) look = Look{proof->hostname, !plan_.uts_namespace || proof->hostname == wanted, false};
    add_proved("hostname", plan_.uts_namespace ? wanted : "the host's", look);
}

bool realtime(Scheduler scheduler) { return scheduler != Scheduler::other && scheduler != Scheduler::batch && scheduler != Scheduler::idle; }

// How much of the processor it gets before others: what ranks lower is tighter.
int rank_of(const Scheduling& scheduling) {
    switch (scheduling.scheduler) {
        case Scheduler::idle: return 0;
        case Scheduler::batch: return 1;
        case Scheduler::other: return 2;
        case Scheduler::fifo:
        case Scheduler::round_robin: return 2 + scheduling.priority;
    }
    return std::numeric_limits<int>::max();
}

std::string scheduling_words(const Scheduling& scheduling) {
    const std::string level = ":" + std::to_string(scheduling.priority);
    switch (scheduling.scheduler) {
        case Scheduler::other: return "other";
        case Scheduler::batch: return "batch";
        case Scheduler::idle: return "idle";
        case Scheduler::fifo: return "fifo" + level;
        case Scheduler::round_robin: return "rr" + level;
    }
    return "policy " + std::to_string(static_cast<int>(scheduling.scheduler));
}

// A program may go from idle back to other by itself. Only realtime takes a right that it has not.
void Comparer::processor() {
    std::optional<Look> look;
    const bool there = seen_.there && seen_.scheduling;
    if (there) look = Look{scheduling_words(*seen_.scheduling), rank_of(*seen_.scheduling) <= rank_of(plan_.scheduling), false};
    add("scheduling", scheduling_words(plan_.scheduling), Evidence::read, look).binding =
        there && realtime(seen_.scheduling->scheduler) && !may(CAP_SYS_NICE);
}

// What the kernel makes of no class of its own (ioprio_set(2)): by the scheduler, and five steps of niceness are one level.
IoPriority by_class(const IoPriority& priority, const Scheduling& scheduling, int nice) {
    if (priority.io_class != IoClass::by_nice) return priority;
    if (scheduling.scheduler == Scheduler::idle) return {IoClass::idle, 0};
    const int level = (nice + 20) / 5;
    return {realtime(scheduling.scheduler) ? IoClass::realtime : IoClass::best_effort, level};
}

// A lower number comes first: realtime 0 to 7, best-effort 8 to 15, idle 16.
int order_of(const IoPriority& priority) {
    if (priority.io_class == IoClass::idle) return 16;
    return (priority.io_class == IoClass::realtime ? 0 : 8) + priority.level;
}

std::string io_words(const IoPriority& priority) {
    const std::string level = ":" + std::to_string(priority.level);
    switch (priority.io_class) {
        case IoClass::by_nice: return "by-nice";
        case IoClass::realtime: return "realtime" + level;
        case IoClass::best_effort: return "best-effort" + level;
        case IoClass::idle: return "idle";
    }
    return "class " + std::to_string(static_cast<int>(priority.io_class));
}

// Some kernels tell that no class was set, others which one the niceness makes. Within best-effort the program may set what it likes.
void Comparer::disk() {
    std::optional<Look> look;
    bool first = false;
    const auto& seen = seen_.io_priority;
    if (seen_.there && seen) {
        const IoPriority wanted = by_class(plan_.io_priority, plan_.scheduling, plan_.nice);
        const IoPriority there = by_class(*seen, seen_.scheduling.value_or(plan_.scheduling), seen_.nice.value_or(plan_.nice));
        const bool as_by_nice = plan_.io_priority.io_class == IoClass::by_nice && order_of(there) == order_of(wanted);
        look = Look{as_by_nice ? "by-nice" : io_words(*seen), order_of(there) >= order_of(wanted), false};
        first = there.io_class == IoClass::realtime;
    }
    add("io priority", io_words(plan_.io_priority), Evidence::read, look).binding = first;
}

// "0-3,7" of a status text.
std::vector<unsigned> numbers_of(std::string_view list) {
    std::vector<unsigned> numbers;
    while (!list.empty()) {
        const std::string_view part = list.substr(0, list.find(','));
        list.remove_prefix(std::min(list.size(), part.size() + 1));
        const std::size_t dash = part.find('-');
        const auto first = number_in<unsigned>(part);
        const auto last = dash == part.npos ? first : number_in<unsigned>(part.substr(dash + 1));
        for (unsigned number = first.value_or(1); number <= last.value_or(0); ++number) numbers.push_back(number);
    }
    return numbers;
}

// The program may choose among all of its cpuset itself.
void Comparer::processors() {
    const auto in_words = [](const std::vector<unsigned>& list) {
        std::string words;
        for (const unsigned one : list) words += (words.empty() ? "" : " ") + std::to_string(one);
        return words;
    };
    std::optional<Look> look;
    if (const auto field = status("Cpus_allowed_list")) {
        const auto there = numbers_of(*field);
        const bool within = plan_.cpus.empty() || std::ranges::includes(plan_.cpus, there);
        look = Look{in_words(there), within && !there.empty(), false};
    }
    add("processors", plan_.cpus.empty() ? "those of warderd" : in_words(plan_.cpus), Evidence::read, look).binding = false;
}

// warderd's own directory is named from where cgroup v2 is mounted, the process's from the root of the hierarchy.
void Comparer::cgroup() {
    const std::size_t at = ("\n" + seen_.cgroup).find("\n0::");
    std::optional<Look> look;
    if (seen_.there && at != std::string::npos) {
        const std::string path(line_after(seen_.cgroup, at + 3));
        const bool inside = path.size() > 1 && expected_.cgroup.ends_with(path);
        look = Look{inside ? "own" : path, inside || expected_.cgroup.empty(), inside};
    }
    add("cgroup", expected_.cgroup.empty() ? "warderd's" : "own", Evidence::read, look);
}

// The worker cannot write to these files: what stands there is so, and nothing that could not be read is taken to be.
void Comparer::group_limits() {
    for (std::size_t i = 0; i < plan_.group_limits.size(); ++i) {
        const GroupLimit& wanted = plan_.group_limits[i];
        std::optional<Look> look;
        if (seen_.there && i < seen_.group_limits.size()) {
            const std::string& text = seen_.group_limits[i];
            const bool tight = as_tight(wanted, text);
            look = Look{text.empty() ? "not set" : text, tight, tight};
        }
        add("limit " + name_of(wanted), wanted.value, Evidence::read, look);
    }
}

void Comparer::descriptors() {
    const auto in_words = [](std::uint32_t bits) {
        std::string words;
        for (int number = 0; number < 32; ++number) {
            if ((bits >> number & 1) != 0) words += (words.empty() ? "" : " ") + std::to_string(number);
        }
        return words.empty() ? "none" : words;
    };
    const std::string wanted = in_words(expected_.descriptors);
    std::optional<Look> kept;
    if (seen_.proof) {
        const bool same = (seen_.proof->descriptors & ~expected_.descriptors) == 0;
        kept = Look{in_words(seen_.proof->descriptors), same, same};
    }
    add_proved("descriptors over exec", wanted, kept);
    std::optional<Look> now;
    if (seen_.there && seen_.descriptors) {
        std::string words;
        for (const int number : *seen_.descriptors) words += (words.empty() ? "" : " ") + std::to_string(number);
        now = Look{words.empty() ? "none" : words, true, false};
    }
    // The program has begun by now: what it has opened itself is its own.
    add("descriptors", wanted, Evidence::read, now).binding = false;
}

}  // namespace

const ReceiptItem* mismatch(const Receipt& receipt) {
    if (!receipt.taken) return nullptr;
    const auto found = std::ranges::find_if(receipt.items, [](const auto& item) { return item.binding && !item.matches; });
    return found == receipt.items.end() ? nullptr : &*found;
}

std::string in_words(const ReceiptItem& item) {
    return item.name + ": wanted " + item.wanted + ", effective " + (item.effective.empty() ? "not known" : item.effective);
}

Receipt compare(const Expected& expected, const Observed& seen) { return Comparer(expected, seen).run(); }

std::string_view status_field(std::string_view status, std::string_view key) {
    const std::string head = "\n" + std::string(key) + ":";
    const std::size_t at = status.find(head);
    if (at == status.npos) return {};
    const std::string_view value = line_after(status, at + head.size());
    const std::size_t begin = value.find_first_not_of(" \t");
    if (begin == value.npos) return {};
    return value.substr(begin, value.find_last_not_of(" \t") + 1 - begin);
}

}  // namespace warder::sandbox
