#include "protocol/codec.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace warder::protocol {
namespace {

constexpr std::size_t largest_message = 64 * 1024;

bool all_zero(Bytes bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

Failure bad(const char* what) { return failure(EPROTO, what); }
Failure unknown(const char* what) { return failure(E2BIG, what); }

// A body at least as long as we know it; a longer one only if what we do not know is zero.
template <typename Body>
Result<Body> take_body(const Message& message) {
    if (message.body.size() < sizeof(Body)) return bad("message body too short");
    if (!all_zero(message.body.subspan(sizeof(Body)))) return unknown("message body has unknown fields");
    Body body;
    std::memcpy(&body, message.body.data(), sizeof body);
    return body;
}

bool inside(Span span, Bytes strings) {
    return span.offset <= strings.size() && span.length <= strings.size() - span.offset;
}

// Only for spans that inside() has approved.
std::string_view text_at(Span span, Bytes strings) { return text_of(strings.subspan(span.offset, span.length)); }

Result<std::string_view> take_text(Span span, Bytes strings) {
    if (!inside(span, strings)) return bad("text outside the message");
    return text_at(span, strings);
}

template <typename Item>
Item item_at(Bytes items, std::size_t item_size, std::size_t index) {
    Item item;
    std::memcpy(&item, items.subspan(index * item_size).data(), sizeof item);
    return item;
}

// What is wrong with one item, if anything.
Result<void> check(const wire::Request& request, Bytes strings) {
    for (const Span span : {request.grant, request.target, request.second}) {
        if (!inside(span, strings)) return bad("text outside the message");
    }
    return {};
}

Result<void> check(const wire::Outcome& outcome, Bytes strings) {
    if (outcome.reserved != 0) return unknown("outcome has unknown fields");
    if (!inside(outcome.text, strings)) return bad("text outside the message");
    return {};
}

template <typename Item>
Result<void> check_item(Bytes items, std::size_t item_size, std::size_t index, Bytes strings) {
    if (!all_zero(items.subspan(index * item_size, item_size).subspan(sizeof(Item)))) {
        return unknown("request has unknown fields");
    }
    return check(item_at<Item>(items, item_size, index), strings);
}

template <typename Item, typename Value>
Result<List<Value>> take_items(const Message& message) {
    Reader reader(message.body);
    const auto head = reader.take<wire::Items>();
    if (!reader.ok()) return bad("message body too short");
    if (head.reserved != 0) return unknown("message body has unknown fields");
    if (head.count == 0 || head.count > max_requests) return bad("number of requests");
    if (head.item_size < sizeof(Item)) return bad("request too short");
    const Bytes items = reader.take_bytes(std::size_t{head.count} * head.item_size);
    if (!reader.ok()) return bad("requests outside the message");
    if (!all_zero(reader.left())) return unknown("message body has unknown fields");
    for (std::size_t i = 0; i < head.count; ++i) TRY(check_item<Item>(items, head.item_size, i, message.strings));
    return List<Value>(items, message.strings, head.count, head.item_size);
}

// Strings are laid down behind the body in the order in which they are placed.
class Strings {
public:
    Span place(std::string_view text) {
        const Span span{size_, static_cast<std::uint32_t>(std::min(text.size(), largest_message))};
        size_ += span.length;
        return span;
    }
    std::uint32_t size() const { return size_; }

private:
    std::uint32_t size_ = 0;
};

Result<Bytes> finish(const Writer& writer) {
    if (!writer.ok() || writer.used() > largest_message) return failure(EMSGSIZE, "encoding a message");
    return writer.written();
}

template <typename Body>
Result<Bytes> encode_one(MutableBytes buffer, Type type, RequestId id, const Body& body,
                                 std::initializer_list<std::string_view> texts) {
    std::size_t strings_size = 0;
    for (const auto text : texts) strings_size += text.size();
    if (strings_size > largest_message) return failure(EMSGSIZE, "encoding a message");
    Writer writer(buffer);
    writer.put(Header{static_cast<std::uint16_t>(type), 0, number(id), sizeof body,
                      static_cast<std::uint32_t>(strings_size)});
    writer.put(body);
    for (const auto text : texts) writer.put_bytes(bytes_of(text));
    return finish(writer);
}

template <typename Item, typename Value, typename ToWire, typename PutTexts>
Result<Bytes> encode_items(MutableBytes buffer, Type type, RequestId id, std::span<const Value> values,
                                   ToWire to_wire, PutTexts put_texts) {
    if (values.empty() || values.size() > max_requests) return failure(EMSGSIZE, "number of requests");
    const std::size_t body_size = sizeof(wire::Items) + values.size() * sizeof(Item);
    Writer writer(buffer);
    writer.put(Header{static_cast<std::uint16_t>(type), 0, number(id), static_cast<std::uint32_t>(body_size), 0});
    writer.put(wire::Items{static_cast<std::uint16_t>(values.size()), sizeof(Item), 0});
    Strings strings;
    for (const auto& value : values) writer.put(to_wire(value, strings));
    for (const auto& value : values) put_texts(value, writer);
    writer.put_at(offsetof(Header, strings_size), strings.size());
    return finish(writer);
}

}  // namespace

Result<Message> decode(Bytes datagram) {
    Reader reader(datagram);
    const auto header = reader.take<Header>();
    if (!reader.ok()) return bad("message shorter than its header");
    if (header.flags != 0) return bad("message flags");
    const Bytes body = reader.take_bytes(header.body_size);
    const Bytes strings = reader.take_bytes(header.strings_size);
    if (!reader.ok() || !reader.left().empty()) return bad("message lengths");
    return Message{static_cast<Type>(header.type), static_cast<RequestId>(header.id), body, strings};
}

template <>
Request Requests::at(std::size_t index) const {
    const auto raw = item_at<wire::Request>(items_, item_size_, index);
    return {raw.operation,
            raw.flags,
            raw.mode,
            text_at(raw.grant, strings_),
            text_at(raw.target, strings_),
            text_at(raw.second, strings_),
            raw.argument};
}

template <>
Outcome Outcomes::at(std::size_t index) const {
    const auto raw = item_at<wire::Outcome>(items_, item_size_, index);
    return {raw.error, static_cast<Reason>(raw.reason), raw.fds, static_cast<GrantId>(raw.grant),
            text_at(raw.text, strings_), raw.value};
}

Result<Hello> decode_hello(const Message& message) {
    const auto raw = TRY(take_body<wire::Hello>(message));
    return Hello{raw.version_min, raw.version_max, raw.features};
}

Result<HelloReply> decode_hello_reply(const Message& message) {
    const auto raw = TRY(take_body<wire::HelloReply>(message));
    if (raw.reserved != 0) return unknown("message body has unknown fields");
    return HelloReply{raw.error,        raw.version,      raw.features,
                      raw.max_message,  raw.max_requests, static_cast<Requesters>(raw.requesters),
                      TRY(take_text(raw.worker, message.strings))};
}

Result<Requests> decode_ask(const Message& message) { return take_items<wire::Request, Request>(message); }
Result<Outcomes> decode_answer(const Message& message) { return take_items<wire::Outcome, Outcome>(message); }

Result<std::string_view> decode_text(const Message& message) {
    const auto raw = TRY(take_body<wire::Text>(message));
    return take_text(raw.text, message.strings);
}

Result<Done> decode_done(const Message& message) {
    const auto raw = TRY(take_body<wire::Done>(message));
    if (raw.reserved != 0) return unknown("message body has unknown fields");
    return Done{raw.error, static_cast<Reason>(raw.reason), TRY(take_text(raw.text, message.strings))};
}

Result<Event> decode_event(const Message& message) {
    const auto raw = TRY(take_body<wire::Event>(message));
    if (raw.reserved != 0) return unknown("message body has unknown fields");
    return Event{TRY(take_text(raw.name, message.strings)), raw.value, raw.fds};
}

Result<Found> decode_found(const Message& message) {
    const auto raw = TRY(take_body<wire::Found>(message));
    if (raw.reserved != 0) return unknown("message body has unknown fields");
    return Found{raw.query, raw.error, TRY(take_text(raw.text, message.strings))};
}

Result<Command> decode_command(const Message& message) {
    const auto raw = TRY(take_body<wire::Command>(message));
    return Command{static_cast<Verb>(raw.verb),
                   raw.flags,
                   raw.number,
                   TRY(take_text(raw.worker, message.strings)),
                   TRY(take_text(raw.argument, message.strings)),
                   TRY(take_text(raw.second, message.strings))};
}

Result<Report> decode_report(const Message& message) {
    const auto raw = TRY(take_body<wire::Report>(message));
    return Report{raw.error, raw.more != 0, TRY(take_text(raw.text, message.strings))};
}

Result<Bytes> encode_hello(MutableBytes buffer, RequestId id, const Hello& hello) {
    return encode_one(buffer, Type::hello, id, wire::Hello{hello.version_min, hello.version_max, hello.features}, {});
}

Result<Bytes> encode_hello_reply(MutableBytes buffer, RequestId id, const HelloReply& reply) {
    Strings strings;
    const wire::HelloReply body{reply.error,
                                reply.version,
                                reply.features,
                                reply.max_message,
                                reply.max_requests,
                                static_cast<std::uint32_t>(reply.requesters),
                                0,
                                strings.place(reply.worker)};
    return encode_one(buffer, Type::hello_reply, id, body, {reply.worker});
}

Result<Bytes> encode_ask(MutableBytes buffer, RequestId id, std::span<const Request> requests) {
    return encode_items<wire::Request>(
        buffer, Type::ask, id, requests,
        [](const Request& request, Strings& strings) {
            return wire::Request{request.operation,
                                 request.flags,
                                 request.mode,
                                 strings.place(request.grant),
                                 strings.place(request.target),
                                 strings.place(request.second),
                                 request.argument};
        },
        [](const Request& request, Writer& writer) {
            for (const auto text : {request.grant, request.target, request.second}) writer.put_bytes(bytes_of(text));
        });
}

Result<Bytes> encode_answer(MutableBytes buffer, RequestId id, std::span<const Outcome> outcomes) {
    return encode_items<wire::Outcome>(
        buffer, Type::answer, id, outcomes,
        [](const Outcome& result, Strings& strings) {
            return wire::Outcome{result.error, static_cast<std::uint16_t>(result.reason),
                                result.fds,   number(result.grant),
                                0,            strings.place(result.text),
                                result.value};
        },
        [](const Outcome& result, Writer& writer) { writer.put_bytes(bytes_of(result.text)); });
}

Result<Bytes> encode_text(MutableBytes buffer, Type type, RequestId id, std::string_view text) {
    Strings strings;
    return encode_one(buffer, type, id, wire::Text{strings.place(text)}, {text});
}

Result<Bytes> encode_done(MutableBytes buffer, RequestId id, const Done& done) {
    Strings strings;
    const wire::Done body{done.error, static_cast<std::uint16_t>(done.reason), 0, strings.place(done.text)};
    return encode_one(buffer, Type::done, id, body, {done.text});
}

Result<Bytes> encode_event(MutableBytes buffer, Type type, const Event& event) {
    Strings strings;
    const wire::Event body{strings.place(event.name), event.value, event.fds, 0};
    return encode_one(buffer, type, RequestId::event, body, {event.name});
}

Result<Bytes> encode_found(MutableBytes buffer, RequestId id, const Found& found) {
    Strings strings;
    const wire::Found body{found.query, found.error, 0, strings.place(found.text)};
    return encode_one(buffer, Type::found, id, body, {found.text});
}

Result<Bytes> encode_command(MutableBytes buffer, RequestId id, const Command& command) {
    Strings strings;
    const Span worker = strings.place(command.worker);
    const Span argument = strings.place(command.argument);
    const Span second = strings.place(command.second);
    const wire::Command body{static_cast<std::uint16_t>(command.verb), command.flags, command.number, worker, argument,
                             second};
    return encode_one(buffer, Type::command, id, body, {command.worker, command.argument, command.second});
}

Result<Bytes> encode_report(MutableBytes buffer, RequestId id, const Report& report) {
    Strings strings;
    const wire::Report body{report.error, report.more ? 1U : 0U, strings.place(report.text)};
    return encode_one(buffer, Type::report, id, body, {report.text});
}

}  // namespace warder::protocol
