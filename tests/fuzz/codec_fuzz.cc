// Any bytes as a datagram, through every decoder. What decodes is encoded again, and that must be a fixed point: decoded
// once more it gives the very same bytes.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "protocol/codec.h"

namespace {

using namespace warder;
using namespace warder::protocol;

// Room for a message that says the same with each text laid down apart; what does not fit is no message.
constexpr std::size_t room = 128 * 1024;

using Encoded = std::optional<std::vector<std::byte>>;

Encoded copy_of(const Result<Bytes>& encoded) {
    if (!encoded) return std::nullopt;
    return std::vector<std::byte>(encoded->begin(), encoded->end());
}

template <typename Value>
std::vector<Value> all_of(const auto& items) {
    std::vector<Value> values;
    for (std::size_t i = 0; i < items.size(); ++i) values.push_back(items.at(i));
    return values;
}

// Decodes `message` as `type` and encodes what it says; nothing if it is not of that type.
Encoded again(const Message& message, Type type, MutableBytes buffer) {
    switch (type) {
        case Type::hello:
            if (const auto value = decode_hello(message)) return copy_of(encode_hello(buffer, message.id, *value));
            break;
        case Type::hello_reply:
            if (const auto value = decode_hello_reply(message)) {
                return copy_of(encode_hello_reply(buffer, message.id, *value));
            }
            break;
        case Type::ask:
            if (const auto value = decode_ask(message)) {
                return copy_of(encode_ask(buffer, message.id, all_of<Request>(*value)));
            }
            break;
        case Type::answer:
            if (const auto value = decode_answer(message)) {
                return copy_of(encode_answer(buffer, message.id, all_of<Outcome>(*value)));
            }
            break;
        case Type::ready:
        case Type::status:
        case Type::put:
        case Type::fetch:
        case Type::stored:
            if (const auto value = decode_text(message)) return copy_of(encode_text(buffer, type, message.id, *value));
            break;
        case Type::done:
            if (const auto value = decode_done(message)) return copy_of(encode_done(buffer, message.id, *value));
            break;
        case Type::stop:
        case Type::reload:
        case Type::channel:
        case Type::secret:
        case Type::revoked:
        case Type::lookup:
        case Type::ended:
            if (const auto value = decode_event(message)) return copy_of(encode_event(buffer, type, *value));
            break;
        case Type::found:
            if (const auto value = decode_found(message)) return copy_of(encode_found(buffer, message.id, *value));
            break;
        case Type::command:
            if (const auto value = decode_command(message)) return copy_of(encode_command(buffer, message.id, *value));
            break;
        case Type::report:
            if (const auto value = decode_report(message)) return copy_of(encode_report(buffer, message.id, *value));
            break;
    }
    return std::nullopt;
}

void check_type(const Message& message, Type type) {
    static std::vector<std::byte> first(room);
    static std::vector<std::byte> second(room);
    const Encoded once = again(message, type, first);
    if (!once) return;
    const auto decoded = decode(*once);
    if (!decoded) std::abort();
    const Encoded twice = again(*decoded, type, second);
    if (!twice || *once != *twice) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto message = decode(Bytes(reinterpret_cast<const std::byte*>(data), size));
    if (!message) return 0;
    // Not only as the type that it says: no decoder relies on having been chosen rightly.
    for (const Type type : {Type::hello, Type::hello_reply, Type::ask, Type::answer, Type::ready, Type::done, Type::stop,
                            Type::found, Type::command, Type::report}) {
        check_type(*message, type);
    }
    return 0;
}
