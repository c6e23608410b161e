// The subject: a real warderd under a config that the bench wrote, and the workers that it runs. Everything lives in a
// scratch directory that goes with it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "bench/measure.h"
#include "bench/orders.h"
#include "protocol/message.h"
#include "sys/channel.h"
#include "sys/fd.h"

namespace warder::bench {

struct Programs {
    std::string warderd;
    std::string worker;
};

// A directory with the page that is opened, and the socket on which workers report.
class Scratch {
public:
    static Result<Scratch> create();
    Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, {})), listener_(std::move(other.listener_)) {}
    Scratch& operator=(Scratch&&) = delete;
    ~Scratch();

    const std::string& path() const { return path_; }
    std::string site() const { return path_ + "/site"; }
    std::string socket() const { return path_ + "/bench.sock"; }
    std::string log() const { return path_ + "/warderd.log"; }
    int listener() const { return listener_.get(); }

    // A directory of its own for one more grant.
    Result<std::string> make_tree(std::size_t number) const;

private:
    explicit Scratch(std::string path) : path_(std::move(path)) {}
    Result<void> fill();
    std::string path_;
    Fd listener_;
};

// A worker that has come to the bench's socket. The kernel says who it is.
struct Visitor {
    std::string name;
    Credentials who;
    Fd socket;

    // Has it open the page `count` times, `width` at once.
    Result<Samples> opens(std::size_t count, std::size_t width = 1);
    // Has it do one kind of request `count` times.
    Result<Samples> kind(const KindSteps& steps, std::size_t count);
};

// Prints what warderd said: its log goes with the scratch directory, and says why nobody came.
void show_log(const Scratch& scratch);

// Waits for the next worker to come. Errors: ETIMEDOUT.
Result<Visitor> next_visitor(const Scratch& scratch, Duration patience);

// One worker's part of a config: a full sandbox unless `sandbox` says otherwise, `grants` in all beside the bench's own socket.
std::string worker_config(const Scratch& scratch, const Programs& programs, std::string_view name, std::string_view sandbox,
                          std::size_t grants);

// Whether a signal ended a subject: what was measured then says nothing.
bool told_to_end();

class Subject {
public:
    // Starts warderd with what the scratch needs in [daemon], more lines of it in `daemon`, and `workers` after it.
    static Result<Subject> start(const Scratch& scratch, const Programs& programs, const std::string& workers,
                                 const std::string& daemon = {});
    Subject(Subject&& other) noexcept : pid_(std::exchange(other.pid_, -1)), control_path_(std::move(other.control_path_)) {}
    Subject& operator=(Subject&&) = delete;
    ~Subject();

    pid_t pid() const { return pid_; }

    // Sends one verb over the control socket and waits until it is done; the report, as JSON.
    Result<std::string> command(protocol::Verb verb, std::string_view worker = {});

    // What warderd says of its loop since its start: its turns, and how many of them took longer than 5 ms.
    struct Loop {
        std::uint64_t turns = 0;
        std::uint64_t over_5ms = 0;
    };
    Result<Loop> loop();

    // Moves warderd and all its children.
    void move(Place place) const;

    // Stops it; the exit status, or -1 when it had to be killed.
    int stop();

private:
    Subject(pid_t pid, std::string control_path) : pid_(pid), control_path_(std::move(control_path)) {}
    pid_t pid_ = -1;
    std::string control_path_;
};

std::vector<pid_t> children_of(pid_t parent);

}  // namespace warder::bench
