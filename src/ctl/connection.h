// A conversation with warderd over the control socket: commands out, whole reports in.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "protocol/message.h"
#include "sys/channel.h"

namespace warder::ctl {

struct Reply {
    RequestId id{};
    int error = 0;         // 0 or an errno
    std::string text;      // JSON
};

class Connection {
public:
    // Errors: those of connect(2): ENOENT and ECONNREFUSED when nobody listens, EACCES when one may not.
    static Result<Connection> open(const std::string& path);

    Result<void> send(RequestId id, const protocol::Command& command);

    // The next whole report. Waits at most `timeout_ms` for each part of it (-1: for ever). Errors: ETIMEDOUT, ECONNRESET
    // (warderd ended the conversation), EPROTO.
    Result<Reply> receive(int timeout_ms);

private:
    explicit Connection(Channel channel) : channel_(std::move(channel)) {}
    Channel channel_;
};

// What to tell somebody who cannot get through, in one or two sentences.
std::string explain_no_connection(const std::string& path, const Error& error);

}  // namespace warder::ctl
