#include "daemon/unit_limits.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "sys/capabilities.h"
#include "sys/fd.h"

namespace warder::daemon {
namespace {

using policy::Grant;
using policy::Kind;

// What a filter or the kernel answers for a family; a capability that is wanting is another matter.
bool has_family(int family, int type) {
    const Fd socket(::socket(family, type | SOCK_CLOEXEC, 0));
    return socket || errno != EAFNOSUPPORT;
}

// With arguments that nobody lets through: whoever answers otherwise than EINVAL has looked at less than the kernel does.
bool lets_realtime() {
    const sched_param none{};
    return ::syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &none) == 0 || errno == EINVAL;
}

bool lets_clock() {
    constexpr int no_such_clock = 99;
    return ::syscall(SYS_clock_settime, no_such_clock, nullptr) == 0 || errno == EINVAL;
}

OwnLimits ask() {
    OwnLimits limits;
    for (int capability = 0; capability < 64; ++capability) {
        if (::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 0) limits.bounding &= ~capabilities::bit(capability);
    }
    limits.vsock = has_family(AF_VSOCK, SOCK_STREAM);
    limits.packet = has_family(AF_PACKET, SOCK_DGRAM);
    limits.realtime = lets_realtime();
    limits.clock = lets_clock();
    return limits;
}

class Complainer {
public:
    Complainer(const OwnLimits& limits, std::vector<config::Problem>& problems) : limits_(limits), problems_(problems) {}

    void look_at(config::Worker& worker) {
        look_at_capabilities(worker);
        const auto scheduler = worker.sandbox.scheduling.scheduler;
        const bool realtime = scheduler == sandbox::Scheduler::fifo || scheduler == sandbox::Scheduler::round_robin;
        if (realtime && !limits_.realtime) {
            complain(worker, "scheduling", "it is scheduled in real time, which warderd is not let do", "RestrictRealtime=no");
        }
        if (worker.sandbox.time_namespace) need(worker, "sandbox.time_offsets", "time_offsets", CAP_SYS_TIME);
        for (const Grant& grant : worker.grants) look_at(worker, grant);
    }

private:
    // One worker's matter: at a boot the others run.
    void complain(config::Worker& worker, const std::string& key, const std::string& what, const std::string& line) {
        const std::string suggestion = "in a drop-in of its unit (systemctl edit warder): [Service] " + line + "; then restart it";
        auto mark = worker.marks.find(key);
        if (mark == worker.marks.end()) mark = worker.marks.find("worker");
        if (worker.fault.empty()) worker.fault = what + ": " + suggestion;
        const std::string whole = "worker \"" + worker.name + "\": " + what + ": the worker cannot start";
        if (mark != worker.marks.end()) problems_.push_back(mark->second.problem(config::Severity::warning, whole, suggestion));
        else problems_.push_back({config::Severity::warning, worker.where, whole, suggestion, {}, 1, 1});
    }

    bool has(int capability) const { return (limits_.bounding & capabilities::bit(capability)) != 0; }

    void need(config::Worker& worker, const std::string& key, const std::string& who, int capability) {
        if (has(capability)) return;
        const std::string name = capabilities::name_of(capability);
        complain(worker, key, who + " takes " + name + ", which is not in warderd's own bounding set", "CapabilityBoundingSet=" + name);
    }

    // In a user namespace of its own they are the kernel's to give.
    void look_at_capabilities(config::Worker& worker) {
        if (worker.sandbox.user_namespace) return;
        const char* key = worker.marks.contains("sandbox.trusted_capabilities") ? "sandbox.trusted_capabilities" : "sandbox.capabilities";
        for (int capability = 0; capability < 64; ++capability) {
            if ((worker.sandbox.capabilities & capabilities::bit(capability)) != 0) need(worker, key, "what it is given", capability);
        }
        const bool sets_clock = (worker.sandbox.capabilities & capabilities::bit(CAP_SYS_TIME)) != 0;
        if (sets_clock && !limits_.clock) {
            complain(worker, key, "CAP_SYS_TIME is of no use: a filter over warderd denies setting the clock", "SystemCallFilter=@clock");
        }
    }

    void look_at(config::Worker& worker, const Grant& grant) {
        const std::string key = "grants." + grant.name;
        const std::string who = "grant \"" + grant.name + "\"";
        const bool tun = grant.kind == Kind::device && !grant.interface.empty();
        if (grant.kind == Kind::raw || grant.kind == Kind::packet) need(worker, key, who, CAP_NET_RAW);
        if (grant.kind == Kind::netlink || tun) need(worker, key, who, CAP_NET_ADMIN);
        if (grant.kind == Kind::packet && !limits_.packet) refuse_family(worker, key, who, "AF_PACKET");
        const bool addressed = grant.kind == Kind::listener || grant.kind == Kind::peer;
        if (addressed && grant.address.family == policy::Family::vsock && !limits_.vsock) refuse_family(worker, key, who, "AF_VSOCK");
    }

    void refuse_family(config::Worker& worker, const std::string& key, const std::string& who, const std::string& family) {
        complain(worker, key, who + " takes sockets of " + family + ", which warderd cannot make: the kernel has none, or its unit does not let it",
                 "RestrictAddressFamilies=" + family);
    }

    const OwnLimits& limits_;
    std::vector<config::Problem>& problems_;
};

}  // namespace

const OwnLimits& own_limits() {
    static const OwnLimits limits = ask();
    return limits;
}

void complain_of_limits(config::Config& config, const OwnLimits& limits, std::vector<config::Problem>& problems) {
    if (config.daemon.run_mode.without_root) return;
    Complainer complainer(limits, problems);
    for (auto& worker : config.workers) complainer.look_at(worker);
}

}  // namespace warder::daemon
