// Any bytes as a set of grants and one request. The decision must be that of the slow obvious reference, its sentence
// one harmless line, and every address in it readable again from its canonical text.
//
// Bytes: how many grants (modulo 32); each grant as kind (modulo 16), rights (64 bits), lookups (8), signals (64), name, path,
// address pattern, one pattern of names, a peer, what it was narrowed to, a pattern that it was narrowed by, and the words of
// a command, a line each: a digit for its kind of placeholder, then its text; then the request as operation (16), flags (16), mode
// (32), argument (64), grant, second, target. A text is its length in one byte, then its bytes; the last one takes all that is
// left.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "policy/explain.h"
#include "policy/narrow.h"
#include "policy/path.h"
#include "unit/policy/reference.h"

namespace {

using namespace warder;
using namespace warder::policy;

std::string take_text(Reader& reader) {
    const auto size = std::min<std::size_t>(reader.take<std::uint8_t>(), reader.left().size());
    return std::string(text_of(reader.take_bytes(size)));
}

// Patterns on which the reference, which goes back for each star, does not take ages.
bool simple(std::string_view pattern) { return pattern.size() <= 12 && std::ranges::count(pattern, '*') <= 3; }

Command command_from(std::string_view text) {
    Command command;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        if (line.empty()) continue;
        const auto placeholder = static_cast<Placeholder>(static_cast<unsigned>(static_cast<unsigned char>(line[0] - '0')) % 5);
        command.words.push_back({"-", placeholder, std::string(line.substr(1)), "placeholder"});
    }
    return command;
}

Grant take_grant(Reader& reader) {
    Grant grant;
    grant.kind = static_cast<Kind>(reader.take<std::uint8_t>() % kind_count);
    const auto rights = reader.take<std::uint64_t>();
    for (std::uint16_t operation = 1; operation <= last_operation; ++operation) {
        if ((rights >> operation & 1) != 0) grant.rights.add(static_cast<Operation>(operation));
    }
    grant.lookups = reader.take<std::uint8_t>() & 15;
    grant.signals = reader.take<std::uint64_t>();
    grant.name = take_text(reader);
    grant.path = take_text(reader);
    const auto pattern = parse_address_pattern(take_text(reader));
    grant.address = pattern ? *pattern : exactly(parse_address("tcp:127.0.0.1:80").value());
    const std::string names = take_text(reader);
    if (!names.empty() && simple(names)) grant.names.push_back(names);
    grant.peer = take_text(reader);
    grant.within = take_text(reader);
    const std::string narrowed_by = take_text(reader);
    if (!narrowed_by.empty() && simple(narrowed_by)) grant.every_name.push_back(narrowed_by);
    grant.narrowed = !grant.within.empty() || !grant.every_name.empty();
    grant.command = command_from(take_text(reader));
    grant.origin = grant.name + ":1";
    return grant;
}

// What narrowed() makes: a place in the tree itself.
bool possible_narrowing(const Grant& grant) {
    if (grant.within.empty() || grant.within == grant.path) return true;
    return clean_absolute(grant.within) && covers(grant.path, grant.within);
}

bool possible_command(const Command& command) {
    return std::ranges::all_of(command.words, [](const Word& word) {
        const bool path = word.placeholder == Placeholder::path;
        return !path || word.text == "/" || clean_absolute(word.text);
    });
}

// As the config makes them: with clean paths.
bool possible(const Grant& grant) {
    if (grant.name.empty()) return false;
    if (grant.kind == Kind::listener && !grant.address.single()) return false;
    if (!possible_narrowing(grant) || !possible_command(grant.command)) return false;
    return clean_absolute(grant.path) || (grant.kind == Kind::tree && grant.path == "/");
}

void require(bool holds) {
    if (!holds) std::abort();
}

void check_sentence(const Sentence& sentence) {
    require(!sentence.truncated() && !sentence.empty() && is_utf8(sentence.view()));
    require(std::ranges::none_of(sentence.view(),
                                 [](char one) { return static_cast<unsigned char>(one) < 0x20 || one == 0x7f; }));
}

void check_address(std::string_view text) {
    const auto address = parse_address(text);
    if (!address) return;
    const auto canonical_text = format(*address);
    require(!canonical_text.truncated());
    const auto again = parse_address(canonical_text.view());
    require(again && format(*again).view() == canonical_text.view() && covers(exactly(*address), *again));
}

// What is left has no right that was not there, and allows nothing at or above what it was narrowed to.
void check_narrowing(const std::vector<Grant>& list, const Request& request) {
    const auto found = std::ranges::find(list, request.grant, &Grant::name);
    const auto smaller = narrowed(*found, request);
    if (!smaller) return;
    require(smaller->narrowed && (smaller->rights.bits() & ~found->rights.bits()) == 0);
    require(smaller->within.empty() || smaller->within == found->path || covers(found->path, smaller->within));
    require(smaller->address == found->address || covers(found->address, smaller->address));
    require(smaller->every_name.size() >= found->every_name.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Reader reader(Bytes(reinterpret_cast<const std::byte*>(data), size));
    std::vector<Grant> list(reader.take<std::uint8_t>() % 32);
    for (Grant& grant : list) grant = take_grant(reader);
    std::erase_if(list, [](const Grant& grant) { return !possible(grant); });
    const auto operation = static_cast<Operation>(reader.take<std::uint16_t>());
    const auto flags = reader.take<std::uint16_t>();
    const auto mode = reader.take<std::uint32_t>();
    const auto argument = reader.take<std::uint64_t>();
    const std::string grant = take_text(reader);
    const std::string second = take_text(reader);
    const std::string target(text_of(reader.left()));
    const Request request{operation, flags, mode, grant, target, second, argument};

    const GrantSet grants("fuzz", list);
    const Decision decision = decide(grants, request);
    require(reference::agrees(list, request, decision));
    check_sentence(explain(grants, request, decision));
    check_address(target);
    if (operation == Operation::narrow && decision.verdict == Verdict::allow) check_narrowing(list, request);
    return 0;
}
