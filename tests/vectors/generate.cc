// Writes tests/vectors/messages.json: encoded messages of protocol version 1 that every client must agree on. The bytes
// are put together here field by field, from docs/protocol.md and not by the codec, so that the codec can be wrong.
//
//     generate > tests/vectors/messages.json
//
// One list of objects:
//     name    unique, for reports
//     about   what is to be seen, for people
//     type    the message type's name: which decoder is meant
//     hex     the datagram, little-endian (the order of every machine that these were made for and are tested on)
//     fields  what it decodes to; null when it must be refused. A text that is not UTF-8 stands as {"hex": "..."}
//     error   null, or the errno that the decoder must answer: "EPROTO", "E2BIG"
//     exact   whether encoding `fields` must give exactly `hex` (false: accepted, but not what this version writes)
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint32_t no_grant = 0xffffffff;

// Bytes, written one field after the other, lowest byte first.
struct Raw {
    std::string bytes;

    Raw& put(std::uint64_t value, int size) {
        for (int i = 0; i < size; ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xff);
        return *this;
    }
    Raw& u16(std::uint64_t value) { return put(value, 2); }
    Raw& u32(std::uint64_t value) { return put(value, 4); }
    Raw& u64(std::uint64_t value) { return put(value, 8); }
    Raw& zeroes(std::size_t count) {
        bytes.append(count, '\0');
        return *this;
    }
    Raw& add(std::string_view more) {
        bytes += more;
        return *this;
    }
};

// The texts of one message: each is appended, and the body says where.
struct Texts {
    std::string bytes;
    void place(Raw& body, std::string_view text) {
        body.u32(bytes.size()).u32(text.size());
        bytes += text;
    }
};

std::string datagram(std::uint16_t type, std::uint32_t id, const Raw& body, std::string_view strings = {}) {
    Raw whole;
    whole.u16(type).u16(0).u32(id).u32(body.bytes.size()).u32(strings.size());
    return whole.add(body.bytes).add(strings).bytes;
}

std::string hex_of(std::string_view bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const char c : bytes) {
        const auto value = static_cast<unsigned char>(c);
        text += digits[value >> 4];
        text += digits[value & 15];
    }
    return text;
}

struct Vectors {
    Json list = Json::array();

    void add(const char* name, const char* about, const char* type, std::string_view bytes, Json fields, Json error,
             bool exact) {
        list.push_back(Json{{"name", name},
                            {"about", about},
                            {"type", type},
                            {"hex", hex_of(bytes)},
                            {"fields", std::move(fields)},
                            {"error", std::move(error)},
                            {"exact", exact}});
    }
    void good(const char* name, const char* about, const char* type, std::string_view bytes, Json fields) {
        add(name, about, type, bytes, std::move(fields), nullptr, true);
    }
    void accepted(const char* name, const char* about, const char* type, std::string_view bytes, Json fields) {
        add(name, about, type, bytes, std::move(fields), nullptr, false);
    }
    void bad(const char* name, const char* about, const char* type, std::string_view bytes, const char* error = "EPROTO") {
        add(name, about, type, bytes, nullptr, error, false);
    }
};

struct Request {
    std::uint16_t operation;
    std::string grant;
    std::string target;
    std::string second;
    std::uint16_t flags = 0;
    std::uint32_t mode = 0;
    std::uint64_t argument = 0;
};

struct Outcome {
    std::int32_t error;
    std::uint16_t reason;
    std::uint16_t fds;
    std::uint32_t grant;
    std::string text;
    std::uint64_t value = 0;
};

Raw items_head(std::size_t count, std::size_t item_size, std::uint32_t reserved = 0) {
    Raw head;
    head.u16(count).u16(item_size).u32(reserved);
    return head;
}

void put_request(Raw& body, Texts& texts, const Request& request) {
    body.u16(request.operation).u16(request.flags).u32(request.mode);
    texts.place(body, request.grant);
    texts.place(body, request.target);
    texts.place(body, request.second);
    body.u64(request.argument);
}

void put_outcome(Raw& body, Texts& texts, const Outcome& outcome) {
    body.u32(static_cast<std::uint32_t>(outcome.error)).u16(outcome.reason).u16(outcome.fds).u32(outcome.grant).u32(0);
    texts.place(body, outcome.text);
    body.u64(outcome.value);
}

std::string ask(std::uint32_t id, const std::vector<Request>& requests, std::size_t extra = 0) {
    Raw body = items_head(requests.size(), 40 + extra);
    Texts texts;
    for (const auto& request : requests) {
        put_request(body, texts, request);
        body.zeroes(extra);
    }
    return datagram(0x0002, id, body, texts.bytes);
}

std::string answer(std::uint32_t id, const std::vector<Outcome>& outcomes, std::size_t extra = 0) {
    Raw body = items_head(outcomes.size(), 32 + extra);
    Texts texts;
    for (const auto& outcome : outcomes) {
        put_outcome(body, texts, outcome);
        body.zeroes(extra);
    }
    return datagram(0x8002, id, body, texts.bytes);
}

std::string hello_reply(std::uint32_t id, std::int32_t error, std::uint32_t version, std::uint32_t requesters,
                        std::string_view worker) {
    Raw body;
    body.u32(static_cast<std::uint32_t>(error)).u32(version).u64(0).u32(65536).u32(253).u32(requesters).u32(0);
    Texts texts;
    texts.place(body, worker);
    return datagram(0x8001, id, body, texts.bytes);
}

std::string text_message(std::uint16_t type, std::uint32_t id, std::string_view text) {
    Raw body;
    Texts texts;
    texts.place(body, text);
    return datagram(type, id, body, texts.bytes);
}

std::string done(std::uint32_t id, std::int32_t error, std::uint16_t reason, std::string_view text) {
    Raw body;
    body.u32(static_cast<std::uint32_t>(error)).u16(reason).u16(0);
    Texts texts;
    texts.place(body, text);
    return datagram(0x8003, id, body, texts.bytes);
}

std::string event(std::uint16_t type, std::string_view name, std::uint64_t value, std::uint32_t fds) {
    Raw body;
    Texts texts;
    texts.place(body, name);
    body.u64(value).u32(fds).u32(0);
    return datagram(type, 0, body, texts.bytes);
}

std::string command(std::uint32_t id, std::uint16_t verb, std::uint16_t flags, std::uint32_t number,
                    std::string_view worker, std::string_view argument, std::string_view second) {
    Raw body;
    Texts texts;
    body.u16(verb).u16(flags).u32(number);
    texts.place(body, worker);
    texts.place(body, argument);
    texts.place(body, second);
    return datagram(0x2001, id, body, texts.bytes);
}

std::string report(std::uint32_t id, std::int32_t error, std::uint32_t more, std::string_view text) {
    Raw body;
    body.u32(static_cast<std::uint32_t>(error)).u32(more);
    Texts texts;
    texts.place(body, text);
    return datagram(0xa001, id, body, texts.bytes);
}

std::string found(std::uint32_t id, std::uint64_t query, std::int32_t error, std::string_view text) {
    Raw body;
    Texts texts;
    body.u64(query).u32(static_cast<std::uint32_t>(error)).u32(0);
    texts.place(body, text);
    return datagram(0x0005, id, body, texts.bytes);
}

// The data of a stat.
std::string stat_text() {
    return Raw{}.u64(0x0801).u64(131074).u32(0100640).u32(1).u32(64000).u32(64001).u64(1234).u64(8).u64(1700000000)
        .u64(1700000001).u32(500000000).u32(1).bytes;
}

Json text_field(const std::string& text) {
    try {
        (void)Json(text).dump();
        return text;
    } catch (const Json::exception&) {
        return Json{{"hex", hex_of(text)}};
    }
}

Json fields_of(const Request& request) {
    return {{"operation", request.operation},         {"flags", request.flags},
            {"mode", request.mode},                   {"grant", text_field(request.grant)},
            {"target", text_field(request.target)},   {"second", text_field(request.second)},
            {"argument", request.argument}};
}

Json fields_of(const Outcome& outcome) {
    return {{"error", outcome.error}, {"reason", outcome.reason}, {"fds", outcome.fds},
            {"grant", outcome.grant}, {"text", text_field(outcome.text)}, {"value", outcome.value}};
}

Json ask_fields(std::uint32_t id, const std::vector<Request>& requests) {
    Json list = Json::array();
    for (const auto& request : requests) list.push_back(fields_of(request));
    return {{"id", id}, {"requests", list}};
}

Json answer_fields(std::uint32_t id, const std::vector<Outcome>& outcomes) {
    Json list = Json::array();
    for (const auto& outcome : outcomes) list.push_back(fields_of(outcome));
    return {{"id", id}, {"outcomes", list}};
}

void good_ask(Vectors& vectors, const char* name, const char* about, std::uint32_t id, const std::vector<Request>& requests) {
    vectors.good(name, about, "ask", ask(id, requests), ask_fields(id, requests));
}

void good_answer(Vectors& vectors, const char* name, const char* about, std::uint32_t id,
                 const std::vector<Outcome>& outcomes) {
    vectors.good(name, about, "answer", answer(id, outcomes), answer_fields(id, outcomes));
}

void hellos(Vectors& v) {
    v.good("hello", "The first message of a session: versions 1 to 1, no features.", "hello",
           datagram(0x0001, 1, Raw{}.u32(1).u32(1).u64(0)),
           {{"id", 1}, {"version_min", 1}, {"version_max", 1}, {"features", 0}});
    v.good("hello, features of a newer side", "Unknown feature bits are not an error: they are ignored.", "hello",
           datagram(0x0001, 2, Raw{}.u32(1).u32(3).u64(0x8000000000000001U)),
           {{"id", 2}, {"version_min", 1}, {"version_max", 3}, {"features", 0x8000000000000001U}});
    v.accepted("hello, longer and zero", "A longer body whose unknown part is zero.", "hello",
               datagram(0x0001, 1, Raw{}.u32(1).u32(1).u64(0).zeroes(24)),
               {{"id", 1}, {"version_min", 1}, {"version_max", 1}, {"features", 0}});
    v.good("hello_reply, main", "Only the worker's main process may ask.", "hello_reply",
           hello_reply(1, 0, 1, 0, "web"),
           {{"id", 1}, {"error", 0}, {"version", 1}, {"features", 0}, {"max_message", 65536}, {"max_requests", 253},
            {"requesters", 0}, {"worker", "web"}});
    v.good("hello_reply, group", "The worker's descendants may ask too.", "hello_reply",
           hello_reply(0xfffffffe, 0, 1, 1, "pool@2"),
           {{"id", 0xfffffffeU}, {"error", 0}, {"version", 1}, {"features", 0}, {"max_message", 65536},
            {"max_requests", 253}, {"requesters", 1}, {"worker", "pool@2"}});
    v.good("hello_reply, no common version", "errno 93, EPROTONOSUPPORT; the session is over.", "hello_reply",
           hello_reply(1, 93, 0, 0, ""),
           {{"id", 1}, {"error", 93}, {"version", 0}, {"features", 0}, {"max_message", 65536}, {"max_requests", 253},
            {"requesters", 0}, {"worker", ""}});
}

void asks(Vectors& v) {
    good_ask(v, "ask, read below a grant", "Read css/site.css below the tree that grant `site` names.", 2,
             {{1, "site", "css/site.css", ""}});
    good_ask(v, "ask, read by path", "An absolute path: the policy finds the grant.", 3, {{1, "", "/srv/www/index.html", ""}});
    good_ask(v, "ask, create", "Create, read too, truncate, exclusive, mode 0640.", 4,
             {{4, "data", "cache/1", "", 0x0007, 0640}});
    good_ask(v, "ask, append", "The one file that grant `log` names.", 5, {{3, "log", "", ""}});
    good_ask(v, "ask, listen", "The listener that grant `http` names, lent non-blocking.", 6, {{5, "http", "", "", 0x0008}});
    good_ask(v, "ask, connect by address", "An IPv6 address, without naming a grant.", 7,
             {{6, "", "tcp:[2001:db8::1]:443", ""}});
    good_ask(v, "ask, secret", "The secret that grant `key` names.", 8, {{7, "key", "", ""}});
    good_ask(v, "ask, rename", "Below one grant, from one name to another.", 9, {{8, "log", "web.log", "web.log.1"}});
    good_ask(v, "ask, unlink", "Below one grant.", 10, {{9, "log", "web.log.9", ""}});
    good_ask(v, "ask, three at once", "Three requests in one message; one answer with three outcomes.", 0x01020304,
             {{1, "site", "a.html", ""}, {1, "site", "../etc/passwd", ""}, {6, "db", "", ""}});
    good_ask(v, "ask, a name that is not UTF-8", "Paths are bytes: the second text is 66 6f ff 2e.", 11,
             {{1, "site", "fo\xff.", ""}});
    good_ask(v, "ask, an operation of a later version", "Decodes; the outcome says ENOSYS (38), reason 8.", 12,
             {{999, "site", "a", "", 0xffff, 0xffffffff, 0xffffffffffffffffU}});
    good_ask(v, "ask, operations on paths", "Stat, mkdir with mode 0750, symlink with its text, truncate to 4096 bytes.", 16,
             {{10, "site", "a", ""}, {14, "data", "new", "", 0, 0750}, {17, "data", "current", "releases/43"},
              {19, "data", "log", "", 0, 0, 4096}});
    good_ask(v, "ask, run", "A command with two placeholders: one value a line.", 17, {{29, "backup", "daily\n/srv/www", ""}});
    good_ask(v, "ask, lookup", "The lines of passwd(5) for the user `web`.", 18, {{26, "users", "user:web", ""}});
    good_ask(v, "ask, sysctl_write", "The key and its new value.", 19, {{28, "tuning", "net.core.somaxconn", "1024"}});
    good_ask(v, "ask, signal", "SIGHUP to the worker that the grant names.", 20, {{30, "poke", "", "", 0, 0, 1}});
    good_ask(v, "ask, narrow", "Of grant `data` reading (bit 1) is kept, below data/in, of names *.csv, five times.", 21,
             {{33, "data", "in", "*.csv", 0, 5, 2}});
    v.accepted("ask, longer items", "Items of 48 bytes whose last 8 are zero.", "ask",
               ask(13, {{1, "site", "a", ""}, {1, "site", "b", ""}}, 8),
               ask_fields(13, {{1, "site", "a", ""}, {1, "site", "b", ""}}));
    Raw longer = items_head(1, 40);
    Texts texts;
    put_request(longer, texts, {1, "site", "a", ""});
    v.accepted("ask, longer body", "16 zero bytes after the last item.", "ask",
               datagram(0x0002, 14, longer.zeroes(16), texts.bytes), ask_fields(14, {{1, "site", "a", ""}}));
    Raw shared = items_head(1, 40);
    shared.u16(8).u16(0).u32(0).u32(0).u32(4).u32(5).u32(3).u32(5).u32(3).u64(0);
    v.accepted("ask, texts that overlap", "Two fields may point to the same bytes, and bytes may be unused.", "ask",
               datagram(0x0002, 15, shared, "tree a/b unused"), ask_fields(15, {{8, "tree", "a/b", "a/b"}}));
}

void answers(Vectors& v) {
    good_answer(v, "answer, an open file", "One descriptor comes with the datagram; grant 1 decided.", 2, {{0, 0, 1, 1, ""}});
    good_answer(v, "answer, denied", "errno 13, EACCES, reason 2, not-granted, and the sentence.", 3,
                {{13, 2, 0, no_grant, "worker web has no grant that covers /etc/passwd: add read = \"/etc/passwd\" to its grants"}});
    good_answer(v, "answer, the kernel said no", "errno 2, ENOENT, reason 9, system.", 4, {{2, 9, 0, 0, ""}});
    good_answer(v, "answer, a connection under way", "The socket is lent while it connects: value 1.", 7, {{0, 0, 1, 3, "", 1}});
    good_answer(v, "answer, a secret", "The value is the secret's size in bytes.", 8, {{0, 0, 1, 4, "", 0x0102030405060708U}});
    good_answer(v, "answer, three outcomes", "Two descriptors in all: the first and the third outcome's.", 0x01020304,
                {{0, 0, 1, 1, ""}, {22, 5, 0, 1, "not a clean path"}, {0, 0, 1, 2, ""}});
    good_answer(v, "answer, a stat", "No descriptor: the text is the 72 bytes of a stat.", 16, {{0, 0, 0, 1, stat_text()}});
    good_answer(v, "answer, a command runs", "Three descriptors, value 14: its output, its errors, and a pidfd.", 17,
                {{0, 0, 3, 5, "", 14}});
    good_answer(v, "answer, a lookup", "The text is what was found.", 18,
                {{0, 0, 0, 2, "web:x:64000:64000::/nonexistent:/usr/sbin/nologin"}});
    v.accepted("answer, longer items", "Items of 40 bytes whose last 8 are zero.", "answer", answer(13, {{0, 0, 1, 1, ""}}, 8),
               answer_fields(13, {{0, 0, 1, 1, ""}}));
}

void texts(Vectors& v) {
    v.good("ready", "The worker is ready, and says so to people.", "ready", text_message(0x0003, 20, "listening on 2 sockets"),
           {{"id", 20}, {"text", "listening on 2 sockets"}});
    v.good("ready, no text", "An empty text has offset 0 and length 0.", "ready", text_message(0x0003, 21, ""),
           {{"id", 21}, {"text", ""}});
    v.good("status", "UTF-8 text for people.", "status", text_message(0x0004, 22, "3 clients \xe2\x80\x94 idle"),
           {{"id", 22}, {"text", "3 clients \xe2\x80\x94 idle"}});
    v.good("found", "From the resolver: query 77, two addresses, one a line.", "found",
           found(23, 77, 0, "192.0.2.7\n2001:db8::7\n"),
           {{"id", 23}, {"query", 77}, {"error", 0}, {"text", "192.0.2.7\n2001:db8::7\n"}});
    v.good("found, no such name", "errno 2, ENOENT.", "found", found(24, 0xffffffffffffffffU, 2, ""),
           {{"id", 24}, {"query", 0xffffffffffffffffU}, {"error", 2}, {"text", ""}});
    v.good("put", "To the descriptor store: keep the descriptors that come along as `listener`.", "put",
           text_message(0x0006, 30, "listener"), {{"id", 30}, {"text", "listener"}});
    v.good("fetch", "Give them back.", "fetch", text_message(0x0007, 31, "listener"), {{"id", 31}, {"text", "listener"}});
    v.good("stored", "What is kept?", "stored", text_message(0x0008, 32, ""), {{"id", 32}, {"text", ""}});
    v.good("done, what is stored", "The descriptor store's reply to stored: a name and a number a line.", "done",
           done(32, 0, 0, "listener 2\nstate 1\n"),
           {{"id", 32}, {"error", 0}, {"reason", 0}, {"text", "listener 2\nstate 1\n"}});
    v.good("done", "The reply to ready and status.", "done", done(20, 0, 0, ""),
           {{"id", 20}, {"error", 0}, {"reason", 0}, {"text", ""}});
    v.good("done, over a quota", "errno 122, EDQUOT, reason 15, too-many.", "done", done(22, 122, 15, "too many requests"),
           {{"id", 22}, {"error", 122}, {"reason", 15}, {"text", "too many requests"}});
}

Json event_fields(const char* name, std::uint64_t value, std::uint32_t fds) {
    return {{"id", 0}, {"name", name}, {"value", value}, {"fds", fds}};
}

void events(Vectors& v) {
    v.good("stop", "Finish what you do, then exit.", "stop", event(0x4001, "", 0, 0), event_fields("", 0, 0));
    v.good("reload", "Read your own configuration again.", "reload", event(0x4002, "", 0, 0), event_fields("", 0, 0));
    v.good("channel", "The new end of a channel to worker `parser`; one descriptor comes along.", "channel",
           event(0x4003, "parser", 7, 1), event_fields("parser", 7, 1));
    v.good("secret", "Grant `key` was rotated: generation 3, a new sealed memfd comes along.", "secret",
           event(0x4004, "key", 3, 1), event_fields("key", 3, 1));
    v.good("lookup", "To the resolver: find host db.example, and say found with 77.", "lookup",
           event(0x4006, "host:db.example", 77, 0), event_fields("host:db.example", 77, 0));
    v.good("ended", "The command of grant `backup` with pid 4711 exited with 3.", "ended",
           event(0x4007, "backup", std::uint64_t{4711} << 32 | 3, 0), event_fields("backup", std::uint64_t{4711} << 32 | 3, 0));
    v.good("ended, at its timeout", "By signal 9, which warderd sent: bits 8 and 9.", "ended",
           event(0x4007, "backup", std::uint64_t{4711} << 32 | 0x309, 0), event_fields("backup", std::uint64_t{4711} << 32 | 0x309, 0));
    v.good("revoked", "Grant `db` was taken away by a reload.", "revoked", event(0x4005, "db", 0, 0), event_fields("db", 0, 0));
}

void control(Vectors& v) {
    v.good("command, status of all", "The control socket: verb 1.", "command", command(1, 1, 0, 0, "", "", ""),
           {{"id", 1}, {"verb", 1}, {"flags", 0}, {"number", 0}, {"worker", ""}, {"argument", ""}, {"second", ""}});
    v.good("command, restart and wait", "Verb 6, flag 1.", "command", command(2, 6, 1, 0, "web", "", ""),
           {{"id", 2}, {"verb", 6}, {"flags", 1}, {"number", 0}, {"worker", "web"}, {"argument", ""}, {"second", ""}});
    v.good("command, why", "Verb 11: may `web` read /etc/passwd?", "command", command(3, 11, 0, 0, "web", "read", "/etc/passwd"),
           {{"id", 3}, {"verb", 11}, {"flags", 0}, {"number", 0}, {"worker", "web"}, {"argument", "read"}, {"second", "/etc/passwd"}});
    v.good("report, first part", "Another one with the same id follows.", "report", report(1, 0, 1, "{\"workers\": ["),
           {{"id", 1}, {"error", 0}, {"more", 1}, {"text", "{\"workers\": ["}});
    v.good("report, refused", "errno 1, EPERM.", "report", report(2, 1, 0, "{\"error\": \"not an operator\"}"),
           {{"id", 2}, {"error", 1}, {"more", 0}, {"text", "{\"error\": \"not an operator\"}"}});
}

// Whole datagrams whose outer lengths are wrong.
void bad_headers(Vectors& v) {
    const std::string hello = datagram(0x0001, 1, Raw{}.u32(1).u32(1).u64(0));
    v.bad("empty datagram", "Not end of file: a message of no bytes.", "hello", "");
    v.bad("half a header", "15 bytes.", "hello", hello.substr(0, 15));
    v.bad("header flags", "No flag is defined.", "hello", Raw{}.u16(1).u16(1).u32(1).u32(16).u32(0).u32(1).u32(1).u64(0).bytes);
    v.bad("body cut", "One byte of the body is missing.", "hello", hello.substr(0, hello.size() - 1));
    v.bad("a byte too many", "Header, body and strings are exactly the datagram.", "hello", hello + std::string(1, '\0'));
    v.bad("body_size 0xffffffff", "Far more than there is.", "hello",
          Raw{}.u16(1).u16(0).u32(1).u32(0xffffffff).u32(0).zeroes(16).bytes);
    v.bad("sizes that wrap", "body_size + strings_size is 16 in 32 bits.", "hello",
          Raw{}.u16(1).u16(0).u32(1).u32(0xffffffff).u32(17).zeroes(16).bytes);
    v.bad("strings cut", "strings_size says 5, 4 are there.", "ready",
          Raw{}.u16(3).u16(0).u32(1).u32(8).u32(5).u32(0).u32(5).add("four").bytes);
}

void bad_bodies(Vectors& v) {
    v.bad("hello, short", "12 bytes instead of 16.", "hello", datagram(0x0001, 1, Raw{}.u32(1).u32(1).u32(0)));
    v.bad("hello, unknown field set", "A longer body whose unknown part is not zero.", "hello",
          datagram(0x0001, 1, Raw{}.u32(1).u32(1).u64(0).zeroes(7).put(1, 1)), "E2BIG");
    v.bad("hello_reply, short", "39 bytes instead of 40.", "hello_reply", datagram(0x8001, 1, Raw{}.zeroes(39)));
    v.bad("hello_reply, worker outside", "Offset 1, length 3 in 3 bytes.", "hello_reply",
          datagram(0x8001, 1, Raw{}.zeroes(32).u32(1).u32(3), "web"));
    v.bad("ready, text outside", "Offset beyond the strings.", "ready", datagram(0x0003, 1, Raw{}.u32(5).u32(0), "four"));
    v.bad("ready, text that wraps", "Offset + length is 3 in 32 bits.", "ready",
          datagram(0x0003, 1, Raw{}.u32(4).u32(0xffffffff), "four"));
    v.bad("done, short", "15 bytes instead of 16.", "done", datagram(0x8003, 1, Raw{}.zeroes(15)));
    v.bad("done, text outside", "Length 1 in no strings.", "done", datagram(0x8003, 1, Raw{}.zeroes(8).u32(0).u32(1)));
    v.bad("stop, short", "23 bytes instead of 24.", "stop", datagram(0x4001, 0, Raw{}.zeroes(23)));
    v.bad("channel, name outside", "Length 7 in 6 bytes.", "channel",
          datagram(0x4003, 0, Raw{}.u32(0).u32(7).u64(0).u32(1).u32(0), "parser"));
    v.bad("found, short", "23 bytes instead of 24.", "found", datagram(0x0005, 1, Raw{}.zeroes(23)));
    v.bad("found, text outside", "Length 1 in no strings.", "found", datagram(0x0005, 1, Raw{}.zeroes(16).u32(0).u32(1)));
    v.bad("found, unknown field set", "A longer body whose unknown part is not zero.", "found",
          datagram(0x0005, 1, Raw{}.zeroes(24).u32(1)), "E2BIG");
    v.bad("put, name outside", "Length 9 in 8 bytes.", "put", datagram(0x0006, 1, Raw{}.u32(0).u32(9), "listener"));
    v.bad("fetch, short", "7 bytes instead of 8.", "fetch", datagram(0x0007, 1, Raw{}.zeroes(7)));
    v.bad("stored, unknown field set", "A longer body whose unknown part is not zero.", "stored",
          datagram(0x0008, 1, Raw{}.zeroes(8).u32(1)), "E2BIG");
    v.bad("lookup, name outside", "Offset beyond the strings.", "lookup",
          datagram(0x4006, 0, Raw{}.u32(9).u32(0).u64(0).u32(0).u32(0), "user:web"));
    v.bad("command, argument outside", "The second text ends beyond the strings.", "command",
          datagram(0x2001, 1, Raw{}.u16(1).u16(0).u32(0).u32(0).u32(3).u32(3).u32(1).u32(0).u32(0), "web"));
    v.bad("report, text outside", "Length 0xffffffff.", "report", datagram(0xa001, 1, Raw{}.u32(0).u32(0).u32(0).u32(0xffffffff), "{}"));
}

// A reserved field that is not zero is a field of a later version.
void reserved(Vectors& v) {
    v.bad("hello_reply, reserved", "The reserved field is not zero.", "hello_reply",
          datagram(0x8001, 1, Raw{}.zeroes(28).u32(1).u64(0)), "E2BIG");
    v.bad("answer, reserved", "The reserved field of an outcome is not zero.", "answer",
          datagram(0x8002, 1, items_head(1, 32).zeroes(12).u32(1).zeroes(16)), "E2BIG");
    v.bad("done, reserved", "The reserved field is not zero.", "done",
          datagram(0x8003, 1, Raw{}.u32(0).u16(0).u16(1).u64(0)), "E2BIG");
    v.bad("stop, reserved", "The reserved field is not zero.", "stop",
          datagram(0x4001, 0, Raw{}.zeroes(20).u32(1)), "E2BIG");
    v.bad("found, reserved", "The reserved field is not zero.", "found",
          datagram(0x0005, 1, Raw{}.u64(1).u32(0).u32(1).u64(0)), "E2BIG");
}

Raw one_request(std::uint32_t offset, std::uint32_t length) {
    return items_head(1, 40).u16(1).u16(0).u32(0).u32(offset).u32(length).zeroes(24);
}

void bad_items(Vectors& v) {
    v.bad("ask, no head", "7 bytes where the head of the items has 8.", "ask", datagram(0x0002, 1, Raw{}.zeroes(7)));
    v.bad("ask, none", "At least one request.", "ask", datagram(0x0002, 1, items_head(0, 40)));
    v.bad("ask, 254", "At most 253 requests: the kernel passes 253 descriptors.", "ask",
          datagram(0x0002, 1, items_head(254, 40).zeroes(254 * 40)));
    v.bad("ask, items of 39 bytes", "Shorter than version 1 has them.", "ask", datagram(0x0002, 1, items_head(1, 39).zeroes(39)));
    v.bad("ask, items of 0 bytes", "Shorter than version 1 has them.", "ask", datagram(0x0002, 1, items_head(253, 0)));
    v.bad("ask, items beyond the body", "Two announced, one there.", "ask", datagram(0x0002, 1, items_head(2, 40).zeroes(40)));
    v.bad("ask, items of 65535 bytes", "Far more than there is.", "ask", datagram(0x0002, 1, items_head(253, 65535).zeroes(40)));
    v.bad("ask, head reserved", "The reserved field of the head is not zero.", "ask",
          datagram(0x0002, 1, items_head(1, 40, 1).zeroes(40)), "E2BIG");
    v.bad("ask, unknown field of an item set", "Items of 41 bytes, the last not zero.", "ask",
          datagram(0x0002, 1, items_head(1, 41).zeroes(40).put(255, 1)), "E2BIG");
    v.bad("ask, unknown field of the body set", "A byte that is not zero after the last item.", "ask",
          datagram(0x0002, 1, items_head(1, 40).zeroes(40).put(1, 1)), "E2BIG");
    v.bad("ask, text outside", "Offset 2, length 3 in 4 bytes.", "ask", datagram(0x0002, 1, one_request(2, 3), "site"));
    v.bad("ask, text that wraps", "Offset 0xffffffff, length 5: 4 in 32 bits.", "ask",
          datagram(0x0002, 1, one_request(0xffffffff, 5), "site"));
    v.bad("answer, none", "At least one outcome.", "answer", datagram(0x8002, 1, items_head(0, 32)));
    v.bad("answer, items of 31 bytes", "Shorter than version 1 has them.", "answer",
          datagram(0x8002, 1, items_head(1, 31).zeroes(31)));
    v.bad("answer, text outside", "Length 1 in no strings.", "answer",
          datagram(0x8002, 1, items_head(1, 32).zeroes(16).u32(0).u32(1).u64(0)));
    v.bad("answer, unknown field of an item set", "Items of 40 bytes, the last eight not zero.", "answer",
          datagram(0x8002, 1, items_head(1, 40).zeroes(32).u64(1)), "E2BIG");
}

}  // namespace

int main() {
    Vectors vectors;
    hellos(vectors);
    asks(vectors);
    answers(vectors);
    texts(vectors);
    events(vectors);
    control(vectors);
    bad_headers(vectors);
    bad_bodies(vectors);
    bad_items(vectors);
    reserved(vectors);
    std::cout << vectors.list.dump(2) << '\n';
}
