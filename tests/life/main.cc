#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <grp.h>
#include <unistd.h>

#include <cstdio>
#include <iterator>

// Sandboxes need root; without it there is nothing here to test, and that is said (77 is "skipped" to meson). As a root with
// supplementary groups: what forgets to take them away is then seen.
int main(int count, char** arguments) {
    if (::geteuid() != 0) {
        std::puts("life tests need root: skipped");
        return 77;
    }
    constexpr gid_t inherited[] = {4, 24, 27};
    if (::setgroups(std::size(inherited), inherited) != 0) std::perror("setgroups");
    return doctest::Context(count, arguments).run();
}
