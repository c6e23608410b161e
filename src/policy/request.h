// A request as the policy sees it: what is to be done, and to what. Texts point into the message that carried them.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/operation.h"

namespace warder::policy {

// The OpenFlag bits that an operation takes. `nonblock` any of them: files ignore it.
constexpr std::uint16_t flags_taken_by(Operation operation) {
    constexpr auto bit = [](OpenFlag flag) { return static_cast<unsigned>(flag); };
    unsigned bits = bit(OpenFlag::nonblock);
    const bool writes = operation == Operation::write || operation == Operation::create;
    if (writes) bits |= bit(OpenFlag::read_too) | bit(OpenFlag::truncate);
    if (operation == Operation::create) bits |= bit(OpenFlag::exclusive);
    return static_cast<std::uint16_t>(bits);
}

// Those whose `second` is a text of the request's own, not a path below the grant.
constexpr bool takes_words(Operation operation) {
    return operation == Operation::symlink || operation == Operation::sysctl_write || operation == Operation::narrow;
}

struct Request {
    Operation operation{};
    std::uint16_t flags = 0;       // OpenFlag bits
    std::uint32_t mode = 0;        // create, mkdir, chmod: permission bits, 0 for the grant's own; access: 4, 2, 1; narrow: uses
    std::string_view grant;        // a grant's name, or empty: the target decides
    std::string_view target;       // absolute path, path below the grant, address, or empty
    std::string_view second;       // rename, link: the new name; symlink: its text; sysctl_write: the value; narrow: a pattern
    std::uint64_t argument = 0;    // truncate: bytes; watch: event bits; signal: its number; narrow: operations to keep;
                                   // connect by name: which of the addresses, the first is 0
};

}  // namespace warder::policy
