#include "sandbox/probe.h"

#include <doctest/doctest.h>
#include <sys/utsname.h>

#include <cstdio>

using namespace warder::sandbox;

TEST_CASE("probing finds what a kernel of this age has for certain") {
    utsname names{};
    REQUIRE(::uname(&names) == 0);
    int major = 0;
    int minor = 0;
    REQUIRE(std::sscanf(names.release, "%d.%d", &major, &minor) == 2);
    const auto at_least = [&](int a, int b) { return major > a || (major == a && minor >= b); };
    const KernelFeatures features = probe_kernel();
    CHECK(features.close_range == at_least(5, 9));
    CHECK(features.clone_into_cgroup == at_least(5, 7));
    CHECK(features.pidfd_setns == at_least(5, 8));
    CHECK(features.mount_attributes == at_least(5, 12));
    CHECK(features.pass_pidfd == at_least(6, 5));
    CHECK(features.pass_rights == at_least(6, 16));
}

TEST_CASE("probing twice says the same, and every feature is listed with a name") {
    const auto first = list_features(probe_kernel());
    const auto second = list_features(probe_kernel());
    REQUIRE(first.size() == second.size());
    CHECK(first.size() == 23);
    for (std::size_t i = 0; i < first.size(); ++i) {
        CHECK_FALSE(first[i].name.empty());
        CHECK(first[i].present == second[i].present);
    }
}

TEST_CASE("a kernel without Landlock is listed as one") {
    KernelFeatures features;
    CHECK_FALSE(list_features(features)[1].present);
    features.landlock = 4;
    features.landlock_errata = 5;
    CHECK(list_features(features)[1].detail == "ABI 4");
    features.landlock_errata = 1;
    CHECK(list_features(features)[1].detail == "ABI 4, not mended: what leaves a bind mount can gain rights");
    CHECK(list_features(features)[2].present);
    CHECK_FALSE(list_features(features)[3].present);
}
