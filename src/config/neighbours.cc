// What workers say of each other: channels, signals and restarts name another worker, and a channel is declared by both.
#include <algorithm>

#include "config/complaints.h"
#include "config/sections.h"

namespace warder::config {
namespace {

using policy::Grant;
using policy::Kind;

// A class only to keep config and problems at hand.
class Neighbours {
public:
    Neighbours(const Config& config, std::vector<Problem>& problems) : config_(config), problems_(problems) {}

    void check() {
        for (const Worker& worker : config_.workers) {
            for (const Grant& grant : worker.grants) check(worker, grant);
            check_senders(worker);
        }
    }

private:
    void error(const Worker& worker, const Grant& grant, std::string what, std::string suggestion) {
        const Mark& mark = worker.marks.find("grants." + grant.name)->second;
        problems_.push_back(mark.problem(Severity::error, std::move(what), std::move(suggestion)));
    }

    const Worker* find(std::string_view name) const {
        const auto found = std::ranges::find(config_.workers, name, &Worker::name);
        return found == config_.workers.end() ? nullptr : &*found;
    }

    void check(const Worker& worker, const Grant& grant) {
        if (grant.peer.empty()) return;   // about no worker, or complained of when it was read
        const Worker* peer = find(grant.peer);
        if (peer == nullptr) return refuse_unknown(worker, grant);
        if (grant.kind == Kind::channel) check_channel(worker, grant, *peer);
    }

    void refuse_unknown(const Worker& worker, const Grant& grant) {
        std::vector<std::string_view> names;
        for (const Worker& other : config_.workers) {
            if (other.name != worker.name || grant.kind != Kind::channel) names.push_back(other.name);
        }
        error(worker, grant, "there is no worker " + quoted(grant.peer), did_you_mean(grant.peer, names));
    }

    static std::vector<const Grant*> channels_to(const Worker& worker, std::string_view peer) {
        std::vector<const Grant*> found;
        for (const Grant& grant : worker.grants) {
            if (grant.kind == Kind::channel && grant.peer == peer) found.push_back(&grant);
        }
        return found;
    }

    // The same channel as the other side has to declare it.
    static std::string counterpart(const Worker& worker, const Grant& grant) {
        std::string text = "{ channel = " + quoted(worker.name);
        if (grant.stream) text += ", type = \"stream\"";
        if (grant.carries_fds) text += ", fds = true";
        return text + " }";
    }

    void check_channel(const Worker& worker, const Grant& grant, const Worker& peer) {
        if (&worker == &peer) {
            return error(worker, grant, "a channel leads to another worker", "socketpair(2) needs no grant");
        }
        const auto mine = channels_to(worker, peer.name);
        if (mine.front() != &grant) {
            return error(worker, grant, "a second channel to " + quoted(peer.name) + ": two workers have one", "");
        }
        const auto theirs = channels_to(peer, worker.name);
        const std::string add = "add to [worker." + peer.name + ".grants]: " + grant.name + " = " + counterpart(worker, grant);
        if (theirs.empty()) {
            return error(worker, grant, "worker " + quoted(peer.name) + " does not declare its end of this channel", add);
        }
        const Grant& other = *theirs.front();
        if (other.stream == grant.stream && other.carries_fds == grant.carries_fds) return;
        error(worker, grant, "worker " + quoted(peer.name) + " declares its end of this channel otherwise, as " +
                                 quoted(other.name) + " at " + other.origin,
              "make that " + counterpart(worker, grant));
    }

    // For the sake of lent datagram sockets sendmsg is denied whole, and nothing else sends descriptors.
    void check_senders(const Worker& worker) {
        if (!worker.sandbox.calls.enabled || !worker.sandbox.calls.datagram_sockets_lent) return;
        for (const Grant& grant : worker.grants) {
            if (!sends_descriptors(grant)) continue;
            error(worker, grant, "worker " + quoted(worker.name) + " has a datagram socket lent, and so cannot send descriptors",
                  "give the one or the other to another worker");
        }
    }

    const Config& config_;
    std::vector<Problem>& problems_;
};

}  // namespace

void check_neighbours(const Config& config, std::vector<Problem>& problems) { Neighbours(config, problems).check(); }

}  // namespace warder::config
