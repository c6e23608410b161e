// Whose turn it is: asks of many requests are carried out in parts, so that who asks for one thing meanwhile waits for one part
// and not for all of them; and sessions that took more than their share of the time pause.
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <utility>

#include "broker/broker.h"
#include "broker/request_of.h"

namespace warder::broker {
namespace {

// What of a wide ask is done in one turn: about the time of one ask for one.
constexpr std::size_t part = 4;            // requests performed
constexpr std::size_t decided_part = 12;   // ... decided
constexpr std::size_t recorded_part = 12;  // ... recorded, and their descriptors closed

// A worker that spends its requests rests for no less: then it has several more at once, and costs a few turns rather than all.
constexpr Duration least_rest = std::chrono::milliseconds(1);

// A socket that is not among the watched has lost its other end, which a worker may close.
bool failed(const Result<void>& watched) { return !watched && watched.error().number != ENOENT; }

}  // namespace

Duration Broker::patience() const {
    if (wide_ || !postponed_.empty()) return Duration::zero();
    if (paused_.empty()) return Duration::max();
    const auto first = std::ranges::min_element(paused_, {}, &Paused::until)->until;
    return std::max(first - monotonic_now(), Duration::zero());
}

void Broker::go_on(Instant now) {
    if (!paused_.empty()) end_pauses(now);
    if (wide_) return take_part(false, now);
    if (!postponed_.empty()) take_up_postponed(now);
}

std::optional<PollEvent> Broker::next_likely(Instant now) {
    if (spoke_at_ != now || patience() != Duration::max()) return std::nullopt;
    if (!busy_poll_.is_worth_it(now)) return std::nullopt;
    likely_ = true;
    return PollEvent{.tag = spoke_, .readable = true};
}

// ---- Wide asks ----

bool Broker::too_wide(const Principal& principal, Instant now) const {
    return batch_->count > part && deferred_batch_ != nullptr && attention_.others_speak(principal.settings.id, now);
}

// Nothing of it is done in this turn, in which it was received.
void Broker::begin_wide(Principal& principal, RequestId id, Credentials sender, Instant now) {
    if (wide_) return postpone(principal, sender);
    batch_->texts.clear();
    wide_ = WideAsk{session_id(principal), id, sender, now, WideAsk::Stage::deciding, 0};
    std::swap(batch_, deferred_batch_);
}

// One at a time: this one is kept as it came, like that of a worker that does not read, and answered anew.
void Broker::postpone(Principal& principal, Credentials sender) {
    Session& session = *principal.session;
    session.requests.give_back(std::exchange(batch_->charged, 0));
    keep_first(session, batch_->asked, sender);
    postponed_.push_back(session_id(principal));
    // It may have come from a socket that was watched for room; nobody waits for that now.
    if (session.resting) return;
    const auto watched = poller_.change_to_read(session.channel->get(), tag_of(principal));
    if (failed(watched)) violate(principal, "it cannot be watched");
}

void Broker::take_up_postponed(Instant now) {
    const SessionId session = postponed_.front();
    postponed_.erase(postponed_.begin());
    Principal* principal = find(session);
    if (principal == nullptr) return;
    if (take_first(*principal, now)) postponed_.push_back(session);
}

// One part of what is to be done next, or the whole of it.
void Broker::take_part(bool whole, Instant now) {
    using Stage = WideAsk::Stage;
    const Instant began = monotonic_now();
    const SessionId session = wide_->session;
    Principal& principal = *find(session);   // whose end would have ended this: abandon_wide
    std::swap(batch_, deferred_batch_);
    const auto last = [&](std::size_t most) { return whole ? batch_->count : std::min(wide_->next + most, batch_->count); };
    switch (wide_->stage) {
        case Stage::deciding: decide_part(principal, last(decided_part), now); break;
        case Stage::performing: perform_part(principal, last(part), now); break;
        case Stage::recording: record_part(principal, last(recorded_part), now); break;
    }
    std::swap(batch_, deferred_batch_);
    if (attention_.others_speak(session.worker, now)) charge(session, began);
}

void Broker::decide_part(Principal& principal, std::size_t last, Instant now) {
    const std::size_t first = std::exchange(wide_->next, last);
    // All of it at the moment of the first part: what one part has prepared at is not looked up anew for another.
    decide_some(principal, first, last, wide_->began);
    if (const auto query = awaited(first, last); query != 0) {
        decide_some(principal, last, batch_->count, wide_->began);   // so that the resolver is asked for as many names as may be
        const WideAsk whole = *std::exchange(wide_, std::nullopt);
        return await(principal, query, batch_->asked, whole.sender, now);
    }
    if (last == batch_->count) wide_ = WideAsk{wide_->session, wide_->id, wide_->sender, wide_->began, WideAsk::Stage::performing, 0};
}

void Broker::perform_part(Principal& principal, std::size_t last, Instant now) {
    const std::size_t first = std::exchange(wide_->next, last);
    const bool here = perform_some(principal, first, last);
    if (here && last < batch_->count) return;
    // From here on it is an ask like others, and whatever becomes of it ends it.
    const WideAsk whole = *std::exchange(wide_, std::nullopt);
    if (!here) return delegate(principal, whole.id, whole.sender, now);
    say_failures(principal);
    if (!send_answer(principal, whole.id, batch_->asked, whole.sender, now)) return;
    wide_ = WideAsk{whole.session, whole.id, whole.sender, whole.began, WideAsk::Stage::recording, 0};
}

void Broker::record_part(Principal& principal, std::size_t last, Instant now) {
    const std::size_t first = std::exchange(wide_->next, last);
    conclude(principal, wide_->sender, first, last, now);
    if (last == batch_->count) wide_.reset();
}

// What it asked for is decided and prepared at: before anything else happens to its worker, that is carried out.
void Broker::finish_wide(WorkerId worker, Instant now) {
    while (wide_ && wide_->session.worker == worker) take_part(true, now);
}

// What was not answered lends nothing; what was is recorded.
void Broker::abandon_wide(WorkerId worker) {
    if (!wide_ || wide_->session.worker != worker) return;
    const WideAsk whole = *std::exchange(wide_, std::nullopt);
    std::swap(batch_, deferred_batch_);
    if (whole.stage == WideAsk::Stage::recording) {
        conclude(*find(whole.session), whole.sender, whole.next, batch_->count, monotonic_now());
    }
    for (auto& one : std::span(batch_->work).first(batch_->count)) one.performed.fd.reset();
    std::swap(batch_, deferred_batch_);
}

// ---- Shares of the time ----

void Broker::charge(SessionId session, Instant began) {
    Principal* principal = find(session);
    if (principal == nullptr) return;
    const Instant ended = monotonic_now();
    const Instant until = principal->session->share.charge(std::max(began, served_until_), ended);
    served_until_ = ended;
    if (principal->session->clogged) return;
    if (until > ended) {
        if (is_flooding(*principal)) return throttle(*principal, until, ended);
        principal->session->share.trust();
    }
    patient_.hear(session.worker, ended);
}

// Those that press keep only each other waiting, and take turns anyway: were they to pause, nobody would have their time.
void Broker::throttle(Principal& principal, Instant until, Instant now) {
    if (patient_.others_speak(principal.settings.id, now)) return pause(principal, until);
    principal.session->share.forgive();
}

// More lies in its socket than one ask: it does not wait for its answers. Who does is never in the way for longer than one.
bool Broker::is_flooding(const Principal& principal) const {
    const Session& session = *principal.session;
    int waiting = 0;
    return ::ioctl(session.channel->get(), SIOCINQ, &waiting) == 0 && static_cast<std::size_t>(waiting) > session.last_size;
}

// ---- Sockets that are not looked at for a while ----

// The ask that does not fit into the worker's requests per second now: it is kept, and answered when it does.
void Broker::hold_back(Principal& principal, Credentials sender, Instant now) {
    Session& session = *principal.session;
    const Duration wait = std::max(session.requests.until(std::exchange(batch_->charged, 0), now), least_rest);
    keep_first(session, batch_->asked, sender);
    dependencies_.listener.held_back(principal.settings.id, wait);
    pause(principal, now + wait);
}

// Not even one more would fit: nothing is taken from it until one does.
void Broker::rest_if_spent(Principal& principal, Instant now) {
    Session& session = *principal.session;
    const Duration wait = session.requests.until(1, now);
    if (wait == Duration::zero() || session.resting || session.closed) return;
    dependencies_.listener.held_back(principal.settings.id, std::max(wait, least_rest));
    pause(principal, now + std::max(wait, least_rest));
}

// It costs no turn, and its asks wait where they are charged to it. It is not among the watched at all: the hang-up of one that
// is would wake us again and again, whatever is asked for. That its worker died is told by the pidfd.
void Broker::pause(Principal& principal, Instant until) {
    const SessionId id = session_id(principal);
    Session& session = *principal.session;
    if (session.closed) return;
    const auto already = std::ranges::find(paused_, id, &Paused::session);
    if (already != paused_.end()) {
        already->until = std::max(already->until, until);
    } else {
        paused_.push_back({id, until});
    }
    if (!std::exchange(session.resting, true)) poller_.forget(session.channel->get());
}

void Broker::end_pauses(Instant now) {
    for (;;) {
        const auto over = std::ranges::find_if(paused_, [now](const Paused& one) { return one.until <= now; });
        if (over == paused_.end()) return;
        Principal* principal = find(over->session);
        paused_.erase(over);
        if (principal != nullptr) end_pause(*principal);
    }
}

// What was kept of it comes first, when there is room for the answer; unless it waits for its turn.
void Broker::end_pause(Principal& principal) {
    Session& session = *principal.session;
    session.resting = false;
    if (session.closed) return;
    const bool waits_for_turn = std::ranges::find(postponed_, session_id(principal)) != postponed_.end();
    const int fd = session.channel->get();
    auto watched = poller_.watch(fd, tag_of(principal));
    if (watched && session.clogged && !waits_for_turn) watched = poller_.change_to_write(fd, tag_of(principal));
    if (!watched) violate(principal, "it cannot be watched");
}

}  // namespace warder::broker
