// What the parent holds for a worker's grants: directories by descriptor, listeners bound and listening. A held
// directory is what the administrator's path named when it was last looked at; a rename of something below it cannot
// move a grant.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "broker/untouched.h"
#include "policy/grant.h"
#include "sys/fd.h"
#include "sys/files.h"
#include "sys/privileges.h"

namespace warder::broker {

// How often, on use, a held directory is compared with what its name now means.
inline constexpr Duration recheck_after = std::chrono::seconds(5);

// The path that a listener was bound to. A reload may hold another directory by then, and the name another file.
struct BoundPath {
    Fd directory;                     // where it was bound; empty: nowhere
    std::string leaf;
    FileIdentity made;                // what bind(2) put there
    Identity maker;                   // who bound it
    bool given = false;               // to an owner, by root
};

struct Held {
    // file, tree, secret, device, syslog, and sockets by path: the directory. For one file it is the one that the file
    // is in.
    std::string directory_path;
    std::string leaf;                 // the file's own name; empty for a tree
    // What the grant itself names, as people are to read it: a path or an address; for a listener that lets the kernel
    // choose its name, the one that was chosen.
    std::string shown;
    Fd directory;                     // empty: absent, or only an opener may look
    FileIdentity identity;
    bool local = false;
    bool overlay = false;
    bool kernel_view = false;         // refused_filesystem
    bool by_root = false;             // root acts there: no symlink leads to it but root's own
    bool elsewhere = false;           // at load others answered for its file system: it was neither looked at, nor was anything made
    Instant checked{};

    // listen
    Fd listener;
    std::optional<Untouched> untouched;   // what the listener was like before anybody but us had it
    bool touched = false;             // somebody has had it since it was known to be like that
    BoundPath bound;                  // removed when the listener is let go
    int listen_error = 0;             // why there is no listener
    std::uint64_t lent = 0;           // how often this grant was lent since the start
};

// The kinds that the grant itself is the right to: root acts, whoever asked.
bool done_by_root(policy::Kind kind);

// Finds what `grant` names and holds it, for `worker`: where root's own directories end its permissions count. Never fails: what is
// absent is found later, on use. Runs at load and reload, where waiting for the disk is in order.
Held hold(const policy::Grant& grant, Privileges& privileges, const Identity& worker, std::string_view mountinfo = {});

enum class Recheck { same, changed, gone, closed, foreign, unknown };

// Compares a held directory with its name if that was not done for `recheck_after`. Looks only at what the kernel has
// in memory: `unknown` when that does not suffice, and then an opener must look. `changed` holds the new one already. `foreign`:
// a symlink of somebody else leads there now, which root does not follow. `closed`: behind a directory that is not root's, which the
// worker may not pass.
Recheck recheck(Held& held, const policy::Grant& grant, Privileges& privileges, const Identity& worker, Instant now);

// Makes the file or directory of a grant with an `owner`, if it is absent, and gives it to its owner. Something that is
// there and belongs to another is left alone, and that is an error: EPERM. Where others answer for the file system nothing is
// done: an opener makes it (Task::making).
Result<void> make_owned(const policy::Grant& grant, Privileges& privileges, const Identity& worker,
                        std::string_view mountinfo = {});

// Binds (and where the type listens, listens). Errors: socket(2), bind(2), listen(2).
Result<void> open_listener(Held& held, const policy::Grant& grant, Privileges& privileges, const Identity& worker);

// Whether a listener can be kept for the next run: nothing of it is different from what was lent that could not be put back.
bool sound(const Held& held);

// What was found between two runs, and what became of it.
struct Renewal {
    enum class Outcome : std::uint8_t {
        as_new,     // nothing was different
        put_back,   // it is as new again, which was looked at
        spoiled,    // it cannot be kept
    };
    Outcome outcome = Outcome::as_new;
    std::string differences;   // "SO_LINGER, its backlog"
};

// Compares a listener with what was lent and puts back what can be. `hidden`: its holder may have set what the kernel does not tell.
enum class HiddenOptions : std::uint8_t { none, possible };
Renewal renew(Held& held, const policy::Grant& grant, Privileges& privileges, const Identity& worker, HiddenOptions hidden);

// Whether the path that a listener was bound to still leads to it, in the directory that it was bound in, which is still there. True of
// what has no path. Asks the local file system alone: no other has listeners' paths.
bool has_its_path(const Held& held);

// Lets a listener go and removes its path, with the credentials that it was bound with, and only if it still is what was bound.
void close_listener(Held& held, Privileges& privileges);

}  // namespace warder::broker
