#include "config/complaints.h"

#include <algorithm>

#include "base/utf8.h"

namespace warder::config {
namespace {

constexpr std::uint32_t longest_line = 200;   // columns shown of a line
constexpr std::uint32_t kept_before = 60;     // of them before the place, when the line's start is cut
constexpr std::size_t longest_word = 120;     // bytes of a quoted word

// Moves `text` on by up to `count` characters and says by how many.
std::uint32_t skip_characters(std::string_view& text, std::uint32_t count) {
    std::uint32_t skipped = 0;
    while (skipped < count && !text.empty()) {
        text.remove_prefix(std::max<std::size_t>(1, character_length(text)));
        ++skipped;
    }
    return skipped;
}

std::string_view first_characters(std::string_view text, std::uint32_t count) {
    std::string_view rest = text;
    skip_characters(rest, count);
    return text.substr(0, text.size() - rest.size());
}

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) == 0x80U; }

std::size_t announced_length(unsigned char first) {
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first < 0xe0) return 2;
    if (first >= 0xe0 && first < 0xf0) return 3;
    return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

}  // namespace

std::size_t character_length(std::string_view text) {
    if (text.empty()) return 0;
    const std::size_t length = announced_length(static_cast<unsigned char>(text[0]));
    if (length == 0 || length > text.size()) return 0;
    return std::all_of(text.begin() + 1, text.begin() + static_cast<std::ptrdiff_t>(length), continues) ? length : 0;
}

std::string printable(std::string_view text) {
    std::string shown;
    while (!text.empty()) {
        const Character one = first_character(text);
        if (one.valid && (one.code == '\t' || !may_deceive(one.code))) shown += text.substr(0, one.size);
        else shown += '?';
        text.remove_prefix(one.size);
    }
    return shown;
}

std::string quoted(std::string_view word) {
    std::string shown = printable(first_characters(word, longest_word));
    std::replace(shown.begin(), shown.end(), '\t', ' ');
    if (shown.size() < word.size() && first_characters(word, longest_word).size() < word.size()) shown += "...";
    return "\"" + shown + "\"";
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known, std::string otherwise) {
    const std::string_view found = nearest(word, known);
    if (found.empty()) return otherwise;
    return "did you mean " + quoted(found) + "?";
}

Complaints::Complaints(const Source& source, std::vector<Problem>& problems) : source_(source), problems_(problems) {
    // A byte order mark is no part of the first line.
    std::size_t at = source.text.starts_with("\xef\xbb\xbf") ? 3 : 0;
    while (at != std::string::npos) {
        line_starts_.push_back(at);
        const std::size_t end = source.text.find('\n', at);
        at = end == std::string::npos ? end : end + 1;
    }
}

std::string_view Complaints::line(std::uint32_t number) const {
    if (number == 0 || number > line_starts_.size()) return {};
    const std::string_view text = std::string_view(source_.text).substr(line_starts_[number - 1]);
    std::string_view line = text.substr(0, text.find('\n'));
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

Mark Complaints::mark(const Place& place) const {
    Mark mark{{source_.file, place.line, place.column}, {}, place.length, 1};
    std::string_view text = line(place.line);
    if (first_characters(text, longest_line).size() < text.size() && place.column > kept_before) {
        mark.line_from += skip_characters(text, place.column - kept_before);
    }
    mark.line = first_characters(text, longest_line);
    return mark;
}

std::string Complaints::origin(const Place& place) const {
    const std::size_t slash = source_.file.rfind('/');
    const std::string name = slash == std::string::npos ? source_.file : source_.file.substr(slash + 1);
    return name + ":" + std::to_string(place.line);
}

void Complaints::error(const Place& place, std::string what, std::string suggestion) {
    problems_.push_back(mark(place).problem(Severity::error, std::move(what), std::move(suggestion)));
}

void Complaints::warning(const Place& place, std::string what, std::string suggestion) {
    problems_.push_back(mark(place).problem(Severity::warning, std::move(what), std::move(suggestion)));
}

}  // namespace warder::config
