#include "sandbox/call_groups.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

using namespace warder::sandbox;

TEST_CASE("every member of a group is a call or another group, and stands in no second one") {
    std::set<std::string_view> seen;
    for (const auto& group : call_groups()) {
        CAPTURE(group.name);
        CHECK(group.name.starts_with('@'));
        CHECK_FALSE(group.about.empty());
        for (const auto member : group.members) {
            CAPTURE(member);
            CHECK(names_calls(member));
            if (!member.starts_with('@')) CHECK(seen.insert(member).second);
        }
    }
}

TEST_CASE("a group in a group comes along, and each call once") {
    const auto calls = calls_of("@system-service");
    CHECK(std::ranges::find(calls, "read") != calls.end());
    CHECK(std::ranges::find(calls, "mount") == calls.end());
    CHECK(std::set<std::string>(calls.begin(), calls.end()).size() == calls.size());
    CHECK(calls_of("ptrace") == std::vector<std::string>{"ptrace"});
    CHECK(calls_of("@no-such").empty());
    CHECK(calls_of("@known").size() > 300);
}

TEST_CASE("profile strict keeps the rights of what was lent: its list is that of service without what changes them by a descriptor") {
    auto strict = calls_of("@strict-service");
    for (const auto& call : calls_of("@file-modes")) {
        CHECK(std::ranges::find(strict, call) == strict.end());
        strict.push_back(call);
    }
    auto service = calls_of("@system-service");
    std::ranges::sort(strict);
    std::ranges::sort(service);
    CHECK(strict == service);
    const auto files = calls_of("@file-system");
    CHECK(std::ranges::find(files, "fchmod") != files.end());
    CHECK(std::ranges::find(files, "openat") != files.end());
}

TEST_CASE("what could lead out of a sandbox is in no usual program's list") {
    const auto usual = calls_of("@system-service");
    for (const auto* group : {"@debug", "@io-uring", "@keyring", "@privileged", "@userfault", "@obsolete"}) {
        for (const auto& call : calls_of(group)) {
            CAPTURE(call);
            CHECK(std::ranges::find(usual, call) == usual.end());
        }
    }
}
