#!/bin/sh
# same_output.sh PROGRAM FILE: whether PROGRAM writes exactly FILE.
"$1" | cmp - "$2"
