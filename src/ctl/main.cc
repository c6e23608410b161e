// warderctl: what people on call type.
#include "ctl/options.h"
#include "ctl/verbs.h"

int main(int argc, char** argv) {
    const auto parsed = warder::ctl::parse_options(argc, argv);
    return parsed.options ? warder::ctl::run(*parsed.options) : parsed.exit_code;
}
