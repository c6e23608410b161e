#include "policy/command.h"

#include <algorithm>

#include "policy/path.h"

namespace warder::policy {
namespace {

bool is_word(std::string_view value) {
    constexpr std::size_t longest = 255;
    if (value.empty() || value.size() > longest || value.front() == '-' || value == "." || value == "..") return false;
    return std::ranges::all_of(value, [](char one) {
        const bool letter = (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z');
        return letter || (one >= '0' && one <= '9') || std::string_view("_.,:@%+-").find(one) != std::string_view::npos;
    });
}

bool is_number(std::string_view value) {
    constexpr std::size_t longest = 18;
    if (value.empty() || value.size() > longest) return false;
    return std::ranges::all_of(value, [](char one) { return one >= '0' && one <= '9'; });
}

bool is_path(std::string_view value, std::string_view directory) {
    return clean_absolute(value) && (value == directory || covers(directory, value));
}

bool is_choice(std::string_view value, std::string_view words) {
    while (!words.empty()) {
        const std::string_view word = words.substr(0, words.find('|'));
        if (!word.empty() && word == value) return true;
        words.remove_prefix(std::min(words.size(), word.size() + 1));
    }
    return false;
}

bool fits(const Word& word, std::string_view value) {
    switch (word.placeholder) {
        case Placeholder::none: return false;
        case Placeholder::word: return is_word(value);
        case Placeholder::number: return is_number(value);
        case Placeholder::path: return is_path(value, word.text);
        case Placeholder::choice: return is_choice(value, word.text);
    }
    return false;
}

// The values of a request, one a line. A line that is not there is none, not an empty one.
class Lines {
public:
    explicit Lines(std::string_view text) : left_(text), over_(text.empty()) {}

    bool over() const { return over_; }

    std::string_view next() {
        const auto end = left_.find('\n');
        const std::string_view line = left_.substr(0, end);
        over_ = end == std::string_view::npos;
        left_ = over_ ? std::string_view{} : left_.substr(end + 1);
        return line;
    }

private:
    std::string_view left_;
    bool over_;
};

// The literal part and the value as one word in the text of `into`; false where there is no room for it.
bool append_word(Filled& into, std::string_view before, std::string_view value) {
    const std::size_t size = before.size() + value.size();
    if (size > max_argument || size > into.text.capacity() - into.text.size()) return false;
    const char* begin = into.text.c_str() + into.text.size();
    into.text.append(before).append(value);
    into.words[into.count++] = {begin, size};
    return true;
}

}  // namespace

void fill(const Command& command, std::string_view arguments, Filled& into) {
    into.count = 0;
    into.faulty = nullptr;
    into.text.clear();
    Lines lines(arguments);
    into.wrong_number = command.words.size() > max_words;
    for (const Word& word : command.words) {
        if (into.wrong_number || into.faulty != nullptr) return;
        if (word.placeholder == Placeholder::none) {
            into.words[into.count++] = word.text;
        } else if (lines.over()) {
            into.wrong_number = true;
        } else if (const auto value = lines.next(); !fits(word, value) || !append_word(into, word.before, value)) {
            into.faulty = &word;
        }
    }
    if (into.faulty == nullptr && !lines.over()) into.wrong_number = true;
}

}  // namespace warder::policy
