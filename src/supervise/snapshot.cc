#include "supervise/snapshot.h"

#include <csignal>
#include <cstring>

#include "sandbox/stage.h"

namespace warder::supervise {
namespace {

std::string signal_name(int number) {
    const char* name = ::sigabbrev_np(number);
    if (name != nullptr) return std::string("SIG") + name;
    return "signal " + std::to_string(number);
}

std::string errno_words(int number) {
    const char* words = ::strerrordesc_np(number);
    return words != nullptr ? words : "errno " + std::to_string(number);
}

std::string setup_words(const Exit& exit) {
    const auto stage = static_cast<sandbox::Stage>(exit.value);
    std::string words = "set-up failed: ";
    if (stage != sandbox::Stage::none) words.append(sandbox::name_of(stage)).append(": ");
    return words + errno_words(exit.error);
}

std::string end_words(const Exit& exit) {
    switch (exit.kind) {
        case Exit::Kind::none: return "ended";
        case Exit::Kind::code: return "exit code " + std::to_string(exit.value);
        case Exit::Kind::signal: return "killed by " + signal_name(exit.value);
        case Exit::Kind::setup: return setup_words(exit);
        case Exit::Kind::timeout: return "not ready in time";
        case Exit::Kind::setup_timeout: return "set-up took too long";
        case Exit::Kind::protocol: return "broke the protocol";
        case Exit::Kind::sandbox: return "its sandbox was not as planned";
        case Exit::Kind::unfit: return "it cannot run on this machine";
    }
    return "ended";
}

std::string limit_words(const Rule& rule, std::string_view end) {
    return "start limit: " + std::to_string(rule.restart.limit) + " starts within " +
           format_duration(rule.restart.window) + " are allowed; last: " + std::string(end);
}

// Round enough to read: whole milliseconds.
std::string rounded(Duration wait) {
    return format_duration(std::chrono::duration_cast<std::chrono::milliseconds>(wait));
}

std::string starting_words(const Life& life) {
    return life.cause == Cause::policy ? "restart " + std::to_string(life.restarts) + " by policy" : "asked to start";
}

std::string stopping_words(const Life& life, std::string_view end) {
    if (life.cause == Cause::ended) return std::string(end);
    return life.restart_asked ? "asked to restart" : "asked to stop";
}

}  // namespace

std::string in_words(const Exit& exit) { return end_words(exit) + (exit.before_ready ? " before it was ready" : ""); }

std::string why_in_words(const Life& life, const Rule& rule, std::string_view end) {
    switch (life.state) {
        case State::starting: return starting_words(life);
        case State::ready: return life.cause == Cause::said_ready ? "it said that it is ready" : "its program runs";
        case State::stopping: return stopping_words(life, end);
        case State::waiting: return std::string(end) + "; next start in " + rounded(life.deadline - life.since);
        case State::stopped:
            if (life.cause == Cause::none) return "not started yet";
            return life.cause == Cause::finished ? std::string(end) + ", which asks for no restart" : "asked to stop";
        case State::failed:
            if (life.cause == Cause::start_limit) return limit_words(rule, end);
            if (life.last_exit.kind == Exit::Kind::sandbox || life.last_exit.kind == Exit::Kind::unfit) return std::string(end);
            return std::string(end) + ", and the restart policy is never";
    }
    return {};
}

}  // namespace warder::supervise
