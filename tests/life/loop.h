// The smallest loop that gives workers a life: a poller, a roster, and an observer that remembers. Each test has its own,
// and when it goes, no child, no zombie and no descriptor of it may be left.
#pragma once

#include <doctest/doctest.h>
#include <dirent.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "supervise/roster.h"

namespace life {

using namespace warder;
using namespace warder::supervise;

inline constexpr uid_t worker_uid = 64201;

inline int open_descriptors() {
    int count = 0;
    DIR* directory = ::opendir("/proc/self/fd");
    while (::readdir(directory) != nullptr) ++count;
    ::closedir(directory);
    return count;
}

// The uid of a process, by its /proc directory.
inline uid_t uid_of(const std::string& pid) {
    struct stat status {};
    return ::stat(("/proc/" + pid).c_str(), &status) == 0 ? status.st_uid : 0;
}

// Whether a process has ended, and only its parent does not know yet.
inline bool is_zombie(const std::string& pid) {
    std::ifstream file("/proc/" + pid + "/stat");
    std::string text;
    std::getline(file, text);
    const std::size_t name_end = text.rfind(')');
    return name_end == std::string::npos || text.substr(name_end, 3) == ") Z";
}

// Processes of `uid` that live. Zombies of ours are has_children()'s to find; orphans without a namespace are PID 1's to reap.
// A stub is root's without a right: it is told by its name and by who made it.
inline bool is_stub_of_ours(const std::string& pid) {
    std::ifstream status("/proc/" + pid + "/status");
    bool named = false;
    for (std::string line; std::getline(status, line);) {
        if (line == "Name:\twarder-stub") named = true;
        if (line.starts_with("PPid:")) return named && line == "PPid:\t" + std::to_string(::getpid());
    }
    return false;
}

// With their stubs.
inline int processes_of(uid_t uid) {
    int count = 0;
    DIR* directory = ::opendir("/proc");
    while (const dirent* entry = ::readdir(directory)) {
        const std::string name = entry->d_name;
        if (name.find_first_not_of("0123456789") == std::string::npos && !is_zombie(name) &&
            (uid_of(name) == uid || is_stub_of_ours(name))) {
            ++count;
        }
    }
    ::closedir(directory);
    return count;
}

// Takes every descriptor that there is.
struct NoFreeDescriptors {
    rlimit before{};
    mutable std::vector<Fd> taken;
    NoFreeDescriptors() {
        ::getrlimit(RLIMIT_NOFILE, &before);
        const rlimit low{256, before.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &low);
        while (const int fd = ::dup(STDIN_FILENO)) {
            if (fd < 0) break;
            taken.emplace_back(fd);
        }
    }
    void free_some(std::size_t count) const { taken.resize(taken.size() - std::min(count, taken.size())); }
    void free() const {
        taken.clear();
        ::setrlimit(RLIMIT_NOFILE, &before);
    }
};

inline bool has_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

inline std::string cgroup_root() {
    for (const char* root : {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"}) {
        if (::access((std::string(root) + "/cgroup.procs").c_str(), W_OK) == 0) return root;
    }
    return {};
}

struct Folder {
    std::string path;
    Folder() {
        char name[] = "/tmp/warder-life-XXXXXX";
        path = ::mkdtemp(name);
        ::chmod(path.c_str(), 0755);
    }
    ~Folder() {
        ::rmdir((path + "/notify").c_str());
        ::rmdir(path.c_str());
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
};

// A program in a full sandbox, with /usr to run things from.
inline WorkerSettings worker(const std::string& name, std::vector<std::string> arguments) {
    WorkerSettings settings;
    settings.name = name;
    sandbox::Plan& plan = settings.plan;
    plan.program = arguments.at(0);
    plan.arguments = std::move(arguments);
    plan.environment = {"LANG=C", "PATH=/usr/bin:/bin"};
    plan.user = name;
    plan.uid = worker_uid;
    plan.gid = worker_uid;
    plan.binds.push_back({.source = "/usr", .target = "/usr", .writable = false, .execute = true});
    settings.rule.restart.delay = 50ms;
    settings.rule.restart.jitter = 0;
    settings.rule.stop.timeout = 5s;
    return settings;
}

inline WorkerSettings shell(const std::string& name, const std::string& script) {
    return worker(name, {"/bin/sh", "-c", script});
}

inline WorkerSettings python(const std::string& name, const std::string& script) {
    return worker(name, {"/usr/bin/python3", "-I", "-S", "-c", script});
}

inline WorkerSettings sleeper(const std::string& name) { return worker(name, {"/bin/sleep", "1000"}); }

struct Change {
    WorkerId id{};
    State from{};
    State to{};
    std::string why;
    Instant at;
};

class Loop : public Observer {
public:
    explicit Loop(const std::string& cgroup = {}, std::uint32_t spare_sandboxes = 0) : poller_(std::move(*Poller::create())) { new_roster(cgroup, spare_sandboxes); }

    const std::string& folder() const { return folder_.path; }

    // Whatever the one before still had is left to its destructor.
    void new_roster(const std::string& cgroup, std::uint32_t spare_sandboxes = 0) {
        roster.reset();
        roster = std::make_unique<Roster>(
            RosterSettings{.runtime_directory = folder_.path, .cgroup_directory = cgroup, .spare_sandboxes = spare_sandboxes, .seed = 7}, poller_, *this);
    }

    // Stops everything and looks for what is left.
    ~Loop() override {
        roster->stop_all(monotonic_now());
        CHECK(until([this] { return roster->everything_stopped(); }));
        CHECK_FALSE(has_children());
        CHECK(processes_of(worker_uid) == 0);
        CHECK(sessions.empty());
        roster.reset();
        CHECK(open_descriptors() == descriptors_before_ + 1);   // the poller
    }

    Worker& add(WorkerSettings settings) {
        std::string why;
        auto id = roster->add(std::move(settings), Fd(), why);
        if (!id || !why.empty()) FAIL("add: " << (id ? std::string() : describe(id.error())) << ": " << why);
        return *roster->find(*id);
    }

    Worker& start(WorkerSettings settings) {
        Worker& worker = add(std::move(settings));
        worker.start(monotonic_now());
        return worker;
    }

    Worker& start_until_ready(WorkerSettings settings) {
        Worker& worker = start(std::move(settings));
        REQUIRE_MESSAGE(until_state(worker, State::ready), worker.snapshot().why);
        return worker;
    }

    // One turn of at most `timeout`.
    void turn(Duration timeout) {
        const Instant now = monotonic_now();
        const Duration left = std::min(timeout, std::max(Duration::zero(), roster->next_deadline() - now));
        const auto events = poller_.wait(left);
        REQUIRE(events);
        for (const PollEvent& event : *events) {
            CHECK(roster->handle(event, monotonic_now()));
            ++events_seen;
        }
        roster->run_due(monotonic_now());
        ++turns;
    }

    bool until(const std::function<bool()>& holds, Duration patience = 20s) {
        const Instant end = monotonic_now() + patience;
        while (!holds()) {
            const Instant now = monotonic_now();
            if (now >= end) return false;
            turn(std::min<Duration>(end - now, 1s));
        }
        return true;
    }

    bool until_state(const Worker& worker, State state, Duration patience = 20s) {
        return until([&] { return worker.state() == state; }, patience);
    }

    // Until the worker has begun its `life`th life and is ready in it.
    bool until_life(const Worker& worker, std::uint32_t life) {
        return until([&] { return worker.life_number() >= life && worker.state() == State::ready; });
    }

    void run_for(Duration time) {
        until([] { return false; }, time);
    }

    // When `worker` last entered `state`.
    Instant when(const Worker& worker, State state) const {
        Instant at = Instant::never();
        for (const Change& change : changes) {
            if (change.id == worker.id() && change.to == state) at = change.at;
        }
        return at;
    }

    void session_begins(Worker& worker, Channel& ours, Credentials who) override {
        CHECK(sessions.emplace(number(worker.id()), std::pair{&ours, who}).second);
        ++sessions_begun;
        if (when_session_begins) when_session_begins(worker, who);
    }
    void session_ends(Worker& worker) override {
        CHECK(sessions.erase(number(worker.id())) == 1);
        CHECK(worker.pid() == -1);
    }
    void state_changed(Worker& worker, State from, State to, std::string_view why) override {
        CHECK(from != to);
        CHECK(worker.state() == to);
        changes.push_back({worker.id(), from, to, std::string(why), monotonic_now()});
        if (when_state_changes) when_state_changes(worker, to);
    }
    void status_text(Worker&, std::string_view text) override { statuses.emplace_back(text); }
    void removed(Worker& worker) override { gone.push_back(worker.name()); }

private:
    Folder folder_;
    int descriptors_before_ = open_descriptors();
    Poller poller_;

public:   // what the tests look at
    std::unique_ptr<Roster> roster;
    std::map<std::uint32_t, std::pair<Channel*, Credentials>> sessions;
    std::vector<Change> changes;
    std::vector<std::string> statuses;
    std::vector<std::string> gone;
    std::function<void(Worker&, Credentials)> when_session_begins;
    std::function<void(Worker&, State)> when_state_changes;
    int sessions_begun = 0;
    int events_seen = 0;
    int turns = 0;
};

}  // namespace life
