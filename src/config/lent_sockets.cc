// Keys of a sandbox that are about lent sockets: what they ask for must go together with what the grants lend, and do something. What a
// grant lends and what a sandbox says of it stand in two places, so this is looked at when both are read.
#include <algorithm>

#include "config/complaints.h"
#include "config/sections.h"
#include "sandbox/call_groups.h"
#include "sys/socket_options.h"

namespace warder::config {
namespace {

using policy::Grant;
using sandbox::BesideListeners;

constexpr const char* other_worker = "give it to another worker, or connect by a connect grant and write beside_listeners = \"listen\"";
constexpr const char* way_out = "listeners of TCP alone, beside_listeners = \"connect\" and tcp_connect leave it; or a connect grant";

// One worker. A class only to keep it at hand.
class LentSockets {
public:
    LentSockets(const Worker& worker, std::vector<Problem>& problems)
        : worker_(worker), calls_(worker.sandbox.calls), problems_(problems) {}

    void check() {
        if (!calls_.enabled) return;   // complained of already, key by key
        check_beside_listeners();
        check_ports();
        check_calls("calls", calls_.base);
        check_calls("allow_calls", calls_.allow);
        check_calls("log_calls", calls_.log);
        check_options();
    }

private:
    void tell(Severity severity, std::string_view key, std::string what, std::string suggestion = {}) {
        const auto mark = worker_.marks.find("sandbox." + std::string(key));
        if (mark != worker_.marks.end()) problems_.push_back(mark->second.problem(severity, std::move(what), std::move(suggestion)));
    }
    void error(std::string_view key, std::string what, std::string suggestion = {}) {
        tell(Severity::error, key, std::move(what), std::move(suggestion));
    }
    bool written(std::string_view key) const { return worker_.marks.contains("sandbox." + std::string(key)); }
    bool lends() const { return sandbox::lends_what_leads_elsewhere(calls_); }

    // The first grant of which `question` is not true; null: it is of all.
    const Grant* first_that_is_not(bool (*question)(const Grant&)) const {
        const auto found = std::ranges::find_if_not(worker_.grants, question);
        return found == worker_.grants.end() ? nullptr : &*found;
    }

    void check_beside_listeners() {
        constexpr const char* key = "beside_listeners";
        if (!written(key)) return;
        if (!calls_.listeners_lent) {
            error(key, "\"beside_listeners\" has no effect here: no grant lends a listener of TCP or vsock", "leave it out");
        } else if (calls_.beside_listeners == BesideListeners::connect) {
            check_connect(key);
        } else if (const Grant* grant = first_that_is_not([](const Grant& one) { return !could_listen(one); });
                   grant != nullptr && calls_.beside_listeners == BesideListeners::listen) {
            error(key, "listen cannot be left beside grant " + quoted(grant->name) + ": what it connects could be made to listen on a port of its own",
                  "give that grant to another worker, or write beside_listeners = \"neither\"");
        }
    }

    void check_connect(const char* key) {
        if (const Grant* grant = first_that_is_not(stays_where_it_is)) {
            return error(key, "connect cannot be left beside grant " + quoted(grant->name) + ": what it lends could be connected elsewhere", other_worker);
        }
        for (const std::string_view item : {"landlock", "landlock_tcp"}) {
            const auto& preferred = worker_.sandbox.preferred;
            if (std::ranges::find(preferred, item) == preferred.end()) continue;
            error(key, "connect is left only where Landlock holds its ports, and \"optional_features\" lets the worker start without " + quoted(item),
                  "take " + quoted(item) + " out of preferred");
        }
        // Rules hold ports and not addresses, and lent sockets live in the host's network.
        if (worker_.sandbox.network != sandbox::Network::host && !worker_.sandbox.tcp_connect.allowed.empty()) {
            error("tcp_connect", "ports cannot be connected to beside lent listeners in a network that is not the host's: lent sockets live in the host's, "
                                 "and could be connected there", "write network = \"host\", or tcp_connect = []");
        }
    }

    // Without the call the ports are nobody's question.
    void check_ports() {
        if (!lends()) return;
        if (written("tcp_bind")) error("tcp_bind", no_effect("tcp_bind", "bind"), "leave it out");
        if (written("tcp_connect") && !sandbox::leaves_connect(calls_)) error("tcp_connect", no_effect("tcp_connect", "connect"), way_out);
    }

    static std::string no_effect(const std::string& key, const std::string& call) {
        return quoted(key) + " has no effect here: " + call + " is denied beside the sockets that the grants lend";
    }

    bool denied(std::string_view call) const {
        if (call == "bind") return lends();
        if (call == "listen") return !sandbox::leaves_listen(calls_);
        if (call == "connect") return !sandbox::leaves_connect(calls_);
        return calls_.datagram_sockets_lent && (call == "sendmsg" || call == "sendmmsg");
    }

    // More sockets than unix ones are made by who may connect them.
    bool does_nothing(std::string_view call) const {
        return denied(call) || (call == "socket" && calls_.network && !sandbox::leaves_connect(calls_));
    }

    std::string remedy(std::string_view call) const {
        if (call == "connect" || call == "socket") return way_out;
        if (call == "listen" && calls_.listeners_lent) return "beside_listeners = \"listen\" leaves it where no grant connects by TCP or vsock";
        return "leave it out, or give the grants that lend sockets to another worker";
    }

    // A group has other members.
    void check_calls(std::string_view key, const std::vector<std::string>& names) {
        for (const auto& name : names) {
            const auto members = sandbox::calls_of(name);
            const bool idle = !members.empty() && std::ranges::all_of(members, [&](const auto& call) { return does_nothing(call); });
            if (!idle) continue;
            error(key, quoted(name) + " in " + quoted(key) + " has no effect here: beside the sockets that the grants lend it is denied", remedy(members.front()));
        }
    }

    void check_options() {
        for (const auto& name : calls_.socket_options) check_option(*socket_options::find(name));
    }

    void check_option(const socket_options::Option& option) {
        constexpr const char* key = "allow_socket_options";
        const std::string quiet = quoted(option.name) + " in \"allow_socket_options\" has no effect here: ";
        const auto& level = *socket_options::find_level(option.level);
        if (calls_.lent_sockets == 0) return error(key, quiet + "options are held only where sockets are lent, and no grant lends one", "leave it out");
        if (!socket_options::is_held(level, calls_.lent_sockets) || (level.takers & sockets_at_hand()) == 0) {
            return error(key, quiet + "the filter holds none of " + std::string(level.name) + " for what the grants lend", "leave it out");
        }
        if (option.capability.empty() || has_one_of(option.capability)) return;
        tell(Severity::warning, key, quoted(option.name) + " wants a capability that the worker has not, of: " + std::string(option.capability),
             "name it in trusted_capabilities");
    }

    // Those lent, and those that it may make itself.
    std::uint32_t sockets_at_hand() const {
        constexpr std::uint32_t own = socket_options::lent_ipv4 | socket_options::lent_ipv6 | socket_options::lent_tcp | socket_options::lent_udp | socket_options::lent_netlink;
        return calls_.lent_sockets | (calls_.network && sandbox::leaves_connect(calls_) ? own : 0U);
    }

    // By number, of the few that options want.
    bool has_one_of(std::string_view names) const {
        constexpr std::pair<std::string_view, unsigned> known[] = {{"net_broadcast", 11}, {"net_admin", 12}, {"net_raw", 13}};
        return std::ranges::any_of(known, [&](const auto& one) {
            return names.find(one.first) != std::string_view::npos && (worker_.sandbox.capabilities >> one.second & 1) != 0;
        });
    }

    const Worker& worker_;
    const sandbox::Calls& calls_;
    std::vector<Problem>& problems_;
};

}  // namespace

void check_lent_sockets(const Config& config, std::vector<Problem>& problems) {
    for (const Worker& worker : config.workers) LentSockets(worker, problems).check();
}

}  // namespace warder::config
