// The control socket: a SEQPACKET listener and at most 64 operators. It takes commands, asks the Operator and queues the
// reports; it never waits for anybody. An operator that does not read is not read from either, and is dropped after 10
// seconds; one that sends what is no command loses its own connection and disturbs nobody (T20, T21).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "control/access.h"
#include "control/operator.h"
#include "control/report.h"
#include "sys/poller.h"

namespace warder::control {

inline constexpr std::size_t max_clients = 64;
inline constexpr std::size_t max_queued = 1 << 20;              // bytes of reports that wait for one client to read
inline constexpr Duration patience = std::chrono::seconds(10);  // with a client that does not read
inline constexpr std::size_t max_waiting = 1024;                // commands of one client that wait for a worker's state

struct ServerOptions {
    std::string path;
    Access access;
    gid_t group = 0;   // owns the socket beside root, which then has mode 0660; 0: mode 0600
    bool only_own_pid_namespace = false;   // where workers have the operator's uid, their connections are refused by this
};

class Server {
public:
    // Binds and listens; everything is watched by `poller`, with tags of sys/poll_kind.h. A socket that is left over is
    // removed if nobody answers on it. `operators` and `poller` outlive the server. Errors: EADDRINUSE (another warderd
    // answers there), ENAMETOOLONG, those of bind(2).
    static Result<Server> create(ServerOptions options, Operator& operators, Poller& poller);

    Server(Server&&) noexcept;
    Server& operator=(Server&&) noexcept;
    ~Server();   // closes; the name in the file system stays

    // One event whose tag is ours.
    void handle(const PollEvent& event, const Clock& clock);

    // A worker's state has changed, or the worker has gone: answers those who wait for it. Cheap when nobody does. May be
    // called from within Operator's own functions.
    // What Operator::inquire has come to. A connection that has gone meanwhile is not told.
    void answered(const Ticket& ticket, Reported reported, const Clock& clock);
    void worker_changed(std::string_view name, const Clock& clock);

    // After a reload that changed who may come in. Connections that are open keep what they have proved, and are judged anew.
    void set_access(Access access);
    // The group that the socket itself lets in beside root; 0: none. Errors: those of lchown(2), ESTALE (the name is another's now).
    Result<void> set_group(gid_t group);

    // Makes the socket again where its name is gone or another's, and says whether it did. Errors: those of create().
    Result<bool> bind_again();

    // Takes the socket's name away, at the end. Nothing is sent any more.
    void close();

    std::size_t clients() const;

private:
    struct State;
    explicit Server(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace warder::control
