// What the man page and the default config show is read by the config's own parser: an example that is no longer true is a
// failed test. Usage: config-examples warder.toml.5 warder.toml
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/parse.h"

using namespace warder;

namespace {

std::string contents_of(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// roff writes a hyphen that is meant as one "\\-".
void unescape_hyphens(std::string& text) {
    for (std::size_t at = 0; (at = text.find("\\-", at)) != std::string::npos;) text.erase(at, 1);
}

// What stands between .EX and .EE.
std::vector<std::string> examples_of(std::string page) {
    unescape_hyphens(page);
    std::vector<std::string> examples;
    for (std::size_t at = 0; (at = page.find("\n.EX\n", at)) != std::string::npos;) {
        const std::size_t end = page.find("\n.EE", at);
        examples.push_back(page.substr(at + 5, end - at - 4));
        at = end;
    }
    return examples;
}

// The names behind `marker`, up to one of `ends`.
void take_names(const std::string& text, std::string_view marker, std::string_view ends, std::set<std::string>& into) {
    for (std::size_t at = 0; (at = text.find(marker, at)) != std::string::npos;) {
        at += marker.size();
        into.insert(text.substr(at, text.find_first_of(ends, at) - at));
    }
}

// An example shows a part: what has to stand around it is added.
std::string whole(std::string example) {
    if (example.starts_with("limits")) return std::string("[worker.x]\nexec = \"/x\"\n").append(example);
    if (example.find("\n[") == std::string::npos && !example.starts_with("[")) {
        return std::string("[worker.x]\nexec = \"/x\"\nready = \"libwarder\"\n[worker.x.grants]\n").append(example);
    }
    std::set<std::string> names;
    take_names(example, "[worker.", ".]", names);
    take_names(example, "worker = \"", "\"", names);
    std::string before;
    for (const auto& name : names) {
        const bool has_own_table = example.find(std::string("[worker.").append(name).append("]\nexec")) != std::string::npos;
        if (!has_own_table) before.append("[worker.").append(name).append("]\nexec = \"/x\"\n");
    }
    return before.append(example);
}

// The default config with its worker no longer commented out, and the one that it speaks to.
std::string uncommented(std::string text) {
    text.erase(0, text.find("# [worker.web]"));
    std::string out;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size() - 1);
        const std::string line = text.substr(0, end + 1);
        text.erase(0, end + 1);
        if (line.starts_with("# ") && !line.starts_with("# What must")) out += line.substr(2);
    }
    return out + "[worker.writer]\nexec = \"/x\"\ngrants.work = { channel = \"web\", fds = true }\n";
}

bool parses(const std::string& text) {
    const auto parsed = config::parse({{"example.toml", text}});
    for (const auto& problem : parsed.problems) std::printf("%s", config::format(problem).c_str());
    if (!parsed.problems.empty()) std::printf("in\n%s\n", text.c_str());
    return parsed.problems.empty();
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 3) return 2;
    bool good = true;
    std::size_t tried = 0;
    for (const auto& example : examples_of(contents_of(arguments[1]))) {
        if (example.find("error:") != std::string::npos) continue;   // of a complaint, not of a config
        good = parses(whole(example)) && good;
        ++tried;
    }
    good = parses(contents_of(arguments[2])) && parses(uncommented(contents_of(arguments[2]))) && good;
    std::printf("%zu examples\n", tried);
    return good && tried >= 15 ? 0 : 1;
}
