// A world of two workers, for the tests of the server: it remembers what was asked and lets the test change states.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/operator.h"

namespace warder::control {

class FakeOperator : public Operator {
public:
    FakeOperator() {
        add("web", supervise::State::ready);
        add("parser", supervise::State::stopped);
    }

    WorkerReport& add(const std::string& name, supervise::State state) {
        WorkerReport worker;
        worker.name = name;
        worker.id = static_cast<WorkerId>(all.size());
        worker.state = state;
        worker.desired = state == supervise::State::ready ? supervise::Desired::up : supervise::Desired::down;
        all.push_back(worker);
        return all.back();
    }

    WorkerReport& at(std::string_view name) {
        for (auto& worker : all) {
            if (worker.name == name) return worker;
        }
        return all.at(0);
    }

    template <typename T>
    Answer<T> if_known(std::string_view name, T value) const {
        for (const auto& worker : all) {
            if (worker.name == name) return value;
        }
        return Refused(unknown(name));
    }

    static Refusal unknown(std::string_view name) { return {ENOENT, "no worker \"" + std::string(name) + "\""}; }

    std::vector<WorkerReport> workers() const override { return all; }
    Answer<WorkerReport> worker(std::string_view name) const override {
        for (const auto& one : all) {
            if (one.name == name) return one;
        }
        return Refused(unknown(name));
    }
    Answer<ShowReport> show(std::string_view name) const override { return if_known(name, ShowReport{}); }
    Answer<std::vector<GrantReport>> grants(std::string_view name) const override {
        return if_known(name, std::vector<GrantReport>(grant_count, GrantReport{}));
    }
    Answer<std::vector<FdReport>> fds(std::string_view name) const override {
        return if_known(name, std::vector<FdReport>{});
    }
    Answer<SocketsReport> sockets(std::string_view name, const LetGo&) const override {
        return name.empty() ? SocketsReport{} : if_known(name, SocketsReport{});
    }
    Answer<std::vector<SecurityReport>> security(std::string_view name) const override {
        SecurityReport report;
        report.worker = name.empty() ? "web" : std::string(name);
        return std::vector{report};
    }
    Answer<std::vector<StoreReport>> stores(std::string_view name) const override {
        return name.empty() ? std::vector<StoreReport>{} : if_known(name, std::vector<StoreReport>{});
    }
    Answer<WhyReport> why(std::string_view name, const Question& question) const override {
        WhyReport why;
        why.worker = name;
        why.operation = warder::name_of(question.operation);
        why.target = question.words.at(0);
        return if_known(name, why);
    }
    Answer<LogsReport> logs(std::string_view) const override { return LogsReport{"/var/log/warder", {}, "audit.jsonl", ""}; }
    CheckReport check() const override { return {}; }
    VersionReport version() const override { return {"0.1.0", 1, 1234, {}, "/etc/warder", 0, 0, {}}; }

    Answer<void> start(std::string_view name) override { return change("start", name, supervise::State::starting); }
    Answer<void> stop(std::string_view name) override { return change("stop", name, supervise::State::stopping); }
    Answer<void> restart(std::string_view name) override { return change("restart", name, supervise::State::stopping); }
    Answer<ReloadReport> reload(ReloadMode mode) override {
        done.push_back(mode == ReloadMode::plan ? "plan" : "reload");
        ReloadReport report;
        report.mode = mode;
        report.ok = reload_is_good;
        return report;
    }
    Answer<pid_t> signal(std::string_view name, int signal) override {
        done.push_back("signal " + std::string(name) + " " + std::to_string(signal));
        return if_known(name, pid_t{42});
    }
    Answer<uid_t> forget(std::string_view name) override {
        done.push_back("forget " + std::string(name));
        return name == "old" ? Answer<uid_t>(uid_t{70'003}) : Refused({EBUSY, "it is still there"});
    }
    Answer<void> shutdown() override {
        done.push_back("shutdown");
        return {};
    }
    void note(std::string_view line) override { notes.emplace_back(line); }

    std::vector<WorkerReport> all;
    std::vector<std::string> done;
    std::vector<std::string> notes;
    std::size_t grant_count = 1;
    bool reload_is_good = true;

private:
    Answer<void> change(const std::string& verb, std::string_view name, supervise::State state) {
        if (!worker(name)) return Refused(unknown(name));
        done.push_back(verb + " " + std::string(name));
        at(name).state = state;
        at(name).desired = verb == "stop" ? supervise::Desired::down : supervise::Desired::up;
        return {};
    }
};

}  // namespace warder::control
