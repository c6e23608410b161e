#include "policy/explain.h"

#include <string.h>

#include <algorithm>
#include <array>

#include "policy/command.h"
#include "policy/key.h"
#include "policy/path.h"

namespace warder::policy {
namespace {

// How much of a foreign text a sentence shows, in bytes.
constexpr std::size_t name_limit = 40;
constexpr std::size_t origin_limit = 60;
constexpr std::size_t target_limit = 100;

struct Words {
    Operation operation;
    std::string_view doing;     // "for reading only"
    std::string_view doing_to;  // "reading /etc/shadow"
};

constexpr std::array<Words, last_operation> all_words{{
    {Operation::read, "reading", "reading "},
    {Operation::write, "writing", "writing "},
    {Operation::append, "appending", "appending to "},
    {Operation::create, "creating", "creating "},
    {Operation::listen, "listening", "listening on "},
    {Operation::connect, "connecting", "connecting to "},
    {Operation::secret, "use as a secret", "the secret "},
    {Operation::rename, "renaming", "renaming "},
    {Operation::unlink, "removing", "removing "},
    {Operation::stat, "looking", "looking at "},
    {Operation::access, "testing access", "testing access to "},
    {Operation::readlink, "reading links", "reading the link "},
    {Operation::list, "listing", "listing "},
    {Operation::mkdir, "making directories", "making the directory "},
    {Operation::rmdir, "removing directories", "removing the directory "},
    {Operation::link, "linking", "linking "},
    {Operation::symlink, "making symlinks", "making the symlink "},
    {Operation::chmod, "changing modes", "changing the mode of "},
    {Operation::truncate, "truncating", "truncating "},
    {Operation::watch, "watching", "watching "},
    {Operation::raw, "raw sockets", "a raw socket of "},
    {Operation::packet, "packet sockets", "a packet socket of "},
    {Operation::netlink, "netlink sockets", "a netlink socket of "},
    {Operation::device, "use as a device", "the device "},
    {Operation::channel, "a channel", "a channel to "},
    {Operation::lookup, "looking up", "looking up "},
    {Operation::sysctl_read, "reading keys", "reading the key "},
    {Operation::sysctl_write, "writing keys", "writing the key "},
    {Operation::run, "running", "running "},
    {Operation::signal, "signals", "a signal to "},
    {Operation::restart, "restarts", "a restart of "},
    {Operation::syslog, "logging", "logging to "},
    {Operation::narrow, "narrowing", "narrowing "},
}};

Words words_for(Operation operation) {
    for (const auto& words : all_words) {
        if (words.operation == operation) return words;
    }
    return {operation, "this", "this to "};
}

bool about_keys(Operation operation) {
    return operation == Operation::sysctl_read || operation == Operation::sysctl_write;
}

bool about_workers(Operation operation) { return operation == Operation::signal || operation == Operation::restart; }

// Rights on files and trees.
bool of_paths(Operation operation) {
    const bool first_ones = operation >= Operation::read && operation <= Operation::create;
    return first_ones || (operation >= Operation::rename && operation <= Operation::watch);
}

// What stands in TOML as a key of its own; the other rights on paths stand beside one of these.
bool is_key(Operation operation) {
    switch (operation) {
        case Operation::stat:
        case Operation::access:
        case Operation::readlink:
        case Operation::list:
        case Operation::watch: return true;
        default: return of_paths(operation) && operation <= Operation::create;
    }
}

// Rights that one file alone cannot have.
bool of_trees(Operation operation) {
    switch (operation) {
        case Operation::rename:
        case Operation::unlink:
        case Operation::link:
        case Operation::symlink:
        case Operation::list:
        case Operation::mkdir:
        case Operation::rmdir: return true;
        default: return false;
    }
}

// What the config takes for the name of a worker or a grant.
bool nameable(std::string_view name) {
    const bool fits = !name.empty() && name.size() <= 63 && name.find_first_of("_.@-") != 0;
    return fits && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.@-") == std::string_view::npos;
}

bool is_listenable(std::string_view target) {
    const auto address = parse_address(target);
    return address && address->family != Family::host;
}

bool is_connectable(std::string_view target) {
    const auto address = parse_address(target);
    const bool autobound = address && address->family == Family::unix_abstract && address->name.empty();
    return address && !autobound;
}

// Whether `target` may stand as the value of a grant of its own.
bool grantable(Operation operation, std::string_view target) {
    if (!is_utf8(target)) return false;
    switch (operation) {
        case Operation::listen: return is_listenable(target);
        case Operation::connect: return is_connectable(target);
        case Operation::lookup: return parse_lookup(target).has_value();
        case Operation::sysctl_read:
        case Operation::sysctl_write: return is_sysctl_key(target);
        case Operation::signal:
        case Operation::restart: return nameable(target);
        case Operation::raw:
        case Operation::packet:
        case Operation::netlink:
        case Operation::syslog: return target.empty();
        case Operation::channel:
        case Operation::run:
        case Operation::narrow: return false;
        default: return clean_absolute(target);
    }
}

std::string_view name_of_lookup(Lookup about) {
    switch (about) {
        case Lookup::user: return "user";
        case Lookup::group: return "group";
        case Lookup::host: return "host";
        case Lookup::service: return "service";
    }
    return "";
}

std::string_view form_of(Placeholder placeholder) {
    switch (placeholder) {
        case Placeholder::none: return "as it is";
        case Placeholder::word: return "a word of letters, digits and _.,:@%+- that does not begin with -";
        case Placeholder::number: return "a number of at most 18 digits";
        case Placeholder::path: return "a clean path at or below ";
        case Placeholder::choice: return "one of ";
    }
    return "";
}

std::string_view fault_of_path(std::string_view path) {
    if (path.empty()) return "it is empty";
    if (path.size() > max_path) return "it is longer than 4095 bytes";
    if (path.find('\0') != std::string_view::npos) return "it holds a NUL";
    if (path.ends_with('/')) return "it ends in a slash";
    if (path.find("//") != std::string_view::npos) return "it has an empty component";
    if (clean_relative(path)) return "without a grant's name it must begin with a slash";
    return "\".\" and \"..\" are never followed";
}

class Speaker {
public:
    Speaker(const GrantSet& grants, const Request& request, const Decision& decision)
        : grants_(grants), request_(request), decision_(decision), words_(words_for(request.operation)) {}

    Sentence say() {
        switch (decision_.reason) {
            case Reason::ok: say_allowed(); break;
            case Reason::no_such_grant: say_no_such_grant(); break;
            case Reason::not_granted: say_not_granted(); break;
            case Reason::wrong_operation: say_wrong_operation(); break;
            case Reason::name_not_matched: say_name_not_matched(); break;
            case Reason::bad_path: say_bad_path(); break;
            case Reason::bad_address: say_bad_address(); break;
            case Reason::bad_flags: say_bad_flags(); break;
            case Reason::unknown_operation: say_unknown_operation(); break;
            case Reason::bad_argument: say_bad_argument(); break;
            case Reason::given_up: say_given_up(); break;
            case Reason::used_up: say_used_up(); break;
            case Reason::too_late: say_too_late(); break;
            case Reason::unavailable: say_unavailable(); break;
            case Reason::too_many: say_too_many(); break;
            default: out_.append(name_of(decision_.reason)); break;   // neither decide() nor admission gives another
        }
        return out_;
    }

private:
    const Grant* grant() const { return decision_.grant == GrantId::none ? nullptr : &grants_.at(decision_.grant); }

    void say_allowed() {
        show_grant();
        out_.append(" of ");
        show_worker();
        out_.append(" allows ").append(words_.doing_to);
        show_object();
    }

    void say_no_such_grant() {
        show_worker();
        out_.append(" has no grant ");
        append_quoted(out_, request_.grant, name_limit);
        if (nameable(request_.grant)) suggest_grant(request_.grant);
    }

    void say_not_granted() {
        if (grant() == nullptr) return say_nothing_covers();
        show_grant();
        out_.append(" covers ");
        show_covered();
        out_.append(", not ");
        append_shown(out_, outside(), target_limit);
        suggest_grant({});
    }

    void say_nothing_covers() {
        if (request_.operation == Operation::channel) {
            out_.append("a channel is not asked for: an event brings its end");
            return;
        }
        const std::size_t candidates = several();
        if (candidates > 1) {
            show_worker();
            out_.append(" has ").append_number(candidates).append(" grants for ").append(words_.doing);
            out_.append(": name one of them");
            return;
        }
        out_.append("no grant of ");
        show_worker();
        out_.append(" covers ");
        if (request_.target.empty()) {
            out_.append(words_.doing);
        } else {
            out_.append(words_.doing_to);
            append_shown(out_, request_.target, target_limit);
        }
        suggest_grant({});
    }

    // Of grants that are found by their kind alone: how many there are for a request that names none.
    std::size_t several() const {
        switch (request_.operation) {
            case Operation::raw: return grants_.of_kind(Kind::raw).size();
            case Operation::packet: return grants_.of_kind(Kind::packet).size();
            case Operation::netlink: return grants_.of_kind(Kind::netlink).size();
            case Operation::syslog: return grants_.of_kind(Kind::syslog).size();
            case Operation::run: return grants_.of_kind(Kind::command).size();
            case Operation::signal:
            case Operation::restart: return request_.target.empty() ? grants_.of_kind(Kind::worker).size() : 0;
            default: return 0;
        }
    }

    void say_wrong_operation() {
        show_grant();
        out_.append(" lends ");
        show_covered();
        out_.append(" for ");
        show_rights();
        out_.append(" only");
        const bool writes = grant()->rights.has(Operation::write) || grant()->rights.has(Operation::create);
        const bool reads_too = request_.operation == Operation::read && writes;
        if (reads_too) out_.append(" (which with the flag read_too reads as well)");
        suggest_right();
    }

    void say_name_not_matched() {
        show_grant();
        out_.append(grant()->kind == Kind::tree ? " lends only " : " covers only ");
        show_patterns();
        if (grant()->kind == Kind::tree) {
            out_.append(" below ");
            append_shown(out_, grant()->path, target_limit);
        }
        out_.append(", not ");
        append_shown(out_, unmatched(), target_limit);
        suggest_name();
    }

    void say_bad_path() {
        const bool two = takes_two_paths(request_.operation) || request_.operation == Operation::symlink;
        if (two && request_.second.empty()) {
            out_.append(words_.doing);
            out_.append(request_.operation == Operation::symlink ? " takes a path and the text of the link"
                                                                 : " takes two paths");
        } else if (!two && !request_.second.empty()) {
            out_.append(words_.doing).append(" takes one path or address, not two");
        } else if (request_.target.empty() && grant() != nullptr) {
            show_grant();
            out_.append(" lends what is below ");
            append_shown(out_, grant()->path, target_limit);
            out_.append(": name a path below it");
        } else {
            say_fault_of_path();
        }
    }

    void say_fault_of_path() {
        const bool first = !path_fits(request_.target);
        const std::string_view path = first ? request_.target : request_.second;
        append_quoted(out_, path, target_limit);
        out_.append(" is not a path that can be asked for: ").append(fault_of_path(path));
    }

    void say_bad_address() {
        if (request_.target.empty() && grant() != nullptr) {
            show_grant();
            out_.append(" covers ");
            show_covered();
            out_.append(": ask for one address of them");
            return;
        }
        append_quoted(out_, request_.target, target_limit);
        if (parse_address(request_.target)) {
            out_.append(request_.operation == Operation::listen ? " is a name, and listening is done on an address"
                                                                : " is for listening only: there is nothing to connect to");
            return;
        }
        out_.append(" is not an address; addresses read ");
        out_.append("tcp:127.0.0.1:8080, udp:[::1]:53, unix:/run/a.sock, unix:@name");
    }

    void say_bad_flags() {
        const unsigned unknown = request_.flags & ~unsigned{flags_taken_by(request_.operation)};
        if (unknown != 0) {
            out_.append(words_.doing).append(" takes no flags 0x").append_number(unknown, 16);
        } else if (!mode_is_at_fault()) {
            say_bad_number();
        } else if (request_.operation == Operation::access) {
            out_.append("testing access takes a mode from 1 to 7: 4 reads, 2 writes, 1 executes");
        } else if (!takes_permissions()) {
            out_.append(words_.doing).append(" takes no mode: only creating does");
        } else {
            out_.append("mode 0").append_number(request_.mode, 8).append(" has more than permission bits (0777)");
        }
    }

    bool takes_permissions() const {
        const Operation operation = request_.operation;
        return operation == Operation::create || operation == Operation::mkdir || operation == Operation::chmod;
    }

    bool mode_is_at_fault() const {
        if (takes_permissions()) return (request_.mode & ~0777U) != 0;
        if (request_.operation == Operation::access) return request_.mode < 1 || request_.mode > 7;
        return request_.mode != 0;
    }

    void say_bad_number() {
        out_.append(words_.doing);
        switch (request_.operation) {
            case Operation::signal: out_.append(" are numbered from 1 to 64, not "); break;
            case Operation::watch: out_.append(" takes event bits within 0xfff, not 0x"); break;
            case Operation::connect: out_.append(" takes which of a name's addresses, below 16, and not "); break;
            default: out_.append(" takes no argument: "); break;
        }
        out_.append_number(request_.argument, request_.operation == Operation::watch ? 16 : 10);
    }

    void say_bad_argument() {
        if (request_.operation == Operation::lookup) return say_bad_key("to look up; write user:NAME, uid:N, group:NAME, "
                                                                         "gid:N, host:NAME or service:NAME/PROTOCOL");
        if (about_keys(request_.operation)) return say_bad_sysctl();
        if (request_.operation == Operation::narrow) {
            out_.append("this narrows nothing, or to what is not in ");
            return show_named();
        }
        if (grant() != nullptr && grant()->kind == Kind::command) return say_bad_values();
        if (request_.operation == Operation::signal && grant() != nullptr) return say_unlisted_signal();
        show_named();
        out_.append(" takes no argument for ").append(words_.doing);
    }

    void say_bad_key(std::string_view what) {
        append_quoted(out_, request_.target, target_limit);
        out_.append(" is nothing ").append(what);
    }

    void say_bad_sysctl() {
        if (!is_sysctl_key(request_.target)) {
            append_quoted(out_, request_.target, target_limit);
            out_.append(" is not a key; keys read net.ipv4.ip_forward");
        } else {
            out_.append("the value of a key is one line of at most 4095 bytes");
        }
    }

    void say_bad_values() {
        Filled filled;
        fill(grant()->command, request_.target, filled);
        show_grant();
        if (filled.faulty == nullptr) {
            out_.append(" takes ").append_number(placeholders()).append(" arguments, one a line");
            return;
        }
        out_.append(" takes as ");
        append_quoted(out_, filled.faulty->name, name_limit);
        out_.append(' ').append(form_of(filled.faulty->placeholder));
        if (filled.faulty->placeholder == Placeholder::path || filled.faulty->placeholder == Placeholder::choice) {
            append_quoted(out_, filled.faulty->text, name_limit);
        }
    }

    std::size_t placeholders() const {
        const auto& words = grant()->command.words;
        const auto is_placeholder = [](const Word& word) { return word.placeholder != Placeholder::none; };
        return static_cast<std::size_t>(std::ranges::count_if(words, is_placeholder));
    }

    void say_unlisted_signal() {
        show_grant();
        out_.append(" does not list the signal ");
        append_signal(out_, request_.argument);
        if (request_.argument == 64) return;
        Sentence toml("; to allow it, add to its signals: ");
        append_signal_of_toml(toml);
        suggest(toml);
    }

    void say_given_up() {
        show_worker();
        out_.append(" gave this up itself: it narrowed ");
        show_grant();
        if (!grant()->within.empty()) {
            out_.append(" to ");
            append_shown(out_, grant()->within, target_limit);
        } else if (grant()->kind == Kind::peer) {
            out_.append(" to ");
            append_shown(out_, canonical(grant()->address).view(), target_limit);
        }
        out_.append("; it has it again after a restart");
    }

    void say_used_up() {
        show_named();
        out_.append(" may be used ").append_number(grant() == nullptr ? 0 : grant()->shape.uses);
        out_.append(" times in one life of ");
        show_worker();
        out_.append(", and has been; a larger \"uses\" would allow more");
    }

    void say_too_late() {
        show_named();
        out_.append(" was for until ");
        show_worker();
        out_.append(" is ready, which it is; without until = \"ready\" it would go on");
    }

    void say_unavailable() {
        if (about_workers(request_.operation) && grant() != nullptr) {
            out_.append("worker ");
            append_quoted(out_, grant()->peer, name_limit);
            out_.append(" is not running");
            return;
        }
        const bool names = request_.operation == Operation::lookup || request_.operation == Operation::connect;
        out_.append(names ? "what looks names up" : "what would do this").append(" is not running; ask again");
    }

    void say_too_many() {
        if (grant() == nullptr || grant()->shape.per_second == 0) {
            out_.append(name_of(decision_.reason));
            return;
        }
        show_grant();
        out_.append(" allows ").append_number(grant()->shape.per_second);
        out_.append(" a second; a larger \"rate\" would allow more");
    }

    void say_unknown_operation() {
        out_.append("operation ").append_number(static_cast<std::uint16_t>(request_.operation));
        out_.append(" is not known to this warderd");
    }

    // Pieces.

    void show_worker() { append_shown(out_, grants_.worker(), name_limit); }

    void show_grant() {
        out_.append("grant ");
        append_quoted(out_, grant()->name, name_limit);
        if (grant()->origin.empty()) return;
        out_.append(" (");
        append_shown(out_, grant()->origin, origin_limit);
        out_.append(')');
    }

    void show_named() {
        if (grant() != nullptr) return show_grant();
        out_.append("the grant ");
        append_quoted(out_, request_.grant, name_limit);
    }

    // What a grant is about, in the words of its kind.
    void show_covered() {
        const Grant& shown = *grant();
        switch (shown.kind) {
            case Kind::listener:
            case Kind::peer: append_shown(out_, canonical(shown.address).view(), target_limit); return;
            case Kind::raw:
            case Kind::packet:
            case Kind::netlink: out_.append("protocol ").append_number(shown.protocol); return;
            case Kind::channel:
            case Kind::worker: out_.append("worker "); append_quoted(out_, shown.peer, name_limit); return;
            case Kind::lookup: show_lookups(); return;
            case Kind::sysctl: show_patterns(); return;
            case Kind::command: show_command(); return;
            case Kind::store: out_.append("kept descriptors"); return;
            default: append_shown(out_, shown.path, target_limit); return;
        }
    }

    void show_lookups() {
        std::size_t shown = 0;
        for (const auto about : {Lookup::user, Lookup::group, Lookup::host, Lookup::service}) {
            if ((grant()->lookups & static_cast<std::uint8_t>(about)) == 0) continue;
            out_.append(shown++ == 0 ? "" : ", ").append(name_of_lookup(about));
        }
    }

    void show_command() {
        const auto& words = grant()->command.words;
        append_shown(out_, words.empty() ? std::string_view() : std::string_view(words.front().text), target_limit);
    }

    // What the request is about: its target, or what the grant itself names.
    void show_object() {
        if (request_.target.empty() && grant() != nullptr) return show_covered();
        append_shown(out_, request_.target, target_limit);
        if (request_.target.starts_with('/') || grant() == nullptr || grant()->kind != Kind::tree) return;
        out_.append(" below ");
        append_shown(out_, grant()->path, target_limit);
    }

    void show_rights() {
        std::size_t shown = 0;
        for (const auto& words : all_words) {
            if (!grant()->rights.has(words.operation)) continue;
            out_.append(shown++ == 0 ? "" : ", ").append(words.doing);
        }
        if (shown == 0) out_.append("nothing");
    }

    void show_patterns() {
        constexpr std::size_t most = 3;
        const auto& names = grant()->names;
        for (std::size_t i = 0; i < names.size() && i < most; ++i) {
            out_.append(i == 0 ? "" : ", ");
            append_quoted(out_, names[i], name_limit / 2);
        }
        if (names.size() > most) out_.append(" and others");
    }

    bool path_fits(std::string_view path) const {
        const bool link_text = request_.operation == Operation::symlink && path.data() == request_.second.data();
        return clean_absolute(path) || ((link_text || !request_.grant.empty()) && clean_relative(path));
    }

    // Of the two paths of a rename, the one that was in the way.
    std::string_view outside() const {
        if (request_.second.empty() || grant()->kind != Kind::tree) return request_.target;
        const bool first_outside = request_.target.starts_with('/') && !covers(grant()->path, request_.target);
        return first_outside ? request_.target : request_.second;
    }

    std::string_view unmatched() const {
        if (grant()->kind == Kind::lookup) return request_.target.substr(request_.target.find(':') + 1);
        if (grant()->kind != Kind::tree) return request_.target;
        for (const auto& pattern : grant()->names) {
            const bool first_matched = matches(pattern, name_of_file(request_.target));
            if (!request_.second.empty() && first_matched) return name_of_file(request_.second);
        }
        return name_of_file(request_.target);
    }

    // Suggestions: TOML that would allow it. Given whole or not at all.

    void suggest(const Sentence& suggestion) {
        if (suggestion.truncated() || suggestion.size() > Sentence::capacity() - out_.size()) return;
        out_.append(suggestion.view());
    }

    // A grant of its own for what was asked.
    void suggest_grant(std::string_view name) {
        if (!is_utf8(grants_.worker()) || !grantable(request_.operation, request_.target)) return;
        Sentence toml("; to allow it, add to [worker.");
        append_key(toml, grants_.worker());
        toml.append(".grants]: ");
        append_key(toml, name.empty() ? "NAME" : name);
        if (append_value(toml)) suggest(toml);
    }

    // False where no grant of its own would do.
    bool append_value(Sentence& toml) const {
        if (of_paths(request_.operation)) return append_path(toml);
        toml.append(" = { ");
        switch (request_.operation) {
            case Operation::lookup: append_lookup(toml); break;
            case Operation::sysctl_read:
            case Operation::sysctl_write: append_sysctl(toml); break;
            case Operation::signal: append_signal_grant(toml); break;
            case Operation::raw: toml.append("raw = \"icmp\""); break;
            case Operation::packet: toml.append("packet = \"arp\""); break;
            case Operation::netlink: toml.append("netlink = \"route\""); break;
            case Operation::syslog: toml.append("syslog = true"); break;
            default:
                toml.append(name_of(request_.operation)).append(" = ");
                append_quoted(toml, request_.target);
                break;
        }
        toml.append(" }");
        return true;
    }

    void append_lookup(Sentence& toml) const {
        const auto key = parse_lookup(request_.target);
        if (!key) return;
        toml.append("lookup = [\"").append(name_of_lookup(key->about)).append("\"], names = [");
        append_quoted(toml, lower_host(*key).view());
        toml.append("]");
    }

    void append_sysctl(Sentence& toml) const {
        toml.append("sysctl = [");
        append_quoted(toml, request_.target);
        toml.append(request_.operation == Operation::sysctl_write ? "], write = true" : "]");
    }

    void append_signal_grant(Sentence& toml) const {
        toml.append("signal = ");
        append_quoted(toml, request_.target);
        toml.append(", signals = [");
        append_signal_of_toml(toml);
        toml.append("]");
    }

    void append_signal_of_toml(Sentence& toml) const {
        const char* name = abbreviation(request_.argument);
        if (name == nullptr) {
            toml.append_number(request_.argument);
        } else {
            toml.append('"').append(name).append('"');
        }
    }

    static void append_signal(Sentence& out, std::uint64_t signal) {
        const char* name = abbreviation(signal);
        name == nullptr ? out.append_number(signal) : out.append(name);
    }

    // "HUP"; null for those without a name.
    static const char* abbreviation(std::uint64_t signal) {
        return signal < 32 ? ::sigabbrev_np(static_cast<int>(signal)) : nullptr;
    }

    bool append_path(Sentence& toml) const {
        if (!is_key(request_.operation)) return append_tree(toml);
        toml.append(" = { ").append(name_of(request_.operation)).append(" = ");
        FixedString<max_path + 1> path(request_.target);
        // What can only be asked of a directory is granted for one.
        if (request_.operation == Operation::list && request_.target != "/") path.append('/');
        append_quoted(toml, path.view());
        toml.append(" }");
        return true;
    }

    // Rights that stand beside others, on the directory; a slash at its end says that it is one.
    bool append_tree(Sentence& toml) const {
        const std::string_view directory = directory_of(request_.target);
        if (directory == "/") return false;
        if (!second_lies_in(directory)) return false;
        FixedString<max_path + 1> tree(directory);
        toml.append(" = { read = ");
        append_quoted(toml, tree.append('/').view());
        toml.append(", rights = [\"").append(name_of(request_.operation)).append("\"] }");
        return true;
    }

    bool second_lies_in(std::string_view directory) const {
        if (takes_two_paths(request_.operation)) return directory_of(request_.second) == directory;
        const bool absolute = request_.second.starts_with('/');
        return !absolute || covers(directory, request_.second);
    }

    // The same grant with the right that it lacks, if that goes with its kind.
    void suggest_right() {
        if (grant()->kind == Kind::sysctl && request_.operation == Operation::sysctl_write) {
            out_.append("; to allow writing, give it write = true");
            return;
        }
        const bool fits = grant()->kind == Kind::tree || (grant()->kind == Kind::file && !of_trees(request_.operation));
        if (!of_paths(request_.operation) || !fits) return suggest_grant({});
        Sentence toml("; to allow ");
        toml.append(words_.doing).append(", give it rights = [");
        append_rights_beside(toml);
        suggest(toml.append("]"));
    }

    // What must stand in `rights`: every right but that which the grant's own key gives, where it is plain which it is.
    void append_rights_beside(Sentence& toml) const {
        Operations rights = grant()->rights;
        rights.add(request_.operation);
        const Operation key = only_key(grant()->rights);
        bool first = true;
        for (const auto& [operation, name] : operation_names) {
            const bool implied = operation == Operation::write && rights.has(Operation::create);
            if (operation == key || implied || !rights.has(operation) || !of_paths(operation)) continue;
            toml.append(first ? "\"" : ", \"").append(name).append('"');
            first = false;
        }
    }

    // The one key of TOML that can have given these rights; none if there are several.
    static Operation only_key(Operations rights) {
        Operation found{};
        for (const auto& [key, name] : operation_names) {
            if (!is_key(key)) continue;
            const bool implied = key == Operation::write && rights.has(Operation::create);
            if (!rights.has(key) || implied) continue;
            if (found != Operation{}) return {};
            found = key;
        }
        return found;
    }

    void suggest_name() {
        if (!is_utf8(unmatched())) return;
        Sentence toml("; to allow it, add to its names: ");
        append_quoted(toml, unmatched());
        suggest(toml);
    }

    const GrantSet& grants_;
    const Request& request_;
    const Decision& decision_;
    const Words words_;
    Sentence out_;
};

}  // namespace

Sentence explain(const GrantSet& grants, const Request& request, const Decision& decision) {
    return Speaker(grants, request, decision).say();
}

void append_doing(Sentence& out, Operation operation, std::string_view target, std::size_t limit) {
    const Words words = words_for(operation);
    out.append(target.empty() ? words.doing : words.doing_to);
    if (!target.empty()) append_shown(out, target, limit);
}

}  // namespace warder::policy
