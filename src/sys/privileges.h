// Whose credentials this process performs with. A file operation or a unix connect for a worker is done with that worker's
// effective ids, so that file permissions count and its peers see it and not root. Switching costs microseconds, so the
// last credentials stay until somebody needs others; each operation of warderd's own begins with become_root().
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <span>

#include "base/error.h"

namespace warder {

inline constexpr std::size_t max_groups = 32;

// Effective ids to perform with.
struct Identity {
    uid_t uid = 65534;
    gid_t gid = 65534;
    std::array<gid_t, max_groups> groups{};
    std::size_t group_count = 0;

    std::span<const gid_t> supplementary() const { return std::span(groups).first(group_count); }
    friend bool operator==(const Identity& a, const Identity& b);
};

inline constexpr Identity root_identity{.uid = 0, .gid = 0};

// Whose warderd itself is: root's, or where it runs without root (--user) the one uid and gid of its user namespace. The real
// ids, which stay the same whoever it performs for just now.
Identity own_identity();

// For good, in a child: real, effective and saved ids, and no other groups. Who is that user already and not root has nothing to
// change, and may not. False: errno says why not.
bool settle_as(uid_t uid, gid_t gid);

class Privileges {
public:
    // Without root there is nothing to switch: each worker has warderd's own ids.
    explicit Privileges(Identity own = own_identity()) : own_(own), current_(own) {}

    // Performs with `identity` from here on. Nothing is done if it does already. Errors: those of setresuid(2),
    // setresgid(2) and setgroups(2); the process is then root again and must not perform for the worker.
    Result<void> become(const Identity& identity);

    // A process that cannot become itself again has no safe way on: it aborts.
    void become_root();

    // Called after each change: setresuid clears the parent-death signal, which openers need (prctl(2)).
    void renew_parent_death_signal(int signal) { parent_death_signal_ = signal; }

    const Identity& current() const { return current_; }

    // Opens a root-only file as uid 65534, which must fail with EACCES: proof that switching drops the right to
    // override permissions. The file has no name; it is made in `directory` and reached by its descriptor alone.
    static Result<void> self_test(Privileges& privileges, const char* directory);

private:
    Identity own_;
    Identity current_;
    int parent_death_signal_ = 0;
};

}  // namespace warder
