// SpareSandbox: the sandbox of a worker's next life, made ahead of need: its namespaces and mounts with the stub as their PID 1, as
// sandbox::spawn_stub() makes them. One life takes it, or none: what is not taken is killed with everything in it, which is
// nothing. A spare sandbox that cannot be made, or that dies, is no event in anybody's life: the next one makes its own.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "sandbox/spawn.h"
#include "supervise/child.h"
#include "sys/poller.h"

namespace warder::supervise {

// How many spare sandboxes may stand at the same time, of all workers together: each is a process and its namespaces.
struct SpareSandboxPlaces {
    std::uint32_t free = 0;
};

class SpareSandbox {
public:
    // Both outlive it. Its events carry `tag`.
    SpareSandbox(Poller& poller, SpareSandboxPlaces& places, PollTag tag) : poller_(poller), places_(places), tag_(tag) {}
    SpareSandbox(const SpareSandbox&) = delete;
    SpareSandbox& operator=(const SpareSandbox&) = delete;
    // Kills it, without waiting for it.
    ~SpareSandbox();

    // Takes a place for a spare sandbox that is to be made. False: there is none, or it has one.
    bool reserve();

    // Begins to make one for lives in `sandbox`, which it keeps alive; a place must be reserved. When it fails the place is free again.
    void make(std::shared_ptr<const sandbox::Prepared> sandbox);

    struct Taken {
        Child stub;
        Fd status;   // while it is still being made
    };
    // Gives it to a life in `sandbox`. nullopt: there is none for this sandbox, and what there is is put away.
    std::optional<Taken> take(const std::shared_ptr<const sandbox::Prepared>& sandbox);

    // Kills it. It is gone when its end was seen.
    void put_away();

    // What its events are for: how it was made, and its end.
    void look();

    // For lives in `sandbox`.
    bool is_for(const std::shared_ptr<const sandbox::Prepared>& sandbox) const { return sandbox_ == sandbox && sandbox_; }
    bool gone() const { return !stub_; }
    // The pid of its stub, if it is ready to be taken; -1: it is not.
    pid_t waiting_pid() const { return sandbox_ && !status_ ? stub_.pid() : -1; }
    // False: the poller did not take it, so it was put away; look() from time to time.
    bool watched() const { return watched_; }

private:
    void forget_status();
    void unwatch();
    void give_place_back();

    Poller& poller_;
    SpareSandboxPlaces& places_;
    PollTag tag_;
    bool reserved_ = false;
    bool watched_ = true;
    std::shared_ptr<const sandbox::Prepared> sandbox_;   // none: it must not be taken
    Child stub_;
    Fd status_;
};

}  // namespace warder::supervise
