#include "broker/session.h"

#include <algorithm>

#include "policy/narrow.h"

namespace warder::broker {
namespace {

std::vector<policy::Grant> copy_of(const policy::GrantSet& grants) { return {grants.all().begin(), grants.all().end()}; }

policy::Request request_of(const Narrowing& narrowing) {
    policy::Request request;
    request.operation = Operation::narrow;
    request.grant = narrowing.grant;
    request.target = narrowing.target;
    request.second = narrowing.second;
    request.argument = narrowing.argument;
    request.mode = narrowing.uses_left;   // those taken before it count no more: see narrow_in
    return request;
}

}  // namespace

Result<void> narrow_in(Session& session, const policy::GrantSet& grants, const policy::Request& request, GrantId id) {
    policy::Grant grant = grants.at(id);
    // Uses count from now on: what is left of them is what can be narrowed further. With none left it stays used up.
    const std::uint32_t used = session.allowances.used(id);
    const bool counted_anew = request.mode != 0 && (grant.shape.uses == 0 || grant.shape.uses > used);
    if (counted_anew && grant.shape.uses != 0) grant.shape.uses -= used;
    policy::Grant smaller = TRY(policy::narrowed(std::move(grant), request));
    if (counted_anew) session.allowances.reset(id);
    if (!session.narrowed) session.narrowed = std::make_unique<policy::GrantSet>(grants.worker(), copy_of(grants));
    session.narrowed->narrow(id, std::move(smaller));
    return {};
}

void narrow_again(Session& session, const policy::GrantSet& grants) {
    if (session.narrowings.empty()) return;
    std::vector<policy::Grant> all = copy_of(grants);
    for (const auto& narrowing : session.narrowings) {
        const auto id = grants.named(narrowing.grant);
        if (!id) continue;
        policy::Grant& grant = all[number(*id)];
        const auto request = request_of(narrowing);
        if (policy::takes_nothing(grant, request)) continue;   // now the config has taken it
        auto smaller = policy::narrowed(grant, request);
        if (smaller) {
            grant = std::move(*smaller);
        } else {
            grant.rights = {};
        }
    }
    session.narrowed = std::make_unique<policy::GrantSet>(grants.worker(), std::move(all));
}

}  // namespace warder::broker
