// Node: a parsed TOML value with its place, free of toml++. Everything after parse.cc reads these.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace warder::config {

// Lines and columns count from 1, columns in characters (code points), as editors do.
struct Place {
    std::uint32_t line = 0;
    std::uint32_t column = 0;
    std::uint32_t length = 1;
};

struct Node {
    enum class Kind : std::uint8_t { text, integer, real, boolean, time, list, table };

    Kind kind = Kind::table;
    Place place;
    std::string key;           // the name it stands under, if its parent is a table
    Place key_place;
    std::string text;
    std::int64_t integer = 0;
    double real = 0;
    bool boolean = false;
    std::vector<Node> items;   // of a list, or of a table in the order of the file

    const Node* find(std::string_view name) const {
        for (const Node& item : items) {
            if (item.key == name) return &item;
        }
        return nullptr;
    }
};

// "a string", "a whole number" ... for sentences.
std::string_view words_for(Node::Kind kind);

}  // namespace warder::config
