#include "base/error.h"

#include <cstring>

namespace warder {

const char* errno_name(int number) {
    const char* name = strerrorname_np(number);
    if (name != nullptr) return name;
    thread_local char unknown[24];
    std::snprintf(unknown, sizeof unknown, "errno %d", number);
    return unknown;
}

std::string describe(const Error& error) {
    std::string text = error.doing;
    text += ": ";
    text += strerrordesc_np(error.number) ? strerrordesc_np(error.number) : "unknown error";
    text += " (";
    text += errno_name(error.number);
    text += ")";
    return text;
}

}  // namespace warder
