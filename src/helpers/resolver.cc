// The resolver: a worker that looks names up for the others, with the system's own name services, so that neither the
// parent nor the workers need the network for it. It gets one event for each name and says what it found. A name that takes
// long holds up one of its threads and nobody else; of those that one worker asks for warderd sends only a few at once
// (broker/knowledge.h).
#include <arpa/inet.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "warder/warder.h"

namespace {

constexpr std::size_t max_threads = 64;   // begun when there is a name for one more
constexpr std::size_t max_waiting = 4096;
constexpr std::size_t max_addresses = 16;
constexpr std::size_t answer_buffer = 64 * 1024;   // of the C library's functions that end in _r

struct Question {
    std::uint64_t number = 0;
    std::string key;
};

struct Finding {
    int error = 0;
    std::string text;
};

Finding absent() { return {ENOENT, {}}; }

// A name that is not there and a server that does not answer are not the same: the second may be asked again.
int errno_of_lookup(int code) {
    switch (code) {
        case EAI_NONAME:
        case EAI_NODATA:
        case EAI_FAIL: return ENOENT;
        case EAI_AGAIN: return EAGAIN;
        case EAI_MEMORY: return ENOMEM;
        case EAI_SYSTEM: return errno != 0 ? errno : EIO;
        default: return EIO;
    }
}

std::string text_of(const addrinfo& address) {
    char text[INET6_ADDRSTRLEN] = "";
    const bool v6 = address.ai_family == AF_INET6;
    const void* bytes = v6 ? static_cast<const void*>(&reinterpret_cast<sockaddr_in6*>(address.ai_addr)->sin6_addr)
                           : static_cast<const void*>(&reinterpret_cast<sockaddr_in*>(address.ai_addr)->sin_addr);
    ::inet_ntop(address.ai_family, bytes, text, sizeof text);
    return text;
}

// Addresses, a line each, in the order of RFC 6724.
Finding find_host(const std::string& name) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    errno = 0;
    const int code = ::getaddrinfo(name.c_str(), nullptr, &hints, &list);
    if (code != 0) return {errno_of_lookup(code), {}};
    Finding found;
    std::size_t count = 0;
    for (const addrinfo* one = list; one != nullptr && count < max_addresses; one = one->ai_next) {
        if (one->ai_family != AF_INET && one->ai_family != AF_INET6) continue;
        found.text += text_of(*one) + "\n";
        ++count;
    }
    ::freeaddrinfo(list);
    return count > 0 ? found : absent();
}

std::optional<unsigned> number_in(std::string_view text) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// passwd(5), but for the password, which is nobody's business.
Finding line_of(const passwd& entry) {
    return {0, std::string(entry.pw_name) + ":x:" + std::to_string(entry.pw_uid) + ":" + std::to_string(entry.pw_gid) + ":" +
                   entry.pw_gecos + ":" + entry.pw_dir + ":" + entry.pw_shell + "\n"};
}

Finding line_of(const group& entry) {
    std::string line = std::string(entry.gr_name) + ":x:" + std::to_string(entry.gr_gid) + ":";
    for (char** member = entry.gr_mem; *member != nullptr; ++member) {
        line += (member == entry.gr_mem ? "" : ",") + std::string(*member);
    }
    return {0, line + "\n"};
}

Finding find_user(const std::string& name) {
    std::vector<char> buffer(answer_buffer);
    passwd entry{};
    passwd* found = nullptr;
    const int error = ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found != nullptr) return line_of(entry);
    return error == ERANGE ? Finding{EOVERFLOW, {}} : absent();
}

Finding find_uid(const std::string& text) {
    const auto uid = number_in(text);
    std::vector<char> buffer(answer_buffer);
    passwd entry{};
    passwd* found = nullptr;
    if (uid) ::getpwuid_r(*uid, &entry, buffer.data(), buffer.size(), &found);
    return found != nullptr ? line_of(entry) : absent();
}

Finding find_group(const std::string& name) {
    std::vector<char> buffer(answer_buffer);
    group entry{};
    group* found = nullptr;
    const int error = ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found != nullptr) return line_of(entry);
    return error == ERANGE ? Finding{EOVERFLOW, {}} : absent();
}

Finding find_gid(const std::string& text) {
    const auto gid = number_in(text);
    std::vector<char> buffer(answer_buffer);
    group entry{};
    group* found = nullptr;
    if (gid) ::getgrgid_r(*gid, &entry, buffer.data(), buffer.size(), &found);
    return found != nullptr ? line_of(entry) : absent();
}

// "http/tcp" → "http 80/tcp", as services(5) has it.
Finding find_service(const std::string& text) {
    const auto slash = text.find('/');
    const std::string name = text.substr(0, slash);
    const std::string protocol = slash == std::string::npos ? "tcp" : text.substr(slash + 1);
    std::vector<char> buffer(answer_buffer);
    servent entry{};
    servent* found = nullptr;
    ::getservbyname_r(name.c_str(), protocol.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found == nullptr) return absent();
    const unsigned port = ntohs(static_cast<std::uint16_t>(entry.s_port));
    return {0, std::string(entry.s_name) + " " + std::to_string(port) + "/" + entry.s_proto + "\n"};
}

Finding find(const std::string& key) {
    const auto colon = key.find(':');
    if (colon == std::string::npos) return {EINVAL, {}};
    const std::string kind = key.substr(0, colon);
    const std::string name = key.substr(colon + 1);
    if (kind == "host") return find_host(name);
    if (kind == "user") return find_user(name);
    if (kind == "uid") return find_uid(name);
    if (kind == "group") return find_group(name);
    if (kind == "gid") return find_gid(name);
    if (kind == "service") return find_service(name);
    return {EINVAL, {}};
}

// Questions on their way from the one thread that hears them to those that look.
class Questions {
public:
    enum class Put { taken, needs_a_thread, too_many };
    Put put(Question question) {
        const std::lock_guard lock(mutex_);
        if (waiting_.size() >= max_waiting) return Put::too_many;
        waiting_.push_back(std::move(question));
        some_.notify_one();
        return waiting_.size() > idle_ ? Put::needs_a_thread : Put::taken;
    }

    Question take() {
        std::unique_lock lock(mutex_);
        ++idle_;
        some_.wait(lock, [&] { return !waiting_.empty(); });
        --idle_;
        Question question = std::move(waiting_.front());
        waiting_.pop_front();
        return question;
    }

private:
    std::mutex mutex_;
    std::condition_variable some_;
    std::deque<Question> waiting_;
    std::size_t idle_ = 0;   // threads that wait for one
};

[[noreturn]] void work(warder_connection* connection, Questions& questions) {
    for (;;) {
        const Question question = questions.take();
        const Finding found = find(question.key);
        (void)warder_found(connection, question.number, found.error, found.text.c_str());
    }
}

// For as long as the process: the threads end with it.
class Lookers {
public:
    explicit Lookers(warder_connection* connection) : connection_(connection) {}

    void look_up(Question question) {
        const std::uint64_t number = question.number;
        const auto put = questions_.put(std::move(question));
        if (put == Questions::Put::too_many) (void)warder_found(connection_, number, EAGAIN, "");
        if (put == Questions::Put::needs_a_thread && begun_ < max_threads) begin_one();
    }

private:
    // Where no more can be made those that there are go on.
    void begin_one() {
        try {
            std::thread([this] { work(connection_, questions_); }).detach();
            ++begun_;
        } catch (const std::system_error& error) {
            std::fprintf(stderr, "resolver: one more thread: %s\n", error.what());
        }
    }

    warder_connection* connection_;
    Questions questions_;
    std::size_t begun_ = 0;
};

}  // namespace

int main() {
    warder_connection* const connection = warder_connect();
    if (connection == nullptr) {
        std::fprintf(stderr, "resolver: warder_connect: %s\n", std::strerror(errno));
        return 1;
    }
    static Lookers lookers(connection);
    if (warder_ready(connection, "looking names up") != 0) return 1;
    warder_event event;
    while (warder_next_event(connection, &event, -1) == 1) {
        if (event.type == WARDER_EVENT_STOP) return 0;
        if (event.type == WARDER_EVENT_LOOKUP) lookers.look_up({event.value, event.name});
        if (event.fd >= 0) ::close(event.fd);
    }
    return 0;
}
