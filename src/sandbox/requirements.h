// What a plan needs of the kernel, item by item: which release brought it, what to write where it is missing, and how the plan
// looks without it. One table for prepare(), which refuses or leaves out, for reports, and for `[daemon] require`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sandbox/plan.h"
#include "sandbox/probe.h"

namespace warder::sandbox {

// An item that a plan wants and the kernel lacks.
struct Lack {
    std::string item;       // one of kernel_items
    std::string why;        // "the kernel has no Landlock (it came with Linux 5.13), or ..."
    std::string instead;    // what to write in the config
    bool preferred = false; // the plan can do without
};

// In the order of kernel_items.
std::vector<Lack> lacks_of(const Plan& plan, const KernelFeatures& kernel);

// The plan without those items that it prefers and the kernel lacks.
Plan without_lacking(Plan plan, const KernelFeatures& kernel);

// One line for each of kernel_items: whether the kernel has it, and since when a kernel does.
struct KernelItem {
    std::string_view name;
    bool present = false;
    std::string_view since;    // "Linux 5.13"
    std::string_view instead;
};
std::vector<KernelItem> kernel_items_of(const KernelFeatures& kernel);

}  // namespace warder::sandbox
