#include "broker/rotation.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include "unit/broker/bench.h"

using namespace warder;
using namespace warder::broker;
using namespace warder::test;

namespace {

struct Vault {
    Folder folder;
    Fd directory{::open(folder.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    Rotations rotations;
    Vault() {
        folder.write("key", "one");
        REQUIRE(rotations.open());
        REQUIRE(rotations.watch(directory.get(), {WorkerId{1}, "key", "key"}));
    }
    std::vector<std::string> changed() {
        std::vector<std::string> grants;
        rotations.take([&](const Rotations::Secret& secret) { grants.push_back(secret.grant); });
        return grants;
    }
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a secret that is written, replaced or removed is told, once however often it changed") {
    Vault vault;
    CHECK(vault.changed().empty());
    vault.folder.write("key", "two");
    vault.folder.write("key", "three");
    CHECK(vault.changed() == Names{"key"});
    vault.folder.write("new", "four");
    CHECK(vault.changed().empty());
    std::filesystem::rename(vault.folder.at("new"), vault.folder.at("key"));
    CHECK(vault.changed() == Names{"key"});
    std::filesystem::remove(vault.folder.at("key"));
    CHECK(vault.changed() == Names{"key"});
    CHECK(vault.changed().empty());
}

TEST_CASE("reading a secret is no change of it") {
    Vault vault;
    CHECK(vault.folder.read("key") == "one");
    CHECK(vault.changed().empty());
}

TEST_CASE("two secrets of one directory are told apart, and one watched twice is told once") {
    Vault vault;
    REQUIRE(vault.rotations.watch(vault.directory.get(), {WorkerId{1}, "key", "key"}));
    REQUIRE(vault.rotations.watch(vault.directory.get(), {WorkerId{2}, "its", "key"}));
    REQUIRE(vault.rotations.watch(vault.directory.get(), {WorkerId{2}, "other", "other"}));
    vault.folder.write("key", "two");
    CHECK(vault.changed() == Names{"key", "its"});
    vault.folder.write("other", "x");
    CHECK(vault.changed() == Names{"other"});
}

TEST_CASE("a worker that is forgotten hears no more, the others do") {
    Vault vault;
    REQUIRE(vault.rotations.watch(vault.directory.get(), {WorkerId{2}, "its", "key"}));
    vault.rotations.forget(WorkerId{1});
    vault.folder.write("key", "two");
    CHECK(vault.changed() == Names{"its"});
    vault.rotations.forget(WorkerId{2});
    vault.folder.write("key", "three");
    CHECK(vault.changed().empty());
    REQUIRE(vault.rotations.watch(vault.directory.get(), {WorkerId{3}, "new", "key"}));
    vault.folder.write("key", "four");
    CHECK(vault.changed() == Names{"new"});
}

TEST_CASE("T42: whoever writes many files beside a secret keeps nobody: a look takes so much, and the rest later") {
    Vault vault;
    for (int i = 0; i < 2000; ++i) vault.folder.write("beside-the-secret-" + std::to_string(i), "x");
    vault.folder.write("key", "two");
    int looks = 0;
    Names told;
    while (told.empty() && looks < 10'000) {
        told = vault.changed();
        ++looks;
    }
    CHECK(told == Names{"key"});
    CHECK(looks > 10);
}

TEST_CASE("T42: when the kernel dropped some of what happened, every secret is told, since any may have changed") {
    Vault vault;
    REQUIRE(vault.rotations.watch(vault.directory.get(), {WorkerId{2}, "other", "other"}));
    for (int i = 0; i < 20'000; ++i) {
        vault.folder.write("noise" + std::to_string(i % 2), "x");   // no two alike in a row, which the kernel would merge
    }
    vault.folder.write("key", "two");
    Names told;
    for (int looks = 0; looks < 10'000; ++looks) {
        for (auto& one : vault.changed()) told.push_back(std::move(one));
    }
    CHECK(std::ranges::count(told, "key") >= 1);
    CHECK(std::ranges::count(told, "other") >= 1);
}
