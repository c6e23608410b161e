#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <csignal>
#include <memory>

#include "unit/broker/stand.h"

using namespace warder;
using namespace warder::broker;
using warder::test::in_namespaces;
using warder::test::Stand;

namespace {

constexpr std::uint16_t nonblock = static_cast<std::uint16_t>(OpenFlag::nonblock);

Task key(Operation operation, std::string_view name, std::string_view value = {}) {
    Task task;
    task.operation = operation;
    task.path = name;
    task.second = value;
    return task;
}

Task tun(int directory, std::string_view interface) {
    Task task;
    task.operation = Operation::device;
    task.path = "tun";
    task.directory = directory;
    task.interface = interface;
    task.writes = true;
    return task;
}

}  // namespace

TEST_CASE("a device is opened for what the grant says, by root, and only with patience") {
    NEEDS_ROOT();
    for (const char* base : {"/tmp", "/dev/shm"}) {
        Stand stand(base);
        REQUIRE(::mknod(stand.at("zero").c_str(), S_IFCHR | 0600, ::makedev(1, 5)) == 0);
        Task task = stand.worker_task(Operation::device, "zero");
        CHECK(stand.perform(task, Patience::never).reason == Reason::would_block);
        const auto reading = stand.perform(task);
        if (reading.error == EACCES && std::string_view(base) == "/dev/shm") continue;   // mounted nodev
        REQUIRE(reading.reason == Reason::ok);
        CHECK((::fcntl(reading.fd.get(), F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_RDONLY);
        CHECK((::fcntl(reading.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK(reading.inode == stand.about("zero").st_ino);
        task.writes = true;
        task.flags = nonblock;
        const auto writing = stand.perform(task);
        REQUIRE(writing.reason == Reason::ok);
        CHECK((::fcntl(writing.fd.get(), F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDWR | O_NONBLOCK));
    }
}

TEST_CASE("what is no device is not opened as one, and a symlink is not followed") {
    NEEDS_ROOT();
    Stand stand;
    stand.write("file", "");
    REQUIRE(::mkfifo(stand.at("fifo").c_str(), 0600) == 0);
    REQUIRE(::symlink("/dev/null", stand.at("link").c_str()) == 0);
    for (const char* name : {"file", "fifo", "link", ""}) {
        Task task = stand.task(Operation::device, name);
        task.writes = true;
        CHECK(stand.perform(task).error == ENODEV);
    }
    CHECK(stand.perform(stand.task(Operation::device, "absent")).error == ENOENT);
    REQUIRE(::mknod(stand.at("nobody").c_str(), S_IFCHR | 0600, ::makedev(250, 200)) == 0);
    CHECK(stand.perform(stand.task(Operation::device, "nobody")).error == ENXIO);
}

TEST_CASE("tun and tap come with their interface, whose name is told") {
    NEEDS_ROOT();
    const Fd net(::open("/dev/net", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!net || ::faccessat(net.get(), "tun", R_OK | W_OK, 0) != 0) {
        MESSAGE("skipped: no /dev/net/tun");
        return;
    }
    const int line = in_namespaces(CLONE_NEWNET, [&] {
        Stand stand;
        const auto made = stand.perform(tun(net.get(), "tun-w0"));
        if (made.error == ENODEV || made.error == ENXIO) return 253;   // the node is there, the driver is not
        HOLDS(made.reason == Reason::ok);
        HOLDS(made.data == "tun-w0");
        HOLDS(::if_nametoindex("tun-w0") != 0);
        ifreq seen{};
        HOLDS(::ioctl(made.fd.get(), TUNGETIFF, &seen) == 0);
        HOLDS((seen.ifr_flags & (IFF_TUN | IFF_TAP | IFF_NO_PI)) == (IFF_TUN | IFF_NO_PI));
        HOLDS(stand.perform(tun(net.get(), "tun-w0")).error == EBUSY);
        const auto tap = stand.perform(tun(net.get(), "tap%d"));
        HOLDS(tap.reason == Reason::ok);
        HOLDS(tap.data == "tap0");
        HOLDS(::ioctl(tap.fd.get(), TUNGETIFF, &seen) == 0);
        HOLDS((seen.ifr_flags & (IFF_TUN | IFF_TAP)) == IFF_TAP);
        HOLDS(stand.perform(tun(net.get(), "a-name-that-is-too-long")).error == EINVAL);
        return 0;
    });
    if (line == 253) MESSAGE("skipped: no tun driver");
    CHECK((line == 0 || line == 253));
}

TEST_CASE("a key of the kernel is read, with dots or with slashes between its parts") {
    NEEDS_ROOT();
    Stand stand;
    for (const char* name : {"kernel.ostype", "kernel/ostype"}) {
        const auto performed = stand.perform(key(Operation::sysctl_read, name));
        REQUIRE(performed.reason == Reason::ok);
        CHECK(performed.data == "Linux");
        CHECK(performed.value == 5);
        CHECK_FALSE(static_cast<bool>(performed.fd));
    }
    CHECK(stand.perform(key(Operation::sysctl_read, "kernel.ostype"), Patience::never).reason == Reason::would_block);
    CHECK(stand.perform(key(Operation::sysctl_read, "kernel.absent")).error == ENOENT);
    CHECK(stand.perform(key(Operation::sysctl_read, "net/ipv4.ip_forward")).error == ENOENT);   // a dot is a dot there
}

TEST_CASE("T22: what is no key is refused before anything is looked up, and a directory is none") {
    NEEDS_ROOT();
    Stand stand;
    const std::string endless(5000, 'a');
    for (const std::string_view name : {std::string_view(""), std::string_view(".."), std::string_view("kernel..ostype"),
                                        std::string_view("../version"), std::string_view("/proc/version"),
                                        std::string_view("kernel/../../version"), std::string_view("kernel.ostype."),
                                        std::string_view("kernel.os type"), std::string_view("kernel\0ostype", 13),
                                        std::string_view(endless)}) {
        CHECK(stand.perform(key(Operation::sysctl_read, name)).reason == Reason::bad_argument);
        CHECK(stand.perform(key(Operation::sysctl_write, name, "1")).reason == Reason::bad_argument);
    }
    CHECK(stand.perform(key(Operation::sysctl_read, "kernel")).reason == Reason::not_regular);
    CHECK(stand.perform(key(Operation::sysctl_write, "kernel", "1")).error == EISDIR);
}

TEST_CASE("a key is written, as root, and refuses what it always refused") {
    NEEDS_ROOT();
    const int line = in_namespaces(CLONE_NEWNET, [] {
        Stand stand;
        for (const char* value : {"1", "0"}) {
            HOLDS(stand.perform(key(Operation::sysctl_write, "net.ipv4.ip_forward", value)).reason == Reason::ok);
            HOLDS(stand.perform(key(Operation::sysctl_read, "net.ipv4.ip_forward")).data == value);
        }
        HOLDS(stand.perform(key(Operation::sysctl_write, "net.ipv4.ip_forward", "yes")).error == EINVAL);
        HOLDS(stand.perform(key(Operation::sysctl_write, "kernel.ostype", "Hurd")).error == EACCES);
        return 0;
    });
    CHECK(line == 0);
}
