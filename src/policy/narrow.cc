#include "policy/narrow.h"

#include <algorithm>

#include "policy/path.h"

namespace warder::policy {
namespace {

constexpr std::size_t max_pattern = 255;

// Each takes something away from `grant`, or is an error that leaves it as it was.

Result<void> narrow_tree(Grant& grant, std::string_view target) {
    const bool absolute = target.starts_with('/');
    if (absolute ? !clean_absolute(target) : !clean_relative(target)) return failure(EINVAL, "narrowing to a path");
    const std::string root = grant.path == "/" ? std::string() : grant.path;
    const std::string inner = absolute ? std::string(target) : root + "/" + std::string(target);
    const std::string& outer = grant.within.empty() ? grant.path : grant.within;
    if (inner.size() > max_path || (inner != outer && !covers(outer, inner))) {
        return failure(EINVAL, "narrowing to a path that is not in the grant");
    }
    grant.within = inner;
    return {};
}

Result<void> narrow_peer(Grant& grant, std::string_view target) {
    const auto pattern = parse_address_pattern(target);
    if (!pattern || !covers(grant.address, *pattern)) return failure(EINVAL, "narrowing to an address");
    grant.address = *pattern;
    return {};
}

Result<void> narrow_target(Grant& grant, std::string_view target) {
    if (target.empty()) return {};
    if (grant.kind == Kind::tree) return narrow_tree(grant, target);
    if (grant.kind == Kind::peer) return narrow_peer(grant, target);
    return failure(EINVAL, "narrowing what has no parts");
}

Result<void> narrow_names(Grant& grant, std::string_view pattern) {
    if (pattern.empty()) return {};
    const bool named = grant.kind == Kind::tree || grant.kind == Kind::sysctl || grant.kind == Kind::lookup;
    if (!named || pattern.size() > max_pattern || pattern.find('\0') != std::string_view::npos) {
        return failure(EINVAL, "narrowing by a pattern");
    }
    if (std::ranges::find(grant.every_name, pattern) != grant.every_name.end()) return {};
    if (grant.every_name.size() >= max_narrowings) return failure(EDQUOT, "narrowing by a pattern");
    grant.every_name.emplace_back(pattern);
    return {};
}

void narrow_uses(Grant& grant, std::uint32_t most) {
    if (most == 0) return;
    grant.shape.uses = grant.shape.uses == 0 ? most : std::min(grant.shape.uses, most);
}

}  // namespace

bool takes_nothing(const Grant& grant, const Request& request) {
    const bool all_kept = request.argument != 0 && (grant.rights.bits() & ~request.argument) == 0;
    return all_kept && request.target.empty() && request.second.empty() && request.mode == 0;
}

Result<Grant> narrowed(Grant smaller, const Request& request) {
    if (takes_nothing(smaller, request)) return failure(EINVAL, "narrowing that takes nothing away");
    TRY(narrow_target(smaller, request.target));
    TRY(narrow_names(smaller, request.second));
    narrow_uses(smaller, request.mode);
    smaller.rights.keep(request.argument);
    smaller.narrowed = true;
    return smaller;
}

}  // namespace warder::policy
