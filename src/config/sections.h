// The readers of each kind of table, from nodes to values. Pure; every complaint goes to Complaints.
#pragma once

#include <vector>

#include "config/complaints.h"
#include "config/config.h"
#include "config/node.h"
#include "config/section.h"

namespace warder::config {

// The top of a file: only [daemon] and [worker.NAME] may stand there. Reads [daemon].
void read_top(const Node& root, Complaints& complaints, Daemon& daemon);

// [worker.NAME], the table `node` under the key NAME. Adds a worker even after complaints, so that others can be found.
void read_worker(const Node& node, Complaints& complaints, Config& config);

// [worker.NAME.sandbox]: the profile, and what differs from it. Call after exec was read.
void read_sandbox(Section& worker, const Daemon& daemon, Worker& into);

// nice, io_priority, scheduling, cpus, oom_score_adjust
void read_priorities(Section& worker, sandbox::Plan& into);

// calls, allow_calls and the others about the filter
void read_calls(Section& sandbox, sandbox::Calls& into);

// user_namespace: whether there is one, and its maps
void read_user_namespace(Section& sandbox, const Daemon& daemon, sandbox::Plan& into);

// capabilities and trusted_capabilities, as bits by number
void read_capabilities(Section& sandbox, bool user_namespace, std::uint64_t& into);

// [worker.NAME.restart], or restart = "always".
void read_restart(Section& worker, supervise::Restart& into);

// limits = { nofile = 1024, memory_max = "64MiB" }: of each process, and of all together
void read_limits(Section& worker, std::vector<sandbox::Limit>& into, std::vector<sandbox::GroupLimit>& of_group);

// [daemon.logging] and [worker.NAME.logging]
void read_logging(Section& parent, Logging& into);

// [worker.NAME.grants]. Call after the sandbox was read: lent sockets narrow its filter.
void read_grants(Section& worker, Worker& into);

// [[expect]], of one file. What it says of workers is looked at in resolve().
void read_expectations(const Node& root, Complaints& complaints, Config& config);

// Whether `name` may name a worker or a grant: [a-z0-9][a-z0-9_.@-]{0,62}.
bool good_name(std::string_view name);
std::string lowered(std::string_view name);

// Rights that only a tree can have: a grant on one file has no second name, and nothing below it.
bool goes_with_trees(Operation operation);

// Keys about lent sockets that do not go together with what the grants lend, or that do nothing there.
void check_lent_sockets(const Config& config, std::vector<Problem>& problems);

// What only shows when all workers are known: a listener given twice, a worker that another one names and is not there.
void check_together(const Config& config, std::vector<Problem>& problems);
void check_neighbours(const Config& config, std::vector<Problem>& problems);

}  // namespace warder::config
