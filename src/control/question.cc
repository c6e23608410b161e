#include "control/question.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <optional>

#include "policy/address.h"
#include "policy/decide.h"
#include "policy/explain.h"
#include "policy/key.h"
#include "policy/narrow.h"

namespace warder::control {
namespace {

constexpr std::uint32_t reading = 4;   // what `access` is about where no mode is said

// What is to be decided, with the texts that the request points into.
struct Asked {
    std::string grant;
    std::string target;
    std::string second;
    std::uint32_t mode = 0;
    std::uint64_t argument = 0;

    policy::Request request(const Question& question) const {
        return {question.operation, question.flags, mode, grant, target, second, argument};
    }
};

// What stands behind the target.
enum class Tail : std::uint8_t { none, mode, access, number, signal, second, values, narrowing };

struct Form {
    Operation operation{};
    std::size_t least = 1;    // words
    std::size_t most = 1;
    Tail tail = Tail::none;
    const char* usage = "GRANT, PATH or GRANT:PATH";
};

constexpr std::size_t any_number = 64;

constexpr std::array<Form, 20> forms{{
    {Operation::listen, 1, 1, Tail::none, "ADDRESS, GRANT or GRANT:ADDRESS"},
    {Operation::connect, 1, 1, Tail::none, "ADDRESS, GRANT or GRANT:ADDRESS"},
    {Operation::create, 1, 2, Tail::mode, "PATH or GRANT:PATH, and perhaps a mode like 0640"},
    {Operation::mkdir, 1, 2, Tail::mode, "PATH or GRANT:PATH, and perhaps a mode like 0750"},
    {Operation::chmod, 2, 2, Tail::mode, "PATH or GRANT:PATH, and a mode like 0640"},
    {Operation::access, 1, 2, Tail::access, "PATH or GRANT:PATH, and perhaps some of the letters rwx"},
    {Operation::truncate, 1, 2, Tail::number, "PATH or GRANT:PATH, and perhaps a size in bytes"},
    {Operation::watch, 1, 2, Tail::number, "PATH or GRANT:PATH, and perhaps event bits"},
    {Operation::rename, 2, 2, Tail::second, "PATH or GRANT:PATH, and the new one"},
    {Operation::link, 2, 2, Tail::second, "PATH or GRANT:PATH, and the other name"},
    {Operation::symlink, 2, 2, Tail::second, "PATH or GRANT:PATH, and the text of the link"},
    {Operation::sysctl_write, 2, 2, Tail::second, "a key like net.ipv4.ip_forward or GRANT:KEY, and a value"},
    {Operation::sysctl_read, 1, 1, Tail::none, "a key like net.ipv4.ip_forward, or GRANT:KEY"},
    {Operation::lookup, 1, 1, Tail::none, "what to look up, like user:web or host:db.example, or GRANT:user:web"},
    {Operation::run, 1, any_number, Tail::values, "GRANT, and a word for each placeholder of its command"},
    {Operation::signal, 2, 2, Tail::signal, "WORKER or GRANT, and a signal like HUP"},
    {Operation::restart, 1, 1, Tail::none, "WORKER or GRANT"},
    {Operation::narrow, 1, 3, Tail::narrowing, "GRANT, and perhaps a path or an address within it, and a pattern"},
    {Operation::channel, 1, 1, Tail::none, "GRANT"},
    {Operation::device, 1, 1, Tail::none, "GRANT or PATH"},
}};

Form form_of(Operation operation) {
    switch (operation) {
        case Operation::raw:
        case Operation::packet:
        case Operation::netlink:
        case Operation::syslog: return {operation, 0, 1, Tail::none, "nothing, or GRANT"};
        default: break;
    }
    const auto found = std::ranges::find(forms, operation, &Form::operation);
    return found == forms.end() ? Form{.operation = operation} : *found;
}

Refused refuse(std::string sentence) { return Refused(Refusal{EINVAL, std::move(sentence)}); }

Refused refuse_words(const Form& form) { return refuse(std::string(name_of(form.operation)) + " needs " + form.usage); }

// ---- The target ----

bool bare(std::string_view word) { return word.find_first_of("/:") == std::string_view::npos; }

// "site:css/a.css", if there is a grant `site`.
bool take_below_grant(const policy::GrantSet& grants, std::string_view word, Asked& into) {
    const std::size_t colon = word.find(':');
    if (colon == std::string_view::npos || !grants.named(word.substr(0, colon))) return false;
    into.grant = word.substr(0, colon);
    into.target = word.substr(colon + 1);
    return true;
}

// Paths and addresses have a slash or a colon, and names of grants neither.
void take_place(const policy::GrantSet& grants, std::string_view word, Asked& into) {
    if (bare(word)) {
        into.grant = word;
    } else if (!take_below_grant(grants, word, into)) {
        into.target = word;
    }
}

// What is an address or a key by itself is that, even if a grant has the name of its first part.
void take_by_itself(const policy::GrantSet& grants, std::string_view word, bool whole, Asked& into) {
    if (whole || !take_below_grant(grants, word, into)) into.target = word;
}

// The worker that is meant, unless it is a grant that has this name.
void take_worker(const policy::GrantSet& grants, std::string_view word, Asked& into) {
    const auto is_peer = [&](GrantId id) { return grants.at(id).peer == word; };
    const bool peer = std::ranges::any_of(grants.of_kind(policy::Kind::worker), is_peer);
    (!peer && grants.named(word) ? into.grant : into.target) = word;
}

void take_target(const policy::GrantSet& grants, Operation operation, std::string_view word, Asked& into) {
    switch (operation) {
        case Operation::raw:
        case Operation::packet:
        case Operation::netlink:
        case Operation::syslog:
        case Operation::run:
        case Operation::channel:
        case Operation::narrow: into.grant = word; return;
        case Operation::lookup:
            if (bare(word) && grants.named(word)) into.grant = word;
            else take_by_itself(grants, word, policy::parse_lookup(word).has_value(), into);
            return;
        case Operation::sysctl_read:
        case Operation::sysctl_write: return take_by_itself(grants, word, policy::is_sysctl_key(word), into);
        case Operation::listen:
        case Operation::connect:
            if (policy::parse_address(word)) into.target = word;
            else take_place(grants, word, into);
            return;
        case Operation::signal:
        case Operation::restart: return take_worker(grants, word, into);
        default: return take_place(grants, word, into);
    }
}

// ---- What stands behind it ----

template <typename Number>
bool take_number(std::string_view word, int base, Number& into) {
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), into, base);
    return error == std::errc{} && end == word.data() + word.size();
}

bool take_access(std::string_view word, std::uint32_t& into) {
    into = 0;
    for (const char letter : word) {
        if (letter == 'r') into |= 4;
        else if (letter == 'w') into |= 2;
        else if (letter == 'x') into |= 1;
        else return take_number(word, 8, into);
    }
    return into != 0;
}

// "HUP", "SIGHUP" or "1".
bool take_signal(std::string_view word, std::uint64_t& into) {
    if (take_number(word, 10, into)) return true;
    if (word.starts_with("SIG")) word.remove_prefix(3);
    for (int signal = 1; signal < NSIG; ++signal) {
        const char* name = ::sigabbrev_np(signal);
        if (name == nullptr || word != name) continue;
        into = static_cast<std::uint64_t>(signal);
        return true;
    }
    return false;
}

// The second path of two may repeat the grant of the first.
std::string second_of(const Asked& asked, std::string_view word) {
    const std::string grant = asked.grant + ":";
    return std::string(!asked.grant.empty() && word.starts_with(grant) ? word.substr(grant.size()) : word);
}

using Words = std::vector<std::string>;

std::string lines_of(const Words& words) {
    std::string lines;
    for (std::size_t i = 1; i < words.size(); ++i) lines += (i == 1 ? "" : "\n") + words[i];
    return lines;
}

bool take_tail(const Form& form, const Words& words, Asked& into) {
    if (form.tail == Tail::access) into.mode = reading;
    if (form.tail == Tail::values) into.target = lines_of(words);
    if (words.size() < 2) return true;
    switch (form.tail) {
        case Tail::none:
        case Tail::values: return true;
        case Tail::mode: return take_number(words[1], 8, into.mode);
        case Tail::access: return take_access(words[1], into.mode);
        case Tail::number: return take_number(words[1], 10, into.argument);
        case Tail::signal: return take_signal(words[1], into.argument);
        case Tail::second: into.second = second_of(into, words[1]); return true;
        case Tail::narrowing:
            into.target = words[1];
            if (words.size() > 2) into.second = words[2];
            return true;
    }
    return true;
}

// What is narrowed to a part keeps its operations; without a part it is given up.
void keep_operations(const policy::GrantSet& grants, Asked& into) {
    const auto id = grants.named(into.grant);
    if (id && !(into.target.empty() && into.second.empty())) into.argument = grants.at(*id).rights.bits();
}

// The policy lets a worker narrow any grant of its own; to what is no part of it, the broker refuses.
policy::Decision decide_as_broker(const policy::GrantSet& grants, const policy::Request& request) {
    auto decision = policy::decide(grants, request);
    const bool narrows = request.operation == Operation::narrow && decision.verdict == policy::Verdict::allow;
    if (narrows && !policy::narrowed(grants.at(decision.grant), request)) {
        decision = {policy::Verdict::deny, Reason::bad_argument, decision.grant, {}, {}, {}};
    }
    return decision;
}

std::string in_words(const Words& words) {
    std::string text;
    for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
    return text;
}

}  // namespace

Answer<WhyReport> answer_question(const policy::GrantSet& grants, const Question& question) {
    const Form form = form_of(question.operation);
    const Words& words = question.words;
    if (words.size() < form.least || words.size() > form.most) return refuse_words(form);
    Asked asked;
    if (!words.empty()) take_target(grants, question.operation, words.front(), asked);
    if (!take_tail(form, words, asked)) return refuse_words(form);
    if (question.operation == Operation::narrow) keep_operations(grants, asked);
    const policy::Request request = asked.request(question);
    const auto decision = decide_as_broker(grants, request);
    WhyReport report;
    report.allowed = decision.verdict == policy::Verdict::allow;
    report.reason = decision.reason;
    report.worker = grants.worker();
    report.operation = name_of(question.operation);
    report.target = in_words(words);
    if (decision.grant != GrantId::none) {
        report.grant = grants.at(decision.grant).name;
        report.origin = grants.at(decision.grant).origin;
    }
    report.sentence = std::string(policy::explain(grants, request, decision).view());
    return report;
}

std::string joined_words(const std::vector<std::string>& words) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) text += '\0';
        text += words[i];
    }
    return text;
}

std::vector<std::string> split_words(std::string_view text) {
    std::vector<std::string> words;
    if (text.empty()) return words;
    for (;;) {
        const std::size_t end = text.find('\0');
        words.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) return words;
        text.remove_prefix(end + 1);
    }
}

}  // namespace warder::control
