// What broker tests stand on: a folder of their own, grants by value, and a broker with a worker at the other end of a real
// socketpair. The worker is this process, so the kernel vouches for our own pid.
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "broker/broker.h"

namespace warder::test {

struct Folder {
    std::string path;
    explicit Folder(const std::string& base = "/tmp") : path(base + "/warder-test-XXXXXX") {
        if (::mkdtemp(path.data()) == nullptr) throw std::filesystem::filesystem_error("mkdtemp", path, std::error_code(errno, std::generic_category()));
        std::filesystem::permissions(path, std::filesystem::perms(0755));
    }
    ~Folder() { std::filesystem::remove_all(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    std::string at(const std::string& name) const { return path + "/" + name; }
    void write(const std::string& name, std::string_view text, mode_t mode = 0644) const {
        std::ofstream(at(name)) << text;
        ::chmod(at(name).c_str(), mode);
    }
    std::string read(const std::string& name) const {
        std::ifstream file(at(name));
        return {std::istreambuf_iterator<char>(file), {}};
    }
};

// Somebody without rights: what the tests' workers are performed for.
inline constexpr Identity somebody{.uid = 61234, .gid = 61234};

inline policy::Grant tree_grant(std::string name, std::string path, Operations rights) {
    policy::Grant grant;
    grant.name = std::move(name);
    grant.kind = policy::Kind::tree;
    grant.path = std::move(path);
    grant.rights = rights;
    return grant;
}

inline policy::Grant file_grant(std::string name, std::string path, Operations rights) {
    policy::Grant grant = tree_grant(std::move(name), std::move(path), rights);
    grant.kind = policy::Kind::file;
    return grant;
}

inline policy::Grant listener_grant(std::string name, const std::string& address) {
    policy::Grant grant;
    grant.name = std::move(name);
    grant.kind = policy::Kind::listener;
    grant.address = policy::exactly(policy::parse_address(address).value());
    grant.rights = {Operation::listen};
    return grant;
}

// Notes that it was asked, and refuses or keeps what it is to do.
struct NotedOpeners : broker::Openers {
    broker::Openers* real = nullptr;   // where there is one, it does them
    int asked = 0;
    int error = EDQUOT;
    WorkerId worker{};
    std::uint32_t generation = 0;
    RequestId request{};
    std::vector<broker::JobItem> items;

    int disposed = 0;

    void dispose(Fd fd) override {
        ++disposed;
        if (real != nullptr) real->dispose(std::move(fd));
    }
    Result<void> take(const broker::Job& job) override {
        ++asked;
        if (real != nullptr) return real->take(job);
        if (error != 0) return failure(error, "a test's openers");
        worker = job.worker;
        generation = job.generation;
        request = job.request;
        items.assign(job.items.begin(), job.items.end());
        return {};
    }
    void withdraw(WorkerId of, const std::function<bool(std::string_view)>& same, Instant now) override {
        if (real != nullptr) real->withdraw(of, same, now);
    }
};

// Notes what was asked of those outside, and answers as the test says.
struct NotedDependencies : broker::Runner, broker::Resolver, broker::Workers {
    int error = 0;
    std::vector<std::string> words;              // of the last command
    std::vector<std::pair<std::uint64_t, std::string>> asked;
    std::string reached;                         // "signal web 1", "restart web"
    Result<void> said(const char* doing) const {
        if (error != 0) return failure(error, doing);
        return {};
    }
    Result<void> take(const broker::CommandJob& job) override {
        words.assign(job.words.begin(), job.words.end());
        return said("a test's runner");
    }
    void session_ended(WorkerId) override {}
    Result<void> look_up(std::uint64_t query, std::string_view key) override {
        asked.emplace_back(query, key);
        return said("a test's resolver");
    }
    Result<void> signal(std::string_view worker, int signal) override {
        reached += "signal " + std::string(worker) + " " + std::to_string(signal) + ";";
        return said("a test's workers");
    }
    Result<void> restart(std::string_view worker) override {
        reached += "restart " + std::string(worker) + ";";
        return said("a test's workers");
    }
};

struct NotedListener : broker::Listener {
    int greeted = 0;
    int ready = 0;
    std::string status;
    std::string broken;
    void said_hello(WorkerId) override { ++greeted; }
    void said_ready(WorkerId) override { ++ready; }
    void said_status(WorkerId, std::string_view text) override { status = text; }
    Duration held{};   // back, all together
    void held_back(WorkerId, Duration by) override { held += by; }
    void broke_protocol(WorkerId, std::string_view how) override { broken = how; }
};

struct Bench {
    static constexpr WorkerId worker{7};

    Poller poller = std::move(Poller::create().value());
    audit::Trail audit{256};
    Privileges privileges;
    NotedOpeners openers;
    NotedListener listener;
    NotedDependencies outside;
    std::unique_ptr<broker::Broker> broker = std::make_unique<broker::Broker>(
        poller, audit, privileges, broker::Dependencies{openers, outside, outside, outside, listener});
    ChannelPair pair = make_channel_pair().value();
    Credentials us{::getpid(), ::getuid(), ::getgid()};
    std::unique_ptr<std::array<std::byte, max_message>> buffer = std::make_unique<std::array<std::byte, max_message>>();
    std::array<Fd, protocol::max_requests> fds;
    std::size_t fd_count = 0;
    Instant now{1'000'000'000};

    ~Bench() { broker->dismiss(worker); }

    std::vector<broker::Trouble> admit(std::vector<policy::Grant> grants) { return admit_with({}, std::move(grants)); }

    std::vector<broker::Trouble> admit_with(broker::PrincipalSettings settings, std::vector<policy::Grant> grants) {
        settings.id = worker;
        settings.name = "web";
        settings.grants = policy::GrantSet("web", std::move(grants));
        settings.identity = somebody;
        return broker->admit(std::move(settings), now);
    }

    Result<void> begin() { return broker->begin_session(worker, pair.ours, us, 0); }

    // What the loop does, once.
    void turn() {
        const auto events = poller.wait(Duration::zero());
        if (!events) return;
        for (const auto& event : *events) broker->handle(event, now);
        broker->go_on(now);
    }

    // The reply that lies in the worker's socket. Its texts live until the next.
    Result<protocol::Message> hear() {
        for (auto& fd : fds) fd.reset();
        const auto taken = TRY(pair.theirs.receive_with_fds(*buffer, fds, MSG_DONTWAIT));
        fd_count = taken.fd_count;
        if (taken.received.kind != Received::Kind::message) return failure(ENOMSG, "no reply");
        return protocol::decode(taken.received.bytes);
    }

    Result<protocol::Message> exchange(const Result<Bytes>& message) {
        if (!message) return Failure(message.error());
        TRY(pair.theirs.send(*message));
        turn();
        while (broker->patience() == Duration::zero()) turn();   // a wide ask is answered in parts
        return hear();
    }

    Result<protocol::HelloReply> greet() {
        const auto reply = TRY(exchange(protocol::encode_hello(*buffer, RequestId{1}, {})));
        return protocol::decode_hello_reply(reply);
    }

    Result<protocol::Outcomes> ask(std::span<const protocol::Request> requests, RequestId id = RequestId{2}) {
        const auto reply = TRY(exchange(protocol::encode_ask(*buffer, id, requests)));
        return protocol::decode_answer(reply);
    }
};

inline protocol::Request request_for(Operation operation, std::string_view grant, std::string_view target = {}) {
    protocol::Request request;
    request.operation = static_cast<std::uint16_t>(operation);
    request.grant = grant;
    request.target = target;
    return request;
}

}  // namespace warder::test
