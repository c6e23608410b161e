// Section: one table of a file being read. Every key that is asked for is thereby known; refuse_the_rest() complains about
// all others and says what was perhaps meant. Each value is checked where it is read: on a complaint the target keeps
// what it had, so that one reading finds every error.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "config/complaints.h"
#include "config/node.h"

namespace warder::config {

template <typename T>
struct Choice {
    std::string_view name;
    T value;
};

class Section {
public:
    // `what` names it in sentences: "worker \"web\"". Table and complaints outlive this.
    Section(const Node& table, std::string what, Complaints& complaints);

    // The value under `key`, or null. The key is known from now on.
    const Node* take(std::string_view key);
    // The same, with a complaint if it is of another kind; `instead` then says what to write.
    const Node* take(std::string_view key, Node::Kind kind, std::string_view instead = {});

    void text(std::string_view key, std::string& into);
    void flag(std::string_view key, bool& into);
    void duration(std::string_view key, Duration& into, Duration least);
    void size(std::string_view key, std::uint64_t& into, std::uint64_t least);
    void share(std::string_view key, double& into, double least, double most);
    void mode(std::string_view key, std::uint32_t& into);           // "0640"
    void texts(std::string_view key, std::vector<std::string>& into);
    void path(std::string_view key, std::string& into);             // absolute and clean
    void paths(std::string_view key, std::vector<std::string>& into);

    template <typename Integer>
    void number(std::string_view key, Integer& into, std::int64_t least, std::int64_t most) {
        if (const auto value = whole_number(key, least, most)) into = static_cast<Integer>(*value);
    }

    template <typename T, std::size_t N>
    void choice(std::string_view key, T& into, const std::array<Choice<T>, N>& choices) {
        const Node* node = take(key, Node::Kind::text);
        if (node != nullptr) choose(*node, key, into, choices);
    }

    // For a key whose value may be of several kinds and is known to be a text here.
    template <typename T, std::size_t N>
    void choose(const Node& node, std::string_view key, T& into, const std::array<Choice<T>, N>& choices) {
        std::vector<std::string_view> names;
        for (const auto& choice : choices) {
            if (choice.name == node.text) return void(into = choice.value);
            names.push_back(choice.name);
        }
        refuse_choice(node, key, names);
    }

    // Complains about each key that nobody asked for, and says whether there was one. `otherwise` is what to suggest where
    // no known key is near.
    bool refuse_the_rest(std::string_view otherwise = {});
    bool known(std::string_view key) const;

    // Complains that `node` is not of the kind that `key` wants.
    void refuse_kind(const Node& node, std::string_view key, std::string_view wanted, std::string_view instead = {});
    // The same of one entry of the list under `key`.
    void refuse_entry(const Node& entry, std::string_view key, std::string_view wanted);

    const std::string& what() const { return what_; }
    const Node& table() const { return table_; }
    Complaints& complaints() { return complaints_; }

private:
    void refuse_subject(const Node& node, const std::string& subject, std::string_view wanted, std::string_view instead);
    std::optional<std::int64_t> whole_number(std::string_view key, std::int64_t least, std::int64_t most);
    void refuse_choice(const Node& node, std::string_view key, const std::vector<std::string_view>& names);

    const Node& table_;
    std::string what_;
    Complaints& complaints_;
    std::vector<std::string_view> known_;
};

// Whether the text of `node` is an absolute, clean path; complains otherwise. `what` is the key, for the sentence.
bool check_path(const Node& node, std::string_view what, Complaints& complaints);

// Whether `node` is a text without NUL; complains otherwise.
bool check_text(const Node& node, std::string_view what, Complaints& complaints);

// "/a//b/../c/" → "/a/c": what was perhaps meant by a path that is not clean.
std::string cleaned(std::string_view path);

// Permission bits from "0640"; nullopt for anything else than three or four octal digits up to 0777.
std::optional<std::uint32_t> parse_mode(std::string_view text);

std::string join(const std::vector<std::string_view>& words, std::string_view between = ", ");

}  // namespace warder::config
