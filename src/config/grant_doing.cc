// Grants to have something done: to look up, to read the kernel's keys, to run, to act on another worker, to keep.
#include <string.h>

#include <algorithm>
#include <charconv>

#include "config/grant_reader.h"
#include "config/sections.h"
#include "policy/command.h"
#include "policy/path.h"

namespace warder::config {
namespace {

using policy::Placeholder;
using policy::Kind;
using policy::Lookup;
using policy::Word;

constexpr std::array<Choice<Lookup>, 4> lookup_choices{{
    {"user", Lookup::user},
    {"group", Lookup::group},
    {"host", Lookup::host},
    {"service", Lookup::service},
}};

constexpr std::array<Choice<bool>, 2> stream_choices{{
    {"stream", true},
    {"seqpacket", false},
}};

constexpr std::array<Choice<Placeholder>, 4> placeholder_choices{{
    {"word", Placeholder::word},
    {"number", Placeholder::number},
    {"path", Placeholder::path},
    {"choice", Placeholder::choice},
}};

constexpr std::int64_t last_signal = 63;   // the largest that a set of 64 bits has room for

bool of_keys(char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || std::string_view("_/.-*?").find(c) != std::string_view::npos;
}

bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }

// The entries of the target, which is a list of texts; those that are none are complained of.
template <typename Each>
bool for_each_text(GrantDraft& draft, std::string_view instead, Each each) {
    if (!draft.is(Node::Kind::list, instead)) return false;
    if (draft.target.items.empty()) return draft.refuse(quoted(draft.key()) + " is empty"), false;
    for (const Node& item : draft.target.items) {
        if (item.kind != Node::Kind::text) {
            draft.section.refuse_entry(item, draft.key(), "a string");
        } else if (check_text(item, draft.key(), draft.complaints())) {
            each(item);
        }
    }
    return true;
}

// ---- Commands ----

// Reads one argument: literal text, with braces doubled, and perhaps a placeholder at its end.
class WordReader {
public:
    WordReader(GrantDraft& draft, const Node& item) : draft_(draft), item_(item), rest_(item.text) {}

    Word read() {
        Word word;
        std::string literal;
        while (!rest_.empty() && good_) {
            if (rest_.starts_with("{{") || rest_.starts_with("}}")) {
                literal += rest_.front();
                rest_.remove_prefix(2);
            } else if (rest_.front() == '{') {
                take_placeholder(word);
            } else if (rest_.front() == '}') {
                fail("a \"}\" that closes nothing in " + quoted(item_.text), "a \"}\" itself is written \"}}\"");
            } else {
                literal += rest_.front();
                rest_.remove_prefix(1);
            }
        }
        (word.placeholder == Placeholder::none ? word.text : word.before) = literal;
        return word;
    }

private:
    void fail(std::string what, std::string suggestion = {}) {
        if (good_) draft_.complaints().error(item_.place, std::move(what), std::move(suggestion));
        good_ = false;
    }

    void take_placeholder(Word& word) {
        const std::size_t end = rest_.find('}');
        if (end == std::string_view::npos) {
            return fail("a \"{\" that nothing closes in " + quoted(item_.text), "a \"{\" itself is written \"{{\"");
        }
        const std::string_view inside = rest_.substr(1, end - 1);
        rest_.remove_prefix(end + 1);
        // A value's end would otherwise be open: where it stops and the literal begins is for the program to guess.
        if (!rest_.empty()) return fail("a placeholder ends its argument, and after this one there is " + quoted(rest_));
        read_placeholder(inside, word);
    }

    // "who:word", "file:path:/srv/www", "how:choice:fast|slow"
    void read_placeholder(std::string_view inside, Word& word) {
        const std::string_view name = inside.substr(0, inside.find(':'));
        std::string_view rest = inside.substr(std::min(inside.size(), name.size() + 1));
        const std::string_view type = rest.substr(0, rest.find(':'));
        rest.remove_prefix(std::min(rest.size(), type.size() + 1));
        word.name = name;
        const bool good_name = !name.empty() && std::ranges::all_of(name, lower_or_digit);
        if (!good_name) return fail(quoted(name) + " cannot name a placeholder", "placeholders read \"{name:word}\"");
        if (type.empty()) return fail("placeholder " + quoted(name) + " has no type", "write \"{" + std::string(name) + ":word}\"");
        take_type(type, word);
        if (good_) take_rest(rest, word);
    }

    void take_type(std::string_view type, Word& word) {
        const auto found = std::ranges::find(placeholder_choices, type, &Choice<Placeholder>::name);
        if (found == placeholder_choices.end()) {
            return fail("a placeholder of type " + quoted(type),
                        did_you_mean(type, {"word", "number", "path", "choice"}, "write one of word, number, path, choice"));
        }
        word.placeholder = found->value;
    }

    void take_rest(std::string_view rest, Word& word) {
        word.text = rest;
        switch (word.placeholder) {
            case Placeholder::path:
                if (word.text.size() > 1 && word.text.ends_with('/')) word.text.pop_back();
                if (word.text == "/" || policy::clean_absolute(word.text)) return;
                return fail("placeholder " + quoted(word.name) + " says no directory for its path",
                            "write \"{" + word.name + ":path:/srv/www}\"");
            case Placeholder::choice:
                if (good_choices(rest)) return;
                return fail("placeholder " + quoted(word.name) + " has no words, or an empty one, to choose of",
                            "write \"{" + word.name + ":choice:fast|slow}\"");
            default:
                if (!rest.empty()) fail("placeholder " + quoted(word.name) + " says more than its type: " + quoted(rest));
        }
    }

    static bool good_choices(std::string_view words) {
        const bool empty_one = words.empty() || words.front() == '|' || words.back() == '|' ||
                               words.find("||") != std::string_view::npos;
        return !empty_one && words.find('\n') == std::string_view::npos;
    }

    GrantDraft& draft_;
    const Node& item_;
    std::string_view rest_;
    bool good_ = true;
};

void check_words(GrantDraft& draft, const Node& item, const Word& word) {
    const bool first = draft.grant.command.words.empty();
    if (first && word.placeholder != Placeholder::none) {
        return draft.complaints().error(item.place, "the program of \"run\" is fixed: it has no placeholder");
    }
    if (first) {
        Node program = item;
        program.text = word.text;
        check_path(program, "run", draft.complaints());
    }
    if (item.text.size() > policy::max_argument) {
        draft.complaints().error(item.place, "an argument of more than " + std::to_string(policy::max_argument) + " bytes");
    }
}

void take_command_options(GrantDraft& draft) {
    policy::Command& command = draft.grant.command;
    draft.section.text("user", command.user);
    draft.section.flag("stdin", command.in);
    draft.section.flag("stdout", command.out);
    draft.section.flag("stderr", command.err);
    draft.section.duration("timeout", command.timeout, std::chrono::milliseconds(1));
    draft.section.number("max_concurrent", command.max_concurrent, 1, 64);
}

// ---- Signals ----

std::string_view without_sig(std::string_view name) { return name.starts_with("SIG") ? name.substr(3) : name; }

int signal_named(std::string_view name) {
    for (int signal = 1; signal < 32; ++signal) {
        const char* known = ::sigabbrev_np(signal);
        if (known != nullptr && without_sig(name) == known) return signal;
    }
    return 0;
}

void refuse_signal(GrantDraft& draft, const Node& item) {
    draft.complaints().error(item.place, item.kind == Node::Kind::text
                                             ? quoted(item.text) + " is not a signal"
                                             : "signals are numbered from 1 to " + std::to_string(last_signal),
                             did_you_mean(without_sig(item.text), {"HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "WINCH",
                                                                   "ALRM", "CONT", "KILL", "STOP", "TSTP"},
                                          "write it like \"HUP\" or \"USR1\""));
}

void take_signal(GrantDraft& draft, const Node& item) {
    std::int64_t signal = item.kind == Node::Kind::integer ? item.integer : 0;
    if (item.kind == Node::Kind::text) signal = signal_named(item.text);
    const bool good = signal >= 1 && signal <= last_signal;
    if (!good) return refuse_signal(draft, item);
    draft.grant.signals |= std::uint64_t{1} << static_cast<unsigned>(signal);
}

void take_signals(GrantDraft& draft) {
    const Node* list = draft.section.take("signals", Node::Kind::list, "write it like [\"HUP\", \"USR1\"]");
    const bool absent = draft.section.table().find("signals") == nullptr;
    if (absent || (list != nullptr && list->items.empty())) {
        return draft.refuse("\"signal\" says no signals", "add signals = [\"HUP\"]");
    }
    if (list == nullptr) return;
    for (const Node& item : list->items) take_signal(draft, item);
}

}  // namespace

bool read_lookup(GrantDraft& draft) {
    draft.grant.kind = Kind::lookup;
    draft.grant.rights = {Operation::lookup};
    const bool read = for_each_text(draft, "write it like [\"user\", \"host\"]", [&](const Node& item) {
        Lookup about{};
        draft.section.choose(item, "lookup", about, lookup_choices);
        draft.grant.lookups = static_cast<std::uint8_t>(draft.grant.lookups | static_cast<std::uint8_t>(about));
    });
    if (!read) return false;
    draft.section.texts("names", draft.grant.names);
    const Node* names = draft.section.table().find("names");
    const bool nothing = names != nullptr && names->kind == Node::Kind::list && names->items.empty();
    if (nothing) draft.complaints().error(names->place, "\"names\" is empty: nothing could be looked up");
    return true;
}

bool read_sysctl(GrantDraft& draft) {
    draft.grant.kind = Kind::sysctl;
    draft.grant.rights = {Operation::sysctl_read};
    draft.grant.as = policy::As::root;
    const bool read = for_each_text(draft, "write it like [\"net.core.*\"]", [&](const Node& item) {
        const bool good = !item.text.empty() && std::ranges::all_of(item.text, of_keys);
        if (!good) return draft.complaints().error(item.place, quoted(item.text) + " is not a key", "keys read \"net.ipv4.ip_forward\"");
        if (item.text.find_first_not_of('*') == std::string::npos) {
            draft.complaints().warning(item.place, "this covers every key of the kernel");
        }
        draft.grant.names.push_back(item.text);
    });
    bool writes = false;
    if (read) draft.section.flag("write", writes);
    if (writes) draft.grant.rights.add(Operation::sysctl_write);
    return read;
}

bool read_run(GrantDraft& draft) {
    draft.grant.kind = Kind::command;
    draft.grant.rights = {Operation::run};
    draft.grant.as = policy::As::root;
    const bool read = for_each_text(draft, "write it like [\"/usr/bin/program\", \"{name:word}\"]", [&](const Node& item) {
        const Word word = WordReader(draft, item).read();
        check_words(draft, item, word);
        draft.grant.command.words.push_back(word);
    });
    if (!read) return false;
    if (draft.grant.command.words.size() > policy::max_words) {
        draft.refuse("\"run\" has more than " + std::to_string(policy::max_words) + " words");
    }
    take_command_options(draft);
    return true;
}

bool read_signal(GrantDraft& draft) {
    draft.grant.kind = Kind::worker;
    draft.grant.rights = {Operation::signal};
    if (!take_peer(draft)) return false;
    take_signals(draft);
    return true;
}

bool read_restart_right(GrantDraft& draft) {
    draft.grant.kind = Kind::worker;
    draft.grant.rights = {Operation::restart};
    return take_peer(draft);
}

bool read_channel(GrantDraft& draft) {
    draft.grant.kind = Kind::channel;
    draft.grant.rights = {Operation::channel};
    if (!take_peer(draft)) return false;
    draft.section.flag("fds", draft.grant.carries_fds);
    draft.section.choice("type", draft.grant.stream, stream_choices);
    return true;
}

bool read_store(GrantDraft& draft) {
    draft.grant.kind = Kind::store;
    if (!draft.is(Node::Kind::integer, "write how many descriptors it may keep")) return false;
    constexpr std::int64_t most = 253;   // as many as one message carries back
    if (draft.target.integer < 1 || draft.target.integer > most) {
        draft.refuse("\"fd_store_max\" must be from 1 to " + std::to_string(most));
        return false;
    }
    draft.grant.most = static_cast<std::uint32_t>(draft.target.integer);
    return true;
}

}  // namespace warder::config
