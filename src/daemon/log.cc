// The one file that knows spdlog.
#include "daemon/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/utf8.h"

namespace warder::daemon {
namespace {

// "<6>" for info and so on: journald and the kernel log read a level off the start of a line.
class SyslogLevel : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
        const char* prefix = "<6>";
        if (message.level == spdlog::level::debug) prefix = "<7>";
        if (message.level == spdlog::level::warn) prefix = "<4>";
        if (message.level >= spdlog::level::err) prefix = "<3>";
        out.append(prefix, prefix + 3);
    }
    std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<SyslogLevel>(); }
};

// JOURNAL_STREAM is "DEVICE:INODE" of what standard error was connected to; it may have been redirected since.
bool is_journal() {
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat about;
    if (stream == nullptr || ::fstat(STDERR_FILENO, &about) != 0) return false;
    unsigned long long device = 0;
    unsigned long long inode = 0;
    return std::sscanf(stream, "%llu:%llu", &device, &inode) == 2 && device == about.st_dev && inode == about.st_ino;
}

spdlog::level::level_enum level_of(LogLevel level) {
    switch (level) {
        case LogLevel::debug: return spdlog::level::debug;
        case LogLevel::info: return spdlog::level::info;
        case LogLevel::warning: return spdlog::level::warn;
        case LogLevel::error: return spdlog::level::err;
    }
    return spdlog::level::info;
}

}  // namespace

void open_log(LogLevel least) {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_st>();
    auto logger = std::make_shared<spdlog::logger>("warderd", sink);
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<SyslogLevel>('J');
    formatter->set_pattern(is_journal() ? "%J%v" : "%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    logger->set_formatter(std::move(formatter));
    logger->set_level(level_of(least));
    logger->flush_on(spdlog::level::debug);
    spdlog::set_default_logger(std::move(logger));
}

void log(LogLevel level, std::string_view text) {
    const std::string shown = escaped_for_people(text);   // some of it may be a worker's
    spdlog::default_logger_raw()->log(level_of(level), spdlog::string_view_t(shown.data(), shown.size()));
}

}  // namespace warder::daemon
