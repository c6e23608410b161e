// What a worker is to the kernel's schedulers, and whose rights it keeps: nice and its kin, processors, capabilities.
#include <sys/capability.h>

#include <algorithm>
#include <bit>
#include <charconv>

#include "config/sections.h"

namespace warder::config {
namespace {

using sandbox::IoClass;
using sandbox::Scheduler;

// "fifo:50": a word, and a number where the word wants one.
template <typename T>
struct Levelled {
    std::string_view name;
    T value;
    int least;   // of the level
    int most;    // 0: it has none
};

constexpr std::array<Levelled<IoClass>, 4> io_classes{{
    {"by-nice", IoClass::by_nice, 0, 0},
    {"realtime", IoClass::realtime, 0, 7},
    {"best-effort", IoClass::best_effort, 0, 7},
    {"idle", IoClass::idle, 0, 0},
}};

constexpr std::array<Levelled<Scheduler>, 5> schedulers{{
    {"other", Scheduler::other, 0, 0},
    {"batch", Scheduler::batch, 0, 0},
    {"idle", Scheduler::idle, 0, 0},
    {"fifo", Scheduler::fifo, 1, 99},
    {"rr", Scheduler::round_robin, 1, 99},
}};

std::optional<int> small_number(std::string_view text) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
    return value;
}

template <typename T, std::size_t N>
std::string all_of(const std::array<Levelled<T>, N>& choices) {
    std::string text;
    for (const auto& choice : choices) {
        text += (text.empty() ? "" : ", ") + ("\"" + std::string(choice.name));
        if (choice.most > 0) text += ":" + std::to_string(choice.least) + "\" to \":" + std::to_string(choice.most);
        text += "\"";
    }
    return text;
}

template <typename T, std::size_t N>
void read_levelled(Section& section, std::string_view key, const std::array<Levelled<T>, N>& choices, T& into, int& level) {
    const Node* node = section.take(key, Node::Kind::text, "write one of " + all_of(choices));
    if (node == nullptr) return;
    const std::string_view text = node->text;
    const std::size_t colon = std::min(text.find(':'), text.size());
    const auto found = std::ranges::find(choices, text.substr(0, colon), &Levelled<T>::name);
    if (found == choices.end()) {
        std::vector<std::string_view> names;
        for (const auto& choice : choices) names.push_back(choice.name);
        return section.complaints().error(node->place, quoted(key) + " cannot be " + quoted(text),
                                          did_you_mean(text.substr(0, colon), names, "write one of " + all_of(choices)));
    }
    const auto number = colon == text.size() ? std::nullopt : small_number(text.substr(colon + 1));
    const bool good = found->most == 0 ? colon == text.size() : number && *number >= found->least && *number <= found->most;
    if (!good) {
        return section.complaints().error(node->place, quoted(text) + " is no value of " + quoted(key),
                                          "write one of " + all_of(choices));
    }
    into = found->value;
    level = number.value_or(0);
}

// "0-3,8"
std::optional<std::vector<unsigned>> parse_cpus(std::string_view text) {
    constexpr int most = 8191;
    std::vector<unsigned> cpus;
    while (!text.empty()) {
        const std::string_view part = text.substr(0, text.find(','));
        text.remove_prefix(std::min(text.size(), part.size() + 1));
        const std::size_t dash = std::min(part.find('-'), part.size());
        const auto first = small_number(part.substr(0, dash));
        const auto last = dash == part.size() ? first : small_number(part.substr(dash + 1));
        if (!first || !last || *first < 0 || *first > *last || *last > most) return std::nullopt;
        for (int cpu = *first; cpu <= *last; ++cpu) cpus.push_back(static_cast<unsigned>(cpu));
    }
    std::ranges::sort(cpus);
    cpus.erase(std::ranges::unique(cpus).begin(), cpus.end());
    if (cpus.empty()) return std::nullopt;
    return cpus;
}

void read_cpus(Section& section, std::vector<unsigned>& into) {
    const Node* node = section.take("cpus", Node::Kind::text, "write it like \"0-3,8\"");
    if (node == nullptr) return;
    if (auto cpus = parse_cpus(node->text)) return void(into = std::move(*cpus));
    section.complaints().error(node->place, "\"cpus\" is not a list of processors", "write it like \"0-3,8\"");
}

// Which a worker may be given by name: they reach no further than what they are named for. All others lead around the sandbox
// (files of others, the kernel, other processes), or let it claim to be somebody else when it asks.
constexpr std::array<cap_value_t, 18> harmless = {
    CAP_LINUX_IMMUTABLE, CAP_NET_BIND_SERVICE, CAP_NET_BROADCAST, CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK,
    CAP_IPC_OWNER, CAP_SYS_PACCT, CAP_SYS_NICE, CAP_SYS_RESOURCE, CAP_SYS_TIME, CAP_LEASE, CAP_AUDIT_WRITE,
    CAP_SYS_TTY_CONFIG, CAP_WAKE_ALARM, CAP_BLOCK_SUSPEND, CAP_AUDIT_READ, CAP_SYSLOG,
};

// In a user namespace of the worker's own these are about the numbers of its map, and about nothing else (docs/sandbox.md).
constexpr std::array<cap_value_t, 10> harmless_in_user_namespace = {
    CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_SYS_CHROOT,
};

constexpr std::array<cap_value_t, 3> forging = {CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID};

std::vector<std::string> capability_names() {
    std::vector<std::string> names;
    for (cap_value_t number = 0; number <= CAP_LAST_CAP; ++number) {
        char* name = ::cap_to_name(number);
        if (name != nullptr) names.emplace_back(std::string_view(name).substr(sizeof "cap_" - 1));
        ::cap_free(name);
    }
    return names;
}

std::optional<cap_value_t> capability_number(std::string_view name) {
    std::string lower = lowered(name);
    if (!lower.starts_with("cap_")) lower = "cap_" + lower;
    cap_value_t number = 0;
    if (::cap_from_name(lower.c_str(), &number) != 0) return std::nullopt;
    return number;
}

class CapabilityReader {
public:
    CapabilityReader(Section& section, bool user_namespace, std::uint64_t& into)
        : section_(section), user_namespace_(user_namespace), into_(into) {}

    void read(std::string_view key, bool trusted) {
        std::vector<std::string> names;
        section_.texts(key, names);
        const Node* node = section_.table().find(key);
        if (node == nullptr || node->kind != Node::Kind::list) return;
        for (const Node& item : node->items) {
            if (item.kind == Node::Kind::text) read_one(item, trusted);
        }
    }

private:
    void read_one(const Node& item, bool trusted) {
        const auto number = capability_number(item.text);
        if (!number) {
            const auto names = capability_names();
            section_.complaints().error(item.place, "there is no capability " + quoted(item.text),
                                        did_you_mean(item.text, {names.begin(), names.end()}));
        } else if (!trusted && !may_be_given(*number)) {
            section_.complaints().error(item.place, why_not(item.text, *number),
                                        "if that is what you want, write trusted_capabilities = [" + quoted(item.text) + "]" + instead(*number));
        } else {
            into_ |= std::uint64_t{1} << *number;
        }
    }

    static bool is_of_user_namespaces(cap_value_t number) {
        return std::ranges::find(harmless_in_user_namespace, number) != harmless_in_user_namespace.end();
    }

    bool may_be_given(cap_value_t number) const {
        return std::ranges::find(harmless, number) != harmless.end() || (user_namespace_ && is_of_user_namespaces(number));
    }

    static std::string instead(cap_value_t number) {
        return is_of_user_namespaces(number) ? "; in a user_namespace of its own it reaches no further than that" : "";
    }

    static std::string why_not(const std::string& name, cap_value_t number) {
        const bool forges = std::ranges::find(forging, number) != forging.end();
        return "capability " + quoted(name) + (forges ? " lets a worker pass for another one when it asks"
                                                      : " leads out of the sandbox");
    }

    Section& section_;
    bool user_namespace_;
    std::uint64_t& into_;
};

}  // namespace

void read_priorities(Section& worker, sandbox::Plan& into) {
    worker.number("nice", into.nice, -20, 19);
    read_levelled(worker, "io_priority", io_classes, into.io_priority.io_class, into.io_priority.level);
    read_levelled(worker, "scheduling", schedulers, into.scheduling.scheduler, into.scheduling.priority);
    read_cpus(worker, into.cpus);
    worker.number("oom_score_adjust", into.oom_score_adjust, -1000, 1000);
}

void read_capabilities(Section& sandbox, bool user_namespace, std::uint64_t& into) {
    CapabilityReader reader(sandbox, user_namespace, into);
    reader.read("capabilities", false);
    reader.read("trusted_capabilities", true);
}

}  // namespace warder::config
