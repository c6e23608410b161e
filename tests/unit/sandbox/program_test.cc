#include "sandbox/program.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

using namespace warder::sandbox;

namespace {

// A directory of this test, with what is put in it gone afterwards.
class Directory {
public:
    Directory() { REQUIRE(::mkdtemp(path.data())); }
    ~Directory() {
        for (const auto& name : names_) ::unlink(name.c_str());
        ::rmdir(path.c_str());
    }
    std::string file(const std::string& name, const std::string& text) {
        names_.push_back(path + "/" + name);
        std::ofstream(names_.back()) << text;
        return names_.back();
    }
    std::string link(const std::string& name, const std::string& target) {
        names_.push_back(path + "/" + name);
        REQUIRE(::symlink(target.c_str(), names_.back().c_str()) == 0);
        return names_.back();
    }
    std::string path = "/tmp/warder-program-XXXXXX";

private:
    std::vector<std::string> names_;
};

Chain chain_for(const std::string& program, std::vector<std::string> environment = {}) {
    Plan plan;
    plan.program = program;
    plan.environment = std::move(environment);
    return chain_of(plan);
}

bool has(const Chain& chain, const std::string& file) {
    return std::find(chain.files.begin(), chain.files.end(), file) != chain.files.end();
}

}  // namespace

TEST_CASE("an ELF program brings the loader that it names") {
    const Chain chain = chain_for("/usr/bin/env");
    CHECK(chain.files.front() == "/usr/bin/env");
    CHECK(std::any_of(chain.files.begin(), chain.files.end(), [](const auto& file) { return file.find("/ld-linux") != std::string::npos; }));
}

TEST_CASE("a script brings its interpreter, and that one's loader") {
    Directory directory;
    const std::string script = directory.file("script", "#! /usr/bin/env  -S  VAR=1 sh -e\nexit\n");
    const Chain chain = chain_for(script);
    CHECK(chain.files.front() == script);
    CHECK(has(chain, "/usr/bin/env"));
    CHECK(has(chain, "/usr/bin/sh"));
}

TEST_CASE("env looks in the PATH of the plan") {
    Directory directory;
    const std::string tool = directory.file("tool", "no program, but a file\n");
    const std::string script = directory.file("script", "#!/usr/bin/env tool\n");
    CHECK(has(chain_for(script, {"PATH=/nowhere:" + directory.path}), tool));
    CHECK_FALSE(has(chain_for(script, {"PATH=/nowhere"}), tool));
    CHECK_FALSE(has(chain_for(script), tool));
}

TEST_CASE("what execute names brings its interpreters and loader too, by env and by scripts of scripts") {
    Directory directory;
    const std::string shell = directory.file("outer", "#!/bin/sh\n");
    const std::string script = directory.file("inner", "#!" + shell + "\n");
    const std::string by_env = directory.file("env", "#!/usr/bin/env perl\n");
    Plan plan;
    plan.program = "/usr/bin/env";
    for (const auto& path : {script, by_env}) plan.binds.push_back({path, path, false, true});
    plan.binds.push_back({"/opt", "/opt", false, true});   // a tree is not looked through
    const Chain chain = chain_of(plan);
    for (const std::string& file : {script, shell, by_env}) CHECK(has(chain, file));
    CHECK(has(chain, "/bin/sh"));
    CHECK(std::any_of(chain.files.begin(), chain.files.end(), [](const auto& file) { return file.ends_with("/perl"); }));
    const Chain program = chain_of_program(plan);
    CHECK_FALSE(has(program, script));
    // Who may write the first line would choose what it may run the next time.
    plan.binds[0].writable = true;
    CHECK_FALSE(has(chain_of(plan), shell));
    CHECK(has(chain_of(plan), by_env));
    plan.binds = {{by_env, by_env, false, true}, {directory.path, directory.path, true}};
    CHECK_FALSE(has(chain_of(plan), by_env));
    CHECK(program.ends == chain.ends);
}

TEST_CASE("links on the way are kept, and the file at their end belongs to the chain") {
    Directory directory;
    const std::string real = directory.file("real", "text\n");
    const std::string second = directory.link("second", "real");
    const std::string first = directory.link("first", second);
    const Chain chain = chain_for(first);
    REQUIRE(chain.links.size() == 2);
    CHECK(chain.links[0].path == first);
    CHECK(chain.links[0].text == second);
    CHECK(chain.links[1].text == "real");
    CHECK(has(chain, real));
}

TEST_CASE("scripts that name each other, absent files and torn headers end the chain") {
    Directory directory;
    const std::string a = directory.path + "/a";
    const std::string b = directory.file("b", "#!" + a + "\n");
    directory.file("a", "#!" + b + "\n");
    CHECK(chain_for(a).files.size() < 20);
    CHECK(chain_for("/no/such/program").files == std::vector<std::string>{"/no/such/program"});
    CHECK(chain_for(directory.file("torn", "\x7f" "ELF")).files.size() == 1);
    CHECK(chain_for(directory.file("bare", "#!")).files.size() == 1);
    CHECK(chain_for(directory.file("empty", "")).files.size() == 1);
    CHECK(chain_for(directory.file("relative", "#!sh\n")).files.size() == 1);
    CHECK(chain_for("/dev/null").files.size() == 1);
    CHECK(chain_for("/usr").files.size() == 1);
}

TEST_CASE("a path comes from the bind that covers it most closely") {
    Plan plan;
    plan.binds = {{.source = "/host/a", .target = "/srv"}, {.source = "/host/b", .target = "/srv/deep"}};
    CHECK(host_path("/srv/x", plan) == "/host/a/x");
    CHECK(host_path("/srv/deep/x", plan) == "/host/b/x");
    CHECK(host_path("/srv/deeper", plan) == "/host/a/deeper");
    CHECK(host_path("/srvx", plan) == "/srvx");
    CHECK(host_path("/srv", plan) == "/host/a");
}

TEST_CASE("lying below counts whole components") {
    CHECK(lies_below("/a/b", "/a"));
    CHECK(lies_below("/a", "/a"));
    CHECK(lies_below("/a", "/"));
    CHECK_FALSE(lies_below("/ab", "/a"));
    CHECK_FALSE(lies_below("/", "/a"));
}

TEST_CASE("a path in an overlay comes from the first layer that has it") {
    Plan plan;
    plan.overlays = {{.target = "/opt", .lower = {"/usr/share", "/usr"}, .size = 4096}};
    CHECK(host_path("/opt/bin/env", plan) == "/usr/bin/env");
    CHECK(host_path("/opt/doc", plan) == "/usr/share/doc");
    CHECK(host_path("/opt/no/such/file", plan) == "/usr/share/no/such/file");
    CHECK(host_path("/optional", plan) == "/optional");
}
