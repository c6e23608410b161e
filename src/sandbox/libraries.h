// The libraries that a program names in itself, found as the loader would find them, so that a minimal root holds them and no others.
// What a program loads only while it runs (plugins, name services, modules of an interpreter) nobody can know: `files` lists it.
#pragma once

#include "sandbox/plan.h"
#include "sandbox/program.h"

namespace warder::sandbox {

// Fills `chain.libraries`, and adds the links that lead to them, from the ELF files among `chain.files`. A library that is not
// found is left out: the loader will say which.
void add_libraries(const Plan& plan, const MayLook& may, Chain& chain);

}  // namespace warder::sandbox
