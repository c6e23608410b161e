#include "daemon/named_pipes.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

using namespace warder;
using namespace warder::daemon;

namespace {

struct Folder {
    std::string path;
    Folder() {
        char name[] = "/tmp/warder-names-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~Folder() { std::filesystem::remove_all(path); }

    std::size_t names() const {
        const std::filesystem::directory_iterator all(path + "/output");
        return static_cast<std::size_t>(std::distance(begin(all), end(all)));
    }
};

}  // namespace

TEST_CASE("T48: what a pipe with a name gives to its group is the writing end, waiting as a pipe does") {
    Folder folder;
    NamedPipes pipes;
    REQUIRE(pipes.begin(folder.path + "/output"));
    const auto pipe = pipes.make(::getegid());
    REQUIRE(pipe);
    struct stat about {};
    REQUIRE(::stat((folder.path + "/output/" + std::to_string(pipe->name)).c_str(), &about) == 0);
    CHECK(S_ISFIFO(about.st_mode));
    CHECK((about.st_mode & 07777) == 0220);
    CHECK(about.st_gid == ::getegid());
    CHECK((::fcntl(pipe->reading.get(), F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_RDONLY);
    CHECK((::fcntl(pipe->writing.get(), F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_WRONLY);
    pipes.remove(pipe->name);
    CHECK(folder.names() == 0);
    REQUIRE(::write(pipe->writing.get(), "x", 1) == 1);
    char byte = 0;
    CHECK(::read(pipe->reading.get(), &byte, 1) == 1);
}

TEST_CASE("names that a former warderd left are gone, and a directory that was swept away is made again") {
    Folder folder;
    const std::string directory = folder.path + "/output";
    std::filesystem::create_directory(directory);
    std::ofstream(directory + "/7") << "left";
    NamedPipes pipes;
    CHECK_FALSE(pipes.make(0));
    REQUIRE(pipes.begin(directory));
    CHECK(folder.names() == 0);
    REQUIRE(pipes.make(::getegid()));
    std::filesystem::remove_all(directory);
    const auto pipe = pipes.make(::getegid());
    REQUIRE(pipe);
    CHECK(folder.names() == 1);
    struct stat about {};
    REQUIRE(::stat(directory.c_str(), &about) == 0);
    CHECK((about.st_mode & 07777) == 0700);
}
