#include "policy/command.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

using namespace warder;
using namespace warder::policy;
using namespace std::string_view_literals;

namespace {

Word literal(std::string text) { return {"", Placeholder::none, std::move(text), ""}; }

Word placeholder(Placeholder type, std::string before = {}, std::string text = {}) {
    return {std::move(before), type, std::move(text), "x"};
}

Command command(std::vector<Word> words) {
    Command made;
    made.words = std::move(words);
    return made;
}

// The words, or why there are none.
std::vector<std::string> words_of(const Command& made, std::string_view arguments) {
    static Filled filled;
    fill(made, arguments, filled);
    if (filled.wrong_number) return {"wrong number"};
    if (filled.faulty != nullptr) return {"faulty"};
    CHECK(filled.words_fit());
    return {filled.words.begin(), filled.words.begin() + static_cast<std::ptrdiff_t>(filled.count)};
}

using Words = std::vector<std::string>;

const Words faulty{"faulty"};
const Words wrong_number{"wrong number"};

}  // namespace

TEST_CASE("a command without placeholders takes no arguments, and is what it is") {
    const Command made = command({literal("/usr/bin/id"), literal("-u")});
    CHECK(words_of(made, "") == Words{"/usr/bin/id", "-u"});
    CHECK(words_of(made, "a") == wrong_number);
    CHECK(words_of(made, "\n") == wrong_number);
}

TEST_CASE("values stand in their placeholders in their order, behind the literal text of their word") {
    const Command made = command({literal("/bin/x"), placeholder(Placeholder::word, "--name="), literal("--"), placeholder(Placeholder::number),
                                  placeholder(Placeholder::path, "", "/srv/www"), placeholder(Placeholder::choice, "-m", "fast|slow")});
    CHECK(words_of(made, "web.1\n42\n/srv/www/a b\nslow") ==
          Words{"/bin/x", "--name=web.1", "--", "42", "/srv/www/a b", "-mslow"});
    CHECK(words_of(made, "web\n42\n/srv/www\nfast").back() == "-mfast");
    CHECK(words_of(made, "web\n42\n/srv/www") == wrong_number);
    CHECK(words_of(made, "web\n42\n/srv/www\nfast\n") == wrong_number);
    CHECK(words_of(made, "web\n42\n/srv/www\nfast\nmore") == wrong_number);
    CHECK(words_of(made, "") == wrong_number);
}

TEST_CASE("T26: no value adds a word, changes another or becomes an option") {
    const Command made = command({literal("/bin/x"), placeholder(Placeholder::word)});
    for (const auto value :
         {"-rf"sv, "--help"sv, "a b"sv, "a\tb"sv, "a;b"sv, "$(id)"sv, "`id`"sv, "a|b"sv, "a&b"sv, "a>b"sv, "a*"sv, "a?"sv,
          "'a'"sv, "\"a\""sv, "a\\b"sv, "a/b"sv, "."sv, ".."sv, "a\0b"sv, "\0"sv, "\xff"sv, "a\r"sv, "~"sv, "a=b"sv,
          "{x}"sv, "\xc2\xa0"sv}) {
        CAPTURE(value);
        CHECK(words_of(made, value) == faulty);
    }
    CHECK(words_of(made, "a\nb") == wrong_number);
    CHECK(words_of(made, "\n") == faulty);
    CHECK(words_of(made, "a\n") == wrong_number);
    CHECK(words_of(made, "A-z0_.,:@%+") == Words{"/bin/x", "A-z0_.,:@%+"});
    CHECK(words_of(made, std::string(255, 'a')).size() == 2);
    CHECK(words_of(made, std::string(256, 'a')) == faulty);
}

TEST_CASE("T26: a number is digits and nothing else") {
    const Command made = command({literal("/bin/x"), placeholder(Placeholder::number)});
    CHECK(words_of(made, "0") == Words{"/bin/x", "0"});
    CHECK(words_of(made, "007") == Words{"/bin/x", "007"});
    CHECK(words_of(made, std::string(18, '9')).size() == 2);
    for (const auto value : {"-1"sv, "+1"sv, "1.0"sv, "0x1"sv, " 1"sv, "1 "sv, "1e3"sv, "9999999999999999999"sv, "1\0"sv}) {
        CAPTURE(value);
        CHECK(words_of(made, value) == faulty);
    }
}

TEST_CASE("T26: a path stays at or below its directory") {
    const Command made = command({literal("/bin/x"), placeholder(Placeholder::path, "", "/srv/www")});
    CHECK(words_of(made, "/srv/www/$(id);a") == Words{"/bin/x", "/srv/www/$(id);a"});
    for (const auto value : {"/srv/wwwx"sv, "/srv"sv, "/srv/www/../x"sv, "/srv/www/"sv, "/srv/www//a"sv, "a"sv, "-a"sv,
                             "/srv/www/a\0b"sv, "/etc/shadow"sv, "/srv/www/."sv}) {
        CAPTURE(value);
        CHECK(words_of(made, value) == faulty);
    }
}

TEST_CASE("a choice is one of its words, whole") {
    const Command made = command({literal("/bin/x"), placeholder(Placeholder::choice, "", "fast|slow")});
    CHECK(words_of(made, "fast").back() == "fast");
    CHECK(words_of(made, "slow").back() == "slow");
    for (const auto value : {"fas"sv, "fast|slow"sv, "low"sv, "FAST"sv, "|"sv}) CHECK(words_of(made, value) == faulty);
    CHECK(words_of(command({literal("/bin/x"), placeholder(Placeholder::choice, "", "a||b")}), "\n") == faulty);
}

TEST_CASE("what does not fit is refused and not cut") {
    const Command one = command({literal("/bin/x"), placeholder(Placeholder::path, "", "/")});
    CHECK(words_of(one, "/" + std::string(4000, 'a')).size() == 2);
    const Command three = command({literal("/bin/x"), placeholder(Placeholder::path, "", "/"), placeholder(Placeholder::path, "", "/"),
                                   placeholder(Placeholder::path, "", "/")});
    const std::string longest = "/" + std::string(4000, 'a');
    CHECK(words_of(three, longest + "\n" + longest + "\n/b").size() == 4);
    CHECK(words_of(three, longest + "\n" + longest + "\n" + longest) == faulty);
    const Command behind = command({literal("/bin/x"), placeholder(Placeholder::path, std::string(100, 'b'), "/")});
    CHECK(words_of(behind, longest) == faulty);
    CHECK(words_of(command(std::vector<Word>(max_words + 1, literal("a"))), "") == wrong_number);
    CHECK(words_of(command(std::vector<Word>(max_words, literal("a"))), "").size() == max_words);
}
