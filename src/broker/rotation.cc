#include "broker/rotation.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "sys/files.h"

namespace warder::broker {
namespace {

// Written and closed, moved in from elsewhere (as every careful program replaces a file), or gone.
constexpr std::uint32_t changes = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE;

}  // namespace

Result<void> Rotations::open() {
    fd_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!fd_) return failure("inotify_init1");
    return {};
}

Result<void> Rotations::watch(int directory, Secret secret) {
    if (!fd_) return failure(EBADF, "inotify_add_watch");
    const int watch = ::inotify_add_watch(fd_.get(), own_path(directory).c_str(), changes | IN_ONLYDIR | IN_MASK_ADD);
    if (watch < 0) return failure("inotify_add_watch");
    auto& secrets = by_watch_[watch];
    const auto same = [&](const Secret& one) { return one.worker == secret.worker && one.grant == secret.grant; };
    if (std::ranges::none_of(secrets, same)) secrets.push_back(std::move(secret));
    return {};
}

void Rotations::let_go(int watch) { ::inotify_rm_watch(fd_.get(), watch); }

void Rotations::forget(WorkerId worker) {
    for (auto entry = by_watch_.begin(); entry != by_watch_.end();) {
        std::erase_if(entry->second, [&](const Secret& one) { return one.worker == worker; });
        if (entry->second.empty()) {
            let_go(entry->first);
            entry = by_watch_.erase(entry);
        } else {
            ++entry;
        }
    }
}

void Rotations::take(const std::function<void(const Secret&)>& visit) {
    alignas(inotify_event) char buffer[4096];
    std::set<std::pair<std::uint32_t, std::string>> seen;
    std::vector<Secret> changed;
    const auto note = [&](const Secret& secret) {
        if (seen.emplace(number(secret.worker), secret.grant).second) changed.push_back(secret);
    };
    const ssize_t size = ::read(fd_.get(), buffer, sizeof buffer);
    for (ssize_t at = 0; at < size;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
        if ((event->mask & IN_Q_OVERFLOW) != 0) {
            for (const auto& [watch, secrets] : by_watch_) std::ranges::for_each(secrets, note);
        }
        const auto found = by_watch_.find(event->wd);
        if (found == by_watch_.end() || event->len == 0) continue;
        for (const auto& secret : found->second) {
            if (secret.leaf == event->name) note(secret);
        }
    }
    for (const auto& secret : changed) visit(secret);
}

}  // namespace warder::broker
