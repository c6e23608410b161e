// Names of users and groups, resolved to numbers. Only at load and in tools: a lookup may ask a directory service over the
// network, so nothing that must not wait calls this.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace warder {

struct Account {
    std::string name;
    uid_t uid = 65534;
    gid_t gid = 65534;
    std::vector<gid_t> groups;   // supplementary ones, without `gid`
    friend bool operator==(const Account&, const Account&) = default;
};

// Errors: ENOENT, no such user; those of getpwnam_r(3) and getgrouplist(3).
Result<Account> find_user(const std::string& name);
Result<Account> find_user(uid_t uid);

// Errors: ENOENT, no such group; those of getgrnam_r(3).
Result<gid_t> find_group(const std::string& name);

// The name of a uid or gid for people, or its number as text.
std::string user_name(uid_t uid);
std::string group_name(gid_t gid);

}  // namespace warder
