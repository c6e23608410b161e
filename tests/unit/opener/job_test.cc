#include "opener/job.h"

#include <doctest/doctest.h>

#include <memory>

#include "protocol/message.h"

using namespace warder;
using namespace warder::opener;

namespace {

using Items = std::array<broker::JobItem, protocol::max_requests>;

Identity some_identity() {
    Identity identity{.uid = 1001, .gid = 1002};
    identity.groups = {7, 8, 9};
    identity.group_count = 3;
    return identity;
}

broker::JobItem to_perform(int directory, std::string_view path) {
    broker::JobItem item;
    item.grant = GrantId{4};
    item.grant_name = "site";
    item.shown = "/srv/www/new.html";
    item.task.operation = Operation::create;
    item.task.flags = 0x0006;
    item.task.mode = 0640;
    item.task.as = policy::As::root;
    item.task.owner = 61001;
    item.task.owner_group = 61002;
    item.task.owned = true;
    item.task.cross_mounts = true;
    item.task.directory = directory;
    item.task.prefix = "/srv/www";
    item.task.making = broker::Making::tree;
    item.task.making_mode = 0750;
    item.task.path = path;
    item.task.second = "other.html";
    return item;
}

broker::JobItem denied() {
    broker::JobItem item;
    item.settled = true;
    item.outcome.reason = Reason::not_granted;
    item.outcome.error = EACCES;
    item.outcome.text = "no grant of web covers /etc/shadow";
    return item;
}

broker::JobItem to_lend(int listener) {
    broker::JobItem item;
    item.settled = true;
    item.grant = GrantId{2};
    item.lend = listener;
    return item;
}

struct Coded {
    Identity identity = some_identity();
    std::unique_ptr<std::array<std::byte, max_job>> buffer = std::make_unique<std::array<std::byte, max_job>>();
    JobFds fds;
    std::unique_ptr<Items> out = std::make_unique<Items>();

    Result<Bytes> encode(std::span<const broker::JobItem> items) {
        const broker::Job job{WorkerId{3}, 5, RequestId{77}, &identity, 40, items};
        return opener::encode(*buffer, 99, job, fds);
    }
};

}  // namespace

TEST_CASE("a job arrives as it was sent: a task, a denial and a listener to lend") {
    Coded coded;
    broker::JobItem connect;
    connect.task.operation = Operation::connect;
    connect.task.address = policy::parse_address("tcp:192.0.2.7:8080").value();
    broker::JobItem dial;
    dial.task.address = policy::parse_address("unix:@name").value();
    const broker::JobItem items[] = {to_perform(41, "new.html"), denied(), to_lend(42), connect, dial};
    const auto bytes = coded.encode(items);
    REQUIRE(bytes);
    REQUIRE(coded.fds.count == 3);
    const std::array<int, 3> here = {10, 11, 12};   // the numbers that they have on the other side
    const auto view = decode(*bytes, here, *coded.out);
    REQUIRE(view);
    CHECK(view->id == 99);
    CHECK(view->worker == WorkerId{3});
    CHECK(view->generation == 5);
    CHECK(view->request == RequestId{77});
    CHECK(view->identity == some_identity());
    REQUIRE(view->count == 5);

    const auto& task = (*coded.out)[0].task;
    CHECK_FALSE((*coded.out)[0].settled);
    CHECK((*coded.out)[0].grant == GrantId{4});
    CHECK((*coded.out)[0].grant_name == "site");
    CHECK((*coded.out)[0].shown == "/srv/www/new.html");
    CHECK(task.operation == Operation::create);
    CHECK(task.flags == 0x0006);
    CHECK(task.mode == 0640);
    CHECK(task.as == policy::As::root);
    CHECK(task.owner == 61001);
    CHECK(task.owner_group == 61002);
    CHECK(task.owned);
    CHECK(task.cross_mounts);
    CHECK(task.directory == 11);
    CHECK(task.prefix == "/srv/www");
    CHECK(task.making == broker::Making::tree);
    CHECK(task.making_mode == 0750);
    CHECK(task.path == "new.html");
    CHECK(task.second == "other.html");

    CHECK((*coded.out)[1].settled);
    CHECK((*coded.out)[1].lend == -1);
    CHECK((*coded.out)[1].outcome.reason == Reason::not_granted);
    CHECK((*coded.out)[1].outcome.error == EACCES);
    CHECK((*coded.out)[1].outcome.text == "no grant of web covers /etc/shadow");
    CHECK((*coded.out)[1].outcome.fds == 0);
    CHECK((*coded.out)[1].grant == GrantId::none);

    CHECK((*coded.out)[2].settled);
    CHECK((*coded.out)[2].lend == 12);
    CHECK((*coded.out)[2].outcome.fds == 1);

    CHECK(policy::format((*coded.out)[3].task.address).view() == "tcp:192.0.2.7:8080");
    CHECK(policy::format((*coded.out)[4].task.address).view() == "unix:@name");
}

TEST_CASE("what only some operations need arrives as well") {
    Coded coded;
    broker::JobItem cut = to_perform(41, "file");
    cut.task.operation = Operation::truncate;
    cut.task.argument = 0xfedcba9876543210;
    broker::JobItem packet;
    packet.task.operation = Operation::packet;
    packet.task.protocol = 0x88cc;
    packet.task.interface = "eth0";
    broker::JobItem raw;
    raw.task.operation = Operation::raw;
    raw.task.family = policy::Family::ipv6;
    raw.task.protocol = 58;
    broker::JobItem device = to_perform(41, "tun");
    device.task.writes = true;
    device.task.interface = "tap%d";
    broker::JobItem key;
    key.task.operation = Operation::sysctl_write;
    key.task.path = "net.ipv4.ip_forward";
    key.task.second = "1";
    broker::JobItem vsock;
    vsock.task.address = policy::parse_address("vsock-seqpacket:2:70000").value();
    const broker::JobItem items[] = {cut, packet, raw, device, key, vsock};
    const auto bytes = coded.encode(items);
    REQUIRE(bytes);
    const std::array<int, 2> here = {10, 11};
    REQUIRE(decode(*bytes, here, *coded.out));
    const auto task = [&](std::size_t index) -> const broker::Task& { return (*coded.out)[index].task; };
    CHECK(task(0).argument == 0xfedcba9876543210);
    CHECK(task(0).interface.empty());
    CHECK_FALSE(task(0).writes);
    CHECK(task(1).operation == Operation::packet);
    CHECK(task(1).protocol == 0x88cc);
    CHECK(task(1).interface == "eth0");
    CHECK(task(1).argument == 0);
    CHECK(task(2).family == policy::Family::ipv6);
    CHECK(task(2).protocol == 58);
    CHECK(task(3).writes);
    CHECK(task(3).interface == "tap%d");
    CHECK(task(3).directory == 11);
    CHECK(task(4).path == "net.ipv4.ip_forward");
    CHECK(task(4).second == "1");
    CHECK(policy::format(task(5).address).view() == "vsock-seqpacket:2:70000");
}

TEST_CASE("a directory that many requests share travels once, behind the worker's channel") {
    Coded coded;
    const std::vector<broker::JobItem> items(253, to_perform(41, "a"));
    REQUIRE(coded.encode(items));
    CHECK(coded.fds.count == 2);
    CHECK(coded.fds.numbers[0] == 40);
    CHECK(coded.fds.numbers[1] == 41);
}

TEST_CASE("252 directories fit beside the channel; with one more the job is refused") {
    Coded coded;
    std::vector<broker::JobItem> items;
    for (int i = 0; i < 252; ++i) items.push_back(to_perform(100 + i, "a"));
    REQUIRE(coded.encode(items));
    CHECK(coded.fds.count == 253);
    items.push_back(to_perform(1000, "a"));
    const auto refused = coded.encode(items);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().number == EMSGSIZE);
}

TEST_CASE("texts that no message holds are refused") {
    Coded coded;
    const std::string path(4000, 'x');
    const std::vector<broker::JobItem> items(50, to_perform(41, path));
    const auto refused = coded.encode(items);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().number == EMSGSIZE);
}

TEST_CASE("T14: a job that is cut anywhere is refused") {
    Coded coded;
    const broker::JobItem items[] = {to_perform(41, "new.html"), denied()};
    const auto bytes = coded.encode(items);
    REQUIRE(bytes);
    for (std::size_t size = 0; size < bytes->size(); ++size) {
        const auto cut = decode(bytes->first(size), {}, *coded.out);
        REQUIRE_FALSE(cut);
        CHECK(cut.error().number == EPROTO);
    }
}

TEST_CASE("T14: places that no descriptor stands for are none, and never another's") {
    Coded coded;
    const broker::JobItem items[] = {to_perform(41, "a"), to_lend(42)};
    const auto bytes = coded.encode(items);
    REQUIRE(bytes);
    const std::array<int, 2> fewer = {10, 11};
    REQUIRE(decode(*bytes, fewer, *coded.out));
    CHECK((*coded.out)[0].task.directory == 11);
    CHECK((*coded.out)[1].lend == -1);
    // In the parent, where there are none any more, a listener is still told from a denial.
    REQUIRE(decode(*bytes, {}, *coded.out));
    CHECK((*coded.out)[0].task.directory == -1);
    CHECK((*coded.out)[1].lend >= 0);
}

TEST_CASE("T14: more requests than there is room for are refused") {
    Coded coded;
    const std::vector<broker::JobItem> items(3, denied());
    const auto bytes = coded.encode(items);
    REQUIRE(bytes);
    std::array<broker::JobItem, 2> room;
    const auto refused = decode(*bytes, {}, room);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().number == EPROTO);
}

TEST_CASE("results arrive as they were sent, and are refused when cut or too many") {
    std::array<std::byte, 256> buffer;
    const broker::JobResult results[] = {{Reason::ok, 0, 5, 6}, {Reason::system, ENOENT, 0, 0}};
    const auto bytes = encode_results(buffer, 12, results);
    REQUIRE(bytes);
    std::array<broker::JobResult, 2> out;
    const auto view = decode_results(*bytes, out);
    REQUIRE(view);
    CHECK(view->id == 12);
    CHECK(view->count == 2);
    CHECK(out[0].device == 5);
    CHECK(out[0].inode == 6);
    CHECK(out[1].reason == Reason::system);
    CHECK(out[1].error == ENOENT);
    for (std::size_t size = 0; size < bytes->size(); ++size) CHECK_FALSE(decode_results(bytes->first(size), out));
    CHECK_FALSE(decode_results(*bytes, std::span(out).first(1)));
}
