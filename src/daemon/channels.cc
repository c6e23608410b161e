#include "daemon/channels.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "daemon/log.h"
#include "sys/poll_kind.h"

namespace warder::daemon {
namespace {

constexpr Duration first_wait = std::chrono::seconds(1);   // before it is tried again: twice as long each time
constexpr Duration longest_wait = std::chrono::seconds(32);

}  // namespace

Channels::~Channels() {
    for (auto& link : links_) give_up(link);
    for (const auto& pidfd : abandoned_) poller_.forget(pidfd.get());
}

// ---- Which there are ----

void Channels::admit(WorkerId id, const std::string& name, const std::vector<policy::Grant>& grants, Instant now) {
    Member& member = members_[number(id)];
    member.name = name;
    member.channels.clear();
    for (const auto& grant : grants) {
        if (grant.kind == policy::Kind::channel) member.channels.push_back({grant.name, grant.peer, grant.stream, grant.carries_fds});
    }
    relink(now);
}

void Channels::dismiss(WorkerId id) {
    if (members_.erase(number(id)) > 0) relink(Instant{});
}

// What is there already keeps its state: a reload makes nobody's channel anew that it does not change.
void Channels::relink(Instant now) {
    std::vector<Link> links;
    for (const auto& [id, member] : members_) add_links_of(static_cast<WorkerId>(id), links);
    for (auto& link : links) {
        const auto before = std::ranges::find_if(
            links_, [&](const Link& known) { return known.number != 0 && known.one == link.one && known.two == link.two; });
        if (before == links_.end()) {
            link.number = next_link_++;
        } else {
            link = std::move(*before);
            before->number = 0;
        }
    }
    for (auto& gone : links_) {
        if (gone.number != 0) give_up(gone);
    }
    links_ = std::move(links);
    for (auto& link : links_) try_join(link, now);
}

// The n-th grant of this worker for that peer and the n-th of that peer for this worker are one channel. Each is found from its
// side with the smaller number.
void Channels::add_links_of(WorkerId id, std::vector<Link>& links) {
    const Member& mine = members_.at(number(id));
    std::map<std::string, std::size_t, std::less<>> seen;
    for (const auto& declared : mine.channels) {
        const std::size_t wanted = seen[declared.peer]++;
        const auto peer = std::ranges::find_if(members_, [&](const auto& entry) { return entry.second.name == declared.peer; });
        if (peer == members_.end() || peer->first <= number(id)) continue;
        std::size_t place = 0;
        for (const auto& theirs : peer->second.channels) {
            if (theirs.peer != mine.name || place++ != wanted) continue;
            Link link;
            link.one = {id, declared, 0};
            link.two = {static_cast<WorkerId>(peer->first), theirs, 0};
            links.push_back(std::move(link));
        }
    }
}

const Channels::Member* Channels::member_of(const Side& side) const {
    const auto found = members_.find(number(side.id));
    return found == members_.end() ? nullptr : &found->second;
}

// ---- Lives ----

void Channels::greeted(WorkerId id, Instant now) {
    const auto member = members_.find(number(id));
    if (member == members_.end() || member->second.up) return;
    member->second.up = true;
    ++member->second.life;
    for (auto& link : links_) {
        if (link.one.id == id || link.two.id == id) try_join(link, now);
    }
}

void Channels::session_ended(WorkerId id) {
    const auto member = members_.find(number(id));
    if (member == members_.end()) return;
    member->second.up = false;
    for (auto& link : links_) {
        if (link.one.id == id || link.two.id == id) give_up(link);
    }
}

// ---- Joining ----

void Channels::try_join(Link& link, Instant now) {
    const Member* one = member_of(link.one);
    const Member* two = member_of(link.two);
    if (link.joiner || one == nullptr || two == nullptr || !one->up || !two->up) return;
    if (link.joined && link.one.joined_life == one->life && link.two.joined_life == two->life) return;
    link.joined = false;
    link.retry_at = Instant::never();
    if (const auto begun = begin_join(link); !begun) try_later(link, now, describe(begun.error()));
}

// A worker may never read, for as long as it runs: that is told once, and looked at ever more rarely.
void Channels::try_later(Link& link, Instant now, const std::string& why) {
    if (link.in_vain == 0) {
        log_warning("the channel between " + member_of(link.one)->name + " and " + member_of(link.two)->name +
                    " could not be made: " + why + "; it is tried again");
    }
    link.retry_at = now + std::min(longest_wait, first_wait * (1U << std::min(link.in_vain, 10U)));
    ++link.in_vain;
}

Result<void> Channels::begin_join(Link& link) {
    const auto* one = broker_.principal(link.one.id);
    const auto* two = broker_.principal(link.two.id);
    if (one == nullptr || two == nullptr || !one->session || !two->session) return {};   // its end will be told, or its hello
    const opener::JoinOptions options{.stream = link.one.declared.stream,
                                      .carries_fds = link.one.declared.carries_fds && link.two.declared.carries_fds};
    auto joiner = TRY(opener::join(privileges_, {one->session->channel->get(), link.one.declared.grant},
                                   {two->session->channel->get(), link.two.declared.grant}, options));
    link.one.joined_life = member_of(link.one)->life;
    link.two.joined_life = member_of(link.two)->life;
    link.joiner = std::move(joiner.pidfd);
    ++link.attempt;
    return poller_.watch(link.joiner.get(), {static_cast<std::uint8_t>(PollKind::joiner_exit), link.number, link.attempt});
}

void Channels::handle(const PollEvent& event, Instant now) {
    reap_abandoned();
    for (auto& link : links_) {
        const bool this_one = link.number == event.tag.id && (link.attempt & 0xffffffU) == event.tag.generation;
        if (this_one && link.joiner) finish_join(link, now);
    }
}

void Channels::finish_join(Link& link, Instant now) {
    const auto end = reap(link.joiner.get());
    if (end && !*end) return;
    poller_.forget(link.joiner.get());
    link.joiner.reset();
    link.joined = end && !(*end)->by_signal && (*end)->value == static_cast<int>(opener::Joined::both);
    const bool made = end && !(*end)->by_signal && (*end)->value != static_cast<int>(opener::Joined::not_made);
    if (!link.joined) return try_later(link, now, made ? "one of the two does not read what it is sent" : "its ends could not be made");
    if (std::exchange(link.in_vain, 0) > 0) {
        log_info("the channel between " + member_of(link.one)->name + " and " + member_of(link.two)->name + " is made");
    }
}

// One that hangs, or is about lives that are over, is left to itself; nobody waits for it.
void Channels::give_up(Link& link) {
    link.joined = false;
    link.retry_at = Instant::never();
    link.in_vain = 0;
    if (!link.joiner) return;
    (void)send_signal(link.joiner.get(), SIGKILL);
    abandoned_.push_back(std::move(link.joiner));
    ++link.attempt;
}

void Channels::reap_abandoned() {
    std::erase_if(abandoned_, [&](const Fd& pidfd) {
        const auto end = reap(pidfd.get());
        if (end && !*end) return false;
        poller_.forget(pidfd.get());
        return true;
    });
}

Instant Channels::next_deadline() const {
    Instant next = Instant::never();
    for (const auto& link : links_) next = std::min(next, link.retry_at);
    return next;
}

void Channels::run_due(Instant now) {
    for (auto& link : links_) {
        if (link.retry_at <= now) try_join(link, now);
    }
}

std::vector<Channels::Shown> Channels::shown() const {
    std::vector<Shown> list;
    for (const auto& link : links_) {
        const Member* one = member_of(link.one);
        const Member* two = member_of(link.two);
        if (one == nullptr || two == nullptr) continue;
        list.push_back({one->name, link.one.declared.grant, two->name, link.two.declared.grant, link.joined,
                        link.one.declared.carries_fds && link.two.declared.carries_fds, link.one.declared.stream});
    }
    return list;
}

}  // namespace warder::daemon
