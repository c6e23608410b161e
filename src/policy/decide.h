// The decision: one pure function from a worker's grants and a request to a verdict. Whatever door a request came through,
// and whether it is asked live, by `warderctl why` or by a test, this is what answers. It allocates nothing.
#pragma once

#include <string_view>

#include "base/ids.h"
#include "base/reason.h"
#include "policy/address.h"
#include "policy/grant.h"
#include "policy/request.h"

namespace warder::policy {

enum class Verdict : std::uint8_t { deny, allow };

struct Decision {
    Verdict verdict = Verdict::deny;
    Reason reason = Reason::not_granted;
    GrantId grant = GrantId::none;     // what allowed it; or the grant that was named or came nearest, for the sentence
    std::string_view remainder;        // tree: the path below the grant; points into the request
    std::string_view second;           // rename: the new path below the grant; points into the request
    Address address;                   // listen, connect: what to open
};

Decision decide(const GrantSet& grants, const Request& request);

}  // namespace warder::policy
