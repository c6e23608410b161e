// A Sentence, and how foreign text gets into one. Names and paths in sentences come from workers: whatever bytes they
// hold, a sentence stays one line of harmless text, nothing in it can be taken for the words around it, and a piece of
// TOML in it is read back as exactly what was meant.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/fixed_string.h"

namespace warder::policy {

using Sentence = FixedString<480>;

bool is_utf8(std::string_view text);

// As a TOML basic string, whole: quotes, backslashes, control characters and what turns text around are escaped. Bytes
// that are not UTF-8, which TOML cannot say, appear as \xNN: ask is_utf8 first where the result is to be TOML.
void append_quoted(Sentence& out, std::string_view text);

// The same, but no longer than about `limit` bytes; what was cut is shown by "..." after the quote.
void append_quoted(Sentence& out, std::string_view text, std::size_t limit);

// As it stands if it is short and of letters, digits and the usual marks of paths and addresses; quoted otherwise.
void append_shown(Sentence& out, std::string_view text, std::size_t limit);

// As a TOML key: bare if it may be.
void append_key(Sentence& out, std::string_view key);

}  // namespace warder::policy
