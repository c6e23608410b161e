// Sockets, as ss(8) shows them, of warderd and of its workers: the descriptor tables of their processes joined with the kernel's
// tables of sockets. A socket belongs to the network namespace in which it was made: what is lent to a worker was made in ours. Of
// what a worker makes in its own only the unix sockets are known, from its /proc.
#pragma once

#include <sys/types.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "broker/session.h"
#include "control/operator.h"
#include "sys/sock_diag.h"

namespace warder::daemon {

// A worker, and the processes whose tables are looked into.
struct SocketHolder {
    std::string worker;
    const broker::Principal* principal = nullptr;
    std::vector<pid_t> processes;
};

// Needs CAP_SYS_PTRACE to see the tables of other uids. Reads links, and files of /proc that are the kernel's own: nobody can make
// it wait, but what it costs is for workers to choose.
class SocketGathering {
public:
    // Looks into the table of this process, which stands for that of warderd, `pid`: before it lets go of what it has of it.
    SocketGathering(const SocketTables& tables, pid_t pid);
    ~SocketGathering();
    SocketGathering(const SocketGathering&) = delete;
    SocketGathering& operator=(const SocketGathering&) = delete;

    // `wanted` empty: warderd's own sockets and those of all; otherwise what this worker holds and what is held for it.
    control::SocketsReport report(std::span<const SocketHolder> holders, std::string_view wanted);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace warder::daemon
