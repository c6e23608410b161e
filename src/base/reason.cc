#include "base/reason.h"

#include <array>
#include <cerrno>

namespace warder {
namespace {

struct Entry {
    Reason reason;
    int number;
    std::string_view name;
};

constexpr std::array<Entry, 26> entries{{
    {Reason::ok, 0, "ok"},
    {Reason::no_such_grant, EACCES, "no-such-grant"},
    {Reason::not_granted, EACCES, "not-granted"},
    {Reason::wrong_operation, EACCES, "wrong-operation"},
    {Reason::name_not_matched, EACCES, "name-not-matched"},
    {Reason::bad_path, EINVAL, "bad-path"},
    {Reason::bad_address, EINVAL, "bad-address"},
    {Reason::bad_flags, EINVAL, "bad-flags"},
    {Reason::unknown_operation, ENOSYS, "unknown-operation"},
    {Reason::system, 0, "system"},
    {Reason::not_regular, EACCES, "not-regular"},
    {Reason::refused_filesystem, EACCES, "refused-filesystem"},
    {Reason::foreign_owner, EACCES, "foreign-owner"},
    {Reason::would_block, EAGAIN, "would-block"},
    {Reason::deadline, ETIMEDOUT, "deadline"},
    {Reason::too_many, EDQUOT, "too-many"},
    {Reason::not_requester, EPERM, "not-requester"},
    {Reason::listener_lost, EIO, "listener-lost"},
    {Reason::protocol, EPROTO, "protocol"},
    {Reason::stopping, ECANCELED, "stopping"},
    {Reason::used_up, EACCES, "used-up"},
    {Reason::too_late, EACCES, "too-late"},
    {Reason::given_up, EACCES, "given-up"},
    {Reason::bad_argument, EINVAL, "bad-argument"},
    {Reason::unavailable, EAGAIN, "unavailable"},
    {Reason::private_address, EACCES, "private-address"},
}};

}  // namespace

std::string_view name_of(Reason reason) {
    const auto index = static_cast<std::size_t>(reason);
    return index < entries.size() ? entries[index].name : "unknown";
}

bool failed_beyond_policy(Reason reason) {
    switch (reason) {
        case Reason::system:
        case Reason::would_block:
        case Reason::deadline:
        case Reason::listener_lost:
        case Reason::stopping:
        case Reason::unavailable: return true;
        default: return false;
    }
}

int errno_of(Reason reason) {
    const auto index = static_cast<std::size_t>(reason);
    return index < entries.size() ? entries[index].number : EPROTO;
}

}  // namespace warder
