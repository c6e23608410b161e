#include "control/command.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>

#include "control/question.h"

namespace warder::control {
namespace {

using protocol::Verb;

enum class WorkerWord : std::uint8_t { none, may, must };

// What a verb takes. Anything else that comes with it is refused, so that it can mean something later.
struct Shape {
    Verb verb;
    std::string_view name;
    WorkerWord worker = WorkerWord::none;
    bool waits = false;
};

constexpr std::array<Shape, 19> shapes{{
    {Verb::status, "status", WorkerWord::may},
    {Verb::list, "list"},
    {Verb::show, "show", WorkerWord::must},
    {Verb::start, "start", WorkerWord::must, true},
    {Verb::stop, "stop", WorkerWord::must, true},
    {Verb::restart, "restart", WorkerWord::must, true},
    {Verb::reload, "reload"},
    {Verb::logs, "logs", WorkerWord::may},
    {Verb::grants, "grants", WorkerWord::must},
    {Verb::fds, "fds", WorkerWord::must},
    {Verb::why, "why", WorkerWord::must},
    {Verb::check, "check"},
    {Verb::version, "version"},
    {Verb::shutdown, "shutdown"},
    {Verb::sockets, "sockets", WorkerWord::may},
    {Verb::store, "store", WorkerWord::may},
    {Verb::security, "security", WorkerWord::may},
    {Verb::signal, "signal", WorkerWord::must},
    {Verb::forget, "forget", WorkerWord::must},
}};

constexpr std::uint16_t known_flags = static_cast<std::uint16_t>(protocol::CommandFlag::wait);

const Shape* shape_of(Verb verb) {
    for (const auto& shape : shapes) {
        if (shape.verb == verb) return &shape;
    }
    return nullptr;
}

Refused refuse(int error, std::string sentence) { return Refused(Refusal{error, std::move(sentence)}); }

std::string operations_in_words() {
    std::string words;
    for (const auto& entry : operation_names) {
        if (!words.empty()) words += ", ";
        words += entry.name;
    }
    return words;
}

Answer<Order> understand_why(const protocol::Command& command, Order order) {
    const auto operation = operation_of(command.argument);
    if (!operation) {
        return refuse(EINVAL, "no operation \"" + std::string(command.argument) + "\"; there are " + operations_in_words());
    }
    if ((command.number & ~std::uint32_t{known_open_flags}) != 0) return refuse(EINVAL, "why came with an unknown open flag");
    order.question = {*operation, split_words(command.second), static_cast<std::uint16_t>(command.number)};
    return order;
}

Answer<Order> understand_reload(const protocol::Command& command, Order order) {
    if (!command.second.empty()) return refuse(EINVAL, "reload takes no second argument");
    if (command.argument.empty()) return order;
    if (command.argument != "plan") return refuse(EINVAL, "reload takes \"plan\" or nothing");
    order.reload = ReloadMode::plan;
    return order;
}

// "HUP", "SIGHUP" or "1".
int signal_of(std::string_view word) {
    if (word.starts_with("SIG")) word.remove_prefix(3);
    int number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error == std::errc{} && end == word.data() + word.size()) return number >= 1 && number <= SIGRTMAX ? number : 0;
    for (int signal = 1; signal < NSIG; ++signal) {
        const char* name = ::sigabbrev_np(signal);
        if (name != nullptr && word == name) return signal;
    }
    return 0;
}

Answer<Order> understand_signal(const protocol::Command& command, Order order) {
    if (!command.second.empty()) return refuse(EINVAL, "signal takes no third argument");
    if (command.argument.empty()) return refuse(EINVAL, "signal needs a signal");
    order.signal = signal_of(command.argument);
    if (order.signal != 0) return order;
    return refuse(EINVAL, "no signal \"" + std::string(command.argument) + "\": a name of signal(7) like HUP or SIGHUP, or a number from 1 to " +
                              std::to_string(SIGRTMAX));
}

}  // namespace

std::string name_of(Verb verb) {
    if (const Shape* shape = shape_of(verb)) return std::string(shape->name);
    return "verb " + std::to_string(static_cast<unsigned>(verb));
}

Answer<Order> understand(const protocol::Command& command) {
    const Shape* shape = shape_of(command.verb);
    const std::string name = name_of(command.verb);
    if (shape == nullptr) return refuse(ENOSYS, "this warderd does not know " + name);
    const bool wait = (command.flags & known_flags) != 0;
    const bool odd_number = command.number != 0 && command.verb != Verb::why;
    if ((command.flags & ~known_flags) != 0 || (wait && !shape->waits) || odd_number) {
        return refuse(EINVAL, name + " came with a flag or number that this warderd does not know");
    }
    if (shape->worker == WorkerWord::none && !command.worker.empty()) return refuse(EINVAL, name + " takes no worker");
    if (shape->worker == WorkerWord::must && command.worker.empty()) return refuse(EINVAL, name + " needs a worker");

    Order order{command.verb, wait, std::string(command.worker), {}, ReloadMode::apply, 0};
    if (command.verb == Verb::why) return understand_why(command, std::move(order));
    if (command.verb == Verb::signal) return understand_signal(command, std::move(order));
    if (command.verb == Verb::reload) return understand_reload(command, std::move(order));
    if (!command.argument.empty() || !command.second.empty()) return refuse(EINVAL, name + " takes no further argument");
    return order;
}

}  // namespace warder::control
