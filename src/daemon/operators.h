// What operators see and do: control::Operator over the daemon. Values are made from what the modules know; the only files
// that are read are those of /proc about a worker, and only links and numbers there, which nobody can make us wait for.
#pragma once

#include "control/operator.h"
#include "daemon/daemon.h"
#include "daemon/worker_sockets.h"
#include "sys/sock_diag.h"

namespace warder::daemon {

class Operators : public control::Operator {
public:
    explicit Operators(Daemon& daemon) : daemon_(daemon) {}

    std::vector<control::WorkerReport> workers() const override;
    control::Answer<control::WorkerReport> worker(std::string_view name) const override;
    control::Answer<control::ShowReport> show(std::string_view name) const override;
    control::Answer<std::vector<control::GrantReport>> grants(std::string_view name) const override;
    control::Answer<std::vector<control::FdReport>> fds(std::string_view name) const override;
    control::Answer<control::WhyReport> why(std::string_view name, const control::Question& question) const override;
    control::Answer<control::SocketsReport> sockets(std::string_view name, const control::LetGo& let_go) const override;
    control::Answer<std::vector<control::StoreReport>> stores(std::string_view name) const override;
    control::Answer<std::vector<control::SecurityReport>> security(std::string_view name) const override;
    control::Answer<control::LogsReport> logs(std::string_view name) const override;
    control::CheckReport check() const override;
    control::VersionReport version() const override;

    control::Answer<void> start(std::string_view name) override;
    control::Answer<void> stop(std::string_view name) override;
    control::Answer<void> restart(std::string_view name) override;
    control::Answer<control::ReloadReport> reload(control::ReloadMode mode) override;
    control::Answer<pid_t> signal(std::string_view name, int signal) override;
    control::Answer<uid_t> forget(std::string_view name) override;
    control::Answer<void> shutdown() override;
    std::optional<control::Reported> inquire(const control::Ticket& ticket, const control::Report& report) override;
    void note(std::string_view line) override;
    void note_refused(std::string_view line) override;

private:
    control::Answer<const Daemon::Member*> member(std::string_view name) const;
    control::Answer<supervise::Worker*> running(std::string_view name) const;
    control::WorkerReport report(const Daemon::Member& member) const;
    SocketHolder socket_holder(const Daemon::Member& member) const;
    std::vector<const Daemon::Member*> all_members() const;
    std::optional<control::StoreReport> store_of(const Daemon::Member& member) const;
    control::ShowReport show_warderd() const;
    control::SecurityReport security_of(const Daemon::Member& member) const;
    void add_group_use(control::WorkerReport& report) const;
    void add_denied_calls(control::WorkerReport& report, const Daemon::Member& member) const;

    Daemon& daemon_;
    SocketTables socket_tables_ = SocketTables::probe();
    audit::Bucket refusals_;                // that are noted one by one
    std::uint64_t refusals_counted_ = 0;    // since
};

}  // namespace warder::daemon
