// warder-bench: prints, in one run, what warderd costs beside what the kernel alone costs. Only ratios are to be compared
// between machines.
//
//     warder-bench [--quick] [--json] [--only SECTION] [--warderd PATH] [--worker PATH]
//
// SECTION is messages, requests, kinds, fairness, lives, idle or spawn. All but messages need root.
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "bench/fairness.h"
#include "bench/kinds.h"
#include "bench/lives.h"
#include "bench/messages.h"
#include "bench/requests.h"
#include "bench/spawns.h"

namespace {

using namespace warder;
using namespace warder::bench;
using namespace std::chrono_literals;

struct Options {
    bool json = false;
    std::string only;
    Programs programs;
    Effort effort;
};

// Enough to see that everything works, too little to compare.
constexpr Effort quick{.rounds = 2, .requests = 400, .batches = 20, .lives = 5, .workers = 10, .idle = 1s,
                       .round_trips = 2'000, .throughput = 30ms};

std::string beside_this_program(const char* relative) {
    char path[PATH_MAX];
    const auto size = ::readlink("/proc/self/exe", path, sizeof path);
    const std::string self(path, size > 0 ? static_cast<std::size_t>(size) : 0);
    return self.substr(0, self.rfind('/') + 1) + relative;
}

std::optional<Options> read_options(int count, char** words) {
    Options options;
    options.programs = {beside_this_program("../src/daemon/warderd"), beside_this_program("bench-worker")};
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        const bool more = i + 1 < count;
        if (word == "--quick") options.effort = quick;
        else if (word == "--json") options.json = true;
        else if (word == "--only" && more) options.only = words[++i];
        else if (word == "--warderd" && more) options.programs.warderd = words[++i];
        else if (word == "--worker" && more) options.programs.worker = words[++i];
        else return std::nullopt;
    }
    return options;
}

// Where a sandbox has directories of its own: what lies there on the host is not to be seen in it.
bool hidden_in_a_sandbox(std::string_view path) {
    for (const std::string_view own : {"/tmp/", "/dev/", "/proc/"}) {
        if (path.starts_with(own)) return true;
    }
    return false;
}

Result<std::vector<Section>> measure(const Options& options) {
    std::vector<Section> sections;
    const auto wanted = [&](std::string_view name) { return options.only.empty() || options.only == name; };
    if (wanted("requests")) {
        for (auto& section : TRY(request_sections(options.programs, options.effort))) sections.push_back(section);
    }
    if (wanted("kinds")) sections.push_back(TRY(kinds_section(options.programs, options.effort)));
    if (wanted("fairness")) {
        for (auto& section : TRY(fairness_sections(options.programs, options.effort))) sections.push_back(section);
    }
    if (wanted("lives")) sections.push_back(TRY(life_section(options.programs, options.effort)));
    if (wanted("idle")) sections.push_back(TRY(idle_section(options.programs, options.effort)));
    if (wanted("messages")) {
        for (auto& section : TRY(message_sections(options.effort.round_trips, options.effort.throughput))) {
            sections.push_back(section);
        }
    }
    if (wanted("spawn")) {
        sections.push_back(TRY(spawn_section(options.effort, beside_this_program("bench-nothing"),
                                             beside_this_program("../src/sandbox/warder-stub"))));
    }
    return sections;
}

}  // namespace

int main(int count, char** words) {
    const auto options = read_options(count, words);
    if (!options) {
        std::fprintf(stderr, "usage: warder-bench [--quick] [--json] [--only requests|kinds|fairness|lives|idle|messages|spawn] "
                             "[--warderd PATH] [--worker PATH]\n");
        return 2;
    }
    move_to(Place::any_cpu);   // remembers where we may run before anything is pinned
    if (::geteuid() != 0 && options->only != "messages") {
        std::fprintf(stderr, "warder-bench: warderd needs root; without it only --only messages runs\n");
        return 77;
    }
    if (const auto worker = beside_this_program("bench-worker"); options->only != "messages" && hidden_in_a_sandbox(worker)) {
        std::fprintf(stderr, "warder-bench: %s cannot be run in a sandbox, which has a directory of its own there: build in another "
                             "place, such as /var/tmp or a home directory\n", worker.c_str());
        return 1;
    }
    const auto sections = measure(*options);
    if (told_to_end()) {
        std::fprintf(stderr, "warder-bench: told to end\n");
        return 1;
    }
    if (!sections) {
        std::fprintf(stderr, "warder-bench: %s\n", describe(sections.error()).c_str());
        return 1;
    }
    std::fputs((options->json ? as_json(*sections) : as_table(*sections)).c_str(), stdout);
    return 0;
}
