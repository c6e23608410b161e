// static-web: a small static HTTP/1.1 server that cannot open anything. Its listening socket comes from the grant `http`,
// and every file that it serves is asked for below the grant `site`, so what it may show is warderd's to say, and "../" or
// a file outside of the grant is refused by warderd and answered with 403 here.
//
//     [worker.web.grants]
//     http = { listen = "tcp:127.0.0.1:8080" }
//     site = { read = "/srv/www/" }
//
// One process, one epoll loop. A visitor is in one of three states: reading, until a request is whole; writing, until the
// answer is out, while what it sends waits (pipelining); leaving, when we have said all and wait for it to close, so that
// our last words are not lost to a reset. Slow visitors wait alone and are dropped when their time is over. At stop (an event of warderd's, or SIGTERM) no new visitor is taken, open
// requests are finished, and the process ends with 0; whoever connects meanwhile waits at the socket, which warderd keeps.
#include <fcntl.h>
#include <http_parser.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "warder/warder.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using warder::Descriptor;

constexpr std::size_t max_head = 8 * 1024;          // bytes of a request's first line and headers
constexpr std::size_t max_body = 64 * 1024;         // bytes of a request's body, which is read and ignored
constexpr std::size_t piece = 256 * 1024;           // bytes written to one visitor before the next has its turn
constexpr auto time_for_request = std::chrono::seconds(15);
constexpr auto time_for_answer = std::chrono::seconds(30);   // without any progress
constexpr auto time_to_leave = std::chrono::seconds(2);
constexpr int answers_in_a_row = 32;                // for one visitor before the next has its turn

struct ContentType {
    std::string_view extension;
    std::string_view type;
};
constexpr std::array<ContentType, 18> content_types{{
    {"html", "text/html; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"js", "text/javascript; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"txt", "text/plain; charset=utf-8"},
    {"md", "text/markdown; charset=utf-8"},
    {"xml", "application/xml"},
    {"svg", "image/svg+xml"},
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"ico", "image/vnd.microsoft.icon"},
    {"woff2", "font/woff2"},
    {"pdf", "application/pdf"},
}};

std::string_view content_type_of(std::string_view path) {
    const auto dot = path.rfind('.');
    const auto extension = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
    for (const auto& entry : content_types) {
        if (entry.extension == extension) return entry.type;
    }
    return "application/octet-stream";
}

const char* words_for(int status) {
    switch (status) {
        case 200: return "OK";
        case 400: return "Bad Request";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 413: return "Content Too Large";
        case 414: return "URI Too Long";
        case 431: return "Request Header Fields Too Large";
        case 503: return "Service Unavailable";
        default: return "Internal Server Error";
    }
}

// What a visitor is told for an errno of warderd's. EINVAL is a path that is not clean: "..", "//", a NUL.
int status_for(int number) {
    switch (number) {
        case ENOENT:
        case ENOTDIR: return 404;
        case EACCES:
        case EPERM:
        case EINVAL:
        case ELOOP:
        case EXDEV: return 403;
        case ENAMETOOLONG: return 414;
        case EAGAIN:
        case EMFILE:
        case ENFILE:
        case EDQUOT:
        case ETIMEDOUT: return 503;
        default: return 500;
    }
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const int lower = std::tolower(static_cast<unsigned char>(c));
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// "%41" becomes "A". Nothing for a broken escape or one of NUL.
std::optional<std::string> without_escapes(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            plain += text[i];
            continue;
        }
        if (text.size() - i < 3) return std::nullopt;
        const int high = hex_value(text[i + 1]);
        const int low = hex_value(text[i + 2]);
        if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
        plain += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return plain;
}

// The path below the site that a request target names: "/" is index.html. Nothing for what is no path.
std::optional<std::string> path_in(const std::string& target) {
    http_parser_url url;
    http_parser_url_init(&url);
    if (http_parser_parse_url(target.data(), target.size(), 0, &url) != 0) return std::nullopt;
    if ((url.field_set & (1 << UF_PATH)) == 0) return "index.html";
    const auto field = url.field_data[UF_PATH];
    auto path = without_escapes(std::string_view(target).substr(field.off, field.len));
    if (!path || path->empty() || path->front() != '/') return std::nullopt;
    if (path->back() == '/') *path += "index.html";
    return path->substr(1);
}

const std::string& date_line() {
    static std::time_t when = 0;
    static std::string line;
    const std::time_t now = std::time(nullptr);
    if (now != when) {
        char text[64];
        std::tm parts{};
        gmtime_r(&now, &parts);
        std::strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
        line = text;
        when = now;
    }
    return line;
}

// For the log: what a visitor sent may hold anything.
std::string printable(std::string_view text) {
    std::string clean;
    for (const char c : text.substr(0, 200)) clean += c >= ' ' && c <= '~' ? c : '?';
    return clean;
}

// A request as far as it was read.
struct Request {
    std::string target;
    std::string field;   // the header that is being read
    bool in_value = false;
    int hosts = 0;
    std::size_t head_size = 0;
    std::size_t body_size = 0;
    bool whole = false;
    int refusal = 0;   // the status for what is too large
};

struct Answer {
    std::string head;   // with the body of an error
    std::size_t head_sent = 0;
    Descriptor file;
    off_t file_at = 0;
    off_t file_end = 0;
    bool keep_alive = false;

    bool head_is_out() const { return head_sent == head.size(); }
    bool is_out() const { return head_is_out() && file_at == file_end; }
};

enum class Progress {
    waiting,    // for the visitor
    request,    // one is there, whole or broken: answer it
    answered,   // the answer is out, the visitor stays
    gone,
};

// ---- Reading: http_parser calls back, and stops at the end of each request ----

Request& request_of(http_parser* parser) { return *static_cast<Request*>(parser->data); }

int count_head(Request& request, std::size_t length) {
    request.head_size += length;
    if (request.head_size > max_head) request.refusal = 431;
    return request.refusal;
}

int on_url(http_parser* parser, const char* at, size_t length) {
    Request& request = request_of(parser);
    if (request.target.size() + length > max_head / 2) return request.refusal = 414;
    request.target.append(at, length);
    return count_head(request, length);
}

int on_header_field(http_parser* parser, const char* at, size_t length) {
    Request& request = request_of(parser);
    if (std::exchange(request.in_value, false)) request.field.clear();
    request.field.append(at, length);
    return count_head(request, length);
}

int on_header_value(http_parser* parser, const char*, size_t length) {
    Request& request = request_of(parser);
    if (!std::exchange(request.in_value, true) && ::strcasecmp(request.field.c_str(), "host") == 0) ++request.hosts;
    return count_head(request, length);
}

int on_body(http_parser* parser, const char*, size_t length) {
    Request& request = request_of(parser);
    request.body_size += length;
    return request.body_size > max_body ? request.refusal = 413 : 0;
}

int on_message_complete(http_parser* parser) {
    request_of(parser).whole = true;
    http_parser_pause(parser, 1);
    return 0;
}

http_parser_settings parser_settings() {
    http_parser_settings settings;
    http_parser_settings_init(&settings);
    settings.on_url = on_url;
    settings.on_header_field = on_header_field;
    settings.on_header_value = on_header_value;
    settings.on_body = on_body;
    settings.on_message_complete = on_message_complete;
    return settings;
}

// ---- A visitor ----

class Visitor {
public:
    Visitor(Descriptor socket, Clock::time_point now) : socket_(std::move(socket)), deadline_(now + time_for_request) {
        http_parser_init(&parser_, HTTP_REQUEST);
        parser_.data = &request_;
    }
    Visitor(const Visitor&) = delete;
    Visitor& operator=(const Visitor&) = delete;

    int socket() const { return socket_.get(); }
    Clock::time_point deadline() const { return deadline_; }
    const Request& request() const { return request_; }
    http_method method() const { return static_cast<http_method>(parser_.method); }
    bool idle() const { return state_ == State::reading && input_.empty() && request_.head_size == 0; }
    std::uint32_t waits_for() const { return state_ == State::writing ? EPOLLOUT : EPOLLIN; }

    Progress move_on(Clock::time_point now) {
        switch (state_) {
            case State::reading: return read();
            case State::writing: return write(now);
            case State::leaving: break;
        }
        return leave();
    }

    // The status to refuse the request with, or 0.
    int complaint() const {
        if (request_.refusal != 0) return request_.refusal;
        if (!request_.whole) return 400;
        if (parser_.http_major != 1) return 400;
        if (parser_.http_minor >= 1 && request_.hosts != 1) return 400;
        return method() == HTTP_GET || method() == HTTP_HEAD ? 0 : 405;
    }
    bool may_stay() const { return request_.whole && parser_.upgrade == 0 && http_should_keep_alive(&parser_) != 0; }

    void start_answer(Answer answer, Clock::time_point now) {
        answer_ = std::move(answer);
        state_ = State::writing;
        deadline_ = now + time_for_answer;
    }

    std::uint32_t watched = 0;   // what epoll looks for

private:
    enum class State { reading, writing, leaving };

    Progress read() {
        if (parse() == Progress::request) return Progress::request;
        char buffer[16 * 1024];
        for (;;) {
            const ssize_t size = ::recv(socket_.get(), buffer, sizeof buffer, 0);
            if (size < 0 && errno == EINTR) continue;
            if (size < 0 && errno == EAGAIN) return Progress::waiting;
            if (size <= 0) return Progress::gone;
            input_.assign(buffer, static_cast<std::size_t>(size));
            if (parse() == Progress::request) return Progress::request;
        }
    }

    // Feeds what was read to the parser, up to the end of a request; the rest stays.
    Progress parse() {
        if (input_.empty()) return Progress::waiting;
        static const http_parser_settings settings = parser_settings();
        const std::size_t used = http_parser_execute(&parser_, &settings, input_.data(), input_.size());
        input_.erase(0, used);
        return request_.whole || HTTP_PARSER_ERRNO(&parser_) != HPE_OK ? Progress::request : Progress::waiting;
    }

    // The head, and one piece of the file: then others have their turn.
    Progress write(Clock::time_point now) {
        while (!answer_.head_is_out()) {
            if (const ssize_t sent = write_head(); sent <= 0) return could_not_write(sent);
        }
        if (answer_.file_at < answer_.file_end) {
            if (const ssize_t sent = write_file(); sent <= 0) return could_not_write(sent);
        }
        deadline_ = now + time_for_answer;
        return answer_.is_out() ? finish_answer(now) : Progress::waiting;
    }

    // Zero: the file has become shorter than we said, and only the end of the connection can tell.
    static Progress could_not_write(ssize_t sent) {
        return sent < 0 && (errno == EAGAIN || errno == EINTR) ? Progress::waiting : Progress::gone;
    }

    ssize_t write_head() {
        const int more = answer_.file ? MSG_MORE : 0;
        const ssize_t sent = ::send(socket_.get(), answer_.head.data() + answer_.head_sent,
                                    answer_.head.size() - answer_.head_sent, MSG_NOSIGNAL | more);
        if (sent > 0) answer_.head_sent += static_cast<std::size_t>(sent);
        return sent;
    }
    ssize_t write_file() {
        const auto left = static_cast<std::size_t>(answer_.file_end - answer_.file_at);
        return ::sendfile(socket_.get(), answer_.file.get(), &answer_.file_at, std::min(left, piece));
    }

    Progress finish_answer(Clock::time_point now) {
        const bool stays = answer_.keep_alive;
        answer_ = Answer{};
        if (!stays) return start_to_leave(now);
        state_ = State::reading;
        request_ = Request{};
        http_parser_init(&parser_, HTTP_REQUEST);
        deadline_ = now + time_for_request;
        return Progress::answered;
    }

    Progress start_to_leave(Clock::time_point now) {
        if (::shutdown(socket_.get(), SHUT_WR) != 0) return Progress::gone;
        state_ = State::leaving;
        deadline_ = now + time_to_leave;
        return leave();
    }

    Progress leave() {
        char buffer[4096];
        const ssize_t size = ::recv(socket_.get(), buffer, sizeof buffer, 0);
        return size > 0 || (size < 0 && errno == EAGAIN) ? Progress::waiting : Progress::gone;
    }

    Descriptor socket_;
    http_parser parser_{};
    Request request_;
    std::string input_;   // read, not yet parsed
    Answer answer_;
    State state_ = State::reading;
    Clock::time_point deadline_;
};

// ---- The server ----

class Server {
public:
    Server(warder::Connection parent, std::string listen_grant, std::string site_grant)
        : parent_(std::move(parent)), site_(std::move(site_grant)) {
        listener_ = parent_.listen(listen_grant, {}, WARDER_NONBLOCK);
        epoll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
        signals_ = terminations();
        watch(listener_.get(), EPOLL_CTL_ADD, EPOLLIN);
        watch(signals_.get(), EPOLL_CTL_ADD, EPOLLIN);
        watch(parent_.poll_descriptor(), EPOLL_CTL_ADD, EPOLLIN);
        max_visitors_ = room_for_visitors();
        parent_.ready("serving");
    }

    // Until a stop, and then until the last answer is out.
    void run() {
        while (!stopping_ || !visitors_.empty()) {
            epoll_event events[256];
            const int count = ::epoll_wait(epoll_.get(), events, 256, visitors_.empty() ? -1 : 1000);
            now_ = Clock::now();
            bool knocking = false;
            for (int i = 0; i < count; ++i) knocking |= handle(events[i].data.fd);
            if (knocking) accept_visitors();   // last, so that no event of this turn is taken for a new visitor's
            drop_late_visitors();
        }
    }

private:
    // True for the listener.
    bool handle(int fd) {
        if (fd == listener_.get()) return true;
        if (fd == signals_.get()) {
            stop();
        } else if (const auto found = visitors_.find(fd); found != visitors_.end()) {
            serve(*found->second);
        } else {
            take_events();
        }
        return false;
    }

    void take_events() {
        while (const auto event = parent_.next_event(std::chrono::milliseconds(0))) {
            if (event->type == warder::Event::Type::stop) stop();
        }
    }

    void stop() {
        if (std::exchange(stopping_, true)) return;
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, signals_.get(), nullptr);
        pause_listening();
        std::vector<int> idle;
        for (const auto& [fd, visitor] : visitors_) {
            if (visitor->idle()) idle.push_back(fd);
        }
        for (const int fd : idle) visitors_.erase(fd);
    }

    void accept_visitors() {
        for (int i = 0; i < 64 && !stopping_; ++i) {
            if (visitors_.size() >= max_visitors_) return pause_listening();
            Descriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (!socket) return;
            const int on = 1;
            (void)::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            const int fd = socket.get();
            if (!watch(fd, EPOLL_CTL_ADD, EPOLLIN)) return;
            auto visitor = std::make_unique<Visitor>(std::move(socket), now_);
            visitor->watched = EPOLLIN;
            visitors_.emplace(fd, std::move(visitor));
        }
    }

    // Moves one visitor on until it waits, or has had its share of this turn.
    void serve(Visitor& visitor) {
        for (int answers = 0; answers < answers_in_a_row;) {
            const Progress progress = visitor.move_on(now_);
            if (progress == Progress::gone) return drop(visitor.socket());
            if (progress == Progress::waiting) return watch_for(visitor, visitor.waits_for());
            if (progress == Progress::request) visitor.start_answer(answer_to(visitor), now_);
            if (progress == Progress::answered) ++answers;
            if (progress == Progress::answered && stopping_ && visitor.idle()) return drop(visitor.socket());
        }
        watch_for(visitor, EPOLLIN | EPOLLOUT);   // it can be written to: we come back at once
    }

    void watch_for(Visitor& visitor, std::uint32_t events) const {
        if (visitor.watched != events) watch(visitor.socket(), EPOLL_CTL_MOD, events);
        visitor.watched = events;
    }

    Answer answer_to(Visitor& visitor) {
        const bool stays = visitor.may_stay() && !stopping_;
        if (const int status = visitor.complaint(); status != 0) return refusal(status, stays && status == 405, visitor);
        const auto path = path_in(visitor.request().target);
        if (!path) return refusal(400, false, visitor);
        auto file = parent_.try_open(site_, *path);
        if (!file) return denied(visitor, stays);
        return page(std::move(*file), *path, stays, visitor);
    }

    Answer denied(Visitor& visitor, bool stays) {
        const int status = status_for(errno);
        if (status != 404) {
            std::fprintf(stderr, "%d %s: %s\n", status, printable(visitor.request().target).c_str(), warder_why());
        }
        return refusal(status, stays, visitor);
    }

    static Answer page(Descriptor file, std::string_view path, bool stays, Visitor& visitor) {
        struct stat about {};
        if (::fstat(file.get(), &about) != 0) return refusal(500, stays, visitor);
        Answer answer;
        answer.keep_alive = stays;
        answer.head = head(200, content_type_of(path), static_cast<unsigned long long>(about.st_size), stays);
        if (visitor.method() == HTTP_HEAD || about.st_size == 0) return answer;
        answer.file = std::move(file);
        answer.file_end = about.st_size;
        return answer;
    }

    static Answer refusal(int status, bool stays, Visitor& visitor) {
        const std::string body = std::to_string(status) + " " + words_for(status) + "\n";
        Answer answer;
        answer.keep_alive = stays;
        answer.head = head(status, "text/plain; charset=utf-8", body.size(), stays);
        if (visitor.method() != HTTP_HEAD) answer.head += body;
        return answer;
    }

    static std::string head(int status, std::string_view type, unsigned long long size, bool stays) {
        std::string text = "HTTP/1.1 " + std::to_string(status) + " " + words_for(status) + "\r\n";
        text += "Server: static-web\r\n";
        text += date_line();
        text.append("Content-Type: ").append(type).append("\r\n");
        text += "X-Content-Type-Options: nosniff\r\n";
        if (status == 405) text += "Allow: GET, HEAD\r\n";
        text += "Content-Length: " + std::to_string(size) + "\r\n";
        text += stays ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
        return text;
    }

    void drop(int fd) {
        visitors_.erase(fd);
        if (paused_ && !stopping_ && visitors_.size() < max_visitors_) {
            paused_ = false;
            watch(listener_.get(), EPOLL_CTL_ADD, EPOLLIN);
        }
    }

    void drop_late_visitors() {
        if (now_ < next_round_) return;
        next_round_ = now_ + std::chrono::seconds(1);
        std::vector<int> late;
        for (const auto& [fd, visitor] : visitors_) {
            if (visitor->deadline() < now_) late.push_back(fd);
        }
        for (const int fd : late) drop(fd);
    }

    void pause_listening() {
        if (std::exchange(paused_, true)) return;
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr);
    }

    bool watch(int fd, int operation, std::uint32_t events) const {
        epoll_event event{};
        event.events = events;
        event.data.fd = fd;
        return ::epoll_ctl(epoll_.get(), operation, fd, &event) == 0;
    }

    static Descriptor terminations() {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_BLOCK, &set, nullptr);
        return Descriptor(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    }

    // Two descriptors for each: its socket and its file.
    static std::size_t room_for_visitors() {
        rlimit limit{};
        if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 256;
        return std::clamp<std::size_t>(limit.rlim_cur / 2, 32, 10000) - 16;
    }

    warder::Connection parent_;
    std::string site_;
    Descriptor listener_;
    Descriptor epoll_;
    Descriptor signals_;
    std::unordered_map<int, std::unique_ptr<Visitor>> visitors_;
    std::size_t max_visitors_ = 0;
    Clock::time_point now_ = Clock::now();
    Clock::time_point next_round_ = now_;
    bool stopping_ = false;
    bool paused_ = false;   // not watching the listener: no room
};

}  // namespace

// static-web [LISTEN_GRANT [SITE_GRANT]]
int main(int argc, char** argv) {
    ::signal(SIGPIPE, SIG_IGN);   // sendfile(2) has no MSG_NOSIGNAL
    http_parser_set_max_header_size(2 * max_head);
    try {
        Server server(warder::Connection::from_environment(), argc > 1 ? argv[1] : "http", argc > 2 ? argv[2] : "site");
        server.run();
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "static-web: %s\n", error.what());
        return 1;
    }
}
