#include "audit/sink.h"

#include <limits.h>
#include <unistd.h>

#include "base/json.h"
#include "base/time.h"

namespace warder::audit {
namespace {

enum class Written { whole, not_now, failed };

Written write_whole(int out, const std::string& lines) {
    for (;;) {
        const ssize_t size = ::write(out, lines.data(), lines.size());
        if (size >= 0) return Written::whole;
        if (errno == EINTR) continue;
        return errno == EAGAIN ? Written::not_now : Written::failed;
    }
}

std::string lost_line(std::uint64_t lost) {
    std::string line;
    JsonWriter json(line);
    json.begin_object().member("time", format_wall_clock(wall_clock_now())).member("kind", "lost");
    json.member("records", lost).end_object();
    return line + '\n';
}

}  // namespace

// As many of the oldest records as one write to a pipe takes whole.
std::size_t Sink::gather(const Ring& ring) {
    lines_.clear();
    std::size_t count = 0;
    for (; count < ring.size(); ++count) {
        const std::size_t before = lines_.size();
        if (ring.aside(count) && asides_ == Asides::are_marked) (lines_ += ring.at(count).worker.view()) += '\t';
        append_json(ring.at(count), lines_);
        lines_ += '\n';
        if (count == 0 || lines_.size() <= PIPE_BUF) continue;
        lines_.resize(before);
        break;
    }
    return count;
}

Sink::Outcome Sink::drain_some(Ring& ring) {
    if (ring.size() == 0) return tell_lost();
    const std::size_t count = gather(ring);
    const Written written = out_ < 0 ? Written::failed : write_whole(out_, lines_);
    if (written == Written::not_now) return Outcome::full;
    if (written == Written::failed && out_ >= 0) lost_ += count;
    ring.pop(count);
    return ring.size() > 0 || lost_ > 0 ? Outcome::more : Outcome::drained;
}

Sink::Outcome Sink::tell_lost() {
    if (lost_ == 0 || out_ < 0) return Outcome::drained;
    const Written written = write_whole(out_, lost_line(lost_));
    if (written == Written::not_now) return Outcome::full;
    if (written == Written::whole) lost_ = 0;
    return Outcome::drained;
}

Sink::Outcome Sink::drain(Ring& ring) {
    Outcome outcome = Outcome::more;
    while (outcome == Outcome::more) outcome = drain_some(ring);
    return outcome;
}

}  // namespace warder::audit
