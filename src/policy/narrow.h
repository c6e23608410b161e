// Narrowing: a worker gives rights up for the rest of its life. Pure: a grant and a request of the operation `narrow` give a
// grant that permits a part of what the first one did, or an error; there is no request that gives more.
#pragma once

#include "base/error.h"
#include "policy/grant.h"
#include "policy/request.h"

namespace warder::policy {

// Patterns that one grant can have been narrowed by; more would make each decision longer.
inline constexpr std::size_t max_narrowings = 8;

// Whether everything would stay as it is: perhaps a worker that thinks that it gave something up.
bool takes_nothing(const Grant& grant, const Request& request);

// `request.grant` names the grant. What is kept of it:
//   argument  operations, bit n for operation n; 0: none, the grant is given up
//   target    tree: a path, absolute or below the grant, at or below what it covers now; peer: an address or a range
//             within its own; empty: as it is
//   second    a pattern that names (or keys) must match as well; empty: as it is
//   mode      uses left at most; 0: as it is. Who counts uses goes on counting: shape.uses never grows.
// Errors: EINVAL when target is not within the grant, when the grant has nothing of that kind to narrow, or when nothing is
// to be taken away at all; EDQUOT after max_narrowings patterns.
Result<Grant> narrowed(Grant grant, const Request& request);

}  // namespace warder::policy
