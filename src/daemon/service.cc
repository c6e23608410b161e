#include "daemon/service.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "sys/fd.h"

namespace warder::daemon {
namespace {

std::string take_variable(const char* name) {
    const char* value = std::getenv(name);
    std::string text = value == nullptr ? "" : value;
    ::unsetenv(name);
    return text;
}

}  // namespace

ServiceManager ServiceManager::from_environment() {
    ServiceManager manager;
    manager.socket_ = take_variable("NOTIFY_SOCKET");
    const std::string pid = take_variable("WATCHDOG_PID");
    const std::string interval = take_variable("WATCHDOG_USEC");
    std::int64_t microseconds = 0;
    std::from_chars(interval.data(), interval.data() + interval.size(), microseconds);
    const bool ours = pid.empty() || pid == std::to_string(::getpid());
    if (ours && microseconds > 0) manager.watchdog_interval_ = std::chrono::microseconds(microseconds / 2);
    return manager;
}

void ServiceManager::send(std::string_view text) const {
    if (socket_.empty()) return;
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (socket_.size() >= sizeof name.sun_path) return;
    std::memcpy(name.sun_path, socket_.data(), socket_.size());
    if (name.sun_path[0] == '@') name.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
    const Fd out(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!out) return;
    ::sendto(out.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&name), size);
}

void ServiceManager::ready(std::string_view status) const { send("READY=1\nSTATUS=" + std::string(status)); }
void ServiceManager::status(std::string_view status) const { send("STATUS=" + std::string(status)); }
void ServiceManager::reloading(Instant now) const {
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.nanoseconds / 1000));
}
void ServiceManager::stopping() const { send("STOPPING=1"); }
void ServiceManager::watchdog() const { send("WATCHDOG=1"); }

}  // namespace warder::daemon
