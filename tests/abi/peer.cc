#include "peer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <span>
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
    std::mutex mutex;
    std::string last;   // the last request
    std::vector<std::byte> out = std::vector<std::byte>(max_message);
    std::thread thread;

    void run();
    bool answer(const Message& message);
    bool answer_hello(const Message& message);
    bool answer_ask(const Message& message);
    bool answer_one(RequestId id, const Request& request);
    bool answer_word(RequestId id, const Request& request);
    void lend(RequestId id, const std::vector<std::string>& contents, std::uint64_t value = 0, std::uint16_t announced = 0xffff) {
        std::vector<Fd> files;
        std::vector<int> fds;
        for (const auto& text : contents) fds.push_back(files.emplace_back(file_with(text)).get());
        const auto count = announced == 0xffff ? static_cast<std::uint16_t>(fds.size()) : announced;
        send_outcomes(id, {Outcome{0, Reason::ok, count, GrantId{0}, "", value}}, fds);
    }
    void give(RequestId id, std::string_view data) { send_outcomes(id, {Outcome{0, Reason::ok, 0, GrantId{0}, data, 0}}); }
    void say_again(RequestId id, const Request& request, const std::string& said);
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
        case Type::found: send(*encode_done(out, message.id, {})); return true;
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

std::string described(const Request& request) {
    std::string text;
    for (const std::uint64_t number : {std::uint64_t{request.operation}, std::uint64_t{request.flags}, std::uint64_t{request.mode},
                                       request.argument}) {
        text += std::to_string(number) + ' ';
    }
    return text.append(request.grant).append("|").append(request.target).append("|").append(request.second);
}

void peer::say_again(RequestId id, const Request& request, const std::string& said) {
    const auto operation = static_cast<Operation>(request.operation);
    if (lends_one(operation)) return lend(id, {said});
    if (operation == Operation::stat) {
        const wire::Stat stat{1, 2, 0100640, 3, 4, 5, 6, 7, -8, 9, 10, 11};
        return give(id, text_of(std::as_bytes(std::span(&stat, 1))));
    }
    const bool data =
        operation == Operation::readlink || operation == Operation::lookup || operation == Operation::sysctl_read;
    give(id, data ? said : "");
}

// False if the grant's name is none of these.
bool peer::answer_word(RequestId id, const Request& request) {
    if (request.grant == "said") {
        say_again(id, request, described(request));
    } else if (request.grant == "run-all") {
        lend(id, {"in", "out", "err", "pidfd"}, 15 | std::uint64_t{4711} << 32);
    } else if (request.grant == "run-some") {
        lend(id, {"out", "pidfd"}, 10);
    } else if (request.grant == "run-none") {
        lend(id, {});
    } else if (request.grant == "run-pid") {
        lend(id, {}, std::uint64_t{4711} << 32);
    } else if (request.grant == "run-wrong") {
        lend(id, {"out"}, 3);
    } else if (request.grant == "list") {
        lend(id, {std::string("fa.txt\0dsub\0l\xff\0", 15)});
    } else if (request.grant == "no-list") {
        lend(id, {"fa.txt"});
    } else {
        return false;
    }
    return true;
}

bool peer::answer_one(RequestId id, const Request& request) {
    {
        const std::lock_guard guard(mutex);
        last = described(request);
    }
    if (answer_word(id, request)) return true;
    if (request.grant == "denied") {
        send_outcomes(id, {{EACCES, Reason::not_granted, 0, GrantId::none, "worker tester has no grant that covers this", 0}});
    } else if (request.grant == "long") {
        const std::string sentence = std::string(470, 's') + "the remedy";
        send_outcomes(id, {{EACCES, Reason::not_granted, 0, GrantId::none, sentence, 0}});
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

void peer_last_request(peer* that, char* text, unsigned long size) {
    const std::lock_guard guard(that->mutex);
    text[that->last.copy(text, size - 1)] = '\0';
}

// ---- The descriptor store ----

struct descriptor_store {
    Channel channel;
    std::map<std::string, std::vector<Fd>, std::less<>> kept;
    std::vector<std::byte> out = std::vector<std::byte>(max_message);
    std::array<Fd, max_requests> came;
    std::thread thread;

    void run();
    bool answer(const Message& message, std::span<Fd> fds);
    bool answer_put(RequestId id, const std::string& name, std::span<Fd> fds);
    void answer_fetch(RequestId id, const std::string& name);
    void say(RequestId id, const Done& done, const std::vector<int>& fds = {}) {
        (void)channel.send_waiting(*encode_done(out, id, done), fds);
    }
};

void descriptor_store::run() {
    std::vector<std::byte> in(max_message);
    for (;;) {
        auto taken = channel.receive_with_fds(in, came, 0);
        if (!taken || taken->received.kind == Received::Kind::closed) break;
        if (taken->received.kind != Received::Kind::message) continue;
        const auto message = decode(taken->received.bytes);
        if (!message || !answer(*message, std::span(came).first(taken->fd_count))) break;
    }
    ::shutdown(channel.get(), SHUT_RDWR);
}

bool descriptor_store::answer(const Message& message, std::span<Fd> fds) {
    const auto text = decode_text(message);
    if (!text) return false;
    const std::string name(*text);
    if (message.type == Type::put) return answer_put(message.id, name, fds);
    if (message.type == Type::fetch) return answer_fetch(message.id, name), true;
    std::string lines;
    for (const auto& [key, list] : kept) lines += key + ' ' + std::to_string(list.size()) + '\n';
    say(message.id, {0, Reason::ok, lines});
    return message.type == Type::stored;
}

bool descriptor_store::answer_put(RequestId id, const std::string& name, std::span<Fd> fds) {
    if (name == "close") return false;
    if (name == "quota") {
        say(id, {EDQUOT, Reason::too_many, "grant keep holds 2 descriptors at most"});
    } else if (name == "type") {
        (void)channel.send_waiting(*encode_hello_reply(out, id, {}));
    } else if (name == "keeps") {
        say(id, {0, Reason::ok, ""}, {fds.front().get()});
    } else if (kept.contains(name)) {
        say(id, {EEXIST, Reason::system, ""});
    } else {
        for (auto& fd : fds) kept[name].push_back(std::move(fd));
        say(id, {0, Reason::ok, ""});
    }
    for (auto& fd : fds) fd.reset();
    return true;
}

void descriptor_store::answer_fetch(RequestId id, const std::string& name) {
    if (name == "stale") say(static_cast<RequestId>(number(id) + 1000), {0, Reason::ok, ""}, {some_fd().get()});
    const auto found = kept.find(name);
    if (found == kept.end()) return say(id, {ENOENT, Reason::system, ""});
    std::vector<int> fds;
    for (const auto& fd : found->second) fds.push_back(fd.get());
    say(id, {0, Reason::ok, ""}, fds);
    kept.erase(found);
}

descriptor_store* descriptor_store_start(int* worker_end) {
    auto pair = make_channel_pair();
    if (!pair) std::abort();
    auto* made = new descriptor_store;
    made->channel = std::move(pair->ours);
    made->thread = std::thread([made] { made->run(); });
    *worker_end = pair->theirs.take().release();
    return made;
}

void descriptor_store_end(descriptor_store* that) {
    ::shutdown(that->channel.get(), SHUT_RDWR);
    that->thread.join();
    delete that;
}

void peer_send_event(peer* that, int type, const char* name, unsigned long value, int with_fd) {
    const auto fds = with_fd != 0 ? 1U : 0U;
    that->send_event(static_cast<Type>(type), name, value, fds, fds);
}
