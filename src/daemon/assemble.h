// From a worker's config to what the modules need of it: its life and sandbox for supervise, its grants for the broker. Values in,
// values out.
#pragma once

#include "broker/session.h"
#include "config/config.h"
#include "supervise/worker.h"

namespace warder::daemon {

struct Assembled {
    supervise::WorkerSettings life;
    broker::PrincipalSettings principal;   // without its id, which comes with the roster's place
};

// `uid` and `gid` are the worker's own: of its named user, or out of the range.
Assembled assemble(const config::Worker& worker, uid_t uid, gid_t gid);

// Without root: its ids are warderd's own.
Assembled assemble_without_root(const config::Worker& worker, const config::RunMode& run_mode);

// The worker that keeps the logs: pipes in, files out, nothing else.
config::Worker log_keeper(const config::Daemon& daemon, const std::string& program);

// The worker that looks names up: the host's network and name services, no grant.
config::Worker resolver(const std::string& program);

}  // namespace warder::daemon
