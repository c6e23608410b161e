// warder-log-keeper: reads the output of every worker and the audit, and keeps them in files of bounded size. It is a worker
// like any other, in a cell, and can open nothing: pipes come to it by `channel` events, files by the grant "logs".
//
//     event name    "log:WORKER" or "audit"
//     event value   the most bytes of one file (low 48 bits), how many rotated files to keep (top 16 bits)
//
// Workers' lines get an RFC 3339 timestamp in UTC and go to WORKER.log; the audit's are JSON already and go to audit.jsonl.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <warder/warder.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "helpers/log_file.h"
#include "helpers/log_lines.h"

namespace {

using namespace warder::helpers;

constexpr int exit_failed = 1;
constexpr int exit_again = 75;   // EX_TEMPFAIL of sysexits.h: start me again

volatile std::sig_atomic_t told_to_end = 0;

void on_signal(int) { told_to_end = 1; }

std::string present_timestamp() {
    std::timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return timestamp(now.tv_sec * 1'000'000'000 + now.tv_nsec);
}

struct Source {
    int fd = -1;
    ino_t pipe = 0;   // which pipe it is: warderd may hand us the same one again
    LineSplitter lines;
    LogFile* file = nullptr;
};

class Keeper {
public:
    Keeper(warder_connection* connection, int poll) : connection_(connection), poll_(poll) {}

    int run();

private:
    enum class Session { goes_on, stop, lost };
    Session take_events();
    void adopt(const warder_event& event);
    void tell_how_many();
    LogFile& file_for(const Place& place);
    bool already_read(ino_t pipe) const;
    bool read_once(Source& source);
    void end(int fd);
    void drain();
    int wait(std::array<epoll_event, 64>& events);

    warder_connection* connection_;
    int poll_;
    std::map<int, Source> sources_;                                  // by descriptor
    std::map<std::string, std::unique_ptr<LogFile>> files_;          // by name
    std::size_t adopted_ = 0;   // events with pipes since we last said how many we keep
    bool again_ = false;
};

int Keeper::run() {
    std::array<epoll_event, 64> events{};
    for (;;) {
        const Session session = take_events();
        if (session != Session::goes_on || told_to_end != 0 || again_) {
            drain();
            return session == Session::lost ? exit_failed : again_ ? exit_again : 0;
        }
        if (adopted_ > 0) {
            tell_how_many();
            continue;   // something may have come while we said so
        }
        const int ready = wait(events);
        for (int i = 0; i < ready; ++i) {
            const auto source = sources_.find(events[static_cast<std::size_t>(i)].data.fd);
            if (source != sources_.end() && !read_once(source->second)) end(source->first);
        }
    }
}

// SIGTERM is let in only here, so that it cannot come between the question and the wait.
int Keeper::wait(std::array<epoll_event, 64>& events) {
    sigset_t none;
    ::sigemptyset(&none);
    return ::epoll_pwait(poll_, events.data(), static_cast<int>(events.size()), -1, &none);
}

// All of them, even after a stop: a pipe that came just before it has lines too.
Keeper::Session Keeper::take_events() {
    Session session = Session::goes_on;
    for (;;) {
        warder_event event{};
        const int got = warder_next_event(connection_, &event, 0);
        if (got == 0) return session;
        if (got < 0) return session == Session::stop ? session : Session::lost;
        // A pipe that we were not told of would stay unread for ever; warderd hands out all of them to a new life.
        if (event.lost > 0) again_ = true;
        if (event.type == WARDER_EVENT_STOP) session = Session::stop;
        if (event.type == WARDER_EVENT_CHANNEL) {
            ++adopted_;
            adopt(event);
        }
        if (event.type != WARDER_EVENT_CHANNEL && event.fd >= 0) ::close(event.fd);
    }
}

void Keeper::adopt(const warder_event& event) {
    if (event.fd < 0) return;
    const auto place = place_of(event.name);
    struct stat pipe{};
    if (!place || ::fstat(event.fd, &pipe) != 0 || !S_ISFIFO(pipe.st_mode)) {
        std::fprintf(stderr, "log-keeper: \"%s\" is no log\n", event.name);
        ::close(event.fd);
        return;
    }
    LogFile& file = file_for(*place);
    file.set_limits(unpack_limits(event.value));
    epoll_event interest{};
    interest.events = EPOLLIN;
    interest.data.fd = event.fd;
    ::fcntl(event.fd, F_SETFL, O_NONBLOCK);   // readiness alone would do: nobody else reads
    if (already_read(pipe.st_ino) || ::epoll_ctl(poll_, EPOLL_CTL_ADD, event.fd, &interest) != 0) {
        ::close(event.fd);
        return;
    }
    sources_.emplace(event.fd, Source{event.fd, pipe.st_ino, LineSplitter(place->stamped), &file});
}

// For people, and for warderd: it hands out a few pipes at a time and goes on when it hears from us, since the library keeps
// no more than 32 events while it waits for an answer.
void Keeper::tell_how_many() {
    adopted_ = 0;
    const std::string text = "keeping " + std::to_string(sources_.size()) + (sources_.size() == 1 ? " log" : " logs");
    warder_status(connection_, text.c_str());
}

LogFile& Keeper::file_for(const Place& place) {
    auto& file = files_[place.file];
    if (!file) file = std::make_unique<LogFile>(connection_, place);
    return *file;
}

bool Keeper::already_read(ino_t pipe) const {
    for (const auto& [fd, source] : sources_) {
        if (source.pipe == pipe) return true;
    }
    return false;
}

// One piece of what is there; others want their turn too. False: nobody writes to this pipe any more.
bool Keeper::read_once(Source& source) {
    static std::array<char, 64 * 1024> buffer;
    const ssize_t size = ::read(source.fd, buffer.data(), buffer.size());
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    const std::string stamp = present_timestamp();
    std::string lines;
    if (size == 0) source.lines.finish(stamp, lines);
    source.lines.feed({buffer.data(), static_cast<std::size_t>(size)}, stamp, lines);
    source.file->append(lines, stamp);
    if (source.file->out_of_descriptors()) {
        for (auto& [name, file] : files_) file->close_file();
    }
    return size > 0;
}

void Keeper::end(int fd) {
    // Said expressly: as long as warderd has its duplicate of this pipe, close alone would leave it in the set.
    ::epoll_ctl(poll_, EPOLL_CTL_DEL, fd, nullptr);
    sources_.erase(fd);
    ::close(fd);
}

// What is in the pipes now; workers that still run may go on to write, and their next lines wait for the next keeper.
void Keeper::drain() {
    for (auto& [fd, source] : sources_) {
        int left = 0;
        // At most what a pipe may hold, so that a worker that writes for ever cannot keep us.
        for (int pieces = 0; pieces < 64; ++pieces) {
            if (::ioctl(fd, FIONREAD, &left) != 0 || left == 0 || !read_once(source)) break;
        }
        const std::string stamp = present_timestamp();
        std::string rest;
        source.lines.finish(stamp, rest);
        source.file->append(rest, stamp);
    }
}

int fail(const char* what) {
    std::fprintf(stderr, "log-keeper: %s: %s\n", what, std::strerror(errno));
    return exit_failed;
}

bool catch_signals() {
    struct sigaction action{};
    action.sa_handler = on_signal;
    sigset_t end;
    ::sigemptyset(&end);
    ::sigaddset(&end, SIGTERM);
    ::sigaddset(&end, SIGINT);
    return ::sigaction(SIGTERM, &action, nullptr) == 0 && ::sigaction(SIGINT, &action, nullptr) == 0 &&
           ::sigprocmask(SIG_BLOCK, &end, nullptr) == 0;
}

}  // namespace

int main() {
    if (!catch_signals()) return fail("signals");
    warder_connection* const connection = warder_connect();
    if (connection == nullptr) return fail("warder_connect");
    const int poll = ::epoll_create1(EPOLL_CLOEXEC);
    if (poll < 0) return fail("epoll_create1");
    epoll_event interest{};
    interest.events = EPOLLIN;
    interest.data.fd = warder_fd(connection);
    if (interest.data.fd < 0 || ::epoll_ctl(poll, EPOLL_CTL_ADD, interest.data.fd, &interest) != 0) return fail("warder_fd");
    if (warder_ready(connection, "keeping logs") != 0) return fail("warder_ready");
    return Keeper(connection, poll).run();
}
