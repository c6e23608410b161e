// Runs programs in sandboxes for the tests: what the daemon's loop does with a stub and a worker, in a straight line.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sandbox/plan.h"
#include "sandbox/proof.h"
#include "sandbox/receipt.h"
#include "sandbox/spawn.h"
#include "sys/process.h"

namespace sandbox {

using namespace warder;
using namespace warder::sandbox;

inline constexpr uid_t worker_uid = 64123;
inline constexpr int patience_ms = 10'000;

// A test that needs root says so and is over.
#define NEEDS_ROOT()                                                 \
    do {                                                             \
        if (::geteuid() != 0) {                                      \
            std::puts("skipped: sandboxes need root");                   \
            return;                                                  \
        }                                                            \
    } while (false)

// Beside this test program, where the build puts it.
inline std::string sandbox_view() {
    char path[4096];
    const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
    const std::string exe(path, size > 0 ? static_cast<std::size_t>(size) : 0);
    return exe.substr(0, exe.rfind('/')) + "/sandbox/sandbox-view";
}

inline Plan plan_for(std::vector<std::string> arguments) {
    Plan plan;
    plan.program = arguments.at(0);
    plan.arguments = std::move(arguments);
    plan.environment = {"LANG=C", "PATH=/usr/bin:/bin"};
    plan.user = "tester";
    plan.uid = worker_uid;
    plan.gid = worker_uid;
    return plan;
}

// sandbox-view with its questions.
inline Plan plan_for_view(std::vector<std::string> questions) {
    questions.insert(questions.begin(), sandbox_view());
    return plan_for(std::move(questions));
}

// sandbox-view where a worker finds it on the host's own tree, whose /tmp may be hidden and whose /run noexec: the build may lie where
// only root may go.
class ReachableView {
public:
    ReachableView() {
        REQUIRE(::mkdtemp(directory_.data()) != nullptr);
        std::filesystem::permissions(directory_, std::filesystem::perms(0755));
        std::filesystem::copy_file(sandbox_view(), program());
    }
    ReachableView(const ReachableView&) = delete;
    ReachableView& operator=(const ReachableView&) = delete;
    ~ReachableView() { std::filesystem::remove_all(directory_); }

    std::string program() const { return directory_ + "/sandbox-view"; }
    std::vector<std::string> asked(std::vector<std::string> questions) const {
        questions.insert(questions.begin(), program());
        return questions;
    }

private:
    std::string directory_ = "/opt/warder-sandbox-view-XXXXXX";
};

// Programs outside of the chain may be run as well, as a worker with `run` rights on /usr has it.
inline Plan plan_for_shell(const std::string& script) {
    Plan plan = plan_for({"/bin/sh", "-c", script});
    plan.binds.push_back({.source = "/usr", .target = "/usr", .writable = false, .execute = true});
    return plan;
}

inline PreparedSandbox prepare_or_fail(const Plan& plan) {
    Unfit unfit;
    auto prepared = prepare(plan, unfit);
    if (!prepared) FAIL(unfit.item << ": " << unfit.why << ": " << describe(prepared.error()));
    return std::move(*prepared);
}

// What the status pipe says, waiting for it.
inline SetupFailure wait_for_status(const Spawned& spawned) {
    for (;;) {
        pollfd status{spawned.status.get(), POLLIN, 0};
        REQUIRE(::poll(&status, 1, patience_ms) == 1);
        if (const auto said = read_status(spawned.status.get())) return *said;
    }
}

inline Ended wait_for_end(const Spawned& spawned) {
    REQUIRE(ended_within(spawned.pidfd.get(), patience_ms));
    const auto ended = reap(spawned.pidfd.get());
    REQUIRE(ended);
    REQUIRE(ended->has_value());
    return **ended;
}

// A stub, or nothing where the plan wants none. Ends with everything in it when it goes out of scope.
class Stub {
public:
    explicit Stub(const Prepared& prepared) {
        if (!needs_stub(prepared)) return;
        auto stub = spawn_stub(prepared);
        if (!stub) FAIL("spawn_stub: " << describe(stub.error()));
        stub_ = std::move(*stub);
        failure_ = wait_for_status(stub_);
        if (failure_.stage == Stage::none) return;
        ended_ = wait_for_end(stub_);
        stub_.pidfd.reset();
    }
    ~Stub() { end(); }
    Stub(const Stub&) = delete;
    Stub& operator=(const Stub&) = delete;

    void end() {
        if (!stub_.pidfd) return;
        [[maybe_unused]] const auto killed = send_signal(stub_.pidfd.get(), SIGKILL);
        ended_within(stub_.pidfd.get(), patience_ms);
        [[maybe_unused]] const auto reaped = reap(stub_.pidfd.get());
        stub_.pidfd.reset();
    }

    int pidfd() const { return stub_.pidfd ? stub_.pidfd.get() : -1; }
    pid_t pid() const { return stub_.pid; }
    SetupFailure failure() const { return failure_; }
    Ended ended() const { return ended_; }

private:
    Spawned stub_;
    SetupFailure failure_;
    Ended ended_;
};

struct Outcome {
    SetupFailure failure;
    Ended ended;
    std::string text;
};

inline std::string read_all(int fd) {
    std::string text;
    char buffer[4096];
    for (ssize_t size = 0; (size = ::read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(size));
    return text;
}

inline bool holds(const std::string& text, const std::string& line) { return text.find(line) != std::string::npos; }

struct Pipe {
    Pipe() {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        reading = Fd(ends[0]);
        writing = Fd(ends[1]);
    }
    Fd reading;
    Fd writing;
};

// Runs the plan to its end.
inline Outcome run(const Plan& plan, Descriptors descriptors = {}) {
    const PreparedSandbox prepared = prepare_or_fail(plan);
    Stub stub(*prepared);
    if (stub.failure().stage != Stage::none) return {stub.failure(), stub.ended(), {}};
    Pipe output;
    if (descriptors.output < 0) descriptors.output = output.writing.get();
    auto worker = spawn_worker(*prepared, descriptors, stub.pidfd());
    if (!worker) FAIL("spawn_worker: " << describe(worker.error()));
    output.writing.reset();
    Outcome outcome;
    outcome.failure = wait_for_status(*worker);
    outcome.text = read_all(output.reading.get());
    outcome.ended = wait_for_end(*worker);
    return outcome;
}

// A worker that runs on, with its receipt.
struct Life {
    explicit Life(const Plan& plan, const Descriptors& descriptors = {})
        : prepared(prepare_or_fail(plan)), stub(*prepared), given(descriptors) {
        REQUIRE(stub.failure().stage == Stage::none);
        auto started = spawn_worker(*prepared, descriptors, stub.pidfd());
        REQUIRE(started);
        worker = std::move(*started);
        for (;;) {
            pollfd status{worker.status.get(), POLLIN, 0};
            REQUIRE(::poll(&status, 1, patience_ms) == 1);
            if (const auto said = read_status(worker.status.get(), &proof)) {
                REQUIRE(said->stage == Stage::none);
                return;
            }
        }
    }
    ~Life() {
        [[maybe_unused]] const auto killed = send_signal(worker.pidfd.get(), SIGKILL);
        ended_within(worker.pidfd.get(), patience_ms);
        [[maybe_unused]] const auto reaped = reap(worker.pidfd.get());
    }
    Receipt receipt() const { return take_receipt(expected_of(*prepared, given, {}), worker.pid, proof); }

    PreparedSandbox prepared;
    Stub stub;
    Descriptors given;
    Spawned worker;
    std::optional<Proof> proof;
};

inline std::string open_items(const Receipt& receipt) {
    std::string names;
    for (const auto& one : receipt.items) {
        if (!one.matches) names += in_words(one) + "\n";
    }
    return names;
}

}  // namespace sandbox
