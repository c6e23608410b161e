"""`./try --once`, as README names it, on what has been built here already."""

import os
import subprocess
import unittest

from harness import BUILD, ROOT


@unittest.skipUnless(os.geteuid() == 0, "needs root: as an ordinary user it is another demo")
class TryTest(unittest.TestCase):
    def test_the_demo_shows_what_it_says_from_end_to_end(self):
        run = subprocess.run([os.path.join(ROOT, "try"), "--once"], env={**os.environ, "WARDER_TRY_BUILD": BUILD},
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
        self.assertEqual(run.returncode, 0, run.stdout)
        for sentence in ("$ warderctl status", "403", "All of it worked."):
            self.assertIn(sentence, run.stdout)
