// Encoding and decoding. Pure: bytes in, values out, nothing allocated. A decoder takes hostile bytes: every length is
// compared with what is left, every unknown part must be zero, and the answer to anything else is EPROTO (or E2BIG for a
// longer body whose unknown part is not zero, and for a reserved field that is not), after which the session ends.
#pragma once

#include <span>

#include "base/bytes.h"
#include "base/error.h"
#include "protocol/message.h"

namespace warder::protocol {

// A datagram whose outer lengths are right: header, body and strings that together are exactly the datagram.
struct Message {
    Type type{};
    RequestId id{};
    Bytes body;
    Bytes strings;
};

// Errors: EPROTO for a datagram that is too short, whose lengths do not add up, or with flags set.
Result<Message> decode(Bytes datagram);

// What an ask or an answer holds: its items, each checked when the whole was decoded.
template <typename Value>
class List {
public:
    List() = default;
    // For the decoders, which have looked at every item.
    List(Bytes items, Bytes strings, std::size_t count, std::size_t item_size)
        : items_(items), strings_(strings), count_(count), item_size_(item_size) {}

    std::size_t size() const { return count_; }
    // One item with its texts. `index` is below size().
    Value at(std::size_t index) const;

private:
    Bytes items_;
    Bytes strings_;
    std::size_t count_ = 0;
    std::size_t item_size_ = 0;
};

using Requests = List<Request>;
using Outcomes = List<Outcome>;
template <>
Request Requests::at(std::size_t index) const;
template <>
Outcome Outcomes::at(std::size_t index) const;

Result<Hello> decode_hello(const Message& message);
Result<HelloReply> decode_hello_reply(const Message& message);
Result<Requests> decode_ask(const Message& message);      // 1 to 253 requests
Result<Outcomes> decode_answer(const Message& message);
Result<std::string_view> decode_text(const Message& message);   // ready, status, put, fetch, stored
Result<Done> decode_done(const Message& message);
Result<Event> decode_event(const Message& message);
Result<Found> decode_found(const Message& message);
Result<Command> decode_command(const Message& message);
Result<Report> decode_report(const Message& message);

// Each writes one datagram into `buffer` and returns the part that it used. Errors: EMSGSIZE when it does not fit, or
// when there are more requests than one ask may hold.
Result<Bytes> encode_hello(MutableBytes buffer, RequestId id, const Hello& hello);
Result<Bytes> encode_hello_reply(MutableBytes buffer, RequestId id, const HelloReply& reply);
Result<Bytes> encode_ask(MutableBytes buffer, RequestId id, std::span<const Request> requests);
Result<Bytes> encode_answer(MutableBytes buffer, RequestId id, std::span<const Outcome> outcomes);
Result<Bytes> encode_text(MutableBytes buffer, Type type, RequestId id, std::string_view text);
Result<Bytes> encode_done(MutableBytes buffer, RequestId id, const Done& done);
Result<Bytes> encode_event(MutableBytes buffer, Type type, const Event& event);
Result<Bytes> encode_found(MutableBytes buffer, RequestId id, const Found& found);
Result<Bytes> encode_command(MutableBytes buffer, RequestId id, const Command& command);
Result<Bytes> encode_report(MutableBytes buffer, RequestId id, const Report& report);

}  // namespace warder::protocol
