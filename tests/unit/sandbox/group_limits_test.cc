#include "sandbox/group_limits.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "sys/fd.h"

using namespace warder;
using namespace warder::sandbox;

namespace {

GroupLimit limit(std::string file, std::string value) { return {std::move(file), std::move(value), {}, {}}; }

// A directory with files such as a group has, on any file system.
struct LikeAGroup {
    char path[40] = "/tmp/warder-group-limits-XXXXXX";
    LikeAGroup() { REQUIRE(::mkdtemp(path) != nullptr); }
    ~LikeAGroup() {
        ::unlink((std::string(path) + "/memory.max").c_str());
        ::unlink((std::string(path) + "/io.weight").c_str());
        ::rmdir(path);
    }
    void put(const std::string& name, const std::string& text) const { std::ofstream(std::string(path) + "/" + name) << text; }
};

}  // namespace

TEST_CASE("a limit knows its controller and its name in the config") {
    CHECK(controller_of(limit("memory.swap.max", "0")) == "memory");
    CHECK(name_of(limit("memory.swap.max", "0")) == "memory_swap_max");
    CHECK(name_of({"io.max", "rbps=1", "/dev/vda", {}}) == "io_max of /dev/vda");
    CHECK(names_controller("cpuset cpu io memory pids", "cpu"));
    CHECK_FALSE(names_controller("cpuset io", "cpu"));
    CHECK_FALSE(names_controller("", "cpu"));
}

TEST_CASE("what is set can be read back, and a file that the kernel does not have is an error") {
    const LikeAGroup group;
    group.put("memory.max", "max\n");
    const Fd directory(::open(group.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto memory = limit("memory.max", "67108864");
    CHECK(read_limit(group.path, memory) == "max");
    CHECK(set_limit(directory.get(), memory));
    CHECK(read_limit(group.path, memory) == "67108864");
    const auto absent = set_limit(directory.get(), limit("memory.swap.max", "0"));
    REQUIRE_FALSE(absent);
    CHECK(absent.error().number == ENOENT);
    CHECK(read_limit(group.path, limit("memory.swap.max", "0")).empty());
    CHECK(read_limit("", memory).empty());
}

TEST_CASE("a device that is none is not limited") {
    const LikeAGroup group;
    const Fd directory(::open(group.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto terminal = set_limit(directory.get(), {"io.max", "rbps=1", "/dev/null", {}});
    REQUIRE_FALSE(terminal);
    CHECK(terminal.error().number == ENOTBLK);
}

TEST_CASE("as tight is what is the same or less, and nothing that could not be read") {
    const auto memory = limit("memory.max", "67108865");
    CHECK(as_tight(memory, "67108864"));   // whole pages
    CHECK_FALSE(as_tight(memory, "67112960"));
    CHECK_FALSE(as_tight(memory, "max"));
    CHECK_FALSE(as_tight(memory, ""));
    CHECK(as_tight(limit("pids.max", "10"), "10"));
    CHECK_FALSE(as_tight(limit("pids.max", "10"), "11"));
}

TEST_CASE("a share of a processor is compared whatever the period, a weight by its value") {
    const auto half = limit("cpu.max", "50000 100000");
    CHECK(as_tight(half, "50000 100000"));
    CHECK(as_tight(half, "10000 20000"));
    CHECK_FALSE(as_tight(half, "60000 100000"));
    CHECK_FALSE(as_tight(half, "max 100000"));
    CHECK(as_tight(limit("cpu.weight", "50"), "50"));
    CHECK_FALSE(as_tight(limit("cpu.weight", "50"), "49"));
    CHECK(as_tight(limit("io.weight", "default 50"), "default 50"));
}

TEST_CASE("of a device every limit that was wanted must be there") {
    const GroupLimit wanted{"io.max", "rbps=1048576 wiops=100", "/dev/vda", {}};
    CHECK(as_tight(wanted, "rbps=1048576 wbps=max riops=max wiops=100"));
    CHECK_FALSE(as_tight(wanted, "rbps=1048576 wbps=max riops=max wiops=max"));
    CHECK_FALSE(as_tight(wanted, "wiops=100"));
}
