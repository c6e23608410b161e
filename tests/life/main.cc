#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>

// Cells need root; without it there is nothing here to test, and that is said (77 is "skipped" to meson).
int main(int count, char** arguments) {
    if (::geteuid() != 0) {
        std::puts("life tests need root: skipped");
        return 77;
    }
    return doctest::Context(count, arguments).run();
}
