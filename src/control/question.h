// `why`: a request as an operator types it, in words, and the answer of the policy to it. Pure. One grammar for the running
// warderd, for `warderd --why` and for tests:
//
//     read /etc/shadow              a path: below a grant, or a grant's own
//     listen tcp:127.0.0.1:80       an address
//     read site                     what the grant `site` itself names
//     read site:css/a.css           a path below it, an address within it
//     rename site:a site:b          two paths; the second one may leave the grant out
//     create site:log 0640          modes (create, mkdir, chmod), access rw, truncate site:log 100
//     symlink site:a b              the text of the link
//     lookup user:web   sysctl_write net.ipv4.ip_forward 1   signal parser HUP   restart parser
//     run cleanup 7 a.txt           a grant, and one word for each of its placeholders
//     raw [GRANT]   packet, netlink, syslog alike            narrow GRANT [TARGET [PATTERN]]
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/operator.h"
#include "policy/grant.h"

namespace warder::control {

// Refuses with EINVAL what is no request at all: too few words or too many, a number that is none.
Answer<WhyReport> answer_question(const policy::GrantSet& grants, const Question& question);

// As one text of a command, and back: the words with a NUL between each two.
std::string joined_words(const std::vector<std::string>& words);
std::vector<std::string> split_words(std::string_view text);

}  // namespace warder::control
