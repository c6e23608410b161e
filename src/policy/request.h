// A request as the policy sees it: what is to be done, and to what. Texts point into the message that carried them.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/operation.h"

namespace warder::policy {

struct Request {
    Operation operation{};
    std::uint16_t flags = 0;       // OpenFlag bits
    std::uint32_t mode = 0;        // create: permission bits, 0 for the grant's own
    std::string_view grant;        // a grant's name, or empty: the target decides
    std::string_view target;       // absolute path, path below the grant, address, or empty
    std::string_view second;       // rename: the new name
};

}  // namespace warder::policy
