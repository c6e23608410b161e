// Small functions that the broker's files share.
#pragma once

#include <string_view>

#include "broker/session.h"
#include "policy/request.h"
#include "protocol/message.h"
#include "sys/poll_kind.h"
#include "sys/poller.h"

namespace warder::broker {

inline policy::Request request_of(const protocol::Request& request) {
    return {static_cast<Operation>(request.operation), request.flags,  request.mode,  request.grant,
            request.target,                            request.second, request.argument};
}

// The target as people are to read it: what was asked for, or what the grant itself names.
inline std::string_view shown_target(const Principal& principal, const policy::Request& request, GrantId grant) {
    if (!request.target.empty() || grant == GrantId::none) return request.target;
    return principal.held[number(grant)].shown;
}

// How the poller names a session.
inline PollTag tag_of(const Principal& principal) {
    return {static_cast<std::uint8_t>(PollKind::session), number(principal.settings.id), principal.session->generation};
}

}  // namespace warder::broker
