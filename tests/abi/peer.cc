#include "peer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "protocol/codec.h"
#include "sys/channel.h"

using namespace warder;
using namespace warder::protocol;

namespace {

Fd file_with(std::string_view text) {
    Fd fd(::memfd_create("echo", MFD_CLOEXEC));
    if (::write(fd.get(), text.data(), text.size()) < 0) std::abort();
    if (::lseek(fd.get(), 0, SEEK_SET) != 0) std::abort();
    return fd;
}

Fd some_fd() { return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

struct peer {
    Channel channel;
    peer_mode mode{};
    std::atomic<unsigned long> messages{0};
    std::atomic<bool> ending{false};
    std::vector<std::byte> out = std::vector<std::byte>(max_message);
    std::thread thread;

    void run();
    bool answer(const Message& message);
    bool answer_hello(const Message& message);
    bool answer_ask(const Message& message);
    bool answer_one(RequestId id, const Request& request);
    bool break_protocol(RequestId id, std::string_view how);
    void send(Bytes message, const std::vector<int>& fds = {}) { (void)channel.send_waiting(message, fds); }
    void send_raw(const std::string& bytes, const std::vector<int>& fds = {}) { send(bytes_of(bytes), fds); }
    void send_outcomes(RequestId id, const std::vector<Outcome>& outcomes, const std::vector<int>& fds = {}) {
        send(*encode_answer(out, id, outcomes), fds);
    }
    void echo(RequestId id, const Request& request) {
        const Fd file = file_with(request.target);
        send_outcomes(id, {Outcome{0, Reason::ok, 1, GrantId{0}, "", 0}}, {file.get()});
    }
    void send_event(Type type, std::string_view name, std::uint64_t value, unsigned announced, unsigned fds) {
        std::byte buffer[512];   // may run beside the thread
        std::vector<Fd> files;
        std::vector<int> numbers;
        for (unsigned i = 0; i < fds; ++i) numbers.push_back(files.emplace_back(file_with(name)).get());
        send(*encode_event(buffer, type, {name, value, announced}), numbers);
    }
};

void peer::run() {
    std::vector<std::byte> in(max_message);
    for (;;) {
        auto received = channel.receive_waiting(in);
        if (!received || received->kind == Received::Kind::closed || ending) break;
        if (received->kind != Received::Kind::message) continue;
        ++messages;
        const auto message = decode(received->bytes);
        if (!message || !answer(*message)) break;
    }
    ::shutdown(channel.get(), SHUT_RDWR);
}

bool peer::answer(const Message& message) {
    switch (message.type) {
        case Type::hello: return answer_hello(message);
        case Type::ask: return answer_ask(message);
        case Type::ready:
        case Type::status: {
            const auto text = decode_text(message);
            const bool refuse = text && *text == "refuse";
            send(*encode_done(out, message.id,
                              refuse ? Done{EDQUOT, Reason::too_many, "too many words"} : Done{0, Reason::ok, ""}));
            return true;
        }
        default: return false;
    }
}

bool peer::answer_hello(const Message& message) {
    HelloReply reply;
    reply.max_message = max_message;
    reply.worker = "tester";
    switch (mode) {
        case PEER_MAIN: break;
        case PEER_GROUP: reply.requesters = Requesters::group; break;
        case PEER_NO_VERSION: reply = {EPROTONOSUPPORT, 0, 0, max_message, 253, Requesters::main, ""}; break;
        case PEER_REFUSES: send(*encode_done(out, message.id, {EPERM, Reason::not_requester, "no"})); return true;
        case PEER_OTHER_VERSION: reply.version = 2; break;
        case PEER_GARBAGE: send_raw("garbage"); return true;
        case PEER_SILENT_CLOSE: return false;
        case PEER_EVENT_FIRST: send_event(Type::stop, "", 0, 0, 0); break;
    }
    send(*encode_hello_reply(out, message.id, reply));
    return true;
}

bool peer::answer_ask(const Message& message) {
    const auto requests = decode_ask(message);
    if (!requests) return false;
    if (requests->size() == 1) return answer_one(message.id, requests->at(0));
    std::vector<Outcome> outcomes;
    std::vector<Fd> files;
    std::vector<int> fds;
    for (std::size_t i = 0; i < requests->size(); ++i) {
        if (requests->at(i).grant == "denied") {
            outcomes.push_back({EACCES, Reason::not_granted, 0, GrantId::none, "a denial of one among many", 0});
            continue;
        }
        fds.push_back(files.emplace_back(file_with(requests->at(i).target)).get());
        outcomes.push_back({0, Reason::ok, 1, GrantId{0}, "", 0});
    }
    send_outcomes(message.id, outcomes, fds);
    return true;
}

bool peer::answer_one(RequestId id, const Request& request) {
    if (request.grant == "denied") {
        send_outcomes(id, {{EACCES, Reason::not_granted, 0, GrantId::none, "worker tester has no grant that covers this", 0}});
    } else if (request.grant == "absent") {
        send_outcomes(id, {{ENOENT, Reason::system, 0, GrantId{0}, "", 0}});
    } else if (request.operation == static_cast<int>(Operation::rename) ||
               request.operation == static_cast<int>(Operation::unlink)) {
        send_outcomes(id, {{0, Reason::ok, 0, GrantId{0}, "", 0}});
    } else if (request.grant == "slow") {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        echo(id, request);
    } else if (request.grant == "stale") {
        const Fd other = some_fd();
        send_outcomes(static_cast<RequestId>(number(id) + 1000), {{0, Reason::ok, 1, GrantId{0}, "", 0}}, {other.get()});
        echo(id, request);
    } else if (request.grant == "events") {
        send_event(Type::secret, "key", 7, 1, 1);
        send_event(Type::stop, "", 0, 0, 0);
        send_event(static_cast<Type>(0x4fff), "of a later version", 0, 1, 1);
        echo(id, request);
    } else if (request.grant == "done") {
        send(*encode_done(out, id, {EDQUOT, Reason::too_many, "over the quota of requests"}));
    } else if (request.grant == "close") {
        return false;
    } else if (request.grant == "quiet") {
        return true;
    } else if (request.grant == "echo") {
        echo(id, request);
    } else {
        return break_protocol(id, request.grant);
    }
    return true;
}

bool peer::break_protocol(RequestId id, std::string_view how) {
    const Fd one = some_fd();
    const Outcome granted{0, Reason::ok, 1, GrantId{0}, "", 0};
    if (how == "empty") {
        send_raw("", {one.get()});
    } else if (how == "short") {
        send_raw("short", {one.get()});
    } else if (how == "lengths" || how == "flags") {
        std::string whole(text_of(*encode_answer(out, id, std::span(&granted, 1))));
        if (how == "flags") whole[2] = 1;
        else whole += "more";
        send_raw(whole, {one.get()});
    } else if (how == "type") {
        send(*encode_hello_reply(out, id, {}), {one.get()});
    } else if (how == "count") {
        send_outcomes(id, {granted, granted}, {one.get(), one.get()});
    } else if (how == "no-fd") {
        send_outcomes(id, {granted});
    } else if (how == "two-fds") {
        send_outcomes(id, {granted}, {one.get(), one.get()});
    } else if (how == "none-announced") {
        send_outcomes(id, {{0, Reason::ok, 0, GrantId{0}, "", 0}});
    } else if (how == "two-announced") {
        send_outcomes(id, {{0, Reason::ok, 2, GrantId{0}, "", 0}}, {one.get(), one.get()});
    } else if (how == "fd-with-error") {
        send_outcomes(id, {{EACCES, Reason::not_granted, 1, GrantId{0}, "", 0}}, {one.get()});
    } else if (how == "negative") {
        send_outcomes(id, {{-13, Reason::system, 0, GrantId{0}, "", 0}});
    } else if (how == "huge-error") {
        send_outcomes(id, {{1 << 20, Reason::system, 0, GrantId{0}, "", 0}});
    } else if (how == "done-ok") {
        send(*encode_done(out, id, {0, Reason::ok, ""}));
    } else if (how == "text-outside") {
        std::string whole(text_of(*encode_answer(out, id, std::span(&granted, 1))));
        whole[16 + 8 + 16 + 4] = 5;
        send_raw(whole, {one.get()});
    } else if (how == "bad-event") {
        std::string whole(text_of(*encode_event(out, Type::stop, {"", 0, 0})));
        whole[4] = 1;
        send_raw(whole);
    } else if (how == "event-two-fds") {
        send_event(Type::secret, "key", 1, 2, 2);
    } else if (how == "event-no-fd") {
        send_event(Type::secret, "key", 1, 1, 0);
    } else {
        return false;
    }
    return true;
}

peer* peer_start(peer_mode mode, int* worker_end) {
    auto pair = make_channel_pair();
    if (!pair) std::abort();
    auto* made = new peer;
    made->channel = std::move(pair->ours);
    made->mode = mode;
    made->thread = std::thread([made] { made->run(); });
    *worker_end = pair->theirs.take().release();
    return made;
}

void peer_end(peer* that) {
    that->ending = true;
    ::shutdown(that->channel.get(), SHUT_RDWR);
    that->thread.join();
    delete that;
}

unsigned long peer_messages(const peer* that) { return that->messages; }

void peer_send_event(peer* that, int type, const char* name, unsigned long value, int with_fd) {
    const auto fds = with_fd != 0 ? 1U : 0U;
    that->send_event(static_cast<Type>(type), name, value, fds, fds);
}
