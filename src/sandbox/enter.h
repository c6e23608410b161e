// The child between clone3 and exec. It allocates nothing, throws nothing and never returns: each stage is carried out or
// ends the child, with the stage and the errno down the status pipe and the stage's exit number.
#pragma once

#include "sandbox/prepared.h"

namespace warder::sandbox {

// What this one child gets; numbers in the parent's table, -1 for none.
struct Given {
    int output = -1;
    int error = -1;
    bool output_is_named = false;
    int broker = -1;
    int store = -1;
    int syscall_monitor = -1;  // takes the listener of its filter
    int status = -1;   // the writing end
    int parent = -1;   // a pidfd of the parent
    int stub = -1;     // a pidfd of the stub whose namespaces it joins
};

// Becomes warder-stub: makes the namespaces and sleeps in them.
[[noreturn]] void enter_as_stub(const Prepared& prepared, const Given& given);

// Makes the mounts, for somebody to look at them, and waits to be ended.
[[noreturn]] void enter_to_be_looked_at(const Prepared& prepared, const Given& given);

// Becomes the worker's program, in the stub's namespaces or, where the plan has no pid namespace, in its own.
[[noreturn]] void enter_as_worker(const Prepared& prepared, const Given& given);

}  // namespace warder::sandbox
