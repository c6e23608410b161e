#include <csignal>

#include "unit/broker/stand.h"

using namespace warder;
using namespace warder::broker;
using warder::test::nobody;
using warder::test::Stand;

namespace {

Task cut_to(Task task, std::uint64_t size) {
    task.argument = size;
    return task;
}

}  // namespace

TEST_CASE("a file is cut and grown to a size") {
    NEEDS_ROOT();
    for (const char* base : {"/tmp", "/dev/shm"}) {
        Stand stand(base);
        stand.write("file", "hello");
        CHECK(stand.perform(cut_to(stand.task(Operation::truncate, "file"), 2)).reason == Reason::ok);
        CHECK(stand.read("file") == "he");
        CHECK(stand.perform(cut_to(stand.task(Operation::truncate, "file"), 4)).reason == Reason::ok);
        CHECK(stand.read("file") == std::string("he\0\0", 4));
        CHECK(stand.perform(cut_to(stand.task(Operation::truncate, "absent"), 0)).error == ENOENT);
        CHECK(stand.perform(cut_to(stand.worker_task(Operation::truncate, "file"), 0)).error == EACCES);
        CHECK(stand.perform(cut_to(stand.task(Operation::truncate, "file"), 1ULL << 63)).reason == Reason::bad_argument);
        CHECK(stand.read("file").size() == 4);
    }
    Stand on_disk;
    on_disk.write("file", "hello");
    CHECK(on_disk.perform(cut_to(on_disk.task(Operation::truncate, "file"), INT64_MAX)).error == EFBIG);
    CHECK(on_disk.read("file") == "hello");
}

TEST_CASE("T25: as root a file with two names, or another's, is not cut") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("target", "precious");
    REQUIRE(::link(stand.at("target").c_str(), stand.at("planted").c_str()) == 0);
    CHECK(stand.perform(stand.task(Operation::truncate, "planted")).reason == Reason::foreign_owner);
    CHECK(stand.read("target") == "precious");
    stand.write("foreign", "precious");
    REQUIRE(::chown(stand.at("foreign").c_str(), 61999, 61999) == 0);
    CHECK(stand.perform(stand.task(Operation::truncate, "foreign")).reason == Reason::foreign_owner);
    CHECK(stand.read("foreign") == "precious");
    Task task = stand.task(Operation::truncate, "foreign");
    task.owner = 61999;
    CHECK(stand.perform(task).reason == Reason::ok);
    CHECK(stand.read("foreign").empty());
}

TEST_CASE("a program that runs is not cut: ETXTBSY") {
    NEEDS_ROOT();
    Stand stand;
    std::filesystem::copy_file("/bin/sleep", stand.at("program"));
    const pid_t child = ::fork();
    if (child == 0) ::_exit(::execl(stand.at("program").c_str(), "program", "20", nullptr));
    int error = 0;
    for (int i = 0; i < 200 && error != ETXTBSY; ++i) {
        error = stand.perform(cut_to(stand.task(Operation::truncate, "program"), stand.about("program").st_size)).error;
        ::usleep(10'000);
    }
    CHECK(error == ETXTBSY);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
}
