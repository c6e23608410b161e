#include "ctl/render.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "ctl/words.h"

namespace warder::ctl {
namespace {

using nlohmann::json;

const json& member(const json& object, const char* name) {
    static const json nothing;
    if (!object.is_object()) return nothing;
    const auto found = object.find(name);
    return found == object.end() ? nothing : *found;
}

std::string text(const json& object, const char* name) {
    const json& value = member(object, name);
    return value.is_string() ? value.get<std::string>() : "";
}

std::int64_t number(const json& object, const char* name, std::int64_t otherwise = 0) {
    const json& value = member(object, name);
    return value.is_number() ? value.get<std::int64_t>() : otherwise;
}

bool truth(const json& object, const char* name) {
    const json& value = member(object, name);
    return value.is_boolean() && value.get<bool>();
}

bool has_number(const json& object, const char* name) { return member(object, name).is_number(); }

std::string number_text(const json& object, const char* name) {
    return has_number(object, name) ? std::to_string(number(object, name)) : "";
}

std::string joined(const json& array, std::string_view separator) {
    std::string out;
    for (const auto& item : array) {
        if (!item.is_string()) continue;
        if (!out.empty()) out += separator;
        out += item.get<std::string>();
    }
    return out;
}

// "3min 2s ago", "in 250ms".
std::string moment(const json& object, const char* name) {
    const json& at = member(object, name);
    if (has_number(at, "ms_ago")) return duration_in_words(number(at, "ms_ago")) + " ago";
    if (has_number(at, "ms_ahead")) return "in " + duration_in_words(number(at, "ms_ahead"));
    return "";
}

Tint tint_of_state(const json& worker) {
    const std::string state = text(worker, "state");
    if (state == "ready") return Tint::good;
    if (state == "failed") return Tint::bad;
    if (state == "stopped") return Tint::dim;
    return Tint::warn;
}

// The user's name where it has one, and the number always.
std::string identity(const json& worker) {
    const std::string uid = number_text(worker, "uid");
    const std::string user = text(worker, "user");
    return user.empty() || user == uid ? uid : user + " (" + uid + ")";
}

// What one wants to know next: for one that is up what it says of itself, for one that is not why.
std::string remark(const json& worker) {
    if (text(worker, "state") == "ready") return text(worker, "status");
    std::string words = text(worker, "last_exit");
    const std::string next = moment(worker, "next_start");
    if (!next.empty()) words += (words.empty() ? "" : "; ") + ("next start " + next);
    return words;
}

std::string memory(const json& worker) {
    return has_number(worker, "memory") ? size_in_words(static_cast<std::uint64_t>(number(worker, "memory"))) : "";
}

std::string requests(const json& worker) {
    const auto counted = [&worker](const char* which) { return std::to_string(number(worker, which)) + " " + which; };
    return counted("allowed") + ", " + counted("denied") + ", " + counted("failed");
}

// "…" for what is cut, so that one long sentence does not break a table apart.
std::string shortened(std::string words, std::size_t most) {
    if (width_of(words) <= most) return words;
    std::size_t end = 0;
    for (std::size_t columns = 0; columns < most; ++end) {
        if ((static_cast<unsigned char>(words[end]) & 0xc0) != 0x80) ++columns;
    }
    return words.substr(0, end - 1) + "…";
}

// "HUP, 3 uses, until ready, 10/s, narrowed": what a right is beside its operations and target.
std::string limits_of(const json& grant) {
    const json& limits = member(grant, "limits");
    std::vector<std::string> words;
    if (has_number(limits, "max_uses")) words.push_back(counted(static_cast<std::uint64_t>(number(limits, "max_uses")), "use"));
    if (!text(limits, "until").empty()) words.push_back("until " + text(limits, "until"));
    if (has_number(limits, "max_rate")) words.push_back(number_text(limits, "max_rate") + "/s");
    if (truth(grant, "narrowed")) words.emplace_back("narrowed");
    std::string out = joined(member(grant, "details"), ", ");
    for (const auto& word : words) out += (out.empty() ? "" : ", ") + word;
    return out;
}

std::string times(std::int64_t count) { return count == 1 ? "once" : std::to_string(count) + " times"; }

// "  ptrace(0, 0): EPERM, 3 times, last 2s ago
//     [worker.web.sandbox] (warder.toml:4), smallest change: allow_calls = ["ptrace"]"
std::string denied_calls(const json& worker, Colors colors) {
    const json& calls = member(worker, "denied_calls");
    if (calls.empty()) return {};
    std::string out = printable(text(worker, "name")) + ": " + tinted("denied calls", Tint::warn, colors) + "\n";
    for (const auto& call : calls) {
        const std::string origin = text(call, "origin");
        out += "  " + printable(text(call, "words")) + ": " + printable(text(call, "answer")) + ", " + times(number(call, "count")) + ", last " +
               moment(call, "last") + "\n    " + printable(text(call, "section")) + (origin.empty() ? "" : " (" + printable(origin) + ")") +
               ", smallest change: " + printable(text(call, "change")) + "\n";
    }
    const auto others = number(worker, "other_denied_calls");
    return others == 0 ? out : out + "  and " + std::to_string(others) + " calls of other kinds\n";
}

std::string evidence_in_words(const std::string& evidence) {
    if (evidence == "full") return "full: a syscall monitor sees what its filter denies";
    if (evidence == "lost") return "lost: its syscall monitor ended, and what its filter denies answers ENOSYS";
    if (evidence == "errno") return "errno: what its filter denies is not seen";
    return evidence == "off" ? "off: it has no filter" : "";
}

Table grants_table(const json& grants) {
    Table table({"GRANT", "RIGHTS", "TARGET", "NAMES", "DETAILS", "AS", "OWNER", "USES", "HELD", "FROM"});
    for (const auto& grant : grants) {
        const std::string held = text(grant, "held");
        const bool plain = held == "unneeded";
        const Tint tint = held == "lost" ? Tint::bad : held == "absent" ? Tint::warn : Tint::plain;
        const std::string below = text(grant, "kind") == "tree" ? "/" : "";
        const std::string target = text(grant, "target");
        table.add({text(grant, "name"), joined(member(grant, "rights"), " "),
                   target + (target.ends_with('/') ? "" : below), joined(member(grant, "names"), " "), limits_of(grant), text(grant, "as"),
                   text(grant, "owner"), number_text(grant, "uses"), Cell(plain ? "-" : held, tint), text(grant, "origin")});
    }
    return table;
}

// "127.0.0.1:4711", or of a unix socket without a name who holds the other end.
std::string peer_of(const json& socket) {
    std::string words = text(socket, "peer");
    if (has_number(socket, "peer_pid")) {
        const std::string worker = text(socket, "peer_worker");
        words += (words.empty() ? "" : " ") + (worker.empty() ? std::string("warderd") : worker) + "/" + number_text(socket, "peer_pid");
    }
    return words.empty() && has_number(socket, "peer_inode") ? "* " + number_text(socket, "peer_inode") : words;
}

std::string holder_of(const json& socket) {
    const std::string place = "pid " + number_text(socket, "pid") + " fd " + number_text(socket, "fd");
    return text(socket, "holder") == "warderd" ? "warderd fd " + number_text(socket, "fd") : place;
}

std::string place(const json& problem) {
    std::string words = text(problem, "file");
    if (number(problem, "line") > 0) words += ":" + number_text(problem, "line");
    if (number(problem, "column") > 0) words += ":" + number_text(problem, "column");
    return words.empty() ? "" : words + ": ";
}

// "   12 | ", as compilers have it.
std::string gutter(const std::string& number) {
    return std::string(number.size() < 5 ? 5 - number.size() : 0, ' ') + number + " | ";
}

// As warderd prints it: the sentence, the line, a caret below what is meant, and what to do.
std::string render_problem(const json& problem, Colors colors) {
    const bool error = text(problem, "weight") == "error";
    std::string out = tinted(printable(place(problem)), Tint::strong, colors);
    out += tinted(error ? "error: " : "warning: ", error ? Tint::bad : Tint::warn, colors);
    out += printable(text(problem, "what")) + "\n";
    const std::string line = text(problem, "text");
    const std::string suggestion = text(problem, "suggestion");
    if (line.empty()) return out + (suggestion.empty() ? "" : "      " + printable(suggestion) + "\n");
    out += gutter(number_text(problem, "line")) + printable(line) + "\n" + gutter("");
    const auto column = static_cast<std::size_t>(std::max<std::int64_t>(number(problem, "column"), 1));
    const auto length = static_cast<std::size_t>(std::clamp<std::int64_t>(number(problem, "length", 1), 1, 200));
    // Tabs stay in the printed line, so they stay in front of the caret.
    for (std::size_t i = 0; i + 1 < std::min(column, line.size() + 2); ++i) out += i < line.size() && line[i] == '\t' ? '\t' : ' ';
    out += tinted("^" + std::string(length - 1, '~'), Tint::good, colors);
    return out + (suggestion.empty() ? "" : " " + printable(suggestion)) + "\n";
}

std::string render_problems(const json& problems, Colors colors) {
    std::string out;
    for (const auto& problem : problems) out += render_problem(problem, colors);
    return out;
}

std::uint64_t problems_of_weight(const json& problems, std::string_view weight) {
    return static_cast<std::uint64_t>(std::count_if(
        problems.begin(), problems.end(), [&](const json& problem) { return text(problem, "weight") == weight; }));
}

std::string render_sandbox(const json& sandbox, Colors colors) {
    Table table({"SANDBOX", "WANTED", "EFFECTIVE", "EVIDENCE"});
    for (const auto& item : sandbox) {
        const std::string effective = text(item, "effective");
        const Tint tint = truth(item, "matches") ? Tint::plain : Tint::bad;
        const std::string evidence = text(item, "evidence");
        table.add({text(item, "name"), text(item, "wanted"), Cell(effective.empty() ? "?" : effective, tint),
                   evidence == "none" ? "-" : evidence});
    }
    return table.empty() ? "" : "\n" + table.render(colors);
}

// What cannot be taken back from workers that go on.
std::string render_left(const json& report) {
    std::string out;
    for (const auto& change : member(report, "changes")) {
        for (const auto& sentence : member(change, "left")) {
            out += printable(text(change, "worker")) + ": " + printable(sentence.get<std::string>()) + "\n";
        }
    }
    return out;
}

}  // namespace

std::string error_of(const json& report) { return text(report, "error"); }

ExitCode exit_of_worker(const json& worker) { return text(worker, "state") == "ready" ? exit_done : exit_not_running; }

ExitCode exit_of_status(const json& report) {
    for (const auto& worker : member(report, "workers")) {
        const bool should_be_up = text(worker, "wanted") == "up" || text(worker, "state") == "failed";
        if (should_be_up && exit_of_worker(worker) != exit_done) return exit_not_running;
    }
    return exit_done;
}

std::string render_status(const json& report, Colors colors) {
    Table table({"WORKER", "STATE", "SINCE", "PID", "USER", "RESTARTS", "DENIED", "MEMORY", ""});
    for (const auto& worker : member(report, "workers")) {
        const auto denied = number(worker, "denied");
        const auto restarts = number(worker, "restarts");
        const bool helper = truth(worker, "helper");
        table.add({Cell(text(worker, "name") + (helper ? " (helper)" : ""), helper ? Tint::dim : Tint::strong),
                   Cell(text(worker, "state"), tint_of_state(worker)),
                   moment(worker, "since"), number_text(worker, "pid"), identity(worker),
                   Cell(std::to_string(restarts), restarts > 0 ? Tint::warn : Tint::plain),
                   Cell(std::to_string(denied), denied > 0 ? Tint::warn : Tint::plain), memory(worker),
                   Cell(remark(worker), Tint::dim)});
    }
    if (table.empty()) return "no workers are configured\n";
    std::string out = table.render(colors);
    for (const auto& worker : member(report, "workers")) {
        const std::string calls = denied_calls(worker, colors);
        if (!calls.empty()) out += "\n" + calls;
    }
    return out;
}

// What is known of why its sandbox stops it, and how to know more.
std::string render_evidence(const json& report, Colors colors) {
    std::string out;
    for (const auto& worker : member(report, "workers")) {
        const std::string name = printable(text(worker, "name"));
        const std::string evidence = text(worker, "evidence");
        out += name + ": " + tinted(printable(text(worker, "state")), tint_of_state(worker), colors);
        const std::string ended = text(worker, "last_exit");
        out += ended.empty() ? ", has not ended yet\n" : ", ended last: " + printable(ended) + "\n";
        out += "evidence " + evidence_in_words(evidence) + "\n";
        const std::string calls = denied_calls(worker, colors);
        if (calls.empty() && evidence == "full") {
            out += "no call was denied. What no filter sees is not told here: a path that the sandbox does not show (ENOENT), a program that it may "
                   "not run (EACCES: execute), memory that was written and is to be run (EACCES, SIGTRAP: memory_deny_write_execute), ids and groups "
                   "(EPERM: capabilities); \"Cannot allocate memory\" of popen(3) and system(3) mostly means that there is no /bin/sh\n";
        }
        if (evidence == "errno") out += "evidence = \"full\" in [worker." + name + ".sandbox] names the calls from its next life on\n";
        out += calls;
    }
    return out;
}

std::string render_worker(const json& worker, Colors colors) {
    Block block;
    block.add("worker", Cell(text(worker, "name"), Tint::strong));
    const std::string wanted = text(worker, "wanted");
    const bool odd = (wanted == "up") != (text(worker, "state") == "ready");
    const std::string since = moment(worker, "since");
    block.add("state", Cell(text(worker, "state") + (since.empty() ? "" : " since " + since) + (odd ? ", wanted " + wanted : ""),
                            tint_of_state(worker)));
    // What a worker that has ended said last is no news of it.
    if (has_number(worker, "pid")) block.add("status", text(worker, "status"));
    block.add("pid", number_text(worker, "pid"));
    block.add("user", identity(worker));
    block.add("restarts", number_text(worker, "restarts"));
    block.add("last exit", text(worker, "last_exit"));
    block.add("next start", moment(worker, "next_start"));
    block.add("requests", requests(worker));
    block.add("lent", counted(static_cast<std::uint64_t>(number(worker, "fds")), "descriptor") + " in this life");
    block.add("memory", memory(worker));
    block.add("cpu", has_number(worker, "cpu_ms") ? duration_in_words(number(worker, "cpu_ms")) : "");
    block.add("tasks", number_text(worker, "tasks"));
    block.add("cgroup", text(worker, "cgroup"));
    block.add("evidence", evidence_in_words(text(worker, "evidence")));
    const std::string calls = denied_calls(worker, colors);
    return block.render(colors) + (calls.empty() ? "" : "\n" + calls);
}

std::string render_list(const json& report) {
    std::string out;
    for (const auto& name : member(report, "workers")) {
        if (name.is_string()) out += printable(name.get<std::string>()) + "\n";
    }
    return out;
}

std::string render_signal(const json& report) {
    const int number = report.value("signal", 0);
    const char* name = ::sigabbrev_np(number);
    const std::string what = name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(number);
    return what + " sent to " + printable(report.value("worker", "")) + " (pid " + std::to_string(report.value("pid", 0)) + ")\n";
}

std::string render_forget(const json& report) {
    const std::string uid = std::to_string(report.value("uid", 0U));
    return printable(report.value("name", "")) + " is forgotten: uid " + uid + " may be given to another worker; what it still owns (find / -uid " +
           uid + ") should be removed or given away first\n";
}

std::string render_show(const json& report, Colors colors) {
    std::string out = render_worker(member(report, "worker"), colors);
    Block rules;
    rules.add("config", text(report, "origin"));
    rules.add("program", joined(member(report, "program"), " "));
    rules.add("ready by", text(report, "ready"));
    rules.add("restart", text(report, "restart"));
    rules.add("stop", text(report, "stop"));
    rules.add("may ask", text(report, "request_access"));
    out += "\n" + rules.render(colors) + render_sandbox(member(report, "sandbox"), colors);
    const Table grants = grants_table(member(report, "grants"));
    if (!grants.empty()) out += "\n" + grants.render(colors);
    const json& open = member(report, "open");
    if (!open.empty()) out += "\n" + tinted("STAYS OPEN", Tint::dim, colors) + "\n";
    for (const auto& sentence : open) {
        if (sentence.is_string()) out += "  " + printable(sentence.get<std::string>()) + "\n";
    }
    return out;
}

std::string render_life(const json& report, Colors colors) {
    const json& worker = member(report, "worker");
    std::string out = printable(text(worker, "name")) + ": ";
    out += tinted(printable(text(worker, "state")), tint_of_state(worker), colors);
    if (has_number(worker, "pid")) out += " (pid " + number_text(worker, "pid") + ")";
    return out + (truth(report, "done") ? "\n" : ", under way\n");
}

std::string render_reload(const json& report, Colors colors) {
    std::string out = render_problems(member(report, "problems"), colors);
    const bool plan = text(report, "mode") == "plan";
    std::string failures;
    Table table({"WORKER", plan ? "WOULD" : "DONE", "BECAUSE OF"});
    for (const auto& change : member(report, "changes")) {
        const std::string kind = text(change, "kind");
        const std::string words = kind == "live" ? "change while it runs" : kind;
        const std::string failed = text(change, "failed");
        table.add({text(change, "worker"), failed.empty() ? Cell(words) : Cell("nothing", Tint::bad), joined(member(change, "keys"), " ")});
        if (!failed.empty()) failures += printable(text(change, "worker")) + ": " + printable(failed) + "\n";
    }
    if (!table.empty()) return out + table.render(colors) + render_left(report) + failures;
    return truth(report, "ok") ? out + "nothing has changed\n" : out;
}

std::string render_grants(const json& report, Colors colors) {
    const Table table = grants_table(member(report, "grants"));
    if (!table.empty()) return table.render(colors);
    return printable(text(report, "worker")) + " has no grants: it may open nothing\n";
}

std::string render_fds(const json& report, Colors colors) {
    Table table({"FD", "GRANT", "FOR", "TARGET", "LENT", "OPEN"});
    for (const auto& fd : member(report, "fds")) {
        const json& open = member(fd, "open");
        const std::string state = !open.is_boolean() ? "?" : open.get<bool>() ? "yes" : "no";
        const std::string own = number_text(fd, "number");
        table.add({own.empty() ? "?" : own, text(fd, "grant"), text(fd, "operation"), text(fd, "target"),
                   moment(fd, "since"), Cell(state, state == "no" ? Tint::dim : Tint::plain)});
    }
    return table.empty() ? printable(text(report, "worker")) + " was lent nothing in this life\n" : table.render(colors);
}

std::string render_sockets(const json& report, Colors colors) {
    Table table({"PROTOCOL", "STATE", "RECV-Q", "SEND-Q", "LOCAL", "PEER", "HELD BY", "WORKER", "GRANT"});
    for (const auto& socket : member(report, "sockets")) {
        const std::string state = text(socket, "state");
        const bool listens = state == "listen";
        table.add({text(socket, "protocol"), Cell(state, listens ? Tint::good : Tint::plain), number_text(socket, "recv_queue"),
                   number_text(socket, "send_queue"), text(socket, "local"), peer_of(socket), holder_of(socket),
                   text(socket, "worker"), text(socket, "grant")});
    }
    std::string out = table.empty() ? "no sockets\n" : table.render(colors);
    if (member(report, "complete") == false) {
        out += tinted("There were too many to look at them all: some are missing, or stand here without addresses.\n", Tint::warn, colors);
    }
    return out;
}

std::string render_stores(const json& report, Colors colors) {
    Table table({"WORKER", "NAME", "DESCRIPTORS", "KEPT SINCE"});
    std::string out;
    for (const auto& store : member(report, "stores")) {
        for (const auto& kept : member(store, "kept")) {
            table.add({text(store, "worker"), text(kept, "name"), number_text(kept, "count"), moment(kept, "since")});
        }
        out += printable(text(store, "worker")) + " keeps " + number_text(store, "total") + " of at most " + number_text(store, "most");
        out += has_number(store, "descriptor_store") ? ", pid " + number_text(store, "descriptor_store") : ", and no descriptor store runs";
        if (number(store, "refused") > 0) out += ", " + counted(static_cast<std::uint64_t>(number(store, "refused")), "refusal");
        if (number(store, "strays") > 0) out += ", " + counted(static_cast<std::uint64_t>(number(store, "strays")), "stray descriptor");
        const auto told = static_cast<std::int64_t>(member(store, "kept").size());
        if (number(store, "names") > told) out += ", " + std::to_string(number(store, "names") - told) + " names more than are told";
        out += "\n";
    }
    if (out.empty()) return "nobody has a store\n";
    return (table.empty() ? "" : table.render(colors) + "\n") + out;
}

std::string render_why(const json& report, Colors colors) {
    const bool allowed = text(report, "verdict") == "allow";
    std::string out = tinted(allowed ? "allowed" : "denied", allowed ? Tint::good : Tint::bad, colors);
    return out + ": " + printable(text(report, "sentence")) + "\n";
}

namespace {

Cell exposure(const json& worker) {
    const std::int64_t tenths = number(worker, "exposure_tenths");
    const Tint tint = tenths <= 20 ? Tint::good : tenths <= 50 ? Tint::warn : Tint::bad;
    return {std::to_string(tenths / 10) + "." + std::to_string(tenths % 10), tint};
}

std::string render_exposure_of_one(const json& worker, Colors colors) {
    Table table({"SEEN", "ITEM", "WEIGHT", "WHAT WOULD CLOSE IT"});
    for (const auto& item : member(worker, "items")) {
        const bool confined = truth(item, "confined");
        table.add({Cell(confined ? "confined" : "open", confined ? Tint::good : Tint::bad), text(item, "item"), number_text(item, "weight"),
                   confined ? "" : text(item, "raise")});
    }
    const Cell sum = exposure(worker);
    std::string out = table.render(colors) + "\n" + printable(text(worker, "worker")) + ": exposure ";
    out += tinted(sum.text, sum.tint, colors) + " of 10";
    return out + (truth(worker, "seen") ? "\n" : ": it has not run, so nothing was seen\n");
}

std::string render_lacks(const json& lacks, Colors colors) {
    std::string out;
    for (const auto& lack : lacks) {
        const bool preferred = truth(lack, "preferred");
        out += printable(text(lack, "worker")) + ": " + tinted(preferred ? "goes without" : "cannot start:", preferred ? Tint::dim : Tint::warn, colors);
        out += " " + printable(text(lack, "item")) + ": " + printable(text(lack, "why")) + "\n    instead: " + printable(text(lack, "instead")) + "\n";
    }
    return out;
}

}  // namespace

std::string render_security(const json& report, bool one, Colors colors) {
    const json& workers = member(report, "workers");
    if (one && !workers.empty()) return render_exposure_of_one(workers[0], colors);
    Table table({"WORKER", "EXPOSURE", "OPEN"});
    for (const auto& worker : workers) {
        std::string open;
        for (const auto& item : member(worker, "items")) {
            if (!truth(item, "confined")) open += (open.empty() ? "" : ", ") + text(item, "item");
        }
        table.add({Cell(text(worker, "worker"), Tint::strong), exposure(worker),
                   truth(worker, "seen") ? shortened(open, 100) : "it has not run, so nothing was seen"});
    }
    return table.empty() ? "no workers are configured\n" : table.render(colors);
}

std::string render_capabilities(const json& report, Colors colors) {
    std::string out = render_problems(member(report, "problems"), colors);
    Table table({"CAPABILITY", "FOR"});
    for (const auto& need : member(report, "needs")) table.add({text(need, "capability"), joined(member(need, "for"), "; ")});
    return out + (table.empty() ? "" : table.render(colors));
}

std::string render_sandbox_plan(const json& report, Colors colors) {
    Table table({"ITEM", "VALUE", "FROM"});
    for (const auto& line : member(report, "plan")) table.add({text(line, "key"), text(line, "value"), text(line, "origin")});
    return table.render(colors) + render_lacks(member(report, "lacks"), colors);
}

std::string render_kernel(const json& report, Colors colors) {
    Table table({"ITEM", "HERE", "CAME WITH"});
    for (const auto& item : member(report, "items")) {
        const bool present = truth(item, "present");
        table.add({text(item, "name"), Cell(present ? "yes" : "no", present ? Tint::good : Tint::warn), text(item, "since")});
    }
    return table.render(colors) + render_lacks(member(report, "lacks"), colors);
}

std::string render_check(const json& report, Colors colors) {
    const json& problems = member(report, "problems");
    std::string out = render_problems(problems, colors);
    Table protections({"PROTECTION", "", "NOTE"});
    for (const auto& protection : member(report, "protections")) {
        const bool on = truth(protection, "on");
        protections.add({text(protection, "name"), Cell(on ? "on" : "off", on ? Tint::good : Tint::warn), text(protection, "note")});
    }
    if (!protections.empty()) out += protections.render(colors);
    const std::string capabilities = joined(member(report, "capabilities"), " ");
    if (!capabilities.empty()) out += "warderd keeps: " + printable(capabilities) + "\n";
    const std::uint64_t errors = problems_of_weight(problems, "error");
    const std::uint64_t warnings = problems_of_weight(problems, "warning");
    out += tinted(errors == 0 ? "ok" : "not ok", errors == 0 ? Tint::good : Tint::bad, colors) + ": ";
    out += counted(member(report, "workers").size(), "worker") + " in " + counted(member(report, "files").size(), "file");
    if (errors > 0) out += ", " + counted(errors, "error");
    if (warnings > 0) out += ", " + counted(warnings, "warning");
    return out + "\n";
}

std::string render_version(const json& report) {
    std::string out = "warderd " + printable(text(report, "version")) + ", protocol " + number_text(report, "protocol");
    out += ", pid " + number_text(report, "pid") + ", up since " + moment(report, "since");
    const std::string config = text(report, "config");
    out += (config.empty() ? "" : ", config " + printable(config)) + "\n";
    const json& loop = member(report, "loop");
    if (!has_number(loop, "turns")) return out;
    out += "loop: " + counted(static_cast<std::uint64_t>(number(loop, "turns")), "turn") + ", " + number_text(loop, "over_5ms");
    return out + " longer than 5 ms, the longest " + number_text(loop, "longest_us") + " us\n";
}

}  // namespace warder::ctl
