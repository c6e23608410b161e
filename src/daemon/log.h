// warderd's own log: to standard error with a timestamp, or for the journal with syslog levels in front of each line
// (sd-daemon(3)). Never used between receive and send: formatting takes a heap.
#pragma once

#include <string_view>

namespace warder::daemon {

enum class LogLevel { debug, info, warning, error };

// Whether standard error is the journal is seen once, here (systemd.exec(5), JOURNAL_STREAM).
void open_log(LogLevel least);

void log(LogLevel level, std::string_view text);
inline void log_info(std::string_view text) { log(LogLevel::info, text); }
inline void log_warning(std::string_view text) { log(LogLevel::warning, text); }
inline void log_error(std::string_view text) { log(LogLevel::error, text); }

}  // namespace warder::daemon
