// What a program was given as 0, 1 and 2, or was not.
#pragma once

namespace warder {

// Puts something that can be neither read nor written where 0, 1 or 2 is closed: otherwise that number would be given to what is
// opened next, a conversation say, and what is printed would go there. Printing fails with EBADF as it would have.
void hold_standard_descriptors();

}  // namespace warder
