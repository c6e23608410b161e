// What a socket was like before it was lent: all that the kernel tells of it. A run that it was lent to may have changed any of it,
// and the next one is to find it as new. Reads every option by number, known to us or not, so that an option of a younger kernel
// is compared too.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "sys/sock_diag.h"

namespace warder::broker {

struct Difference {
    enum class Kind : std::uint8_t { option, flags, owner, signal, hint, backlog, other };
    Kind kind = Kind::other;
    std::string name;        // "SO_LINGER", "its backlog"
    std::uint32_t level = 0, option = 0;
    bool can_be_put_back = false;   // and then nothing of it is left
};

class Untouched {
public:
    // Of a socket that nobody but warderd has, bound and, if it does, listening. Errors: fstat(2), getsockname(2), fcntl(2).
    static Result<Untouched> of(int fd);

    // What is different now. Of what the kernel takes from its own settings as long as a socket has none of its own, a fresh socket's
    // answer is as good.
    std::vector<Difference> differences(int fd) const;

    // Sets it to what it was. False: it could not be. Not of Kind::backlog: who listens is told to its clients, so the caller does.
    bool put_back(int fd, const Difference& what) const;

private:
    struct Option {
        std::uint16_t level = 0, number = 0;
        std::uint16_t at = 0, size = 0;   // in values_
        int error = 0;
    };
    struct State {
        int flags = 0;
        int owner = 0;
        int signal = 0;
        std::uint64_t hint = 0;
        mode_t mode = 0;
        uid_t uid = 0;
        gid_t gid = 0;
        short polled = 0;
        sockaddr_storage name{};
        socklen_t name_size = 0;
    };
    static Result<State> state_of(int fd);
    void read_options(int fd);
    void compare_state(int fd, std::vector<Difference>& into) const;
    void compare_condition(int fd, std::vector<Difference>& into) const;
    bool restore(int fd, const Option& option) const;

    int family_ = 0, type_ = 0;
    State state_;
    std::optional<SocketCondition> condition_;
    std::vector<Option> options_;    // those of which the kernel tells anything
    std::vector<std::byte> values_;
};

}  // namespace warder::broker
