// Any bytes as a config: parse() returns, each complaint can be shown, and what is accepted keeps its promises.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "config/check.h"
#include "config/parse.h"
#include "policy/command.h"
#include "policy/path.h"

namespace {

using namespace warder;

void require(bool holds) {
    if (!holds) std::abort();
}

// A machine on which every name and path is there.
config::Lookup rich_machine() {
    return {[](const std::string&) { return config::Account{1000, 1000}; },
            [](const std::string&) { return gid_t{1000}; },
            [](const std::string&) { return config::PathFacts{config::PathFacts::Type::file, true, {}, 0}; }, 1024};
}

void check_problem(const config::Problem& problem) {
    const std::string shown = config::format(problem);
    require(shown.ends_with('\n') && shown.find('\0') == std::string::npos && shown.find('\x1b') == std::string::npos);
    require(shown.find(problem.severity == config::Severity::error ? "error: " : "warning: ") != std::string::npos);
}

void check_command(const policy::Command& command) {
    require(!command.words.empty() && command.words.size() <= policy::max_words && command.timeout > Duration::zero());
    require(command.words[0].placeholder == policy::Placeholder::none && policy::clean_absolute(command.words[0].text));
    for (const auto& word : command.words) {
        require(word.text.find('\0') == std::string::npos && word.before.find('\0') == std::string::npos);
        require(word.placeholder != policy::Placeholder::path || word.text == "/" || policy::clean_absolute(word.text));
    }
}

void check_grant(const policy::Grant& grant) {
    using policy::Kind;
    require(!grant.name.empty() && grant.mode <= 0777);
    require(grant.rights.empty() == (grant.kind == Kind::store));
    const bool on_path = grant.kind == Kind::file || grant.kind == Kind::tree || grant.kind == Kind::secret ||
                         grant.kind == Kind::device || grant.kind == Kind::syslog;
    require(!on_path || grant.path == "/" || policy::clean_absolute(grant.path));
    require(grant.kind != Kind::listener || (grant.address.single() && grant.address.family != policy::Family::host));
    require(grant.kind != Kind::lookup || (grant.lookups > 0 && grant.lookups < 16));
    require(grant.kind != Kind::sysctl || !grant.names.empty());
    require(!grant.rights.has(Operation::signal) || (grant.signals & ~std::uint64_t{1}) == grant.signals);
    require(grant.interface.size() < 16 && grant.within.empty() && grant.every_name.empty() && !grant.narrowed);
    if (grant.kind == Kind::command) check_command(grant.command);
}

void check_worker(const config::Worker& worker) {
    require(policy::clean_absolute(worker.sandbox.program) && worker.sandbox.arguments.at(0) == worker.sandbox.program);
    require(worker.max_pending_requests > 0 && worker.sandbox.umask <= 0777 && worker.sandbox.no_new_privileges);
    for (const auto& limit : worker.sandbox.limits) require(limit.soft <= limit.hard);
    for (const auto& grant : worker.grants) check_grant(grant);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    config::Parsed parsed = config::parse({{"fuzz.toml", text}});
    for (const auto& problem : parsed.problems) check_problem(problem);
    if (parsed.ok()) {
        for (const auto& worker : parsed.config.workers) check_worker(worker);
    }
    config::resolve(parsed.config, parsed.problems, rich_machine());
    for (const auto& problem : parsed.problems) check_problem(problem);
    return 0;
}
