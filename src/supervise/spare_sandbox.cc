#include "supervise/spare_sandbox.h"

#include <csignal>
#include <utility>

namespace warder::supervise {

SpareSandbox::~SpareSandbox() {
    put_away();
    unwatch();
    give_place_back();
}

bool SpareSandbox::reserve() {
    if (stub_) return false;
    if (reserved_) return true;
    if (places_.free == 0) return false;
    --places_.free;
    reserved_ = true;
    return true;
}

void SpareSandbox::give_place_back() {
    if (std::exchange(reserved_, false)) ++places_.free;
}

void SpareSandbox::make(std::shared_ptr<const sandbox::Prepared> sandbox) {
    if (stub_ || !reserved_) return;
    auto spawned = sandbox::spawn_stub(*sandbox);
    if (!spawned) return give_place_back();
    sandbox_ = std::move(sandbox);
    stub_ = Child(spawned->pid, std::move(spawned->pidfd));
    status_ = std::move(spawned->status);
    watched_ = poller_.watch(stub_.pidfd(), tag_) && poller_.watch(status_.get(), tag_);
    if (!watched_) put_away();
}

std::optional<SpareSandbox::Taken> SpareSandbox::take(const std::shared_ptr<const sandbox::Prepared>& sandbox) {
    look();
    if (!is_for(sandbox)) {
        put_away();
        return std::nullopt;
    }
    unwatch();
    sandbox_.reset();
    give_place_back();
    return Taken{std::exchange(stub_, {}), std::move(status_)};
}

void SpareSandbox::put_away() {
    sandbox_.reset();
    if (stub_) (void)stub_.send(SIGKILL);
    else give_place_back();
}

void SpareSandbox::look() {
    const auto said = status_ ? sandbox::read_status(status_.get()) : std::nullopt;
    if (said) forget_status();
    if (said && said->stage != sandbox::Stage::none) sandbox_.reset();
    if (!stub_ || !stub_.ended()) return;
    unwatch();
    status_.reset();
    sandbox_.reset();
    (void)stub_.reap();
    stub_ = {};
    give_place_back();
}

void SpareSandbox::forget_status() {
    if (status_) poller_.forget(status_.get());
    status_.reset();
}

void SpareSandbox::unwatch() {
    if (stub_) poller_.forget(stub_.pidfd());
    if (status_) poller_.forget(status_.get());
}

}  // namespace warder::supervise
