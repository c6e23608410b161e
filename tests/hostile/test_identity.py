"""Who asked: T8, T11, T13, T38, and request_access = "all"."""

import os
import unittest

from harness import WarderTest


class Identity(WarderTest):
    def site(self):
        self.make("site/a", "content")
        return f'site = {{ read = "{self.home}/site/" }}'

    def needs_user_namespaces(self):
        if not self.kernel_has("user_namespaces"):
            self.skipTest("no user namespaces here")

    def test_T8_the_peer_of_the_channel_is_its_creator_and_is_not_asked(self):
        self.start(self.script("attacker", "T8_peercred_names_the_creator", self.site()))
        seen = self.results()[0]
        self.assertEqual(seen["peer_uid"], 0, "SO_PEERCRED names warderd, which made the pair")
        self.assertNotEqual(seen["own_uid"], 0)
        self.assertEqual(seen["after"]["errno"], 0)
        self.assertEqual(self.audited(kind="request", target="a")["uid"], seen["own_uid"])

    def test_T11_forged_credentials_never_leave_the_worker(self):
        self.start(self.script("attacker", "T11_forged_credentials", self.site()))
        seen = self.results(count=5)
        for forged in seen[:4]:
            self.assertEqual(forged["sent"], "EPERM", forged)
        self.assertEqual(seen[4]["user_namespace"], "EPERM")

    def test_T8_in_a_user_namespace_of_its_own_a_worker_is_who_it_is_outside(self):
        self.needs_user_namespaces()
        self.start(self.script("attacker", "T8_peercred_names_the_creator", self.site(), sandbox='user_namespace = "root"\nevidence = "full"'))
        seen = self.results()[0]
        self.assertEqual((seen["own_uid"], seen["peer_uid"]), (0, 65534), "inside it is 0, and root is nobody")
        self.assertEqual(seen["after"]["errno"], 0)
        outside = self.uids()["attacker"]
        self.assertEqual(self.audited(kind="request", target="a")["uid"], outside)
        self.assertEqual(os.stat(self.path("out/attacker")).st_uid, outside)
        items = {item["name"]: item for item in self.report("show", "attacker")["sandbox"]}
        self.assertEqual([name for name, item in items.items() if not item["matches"]], [])
        self.assertEqual((items["user namespace"]["effective"], items["user namespace"]["evidence"]),
                         (f"own, uids 0:{outside}:1, gids 0:{outside}:1, setgroups denied", "read"))
        self.assertEqual(items["uid"]["effective"], str(outside))
        self.assertEqual(items["evidence"]["effective"], "full: a syscall monitor answered")

    def test_T11_capabilities_in_a_user_namespace_forge_nothing_beyond_its_maps(self):
        self.needs_user_namespaces()
        sandbox = ('user_namespace = { uid_map = ["0:self:1", "1:100000:10"], gid_map = ["0:self:1", "1:100000:10"] }\n'
                'trusted_capabilities = ["sys_admin", "setuid", "setgid"]')
        self.start(self.script("attacker", "forged_in_a_user_namespace", self.site(), sandbox=sandbox))
        truth, pid, stranger, uid, gid, again = self.results(count=6)
        for own in (truth, again):
            self.assertEqual((own["sent"], own["got"]["errno"], own["got"]["fds"]), ("done", 0, 1), own)
        # Its pid namespace belongs to the namespace above, so sys_admin is no right to name another process in it.
        self.assertEqual((pid["sent"], stranger["sent"]), ("EPERM", "EINVAL"))
        for forged in (uid, gid):
            self.assertEqual((forged["sent"], forged["got"]["errno"], forged["got"]["fds"]), ("done", "EPERM", 0), forged)

    @unittest.skipUnless(os.path.exists("/sys/fs/cgroup/unified") or os.path.exists("/sys/fs/cgroup/cgroup.controllers"),
                         "needs cgroup v2")
    def test_a_descendant_in_a_user_namespace_may_ask_under_requesters_group(self):
        self.needs_user_namespaces()
        self.start(self.script("attacker", "group_child_asks", self.site(), extra='request_access = "all"', sandbox='user_namespace = "self"'))
        child = self.results(count=2)[0]
        self.assertEqual((child["child"]["errno"], child["child"]["fds"]), (0, 1))

    def test_T13_a_child_of_the_worker_is_told_no_and_the_worker_goes_on(self):
        self.start(self.script("attacker", "T13_a_child_asks", self.site()))
        child, main = self.results(count=2)
        self.assertEqual((child["child"]["errno"], child["child"]["fds"]), ("EPERM", 0))
        self.assertIn('request_access = "all"', child["child"]["text"])
        self.assertEqual((main["main"]["errno"], main["main"]["fds"]), (0, 1))
        self.assertEqual(self.audited(reason="not-requester")["verdict"], "denied")

    @unittest.skipUnless(os.path.exists("/sys/fs/cgroup/unified") or os.path.exists("/sys/fs/cgroup/cgroup.controllers"),
                         "needs cgroup v2")
    def test_a_descendant_may_ask_under_requesters_group(self):
        self.start(self.script("attacker", "group_child_asks", self.site(), extra='request_access = "all"'))
        child = self.results(count=2)[0]
        self.assertEqual((child["child"]["errno"], child["child"]["fds"]), (0, 1))

    def test_T38_a_uid_is_never_given_to_another_name(self):
        first = self.script("one", "T8_peercred_names_the_creator", self.site())
        self.start(first)
        self.results("one")
        uid = self.uids()["one"]
        self.write_config(self.script("two", "T8_peercred_names_the_creator", self.site()))
        self.ctl("reload")
        self.results("two")
        self.assertNotEqual(self.uids()["two"], uid)
        self.assertEqual(self.uids()["one"], uid, "the number stays recorded for its name")
        self.write_config(first)
        os.unlink(self.path("out/one"))
        self.ctl("reload")
        self.assertEqual(self.results("one")[0]["own_uid"], uid, "the name gets its number back")


if __name__ == "__main__":
    unittest.main()
