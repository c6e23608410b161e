#include "policy/explain.h"

#include <array>

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

bool about_sockets(Operation operation) { return operation == Operation::listen || operation == Operation::connect; }

// Whether `target` may stand as the value of a grant of its own.
bool grantable(Operation operation, std::string_view target) {
    if (!is_utf8(target)) return false;
    return about_sockets(operation) ? parse_address(target).has_value() : clean_absolute(target);
}

// What the config takes for the name of a grant.
bool nameable(std::string_view name) {
    const bool fits = !name.empty() && name.size() <= 63 && name.find_first_of("_.@-") != 0;
    return fits && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.@-") == std::string_view::npos;
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
            default: out_.append(name_of(decision_.reason)); break;   // decide() gives no other reason
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
        if (grant() == nullptr) {
            out_.append("no grant of ");
            show_worker();
            out_.append(" covers ").append(words_.doing_to);
            append_shown(out_, request_.target, target_limit);
            suggest_grant({});
            return;
        }
        show_grant();
        out_.append(" covers ");
        show_covered();
        out_.append(", not ");
        append_shown(out_, outside(), target_limit);
        suggest_grant({});
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
        out_.append(" lends only ");
        show_patterns();
        out_.append(" below ");
        append_shown(out_, grant()->path, target_limit);
        out_.append(", not ");
        append_shown(out_, unmatched(), target_limit);
        suggest_name();
    }

    void say_bad_path() {
        const bool renames = request_.operation == Operation::rename;
        if (renames && request_.second.empty()) {
            out_.append("renaming takes two paths");
        } else if (!renames && !request_.second.empty()) {
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
        out_.append(" is not an address; addresses read ");
        out_.append("tcp:127.0.0.1:8080, udp:[::1]:53, unix:/run/a.sock, unix:@name");
    }

    void say_bad_flags() {
        const unsigned unknown = request_.flags & ~unsigned{flags_taken_by(request_.operation)};
        if (unknown != 0) {
            out_.append(words_.doing).append(" takes no flags 0x").append_number(unknown, 16);
        } else if (request_.operation != Operation::create) {
            out_.append(words_.doing).append(" takes no mode: only creating does");
        } else {
            out_.append("mode 0").append_number(request_.mode, 8).append(" has more than permission bits (0777)");
        }
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

    void show_covered() {
        const Grant& shown = *grant();
        const bool by_address = shown.kind == Kind::listener || shown.kind == Kind::peer;
        append_shown(out_, by_address ? canonical(shown.address).view() : std::string_view(shown.path), target_limit);
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
        return clean_absolute(path) || (!request_.grant.empty() && clean_relative(path));
    }

    // Of the two paths of a rename, the one that was in the way.
    std::string_view outside() const {
        if (request_.second.empty() || grant()->kind != Kind::tree) return request_.target;
        const bool first_outside = request_.target.starts_with('/') && !covers(grant()->path, request_.target);
        return first_outside ? request_.target : request_.second;
    }

    std::string_view unmatched() const {
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
        const bool moves = request_.operation == Operation::rename || request_.operation == Operation::unlink;
        if (moves ? !append_tree(toml) : !append_value(toml)) return;
        suggest(toml);
    }

    bool append_value(Sentence& toml) const {
        toml.append(" = { ").append(name_of(request_.operation)).append(" = ");
        append_quoted(toml, request_.target);
        toml.append(" }");
        return true;
    }

    // Renaming and removing are rights beside others, on the directory; a slash at its end says that it is one.
    bool append_tree(Sentence& toml) const {
        const std::string_view directory = directory_of(request_.target);
        if (directory == "/") return false;
        if (!request_.second.empty() && directory_of(request_.second) != directory) return false;
        FixedString<max_path + 1> tree(directory);
        toml.append(" = { read = ");
        append_quoted(toml, tree.append('/').view());
        toml.append(", also = [\"").append(name_of(request_.operation)).append("\"] }");
        return true;
    }

    // The same grant with the right that it lacks, if that goes with its kind.
    void suggest_right() {
        const bool moves = request_.operation == Operation::rename || request_.operation == Operation::unlink;
        const bool of_paths = request_.operation != Operation::secret && !about_sockets(request_.operation);
        const bool fits = grant()->kind == Kind::tree || (grant()->kind == Kind::file && !moves);
        if (!of_paths || !fits) return suggest_grant({});
        Sentence toml("; to allow ");
        toml.append(words_.doing).append(", give it also = [");
        append_rights_beside(toml);
        suggest(toml.append("]"));
    }

    // What must stand in `also`: every right but that which the grant's own key gives, where it is plain which it is.
    void append_rights_beside(Sentence& toml) const {
        Operations rights = grant()->rights;
        rights.add(request_.operation);
        const Operation key = only_key(grant()->rights);
        bool first = true;
        for (const auto& [operation, name] : operation_names) {
            const bool implied = operation == Operation::write && rights.has(Operation::create);
            if (operation == key || implied || !rights.has(operation)) continue;
            toml.append(first ? "\"" : ", \"").append(name).append('"');
            first = false;
        }
    }

    // The one key of TOML that can have given these rights; none if there are several.
    static Operation only_key(Operations rights) {
        Operation found{};
        for (const auto key : {Operation::create, Operation::read, Operation::write, Operation::append}) {
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

}  // namespace warder::policy
