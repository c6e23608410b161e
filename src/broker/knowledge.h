// What the resolver found, for a while: the parent asks for a name once, and everybody who waits for it gets the same.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "policy/address.h"

namespace warder::broker {

class Knowledge {
public:
    struct Entry {
        std::uint64_t query = 0;
        WorkerId asker{};
        bool known = false;       // otherwise it was asked for
        int error = 0;
        std::string data;
        Instant until = Instant::never();
    };

    static constexpr std::size_t capacity = 1024;   // keys
    static constexpr std::size_t max_key = 300;     // bytes: a host name and what it is
    // Questions of one worker that the resolver has not answered: of its threads (helpers/resolver.cc) one worker has no more.
    static constexpr std::size_t open_of_each = 8;

    // What is known of `key` now, or what was asked for; null when somebody has to ask.
    const Entry* find(std::string_view key, Instant now);
    // Notes that `key` is asked for and gives the number of the question. 0 when there are too many already.
    std::uint64_t asked(std::string_view key, WorkerId asker, Instant now);
    // One of this worker's open questions when it has as many as it may have; else 0.
    std::uint64_t one_too_many_of(WorkerId asker) const;
    void forget(std::uint64_t query);

    // The answer to a question; false when nobody asked it.
    bool learn(std::uint64_t query, int error, std::string_view data, Instant now);

    // Questions without an answer, for a resolver that has just begun.
    void for_each_open(const std::function<void(std::uint64_t, std::string_view)>& visit) const;

private:
    using Entries = std::map<std::string, Entry, std::less<>>;
    bool make_room(Instant now);
    void close(const Entry& entry);

    Entries entries_;
    std::map<WorkerId, std::vector<std::uint64_t>> open_;   // questions, by who asked first
    std::uint64_t next_ = 1;
};

enum class Reach : std::uint8_t { anywhere, in_public };

// The address number `index` of those in such reach that a host's data lists, a line each, with the transport and port of `wanted`.
std::optional<policy::Address> address_in(std::string_view data, std::size_t index, const policy::Address& wanted,
                                          Reach reach = Reach::anywhere);

}  // namespace warder::broker
