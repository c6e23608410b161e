// Aligned tables and blocks of "name: value". Pure: texts in, text out. Cells are made printable here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace warder::ctl {

enum class Tint : std::uint8_t { plain, good, warn, bad, dim, strong };
enum class Colors : std::uint8_t { off, on };

std::string tinted(std::string_view text, Tint tint, Colors colors);

struct Cell {
    std::string text;
    Tint tint = Tint::plain;
    Cell(std::string words, Tint how = Tint::plain) : text(std::move(words)), tint(how) {}   // a text is a plain cell
    Cell(const char* words) : text(words) {}
};

class Table {
public:
    explicit Table(std::vector<std::string> heads) : heads_(std::move(heads)) {}

    // As many cells as there are heads.
    void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
    bool empty() const { return rows_.empty(); }

    // Columns two spaces apart, nothing behind the last word of a line. Columns that are empty in every row are left out.
    std::string render(Colors colors) const;

private:
    std::vector<std::string> heads_;
    std::vector<std::vector<Cell>> rows_;
};

// Lines "   name: value", names to the right; a value of several lines is indented below itself.
class Block {
public:
    void add(std::string name, Cell value);
    std::string render(Colors colors) const;

private:
    struct Line {
        std::string name;
        Cell value;
    };
    std::vector<Line> lines_;
};

}  // namespace warder::ctl
