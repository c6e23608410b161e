#include "protocol/codec.h"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

using namespace warder;
using namespace warder::protocol;

namespace {

using Datagram = std::vector<std::byte>;

Datagram kept(const Result<Bytes>& encoded) {
    REQUIRE(encoded.has_value());
    return {encoded->begin(), encoded->end()};
}

std::array<std::byte, 64 * 1024>& buffer() {
    static std::array<std::byte, 64 * 1024> bytes;
    return bytes;
}

constexpr RequestId seven{7};

Datagram an_ask(std::size_t count = 2) {
    std::vector<Request> requests(count, Request{1, 0, 0, "site", "a/b.html", {}, 0});
    requests.back() = Request{8, 0x000f, 0640, "logs", "old", "new", 0};
    return kept(encode_ask(buffer(), seven, requests));
}

Datagram an_answer() {
    const std::array<Outcome, 2> outcomes{{{0, Reason::ok, 1, GrantId{3}, {}, 42},
                                           {EACCES, Reason::not_granted, 0, GrantId::none, "no grant covers it", 0}}};
    return kept(encode_answer(buffer(), seven, outcomes));
}

// One message of each shape, with the decoder that it is for.
struct Example {
    const char* name;
    Datagram datagram;
    std::function<int(const Message&)> decode;  // 0, or the errno
};

template <typename T>
int errno_in(const Result<T>& result) {
    return result ? 0 : result.error().number;
}

std::vector<Example> examples() {
    const auto ids = seven;
    HelloReply hello_reply;
    hello_reply.max_message = 65536;
    hello_reply.worker = "web";
    return {
        {"hello", kept(encode_hello(buffer(), ids, {})), [](const Message& m) { return errno_in(decode_hello(m)); }},
        {"hello_reply", kept(encode_hello_reply(buffer(), ids, hello_reply)),
         [](const Message& m) { return errno_in(decode_hello_reply(m)); }},
        {"ask", an_ask(), [](const Message& m) { return errno_in(decode_ask(m)); }},
        {"answer", an_answer(), [](const Message& m) { return errno_in(decode_answer(m)); }},
        {"ready", kept(encode_text(buffer(), Type::ready, ids, "serving")),
         [](const Message& m) { return errno_in(decode_text(m)); }},
        {"done", kept(encode_done(buffer(), ids, {EPROTO, Reason::protocol, "no"})),
         [](const Message& m) { return errno_in(decode_done(m)); }},
        {"event", kept(encode_event(buffer(), Type::secret, {"key", 2, 1})),
         [](const Message& m) { return errno_in(decode_event(m)); }},
        {"found", kept(encode_found(buffer(), ids, {9, ENOENT, "192.0.2.1"})),
         [](const Message& m) { return errno_in(decode_found(m)); }},
        {"command", kept(encode_command(buffer(), ids, {Verb::why, 1, 5, "web", "read", "/etc/shadow"})),
         [](const Message& m) { return errno_in(decode_command(m)); }},
        {"report", kept(encode_report(buffer(), ids, {0, true, "{\"a\": 1}"})),
         [](const Message& m) { return errno_in(decode_report(m)); }},
    };
}

// 0 if the datagram is taken for what the example is, otherwise the errno.
int outcome_of(const Example& example, const Datagram& datagram) {
    const auto message = decode(datagram);
    return message ? example.decode(*message) : message.error().number;
}

template <typename T>
void put(Datagram& datagram, std::size_t offset, T value) {
    REQUIRE(offset + sizeof value <= datagram.size());
    std::memcpy(datagram.data() + offset, &value, sizeof value);
}

template <typename T>
T get(const Datagram& datagram, std::size_t offset) {
    T value{};
    std::memcpy(&value, datagram.data() + offset, sizeof value);
    return value;
}

// Puts `extra` between body and strings and counts it to the body.
Datagram longer_body(Datagram datagram, const Datagram& extra) {
    const auto size = get<std::uint32_t>(datagram, offsetof(Header, body_size));
    put(datagram, offsetof(Header, body_size), static_cast<std::uint32_t>(size + extra.size()));
    const auto at = datagram.begin() + static_cast<std::ptrdiff_t>(sizeof(Header) + size);
    datagram.insert(at, extra.begin(), extra.end());
    return datagram;
}

int ask_errno(const Datagram& datagram) {
    const auto message = decode(datagram);
    return message ? errno_in(decode_ask(*message)) : message.error().number;
}

constexpr std::size_t items_at = sizeof(Header);
constexpr std::size_t first_item_at = sizeof(Header) + sizeof(wire::Items);

}  // namespace

TEST_CASE("a hello says its versions and features") {
    const auto datagram = kept(encode_hello(buffer(), seven, {1, 3, 0x8000000000000001}));
    const auto message = decode(datagram).value();
    CHECK(message.type == Type::hello);
    CHECK(message.id == seven);
    const auto hello = decode_hello(message).value();
    CHECK(hello.version_min == 1);
    CHECK(hello.version_max == 3);
    CHECK(hello.features == 0x8000000000000001);
}

TEST_CASE("a hello's reply comes back as it was said") {
    const HelloReply said{EPROTONOSUPPORT, 1, 2, 65536, 253, Requesters::group, "web@1"};
    const auto datagram = kept(encode_hello_reply(buffer(), seven, said));
    const auto reply = decode_hello_reply(decode(datagram).value()).value();
    CHECK(reply.error == EPROTONOSUPPORT);
    CHECK(reply.version == 1);
    CHECK(reply.features == 2);
    CHECK(reply.max_message == 65536);
    CHECK(reply.max_requests == 253);
    CHECK(reply.requesters == Requesters::group);
    CHECK(reply.worker == "web@1");
}

TEST_CASE("an ask comes back with every field of every request") {
    const auto datagram = an_ask(3);
    const auto requests = decode_ask(decode(datagram).value()).value();
    REQUIRE(requests.size() == 3);
    CHECK(requests.at(0).operation == 1);
    CHECK(requests.at(1).grant == "site");
    CHECK(requests.at(1).target == "a/b.html");
    CHECK(requests.at(1).second.empty());
    CHECK(requests.at(2).flags == 0x000f);
    CHECK(requests.at(2).mode == 0640);
    CHECK(requests.at(2).second == "new");
}

TEST_CASE("an answer comes back with every field of every outcome") {
    const auto datagram = an_answer();
    const auto outcomes = decode_answer(decode(datagram).value()).value();
    REQUIRE(outcomes.size() == 2);
    CHECK(outcomes.at(0).error == 0);
    CHECK(outcomes.at(0).fds == 1);
    CHECK(outcomes.at(0).grant == GrantId{3});
    CHECK(outcomes.at(0).value == 42);
    CHECK(outcomes.at(1).error == EACCES);
    CHECK(outcomes.at(1).reason == Reason::not_granted);
    CHECK(outcomes.at(1).grant == GrantId::none);
    CHECK(outcomes.at(1).text == "no grant covers it");
}

TEST_CASE("texts, events, commands and reports come back as they were said") {
    const auto text = kept(encode_text(buffer(), Type::status, seven, "half way"));
    CHECK(decode(text).value().type == Type::status);
    CHECK(decode_text(decode(text).value()).value() == "half way");

    const auto done = kept(encode_done(buffer(), seven, {EINVAL, Reason::bad_flags, "why"}));
    CHECK(decode_done(decode(done).value()).value().reason == Reason::bad_flags);
    CHECK(decode_done(decode(done).value()).value().text == "why");

    const auto event = kept(encode_event(buffer(), Type::secret, {"key", UINT64_MAX, 1}));
    CHECK(decode(event).value().id == RequestId::event);
    CHECK(decode_event(decode(event).value()).value().name == "key");
    CHECK(decode_event(decode(event).value()).value().value == UINT64_MAX);

    const auto found = kept(encode_found(buffer(), seven, {UINT64_MAX - 1, EAGAIN, "a\nb"}));
    CHECK(decode(found).value().type == Type::found);
    CHECK(decode_found(decode(found).value()).value().query == UINT64_MAX - 1);
    CHECK(decode_found(decode(found).value()).value().error == EAGAIN);
    CHECK(decode_found(decode(found).value()).value().text == "a\nb");

    const auto command = kept(encode_command(buffer(), seven, {Verb::why, 1, 9, "web", "read", "/a"}));
    const auto verb = decode_command(decode(command).value()).value();
    CHECK(verb.verb == Verb::why);
    CHECK(verb.number == 9);
    CHECK(verb.second == "/a");

    const auto report = kept(encode_report(buffer(), seven, {0, true, "{}"}));
    CHECK(decode_report(decode(report).value()).value().more);
    CHECK(decode_report(decode(report).value()).value().text == "{}");
}

TEST_CASE("each example decodes as what it is") {
    for (const auto& example : examples()) {
        CAPTURE(example.name);
        CHECK(outcome_of(example, example.datagram) == 0);
    }
}

TEST_CASE("T14: every beginning of a message that is not the whole is refused") {
    for (const auto& example : examples()) {
        CAPTURE(example.name);
        for (std::size_t size = 0; size < example.datagram.size(); ++size) {
            const Datagram cut(example.datagram.begin(), example.datagram.begin() + static_cast<std::ptrdiff_t>(size));
            CHECK(outcome_of(example, cut) == EPROTO);
        }
    }
}

TEST_CASE("T14: bytes behind the lengths of the header are refused") {
    for (const auto& example : examples()) {
        Datagram longer = example.datagram;
        longer.push_back(std::byte{0});
        CHECK(outcome_of(example, longer) == EPROTO);
    }
}

TEST_CASE("T14: each 32-bit word of a message may be 0, its greatest, or one less, and nothing is read outside") {
    for (const auto& example : examples()) {
        CAPTURE(example.name);
        for (std::size_t offset = 0; offset + 4 <= example.datagram.size(); ++offset) {
            for (const std::uint32_t value : {0U, UINT32_MAX, UINT32_MAX - 1, 0x7fffffffU, 0x80000000U}) {
                // Exactly as long as the message, so that a sanitizer sees a read past the end.
                Datagram changed = example.datagram;
                put(changed, offset, value);
                const int error = outcome_of(example, changed);
                CHECK((error == 0 || error == EPROTO || error == E2BIG));
            }
        }
    }
}

TEST_CASE("T14: a body or strings of any wrong length are refused") {
    for (const auto& example : examples()) {
        for (const std::size_t field : {offsetof(Header, body_size), offsetof(Header, strings_size)}) {
            const auto right = get<std::uint32_t>(example.datagram, field);
            for (const std::uint32_t wrong : {right + 1, right - 1, UINT32_MAX, UINT32_MAX - 1, UINT32_MAX - right}) {
                Datagram changed = example.datagram;
                put(changed, field, wrong);
                CHECK(outcome_of(example, changed) == EPROTO);
            }
        }
    }
}

TEST_CASE("T14: two lengths that add up only by overflow are refused") {
    Datagram changed = an_ask();
    const auto body = get<std::uint32_t>(changed, offsetof(Header, body_size));
    const auto strings = get<std::uint32_t>(changed, offsetof(Header, strings_size));
    put(changed, offsetof(Header, body_size), body + 0x80000000U);
    put(changed, offsetof(Header, strings_size), strings + 0x80000000U);
    CHECK(ask_errno(changed) == EPROTO);
}

TEST_CASE("a message with a flag is refused, for none are defined") {
    for (unsigned bit = 0; bit < 16; ++bit) {
        Datagram changed = an_ask();
        put(changed, offsetof(Header, flags), static_cast<std::uint16_t>(1U << bit));
        CHECK(ask_errno(changed) == EPROTO);
    }
}

TEST_CASE("T21: a message of a type that is not known still has its header read") {
    Datagram changed = an_ask();
    for (const unsigned type : {0U, 0x0009U, 0x1fffU, 0xffffU}) {
        put(changed, offsetof(Header, type), static_cast<std::uint16_t>(type));
        REQUIRE(decode(changed).has_value());
        CHECK(static_cast<unsigned>(decode(changed)->type) == type);
    }
}

TEST_CASE("T21: an operation that is not known comes through as it was sent, for the policy to refuse") {
    for (const unsigned operation : {0U, 34U, 0x8001U, 0xffffU}) {
        Datagram changed = an_ask();
        put(changed, first_item_at, static_cast<std::uint16_t>(operation));
        const auto requests = decode_ask(decode(changed).value()).value();
        CHECK(requests.at(0).operation == operation);
    }
}

TEST_CASE("T21: a mode of all 32 bits and an argument of all 64 come through whole") {
    Datagram changed = an_ask();
    put(changed, first_item_at + offsetof(wire::Request, mode), UINT32_MAX);
    put(changed, first_item_at + offsetof(wire::Request, argument), std::uint64_t{0x100000000});
    const auto requests = decode_ask(decode(changed).value()).value();
    CHECK(requests.at(0).mode == UINT32_MAX);
    CHECK(requests.at(0).argument == 0x100000000);
}

TEST_CASE("a longer body is accepted if what is not known is zero, and is E2BIG if it is not") {
    for (const auto& example : examples()) {
        CAPTURE(example.name);
        CHECK(outcome_of(example, longer_body(example.datagram, Datagram(1))) == 0);
        CHECK(outcome_of(example, longer_body(example.datagram, Datagram(24))) == 0);
        Datagram unknown(24);
        unknown.back() = std::byte{1};
        CHECK(outcome_of(example, longer_body(example.datagram, unknown)) == E2BIG);
    }
}

TEST_CASE("a reserved field that is not zero is E2BIG in every message that has one") {
    const auto with_one_at = [](const char* name, std::size_t offset) {
        for (auto& example : examples()) {
            if (std::string_view(example.name) != name) continue;
            put(example.datagram, sizeof(Header) + offset, std::uint8_t{1});
            return outcome_of(example, example.datagram);
        }
        return 0;
    };
    CHECK(with_one_at("hello_reply", offsetof(wire::HelloReply, reserved)) == E2BIG);
    CHECK(with_one_at("answer", sizeof(wire::Items) + offsetof(wire::Outcome, reserved)) == E2BIG);
    CHECK(with_one_at("answer", sizeof(wire::Items) + sizeof(wire::Outcome) + offsetof(wire::Outcome, reserved)) == E2BIG);
    CHECK(with_one_at("done", offsetof(wire::Done, reserved)) == E2BIG);
    CHECK(with_one_at("event", offsetof(wire::Event, reserved)) == E2BIG);
    CHECK(with_one_at("found", offsetof(wire::Found, reserved)) == E2BIG);
}

TEST_CASE("longer items are accepted if what is not known is zero, and are E2BIG if it is not") {
    const std::size_t item_size = sizeof(wire::Request) + 8;
    Datagram datagram(first_item_at + 2 * item_size + 4);
    put(datagram, 0, Header{2, 0, 7, static_cast<std::uint32_t>(sizeof(wire::Items) + 2 * item_size), 4});
    put(datagram, items_at, wire::Items{2, static_cast<std::uint16_t>(item_size), 0});
    put(datagram, first_item_at + item_size, wire::Request{3, 0, 0, {0, 4}, {}, {}, 0});
    std::memcpy(datagram.data() + datagram.size() - 4, "name", 4);
    const auto requests = decode_ask(decode(datagram).value()).value();
    REQUIRE(requests.size() == 2);
    CHECK(requests.at(1).operation == 3);
    CHECK(requests.at(1).grant == "name");
    put(datagram, first_item_at + sizeof(wire::Request) + 7, std::byte{1});
    CHECK(ask_errno(datagram) == E2BIG);
}

TEST_CASE("an item of any wrong size, or a count of any wrong number, is refused") {
    for (const unsigned size : {0U, 1U, 39U, 41U, 79U, 80U, 81U, 0xfffeU, 0xffffU}) {
        Datagram changed = an_ask();
        put(changed, items_at + offsetof(wire::Items, item_size), static_cast<std::uint16_t>(size));
        CAPTURE(size);
        CHECK(ask_errno(changed) != 0);
    }
    for (const unsigned count : {0U, 3U, 253U, 254U, 255U, 0xffffU}) {
        Datagram changed = an_ask();
        put(changed, items_at + offsetof(wire::Items, count), static_cast<std::uint16_t>(count));
        CAPTURE(count);
        CHECK(ask_errno(changed) == EPROTO);
    }
    Datagram reserved = an_ask();
    put(reserved, items_at + offsetof(wire::Items, reserved), std::uint32_t{1});
    CHECK(ask_errno(reserved) == E2BIG);
}

TEST_CASE("253 requests fit into one ask, 254 and none do not") {
    const auto datagram = an_ask(253);
    CHECK(decode_ask(decode(datagram).value()).value().size() == 253);
    CHECK(decode_ask(decode(datagram).value()).value().at(252).target == "old");
    const std::vector<Request> too_many(254);
    CHECK(encode_ask(buffer(), seven, too_many).error().number == EMSGSIZE);
    CHECK(encode_ask(buffer(), seven, {}).error().number == EMSGSIZE);
}

TEST_CASE("254 requests are refused although they are all there") {
    Datagram datagram(first_item_at + 254 * sizeof(wire::Request));
    put(datagram, 0, Header{2, 0, 7, static_cast<std::uint32_t>(datagram.size() - sizeof(Header)), 0});
    put(datagram, items_at, wire::Items{254, sizeof(wire::Request), 0});
    CHECK(ask_errno(datagram) == EPROTO);
    put(datagram, items_at, wire::Items{253, sizeof(wire::Request), 0});
    CHECK(ask_errno(datagram) == 0);  // what is behind the last is zero
}

TEST_CASE("texts may overlap, and may lie at the very edges of the strings") {
    Datagram datagram(first_item_at + sizeof(wire::Request) + 6);
    put(datagram, 0, Header{2, 0, 7, sizeof(wire::Items) + sizeof(wire::Request), 6});
    put(datagram, items_at, wire::Items{1, sizeof(wire::Request), 0});
    std::memcpy(datagram.data() + datagram.size() - 6, "abcdef", 6);
    const auto with = [&](Span grant, Span target, Span second) {
        put(datagram, first_item_at, wire::Request{1, 0, 0, grant, target, second, 0});
        return datagram;
    };
    const auto whole = with({0, 6}, {2, 4}, {6, 0});
    const auto request = decode_ask(decode(whole).value()).value().at(0);
    CHECK(request.grant == "abcdef");
    CHECK(request.target == "cdef");
    CHECK(request.second.empty());
    for (const Span span :
         {Span{0, 7}, Span{1, 6}, Span{6, 1}, Span{7, 0}, Span{UINT32_MAX, 0}, Span{0, UINT32_MAX},
          Span{UINT32_MAX, UINT32_MAX}, Span{1, UINT32_MAX}, Span{UINT32_MAX, 1}, Span{2, UINT32_MAX - 1}}) {
        CAPTURE(span.offset);
        CAPTURE(span.length);
        CHECK(ask_errno(with(span, {}, {})) == EPROTO);
        CHECK(ask_errno(with({}, span, {})) == EPROTO);
        CHECK(ask_errno(with({}, {}, span)) == EPROTO);
    }
}

TEST_CASE("each text of each message is refused outside of its strings") {
    for (const auto& example : examples()) {
        if (get<std::uint32_t>(example.datagram, offsetof(Header, strings_size)) == 0) continue;
        Datagram without = example.datagram;
        const auto strings = get<std::uint32_t>(without, offsetof(Header, strings_size));
        put(without, offsetof(Header, strings_size), strings - 1);
        without.pop_back();
        CAPTURE(example.name);
        CHECK(outcome_of(example, without) == EPROTO);
    }
}

TEST_CASE("what does not fit into the buffer, or into a message, is not encoded") {
    const std::string long_text(65536, 'x');
    std::vector<std::byte> large(256 * 1024);
    CHECK(encode_text(large, Type::ready, seven, long_text).error().number == EMSGSIZE);
    CHECK(encode_text(large, Type::ready, seven, std::string_view(long_text).substr(24)).has_value());
    CHECK(encode_text(large, Type::ready, seven, std::string_view(long_text).substr(23)).error().number == EMSGSIZE);
    const std::vector<Request> requests(3, Request{1, 0, 0, {}, std::string_view(long_text).substr(1), {}, 0});
    CHECK(encode_ask(large, seven, requests).error().number == EMSGSIZE);
    for (std::size_t size = 0; size < an_ask(1).size(); ++size) {
        std::vector<std::byte> small(size);
        const std::array<Request, 1> one{{{8, 0x000f, 0640, "logs", "old", "new", 0}}};
        CHECK(encode_ask(small, seven, one).error().number == EMSGSIZE);
    }
}

TEST_CASE("nothing at all is not a message") { CHECK(decode({}).error().number == EPROTO); }
