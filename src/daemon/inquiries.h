// Inquiries: questions of operators whose answer costs what a worker chose: how many descriptors it has, how many processes, what
// its sockets are called. Each is answered by a process that is forked for it, which knows what warderd knew in that moment and
// holds none of its descriptors and no right but to look. warderd reads what it writes, so much and for so long, and never waits.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/operator.h"
#include "sys/fd.h"
#include "sys/poller.h"

namespace warder::daemon {

class Inquiries {
public:
    static constexpr std::size_t max_concurrent = 4;
    static constexpr std::size_t max_text = 8UL << 20;              // bytes of an answer
    static constexpr Duration deadline = std::chrono::seconds(5);

    using Done = std::function<void(const control::Ticket&, control::Reported)>;

    // `poller` outlives it. `done` is called once for each that was begun, in handle() or run_due().
    Inquiries(Poller& poller, Done done) : poller_(poller), done_(std::move(done)) {}
    ~Inquiries() { stop(); }
    Inquiries(const Inquiries&) = delete;
    Inquiries& operator=(const Inquiries&) = delete;

    // Begins one. `report` runs in the child and gets what closes all that the child has of warderd's, to be called as soon as it needs
    // none of it; no later than it looks at anything of a worker's. Errors: EAGAIN when there are too many; pipe2(2), clone3(2).
    Result<void> begin(const control::Ticket& ticket, const control::Report& report, Instant now);

    void handle(const PollEvent& event);
    Instant next_deadline() const;
    void run_due(Instant now);
    // Ends all; nothing is told any more.
    void stop();

private:
    struct Inquiry {
        control::Ticket ticket;
        std::uint32_t number = 0;
        Fd output;
        Fd pidfd;
        std::string text;
        Instant deadline;
        bool answered = false;   // what is left is to reap it
    };

    void read_some(Inquiry& inquiry);
    void fail(Inquiry& inquiry, int error, std::string_view why);
    void answer(Inquiry& inquiry, control::Reported reported);

    Poller& poller_;
    Done done_;
    std::vector<Inquiry> inquiries_;
    std::uint32_t next_ = 0;
};

}  // namespace warder::daemon
