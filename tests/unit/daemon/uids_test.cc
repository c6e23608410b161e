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
        auto loaded = UidRegistry::load(path, 100, 102);
        REQUIRE(loaded);
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
                             "web 99999999999\n", "web 100\nmail 100\n", "web 100\nweb 101\n", "\n", "web 100\n\n"}) {
        REQUIRE(replace_file(record.path, text, 0644));
        const auto loaded = UidRegistry::load(record.path, 100, 102);
        REQUIRE_MESSAGE(!loaded, text);
        CHECK(loaded.error().number == EINVAL);
    }
}

TEST_CASE("a number that cannot be recorded is not given") {
    const Record record;
    auto registry = UidRegistry::load(record.folder + "/absent/uids", 100, 102);
    REQUIRE(registry);
    CHECK_FALSE(registry->number_of("web"));
    CHECK(registry->all().empty());
}
