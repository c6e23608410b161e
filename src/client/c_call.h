// What the files of the C ABI share: the failure of each thread's last call, and takers that bring an answer into a caller's
// memory. Here errors become errno and sentences. Nothing of C++ passes the edge, and nothing is allocated.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "base/operation.h"
#include "base/reason.h"
#include "client/client.h"
#include "warder/warder.h"

#define WARDER_EXPORT extern "C" __attribute__((visibility("default")))

struct warder_connection {
    std::unique_ptr<warder::client::Client> client;
    unsigned references = 1;
    bool from_environment = false;
};

namespace warder::client {

struct LastFailure {
    int reason;
    char why[512];
};
const LastFailure& last_failure();

// Both remember why, set errno and give -1.
int fail(int number, Reason reason, std::string_view sentence);
int fail(const Error& error);
// EINVAL: what was asked for makes no sense.
int invalid(std::string_view sentence);

inline std::string_view text_or_empty(const char* text) {
    return text != nullptr ? std::string_view(text) : std::string_view();
}

// As snprintf: what fits and a NUL, if there is room for any; the whole text's size.
std::size_t copy_text(char* room, std::size_t size, std::string_view text);
template <std::size_t Size>
void copy_text(char (&room)[Size], std::string_view text) {
    copy_text(room, Size, text);
}

// A refusal of the whole message has its sentence remembered; the errno comes as the call's own error.
class RefusalTaker : public Taker {
public:
    void take(std::size_t, Answer) override {}
    void refused(Reason reason, std::string_view why) override;
    int failed(const Error& error) const;

private:
    bool refused_ = false;
};

// Remembers why one request failed, "read site css/a.css: No such file or directory" where no sentence came, and else lets
// the call have its answer.
class OneTaker : public RefusalTaker {
public:
    explicit OneTaker(const protocol::Request& request) : request_(request) {}
    void take(std::size_t, Answer answer) final;
    // 0, or -1 with errno.
    int result() const;

protected:
    virtual void granted(Answer&) {}

private:
    const protocol::Request& request_;
    int error_ = 0;
};

// The sentence for an answer that is a failure.
FixedString<500> sentence_for(const protocol::Request& request, const Answer& answer);

protocol::Request make_request(Operation operation, const char* grant, const char* target);

// Asks for one thing. 0, or -1 with errno.
int ask_one(warder_connection* connection, const protocol::Request& request, OneTaker& taker);

}  // namespace warder::client
