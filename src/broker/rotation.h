// Rotations: notices that the file of a secret was replaced, written or removed, so that whoever holds the old one is told.
// One inotify descriptor for all; it watches held directories, on the machine's own file systems (what another machine changes
// on a network's is not seen).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "sys/fd.h"

namespace warder::broker {

class Rotations {
public:
    struct Secret {
        WorkerId worker{};
        std::string grant;
        std::string leaf;   // the file's own name
    };

    // Errors: inotify_init1(2).
    Result<void> open();
    int get() const { return fd_.get(); }

    // Watches `directory` (an O_PATH descriptor, borrowed) for the secret's name. Errors: inotify_add_watch(2).
    Result<void> watch(int directory, Secret secret);
    // All of one worker's: it is gone, or known anew.
    void forget(WorkerId worker);

    // Each secret that changed, once: as far as one read tells. More is readable then: whoever writes many files beside a secret does
    // not keep us. When the kernel had to drop some, any of them may have changed, and each is told.
    void take(const std::function<void(const Secret&)>& visit);

private:
    void let_go(int watch);

    Fd fd_;
    std::map<int, std::vector<Secret>> by_watch_;
};

}  // namespace warder::broker
