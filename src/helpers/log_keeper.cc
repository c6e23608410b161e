// warder-log-keeper: reads the output of every worker and the audit, and keeps them in files of bounded size. It is a worker
// like any other, in a sandbox, and can open nothing: pipes come to it by `channel` events, files by the grant "logs".
//
//     event name    "log:WORKER", "audit" or "events"
//     event value   the most bytes of one file (low 48 bits), how many rotated files to keep (top 16 bits)
//
// Workers' lines get an RFC 3339 timestamp in UTC and go to WORKER.log; the audit's are JSON already and go to audit.jsonl, or, what
// is over its worker's share of that, to audit-WORKER.jsonl; what requests must not push out stands in events.jsonl besides.
// Each run of a worker has a pipe of its own, so that its end ends its last line too; a line that is not whole after a second
// is written as it is. The directory is watched: a log that somebody moved or removed is asked for anew. Lines that cannot be
// written are lost, and our status says so for as long as that lasts.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <warder/warder.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "helpers/log_file.h"
#include "helpers/log_lines.h"

namespace {

using namespace warder::helpers;

constexpr int exit_failed = 1;
constexpr int exit_again = 75;   // EX_TEMPFAIL of sysexits.h: start me again

using Milliseconds = std::int64_t;
constexpr Milliseconds line_patience = 1000;    // with a line whose newline does not come
constexpr Milliseconds retry_after = 1000;      // what could not be written
constexpr Milliseconds watch_after = 60'000;    // what could not be watched
constexpr Milliseconds name_patience = 6000;    // warderd looks at the directory's name every 5 s, and lends the moved one until then
constexpr Milliseconds never = INT64_MAX;
constexpr std::uint32_t moves = IN_MOVED_FROM | IN_DELETE | IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR;

volatile std::sig_atomic_t told_to_end = 0;

void on_signal(int) { told_to_end = 1; }

std::string present_timestamp() {
    std::timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return timestamp(now.tv_sec * 1'000'000'000 + now.tv_nsec);
}

Milliseconds monotonic() {
    std::timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

struct Source {
    int fd = -1;
    ino_t pipe = 0;   // which pipe it is: warderd may hand us the same one again
    LineSplitter lines;
    LogFile* file = nullptr;
    Limits limits;
    Milliseconds since = 0;   // when what is held back began to come
    bool awaited = false;     // stands in Keeper::unfinished_
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
    bool drained(Source& source);
    void append(const Source& source, std::string_view lines, std::string_view stamp);
    void write_to(LogFile& into, std::string_view lines, std::string_view stamp);
    void append_asides(const Source& source, std::string_view lines, std::string_view stamp);
    void end(int fd);
    void read_to_the_end_of(const LogFile& file);
    void drain();
    int wait(std::array<epoll_event, 64>& events);

    void await_newline(Source& source, bool goes_on);
    void show_unfinished(Milliseconds now);
    void run_due();
    void retry_lost();
    void note_losses();
    std::string state_in_words() const;
    void watch_directory(Milliseconds now);
    void take_moves();
    void forget_directory(Milliseconds again_at);

    warder_connection* connection_;
    int poll_;
    std::map<int, Source> sources_;                                  // by descriptor
    std::map<std::string, std::unique_ptr<LogFile>> files_;          // by name
    std::deque<std::pair<Milliseconds, int>> unfinished_;            // moment and descriptor; the earliest first
    std::size_t adopted_ = 0;   // events with pipes since we last said how many we keep
    bool losing_ = false;       // as was said last
    Milliseconds retry_at_ = never;
    int watch_ = -1;            // inotify, of the directory
    Milliseconds watch_at_ = 0; // when it is to be asked for
    bool watched_once_ = false;
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
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            const auto source = sources_.find(fd);
            if (source != sources_.end() && !read_once(source->second)) end(source->first);
            if (fd == watch_) take_moves();
        }
        run_due();
    }
}

// SIGTERM is let in only here, so that it cannot come between the question and the wait.
int Keeper::wait(std::array<epoll_event, 64>& events) {
    sigset_t none;
    ::sigemptyset(&none);
    Milliseconds due = retry_at_;
    if (!unfinished_.empty()) due = std::min(due, unfinished_.front().first);
    if (!files_.empty()) due = std::min(due, watch_at_);
    const int timeout = due == never ? -1 : static_cast<int>(std::clamp<Milliseconds>(due - monotonic(), 0, 60'000));
    return ::epoll_pwait(poll_, events.data(), static_cast<int>(events.size()), timeout, &none);
}

void Keeper::run_due() {
    const Milliseconds now = monotonic();
    show_unfinished(now);
    if (retry_at_ <= now) retry_lost();
    if (watch_at_ <= now && !files_.empty()) watch_directory(now);
    note_losses();
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
    if (!already_read(pipe.st_ino)) read_to_the_end_of(file);
    epoll_event interest{};
    interest.events = EPOLLIN;
    interest.data.fd = event.fd;
    ::fcntl(event.fd, F_SETFL, O_NONBLOCK);   // readiness alone would do: nobody else reads
    if (already_read(pipe.st_ino) || ::epoll_ctl(poll_, EPOLL_CTL_ADD, event.fd, &interest) != 0) {
        ::close(event.fd);
        return;
    }
    sources_.emplace(event.fd, Source{event.fd, pipe.st_ino, LineSplitter(place->stamped), &file, unpack_limits(event.value), 0, false});
}

// The pipe of the run before this one: what it said comes first.
void Keeper::read_to_the_end_of(const LogFile& file) {
    for (auto source = sources_.begin(); source != sources_.end();) {
        const auto next = std::next(source);
        if (source->second.file == &file && drained(source->second)) end(source->first);
        source = next;
    }
}

// For people, and for warderd: it hands out a few pipes at a time and goes on when it hears from us, since the library keeps
// no more than 32 events while it waits for an answer.
void Keeper::tell_how_many() {
    adopted_ = 0;
    warder_status(connection_, state_in_words().c_str());
}

// What an operator sees of us. "losing" in front is what warderd takes for a warning.
std::string Keeper::state_in_words() const {
    std::size_t losing = 0;
    const LogFile* first = nullptr;
    for (const auto& [name, file] : files_) {
        if (file->losing() && losing++ == 0) first = file.get();
    }
    if (first == nullptr) {
        std::set<const LogFile*> kept;
        for (const auto& [fd, source] : sources_) kept.insert(source.file);
        return "keeping " + std::to_string(kept.size()) + (kept.size() == 1 ? " log" : " logs");
    }
    std::string text = "losing lines of " + first->place().file;
    if (losing > 1) text += " and " + std::to_string(losing - 1) + " more";
    return text + ": " + std::strerror(first->why_losing());
}

// Said when it begins and when it is over. While it lasts each file is tried again, so that its end is seen without a new line.
void Keeper::note_losses() {
    const bool losing = std::any_of(files_.begin(), files_.end(), [](const auto& entry) { return entry.second->losing(); });
    if (losing && retry_at_ == never) retry_at_ = monotonic() + retry_after;
    if (!losing) retry_at_ = never;
    if (losing != losing_) ++adopted_;   // the next turn says it
    if (losing_ && !losing && watch_ < 0) {   // the directory may be another
        watch_at_ = 0;
        watched_once_ = false;
    }
    losing_ = losing;
}

void Keeper::retry_lost() {
    retry_at_ = monotonic() + retry_after;
    const std::string stamp = present_timestamp();
    for (auto& [name, file] : files_) file->retry(stamp);
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
    const bool held_back = source.lines.holds_back();
    if (size == 0) source.lines.finish(stamp, lines);
    source.lines.feed({buffer.data(), static_cast<std::size_t>(size)}, stamp, lines);
    await_newline(source, held_back && lines.empty());
    append(source, lines, stamp);
    return size > 0;
}

// The audit's lines are whole or not there at all: half of one would be no JSON.
void Keeper::await_newline(Source& source, bool goes_on) {
    if (!source.lines.holds_back() || !source.file->place().stamped) return;
    if (!goes_on) source.since = monotonic();
    if (!std::exchange(source.awaited, true)) unfinished_.emplace_back(source.since + line_patience, source.fd);
}

void Keeper::show_unfinished(Milliseconds now) {
    while (!unfinished_.empty() && unfinished_.front().first <= now) {
        const int fd = unfinished_.front().second;
        unfinished_.pop_front();
        const auto found = sources_.find(fd);
        if (found == sources_.end()) continue;   // or another source by now, which is then looked at too early, and waits on
        Source& source = found->second;
        source.awaited = false;
        if (!source.lines.holds_back()) continue;
        if (source.since + line_patience > now) {
            await_newline(source, true);
            continue;
        }
        const std::string stamp = present_timestamp();
        std::string line;
        source.lines.show(stamp, line);
        append(source, line, stamp);
    }
}

// ---- The directory: what somebody else does to its names

// Twice: the first watch may be on a directory that had lost its name already, which warderd then had not seen. The files are
// asked for anew beside the second.
void Keeper::watch_directory(Milliseconds now) {
    const bool second = std::exchange(watched_once_, false);
    forget_directory(now + watch_after);
    if (second) {
        for (auto& [name, file] : files_) file->close_file();
    }
    const int fd = warder_watch(connection_, "logs", "", moves, WARDER_NONBLOCK);
    if (fd < 0) return;
    epoll_event interest{};
    interest.events = EPOLLIN;
    interest.data.fd = fd;
    if (::epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &interest) != 0) {
        ::close(fd);
        return;
    }
    watch_ = fd;
    watched_once_ = !second;
    watch_at_ = second ? never : now + name_patience;
}

// Our own rotation is seen here too: then the next line asks for a descriptor once more.
void Keeper::take_moves() {
    alignas(inotify_event) std::array<char, 16 * 1024> buffer;
    for (;;) {
        const ssize_t size = ::read(watch_, buffer.data(), buffer.size());
        if (size <= 0) return;
        for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
            inotify_event event{};
            std::memcpy(&event, buffer.data() + at, sizeof event);
            const auto file = files_.find(event.len > 0 ? buffer.data() + at + sizeof event : "");
            at += sizeof event + event.len;
            if (file != files_.end()) file->second->close_file();
            // Another directory has the name, or will have it: at that moment we ask for the files, and for a watch, in that one.
            constexpr std::uint32_t gone = IN_MOVE_SELF | IN_DELETE_SELF | IN_IGNORED | IN_Q_OVERFLOW;
            if ((event.mask & gone) == 0) continue;
            watched_once_ = true;
            return forget_directory(monotonic() + name_patience);
        }
    }
}

void Keeper::forget_directory(Milliseconds again_at) {
    if (watch_ >= 0) ::close(std::exchange(watch_, -1));
    watch_at_ = again_at;
}

// Takes what is in its pipe now, and ends its last line. True: nobody writes to it any more.
bool Keeper::drained(Source& source) {
    int left = 0;
    // At most what a pipe may hold, so that a worker that writes for ever cannot keep us.
    for (int pieces = 0; pieces < 64; ++pieces) {
        if (::ioctl(source.fd, FIONREAD, &left) != 0 || left == 0) break;
        if (!read_once(source)) return true;
    }
    const std::string stamp = present_timestamp();
    std::string rest;
    source.lines.finish(stamp, rest);
    append(source, rest, stamp);
    return false;
}

void Keeper::append(const Source& source, std::string_view lines, std::string_view stamp) {
    if (source.file->place().asides) return append_asides(source, lines, stamp);
    write_to(*source.file, lines, stamp);
}

void Keeper::write_to(LogFile& into, std::string_view lines, std::string_view stamp) {
    into.append(lines, stamp);
    if (!into.out_of_descriptors()) return;
    for (auto& [name, file] : files_) file->close_file();
}

// Lines of one file that stand together are written together.
void Keeper::append_asides(const Source& source, std::string_view lines, std::string_view stamp) {
    std::string together;
    LogFile* into = source.file;
    while (!lines.empty()) {
        const std::string_view line = lines.substr(0, std::min(lines.find('\n'), lines.size() - 1) + 1);
        lines.remove_prefix(line.size());
        const auto aside = aside_of(line);
        LogFile& file = aside ? file_for(Place{aside->file, false}) : *source.file;
        if (aside) file.set_limits(limits_of_aside(source.limits));
        if (&file != into) {
            write_to(*into, together, stamp);
            together.clear();
            into = &file;
        }
        together += aside ? aside->line : line;
    }
    write_to(*into, together, stamp);
}

void Keeper::end(int fd) {
    // Said expressly: as long as warderd has its duplicate of this pipe, close alone would leave it in the set.
    ::epoll_ctl(poll_, EPOLL_CTL_DEL, fd, nullptr);
    sources_.erase(fd);
    ::close(fd);
}

// What is in the pipes now; workers that still run may go on to write, and their next lines wait for the next keeper.
void Keeper::drain() {
    for (auto& [fd, source] : sources_) drained(source);
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
