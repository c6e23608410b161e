#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <grp.h>
#include <unistd.h>

#include <cstdio>
#include <iterator>

// As a root with supplementary groups, as a login's shell has them: what forgets to take them away is then seen.
int main(int count, char** arguments) {
    constexpr gid_t inherited[] = {4, 24, 27};
    if (::geteuid() == 0 && ::setgroups(std::size(inherited), inherited) != 0) std::perror("setgroups");
    return doctest::Context(count, arguments).run();
}
