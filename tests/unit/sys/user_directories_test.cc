#include "sys/user_directories.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

using namespace warder;

namespace {

constexpr uid_t nobody_here = 4'000'000'000U;   // with no directory in /run/user

// The variable as it was, at the end.
class Variable {
public:
    Variable(const char* name, const char* value) : name_(name) {
        if (const char* before = ::getenv(name)) before_ = before;
        if (value == nullptr) ::unsetenv(name);
        else ::setenv(name, value, 1);
    }
    ~Variable() {
        if (before_.empty()) ::unsetenv(name_);
        else ::setenv(name_, before_.c_str(), 1);
    }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    const char* name_;
    std::string before_;
};

}  // namespace

TEST_CASE("user directories: of the variables first, then of HOME; only absolute paths count") {
    const Variable home("HOME", "/home/u");
    const Variable state("XDG_STATE_HOME", "/elsewhere");
    const Variable cache("XDG_CACHE_HOME", "relative");
    const Variable config("XDG_CONFIG_HOME", nullptr);
    const Variable runtime("XDG_RUNTIME_DIR", "/run/user/7");
    const UserDirectories found = user_directories(nobody_here);
    CHECK(found.state == "/elsewhere/warder");
    CHECK(found.cache == "/home/u/.cache/warder");
    CHECK(found.config == "/home/u/.config/warder");
    CHECK(found.runtime == "/run/user/7/warder");
    CHECK(user_control_socket(nobody_here) == "/run/user/7/warder/control.sock");
}

TEST_CASE("user directories: without a runtime directory the control socket lies with the state") {
    const Variable home("HOME", "/home/u");
    const Variable state("XDG_STATE_HOME", nullptr);
    const Variable runtime("XDG_RUNTIME_DIR", nullptr);
    CHECK(user_control_socket(nobody_here) == "/home/u/.local/state/warder/run/control.sock");
}

TEST_CASE("user directories: who has no home has none") {
    const Variable home("HOME", nullptr);
    const Variable state("XDG_STATE_HOME", nullptr);
    const Variable runtime("XDG_RUNTIME_DIR", nullptr);
    CHECK(user_directories(nobody_here).state.empty());
    CHECK(user_control_socket(nobody_here).empty());
}
