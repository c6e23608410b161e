#include "ctl/table.h"

#include <algorithm>

#include "ctl/words.h"

namespace warder::ctl {
namespace {

std::string padding(std::size_t wanted, std::string_view text) {
    const std::size_t width = width_of(text);
    return std::string(wanted > width ? wanted - width : 0, ' ');
}

const char* code_of(Tint tint) {
    switch (tint) {
        case Tint::plain: return "";
        case Tint::good: return "\x1b[32m";
        case Tint::warn: return "\x1b[33m";
        case Tint::bad: return "\x1b[31m";
        case Tint::dim: return "\x1b[2m";
        case Tint::strong: return "\x1b[1m";
    }
    return "";
}

void end_line(std::string& out) {
    while (!out.empty() && out.back() == ' ') out.pop_back();
    out += '\n';
}

}  // namespace

std::string tinted(std::string_view text, Tint tint, Colors colors) {
    if (colors == Colors::off || tint == Tint::plain || text.empty()) return std::string(text);
    return code_of(tint) + std::string(text) + "\x1b[0m";
}

std::string Table::render(Colors colors) const {
    std::vector<std::size_t> widths(heads_.size(), 0);
    std::vector<bool> used(heads_.size(), false);
    for (std::size_t i = 0; i < heads_.size(); ++i) widths[i] = width_of(heads_[i]);
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            widths[i] = std::max(widths[i], width_of(printable(row[i].text)));
            used[i] = used[i] || !row[i].text.empty();
        }
    }
    std::string out;
    const auto put = [&](std::size_t column, const std::string& text, Tint tint) {
        if (!used[column]) return;
        out += tinted(text, tint, colors) + padding(widths[column], text) + "  ";
    };
    for (std::size_t i = 0; i < heads_.size(); ++i) put(i, heads_[i], Tint::dim);
    end_line(out);
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < row.size(); ++i) put(i, printable(row[i].text), row[i].tint);
        end_line(out);
    }
    return out;
}

void Block::add(std::string name, Cell value) {
    if (!value.text.empty()) lines_.push_back({std::move(name), std::move(value)});
}

std::string Block::render(Colors colors) const {
    std::size_t width = 0;
    for (const auto& line : lines_) width = std::max(width, width_of(line.name));
    std::string out;
    for (const auto& line : lines_) {
        out += padding(width, line.name) + tinted(line.name + ":", Tint::dim, colors) + " ";
        std::string_view left = line.value.text;
        for (bool first = true; first || !left.empty(); first = false) {
            const std::size_t end = std::min(left.find('\n'), left.size());
            if (!first) out += std::string(width + 2, ' ');
            out += tinted(printable(left.substr(0, end)), line.value.tint, colors) + "\n";
            left.remove_prefix(std::min(end + 1, left.size()));
        }
    }
    return out;
}

}  // namespace warder::ctl
