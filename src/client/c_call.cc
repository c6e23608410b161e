#include "client/c_call.h"

#include <cerrno>
#include <cstring>

namespace warder::client {
namespace {

constexpr std::size_t max_path = 4095;

// Plain memory: thread-local constructors have no place in a C library.
constinit thread_local LastFailure failed_last{};

void remember(Reason reason, std::string_view sentence) {
    failed_last.reason = static_cast<int>(reason);
    copy_text(failed_last.why, sentence);
}

const char* words_for(int number) {
    const char* words = strerrordesc_np(number);
    return words != nullptr ? words : "unknown error";
}

Reason reason_of(const Error& error) {
    if (error.number == EPERM) return Reason::not_requester;
    return error.number == EPROTO ? Reason::protocol : Reason::system;
}

}  // namespace

const LastFailure& last_failure() { return failed_last; }

int fail(int number, Reason reason, std::string_view sentence) {
    remember(reason, sentence);
    errno = number;
    return -1;
}

int fail(const Error& error) {
    const FixedString<500> sentence = FixedString<500>(error.doing).append(": ").append(words_for(error.number));
    return fail(error.number, reason_of(error), sentence.view());
}

int invalid(std::string_view sentence) { return fail(EINVAL, Reason::bad_flags, sentence); }

std::size_t copy_text(char* room, std::size_t size, std::string_view text) {
    if (size == 0) return text.size();
    const std::size_t taken = text.size() < size ? text.size() : size - 1;
    if (taken > 0) std::memcpy(room, text.data(), taken);
    room[taken] = '\0';
    return text.size();
}

FixedString<500> sentence_for(const protocol::Request& request, const Answer& answer) {
    if (!answer.text.empty()) return FixedString<500>(answer.text);
    FixedString<500> sentence(name_of(static_cast<Operation>(request.operation)));
    for (const auto part : {request.grant, request.target}) {
        if (!part.empty()) sentence.append(' ').append(part.substr(0, 200));
    }
    return sentence.append(": ").append(words_for(answer.error));
}

void RefusalTaker::refused(Reason reason, std::string_view why) {
    refused_ = true;
    remember(reason, why);
}

int RefusalTaker::failed(const Error& error) const {
    if (!refused_) return fail(error);
    errno = error.number;
    return -1;
}

void OneTaker::take(std::size_t, Answer answer) {
    error_ = answer.error;
    if (error_ == 0) return granted(answer);
    remember(answer.reason, sentence_for(request_, answer).view());
}

int OneTaker::result() const {
    if (error_ == 0) return 0;
    errno = error_;
    return -1;
}

protocol::Request make_request(Operation operation, const char* grant, const char* target) {
    protocol::Request request;
    request.operation = static_cast<std::uint16_t>(operation);
    request.grant = text_or_empty(grant);
    request.target = text_or_empty(target);
    return request;
}

int ask_one(warder_connection* connection, const protocol::Request& request, OneTaker& taker) {
    if (connection == nullptr) return invalid("no connection");
    const bool one_path = request.operation != static_cast<std::uint16_t>(Operation::run);
    if (one_path && (request.target.size() > max_path || request.second.size() > max_path)) {
        return fail(ENAMETOOLONG, Reason::bad_path, "a path of more than 4095 bytes");
    }
    if (const auto asked = connection->client->ask({&request, 1}, taker); !asked) return taker.failed(asked.error());
    return taker.result();
}

}  // namespace warder::client
