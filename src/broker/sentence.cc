#include "broker/sentence.h"

#include <cstring>

#include "base/error.h"

namespace warder::broker {
namespace {

std::string_view because(Reason reason, int error) {
    switch (reason) {
        case Reason::not_regular: return "it is not a regular file, and only those are lent";
        case Reason::refused_filesystem: return "it lies in a view of the kernel (proc, sysfs, cgroup), which is never lent as files";
        case Reason::foreign_owner: return "as root it must have one name and belong to root or to the grant's owner";
        case Reason::deadline: return "the file system did not answer in time";
        case Reason::too_many: return "too many of this worker's requests are waiting already (max_outstanding)";
        case Reason::stopping: return "the worker or warderd is stopping";
        default: break;
    }
    const char* words = strerrordesc_np(error);
    return words != nullptr ? words : "unknown error";
}

// Targets are a worker's own bytes: what could break a line of a log is shown as '?'.
void append_safe(policy::Sentence& sentence, std::string_view text) {
    for (const char c : text.substr(0, 200)) sentence.append(c >= ' ' && c <= '~' ? c : '?');
}

}  // namespace

policy::Sentence failure_sentence(std::string_view grant, Operation operation, std::string_view target, Reason reason,
                                  int error) {
    policy::Sentence sentence("grant \"");
    sentence.append(grant).append("\" allows ").append(name_of(operation));
    if (!target.empty()) {
        sentence.append(" of ");
        append_safe(sentence, target);
    }
    sentence.append(", but: ").append(because(reason, error));
    if (reason == Reason::system) sentence.append(" (").append(errno_name(error)).append(")");
    return sentence;
}

}  // namespace warder::broker
