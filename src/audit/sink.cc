#include "audit/sink.h"

#include <unistd.h>

#include "base/json.h"
#include "base/time.h"

namespace warder::audit {
namespace {

enum class Written { whole, not_now, failed };

Written write_line(int out, std::string line) {
    line += '\n';
    for (;;) {
        const ssize_t size = ::write(out, line.data(), line.size());
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
    return line;
}

}  // namespace

Sink::Outcome Sink::drain(Ring& ring) {
    lost_ += ring.take_lost();
    while (ring.size() > 0) {
        const Written written = out_ < 0 ? Written::failed : write_line(out_, to_json(ring.front()));
        if (written == Written::not_now) return Outcome::full;
        if (written == Written::failed && out_ >= 0) ++lost_;
        ring.pop();
    }
    if (lost_ > 0 && out_ >= 0) {
        const Written written = write_line(out_, lost_line(lost_));
        if (written == Written::not_now) return Outcome::full;
        if (written == Written::whole) lost_ = 0;
    }
    return Outcome::drained;
}

}  // namespace warder::audit
