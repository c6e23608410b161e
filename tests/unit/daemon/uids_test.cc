#include "daemon/uids.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>

#include "sys/files.h"

using namespace warder;
using namespace warder::daemon;

namespace {

struct Record {
    std::string folder;
    std::string path;
    Record() {
        char name[] = "/tmp/warder-uids-XXXXXX";
        folder = ::mkdtemp(name);
        path = folder + "/uids";
    }
    ~Record() { std::filesystem::remove_all(folder); }

    UidRegistry load() const {
        std::string fault;
        auto loaded = UidRegistry::load(path, 100, 102, fault);
        REQUIRE_MESSAGE(loaded, fault);
        return std::move(*loaded);
    }
};

}  // namespace

TEST_CASE("a worker has the same uid over restarts, whatever the order they are asked in") {
    const Record record;
    auto first = record.load();
    CHECK(*first.number_of("web") == 100);
    CHECK(*first.number_of("mail") == 101);
    auto second = record.load();
    CHECK(*second.number_of("mail") == 101);
    CHECK(*second.number_of("web") == 100);
}

TEST_CASE("T38: a uid is never given to another name") {
    const Record record;
    auto registry = record.load();
    CHECK(*registry.number_of("web") == 100);
    auto later = record.load();   // web is no longer in the config, and still has its number
    CHECK(*later.number_of("mail") == 101);
    CHECK(*later.number_of("dns") == 102);
    const auto none = later.number_of("one-too-many");
    REQUIRE_FALSE(none);
    CHECK(none.error().number == ENOSPC);
    CHECK(record.load().all().size() == 3);
}

TEST_CASE("T16, T38: a record that is not in its form is refused, never guessed at") {
    const Record record;
    for (const char* text : {"web", "web 100", "web\n", " 100\n", "web 0\n", "web -1\n", "web 100 \n", "web 1x\n",
                             "web 99999999999\n", "web 100\nmail 100\n", "web 100\nweb 101\n", "\n", "web 100\n\n", "", "web 65534\n", "web 4294967295\n"}) {
        REQUIRE(replace_file(record.path, text, 0644));
        std::string fault;
        const auto loaded = UidRegistry::load(record.path, 100, 102, fault);
        REQUIRE_MESSAGE(!loaded, text);
        CHECK_FALSE(fault.empty());
        CHECK(loaded.error().number == EINVAL);
    }
}

TEST_CASE("a number that cannot be recorded is not given") {
    const Record record;
    std::string fault;
    auto registry = UidRegistry::load(record.folder + "/absent/uids", 100, 102, fault);
    REQUIRE(registry);
    CHECK_FALSE(registry->number_of("web"));
    CHECK(registry->all().empty());
}

TEST_CASE("a damaged record is told by its line, and what to do about it") {
    const Record record;
    const auto fault_of = [&](const char* text) {
        REQUIRE(replace_file(record.path, text, 0644));
        std::string fault;
        CHECK_FALSE(UidRegistry::load(record.path, 100, 102, fault));
        return fault;
    };
    const std::string remedy = ": mend it to \"NAME UID\", or remove it, whereupon that worker gets another uid than its files have";
    CHECK(fault_of("web 100\nmail x\n") == "line 2 is not a name and a number" + remedy);
    CHECK(fault_of("web 100\nmail 10") == "line 2 is cut off" + remedy);
    CHECK(fault_of("web 100\nmail 101\ndns 100\n") == "line 3 has a uid that another line has too" + remedy);
    CHECK(fault_of("web 100\nweb 101\n") == "line 2 has a name that another line has too" + remedy);
    CHECK(fault_of("web 0\n") == "line 1 has a uid that no worker may have" + remedy);
    CHECK(fault_of("").starts_with("is empty, as warderd never leaves it"));
}

TEST_CASE("names that are no longer in use use up the range until they are forgotten, which is told before") {
    const Record record;
    auto registry = record.load();
    CHECK(registry.shortage().empty());
    for (const char* name : {"a", "b", "c"}) REQUIRE(registry.number_of(name));
    CHECK(registry.left() == 0);
    CHECK(registry.shortage().find("0 of 3 are left") != std::string::npos);
    CHECK(registry.number_of("d").error().number == ENOSPC);
    CHECK(registry.forget("nobody").error().number == ENOENT);
    CHECK(*registry.forget("b") == 101);
    CHECK(*record.load().number_of("d") == 101);
}

TEST_CASE("T38: a number that was forgotten is given again only when the end of the range is reached") {
    const Record record;
    auto registry = record.load();
    CHECK(*registry.number_of("a") == 100);
    CHECK(*registry.number_of("b") == 101);
    CHECK(*registry.forget("a") == 100);
    CHECK(*registry.number_of("c") == 102);
    CHECK(*registry.number_of("d") == 100);
}

TEST_CASE("a record whose last name was forgotten is as new, and not an empty one") {
    const Record record;
    auto registry = record.load();
    REQUIRE(registry.number_of("a"));
    REQUIRE(registry.forget("a"));
    CHECK(::access(record.path.c_str(), F_OK) != 0);
    CHECK(*record.load().number_of("b") == 100);
}
