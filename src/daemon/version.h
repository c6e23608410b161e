#pragma once

namespace warder::daemon {

inline constexpr const char* version = WARDER_VERSION;

}  // namespace warder::daemon
