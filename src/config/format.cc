// How a problem is shown, and which word was meant.
#include <algorithm>
#include <array>

#include "config/complaints.h"
#include "config/parse.h"

namespace warder::config {
namespace {

constexpr std::size_t longest_compared = 48;   // bytes: a longer word is nobody's typing error

// What stands under the line up to the caret: a tab stays a tab, so that the caret stands right whatever a tab is worth.
std::string indent_of(std::string_view line, std::uint32_t columns) {
    std::string indent;
    while (indent.size() < columns) {
        indent += line.starts_with('\t') ? '\t' : ' ';
        line.remove_prefix(std::min(line.size(), std::max<std::size_t>(1, character_length(line))));
    }
    return indent;
}

std::uint32_t columns_of(std::string_view line) {
    std::uint32_t columns = 0;
    for (; !line.empty(); ++columns) line.remove_prefix(std::max<std::size_t>(1, character_length(line)));
    return columns;
}

// One caret, and as many tildes as the thing is long, but never past the end of the line that is shown.
std::string underline(const Problem& problem, std::uint32_t before) {
    const std::uint32_t columns = columns_of(problem.line);
    const std::uint32_t room = columns > before ? columns - before : 1;
    const std::uint32_t length = std::clamp(problem.length, 1U, room);
    return "^" + std::string(length - 1, '~');
}

std::string place_of(const Position& where) {
    if (where.line == 0) return where.file.empty() ? "" : where.file + ": ";
    return where.file + ":" + std::to_string(where.line) + ":" + std::to_string(where.column) + ": ";
}

std::string excerpt(const Problem& problem) {
    const std::string number = std::to_string(problem.where.line);
    const std::string margin(number.size() < 4 ? 4 - number.size() + 1 : 1, ' ');
    const std::uint32_t before = problem.where.column - problem.line_from;
    std::string text = margin + number + " | " + printable(problem.line) + "\n";
    text += std::string(margin.size() + number.size(), ' ') + " | " + indent_of(problem.line, before);
    text += underline(problem, before);
    if (!problem.suggestion.empty()) text += " " + problem.suggestion;
    return text + "\n";
}

// Levenshtein's distance, where two neighbours exchanged count as one step.
std::size_t distance(std::string_view a, std::string_view b) {
    std::array<std::array<std::size_t, longest_compared + 1>, longest_compared + 1> steps{};
    for (std::size_t i = 0; i <= a.size(); ++i) steps[i][0] = i;
    for (std::size_t j = 0; j <= b.size(); ++j) steps[0][j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t changed = steps[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            steps[i][j] = std::min({steps[i - 1][j] + 1, steps[i][j - 1] + 1, changed});
            const bool exchanged = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (exchanged) steps[i][j] = std::min(steps[i][j], steps[i - 2][j - 2] + 1);
        }
    }
    return steps[a.size()][b.size()];
}

// How far a word of this length may be from what was meant.
std::size_t tolerance(std::size_t length) { return length <= 3 ? 1 : length <= 6 ? 2 : 3; }

// "env" for "environment", "groups" for "supplementary_groups".
bool part_of(std::string_view word, std::string_view known) {
    return word.size() >= 3 && (known.starts_with(word) || known.ends_with(word));
}

}  // namespace

std::string format(const Problem& problem) {
    const char* severity = problem.severity == Severity::error ? "error: " : "warning: ";
    std::string text = place_of(problem.where) + severity + problem.what + "\n";
    if (problem.where.line != 0 && problem.where.column >= problem.line_from) return text + excerpt(problem);
    return problem.suggestion.empty() ? text : text + "      " + problem.suggestion + "\n";
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known) {
    if (word.empty() || word.size() > longest_compared) return {};
    std::string_view found;
    std::size_t best = tolerance(word.size()) + 1;
    for (const std::string_view candidate : known) {
        if (candidate.size() > longest_compared) continue;
        const std::size_t far = distance(word, candidate);
        if (far < best && far < candidate.size()) {
            best = far;
            found = candidate;
        }
    }
    if (!found.empty()) return found;
    const auto part = std::find_if(known.begin(), known.end(), [&](auto candidate) { return part_of(word, candidate); });
    return part == known.end() ? std::string_view{} : *part;
}

}  // namespace warder::config
