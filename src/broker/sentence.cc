#include "broker/sentence.h"

#include <cstring>

#include "base/error.h"
#include "policy/explain.h"

namespace warder::broker {
namespace {

constexpr std::size_t shown_bytes = 100;   // of a name or target, so that what went wrong is never cut off

std::string_view because(Operation operation, Reason reason, int error) {
    const bool makes_memory = operation == Operation::list || operation == Operation::secret;
    switch (reason) {
        case Reason::not_granted: return "a reload took the grant away, or changed it, while this waited to be done";
        case Reason::not_regular: return "it is not a regular file, and only those are lent or changed";
        case Reason::refused_filesystem:
            return "it lies in a view of the kernel (proc, sysfs, cgroup), which is never lent as files";
        case Reason::foreign_owner:
            return "as root it must have one name, it and the directories on the way must belong to root or to the grant's owner, and symlinks "
                   "that lead to the grant to root";
        case Reason::deadline: return "the file system did not answer in time";
        case Reason::too_many:
            if (makes_memory) return "too many of this worker's requests wait, or the lists and secrets that it still holds take all of its max_lent_memory";
            return "too many of this worker's requests are waiting already (its quota)";
        case Reason::bad_argument: return "it does not take this argument";
        case Reason::unavailable: return "what would do it is not running now";
        case Reason::stopping: return "the worker or warderd is stopping";
        default: break;
    }
    const char* words = strerrordesc_np(error);
    return words != nullptr ? words : "unknown error";
}

}  // namespace

policy::Sentence failure_sentence(std::string_view grant, Operation operation, std::string_view target, Reason reason,
                                  int error) {
    policy::Sentence sentence("grant ");
    policy::append_quoted(sentence, grant, shown_bytes);
    sentence.append(" allows ");
    policy::append_doing(sentence, operation, target, shown_bytes);
    sentence.append(", but: ").append(because(operation, reason, error));
    if (reason == Reason::system) sentence.append(" (").append(errno_name(error)).append(")");
    return sentence;
}

}  // namespace warder::broker
