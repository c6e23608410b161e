// warderctl: what people on call type.
#include <csignal>

#include "ctl/options.h"
#include "ctl/render.h"
#include "ctl/verbs.h"
#include "sys/standard_descriptors.h"

int main(int argc, char** argv) {
    // A reader that goes away is an answer that could not be written, not our death: `logs -f | head` ends like any other.
    std::signal(SIGPIPE, SIG_IGN);
    warder::hold_standard_descriptors();
    const auto parsed = warder::ctl::parse_options(argc, argv);
    const int code = parsed.options ? warder::ctl::run(*parsed.options) : parsed.exit_code;
    return warder::ctl::all_written() ? code : warder::ctl::exit_not_said;
}
