// From a decoded message to something that can be done: known verb, known flags, and the arguments that the verb takes and
// no others. Hostile bytes never get this far (protocol/codec ends them); what does get here may still make no sense.
#pragma once

#include <string>
#include <string_view>

#include "base/operation.h"
#include "control/operator.h"
#include "protocol/message.h"

namespace warder::control {

struct Order {
    protocol::Verb verb{};
    bool wait = false;
    std::string worker;                         // empty: all of them, where the verb permits
    Question question;                          // why
    ReloadMode reload = ReloadMode::apply;
    int signal = 0;                             // signal
};

// Refuses with EINVAL what makes no sense and with ENOSYS a verb of a newer warderctl; the sentence says which.
Answer<Order> understand(const protocol::Command& command);

// "status", or "verb 99".
std::string name_of(protocol::Verb verb);

}  // namespace warder::control
