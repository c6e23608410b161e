"""Python programs that know nothing of Warder, behind door = "python": what they open, bind and connect to is what their grants say."""

import contextlib
import json
import os
import signal
import socket
import textwrap
import threading
import time
import unittest
import urllib.error
import urllib.request

from harness import LONG, PYTHON, ROOT, WarderTest, free_port, wait_for

GEVENT = os.path.isdir("/usr/lib/python3/dist-packages/gevent")
GUNICORN = os.path.exists("/usr/bin/gunicorn") and os.path.exists("/usr/lib/python3/dist-packages/bottle.py")
MONKEY = ["-W", "error", "-m", "warder.monkey"]


class MonkeyTest(WarderTest):
    def program(self, name, text):
        """A script of the worker's, that warderd shows it."""
        return self.make(f"app/{name}.py", textwrap.dedent(text))

    def behind_the_door(self, name, command, grants="", extra="", sandbox="", door=True, ready="exec"):
        words = ", ".join(json.dumps(word) for word in [PYTHON, *command])
        known = 'door = "python"\n' if door else ""
        return (f"[worker.{name}]\nexec = [{words}]\n{known}ready = \"{ready}\"\nrestart = \"never\"\n"
                f'environment = {{ PYTHONPATH = "{ROOT}/python", PYTHONDONTWRITEBYTECODE = "1", PYTHONUNBUFFERED = "1" }}\n{extra}\n'
                f'[worker.{name}.sandbox]\nbind_read_only = ["{ROOT}/python", "{self.home}/app"]\n{sandbox}\n'
                f"[worker.{name}.grants]\n{grants}\n")

    def run_program(self, text, grants="", *, extra="", sandbox="", options=(), daemon=""):
        """What a script says, line by line as JSON, when it has run to its end behind the door."""
        path = self.program("script", text)
        self.start(self.behind_the_door("script", [*MONKEY, *options, path], grants, extra, sandbox), daemon=daemon)
        return self.said("script")

    def said(self, name):
        wait_for(lambda: self.worker(name)["state"] in ("stopped", "failed"), f"{name} has ended", 400)
        log = "".join(line.partition(" ")[2] for line in self.worker_log(name).splitlines(True))
        self.assertEqual(self.worker(name)["last_exit"], "exit code 0", log)
        try:
            return [json.loads(line) for line in log.splitlines()]
        except ValueError:
            raise AssertionError(log) from None


class Files(MonkeyTest):
    def test_a_script_reads_and_lists_and_knows_nothing(self):
        self.make("site/index.html", "a page\n")
        said = self.run_program(f"""
            import json, os
            with open("{self.home}/site/index.html") as page:
                print(json.dumps(page.read()))
            print(json.dumps(sorted(os.listdir("{self.home}/site"))))
            print(json.dumps([os.path.exists("{self.home}/site/none"), os.path.isfile("{self.home}/site/index.html")]))
            try:
                open("{self.home}/site/index.html", "w")
            except PermissionError as error:
                print(json.dumps([error.errno, error.strerror, error.filename]))
            """, f'site = {{ read = "{self.home}/site/", rights = ["stat", "list"] }}')
        self.assertEqual(said[:3], ["a page\n", ["index.html"], [False, True]])
        self.assertEqual((said[3][0], said[3][2]), (13, f"{self.home}/site/index.html"))
        self.assertIn("site", said[3][1])

    def test_what_the_standard_library_took_before_the_patch_is_patched_along(self):
        """tempfile has os.unlink as a default, and tokenize, tarfile and bz2 took open by its name."""
        said = self.run_program(f"""
            import json, os
            import warder.monkey
            warder.monkey.unpatch_all()
            import bz2, linecache, tarfile, tempfile, tokenize
            before = (tempfile._TemporaryFileCloser.close, tokenize._builtin_open, tarfile.bltn_open, bz2._builtin_open)
            warder.monkey.patch_all()
            os.chdir("/")
            data = "{self.home}/data"
            with tempfile.NamedTemporaryFile(dir=data) as file:
                file.write(b"x")
            with open(data + "/source.py", "w") as file:
                file.write("one = 1\\n")
            with bz2.open(data + "/a.bz2", "wt") as file:
                file.write("packed")
            with tarfile.open(data + "/a.tar", "w") as tar:
                tar.addfile(tarfile.TarInfo("empty"))
            with tarfile.open(data + "/a.tar") as tar:
                names = tar.getnames()
            print(json.dumps([linecache.getline(data + "/source.py", 1), names, sorted(os.listdir(data))]))
            warder.monkey.unpatch_all()
            after = (tempfile._TemporaryFileCloser.close, tokenize._builtin_open, tarfile.bltn_open, bz2._builtin_open)
            print(json.dumps([one is other for one, other in zip(before, after)]))
            """, f'data = {{ create = "{self.home}/data", type = "tree", owner = "worker", rights = ["read", "stat", "list", "unlink"] }}')
        self.assertEqual(said, [["one = 1\n", ["empty"], ["a.bz2", "a.tar", "source.py"]], [True] * 4])

    def test_the_same_calls_have_the_same_ends_natively_and_behind_a_grant(self):
        with open(os.path.join(ROOT, "tests/system/monkey_differ.py")) as differ:
            self.make("app/differ.py", differ.read())
        rights = '["read", "write", "append", "stat", "access", "readlink", "list", "rename", "unlink", "mkdir", "rmdir", "link", "symlink", "chmod", "truncate"]'
        calls = 60000 if LONG else 3000
        self.start(self.behind_the_door("differ", [*MONKEY, f"{self.home}/app/differ.py", f"{self.home}/data", str(calls)],
                   f'data = {{ create = "{self.home}/data", type = "tree", owner = "worker", rights = {rights} }}', 'umask = "0027"\n'))
        (said,) = self.said("differ")
        self.assertEqual(said["differences"], [], json.dumps(said, indent=1))
        self.assertEqual(said["calls"], calls)
        self.assertGreater(said["succeeded"], calls // 8)
        self.assertGreater(said["failed"], calls // 10)


class Examples(MonkeyTest):
    """Each as it is in a sandbox of profile strict: unpatched it fails, patched it serves."""

    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.make("site/index.html", "a page\n")
        self.make("app/empty", "")

    def get(self, path="/"):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return answer.read().decode()

    def served(self, name, path="/"):
        def visit():
            with contextlib.suppress(OSError):
                return self.get(path)

        return wait_for(visit, f"{name} answers\n{self.worker_log(name)}", 30)

    def both(self, name, command, grants, *, run=(), extra="", ready="exec", plain_ends=True, monkey=MONKEY, sandbox=""):
        """Two workers: `plain` runs the command as it is, and must end for want of a permission; the other has the door."""
        module = command[0] == "-m"
        patched = [*monkey, *run, *command]
        http = f'http = {{ listen = "tcp:127.0.0.1:{self.port}" }}\n'
        refused = free_port()
        other = f'http = {{ listen = "tcp:127.0.0.1:{refused}" }}\n'
        self.assertTrue(module or os.path.exists(command[0]))
        self.start(self.behind_the_door(name, patched, http + grants, extra, sandbox, ready=ready) +
                   self.behind_the_door("plain", command, other + grants, extra, sandbox, door=False))
        if not plain_ends:
            return
        wait_for(lambda: self.worker("plain")["state"] in ("stopped", "failed"), "the unpatched one has ended", 30)
        self.assertNotEqual(self.worker("plain")["last_exit"], "exit code 0", self.worker_log("plain"))
        self.assertRegex(self.worker_log("plain"), "PermissionError|Operation not permitted|Permission denied")

    def test_http_server_on_a_kept_listener_and_a_granted_directory(self):
        self.both("web", ["-m", "http.server", str(self.port), "--bind", "127.0.0.1", "--directory", f"{self.home}/site"],
                  f'site = {{ read = "{self.home}/site/", rights = ["stat", "list"] }}')
        self.assertEqual(self.served("web"), "a page\n")
        os.rename(self.path("site/index.html"), self.path("site/page.html"))
        self.assertIn("page.html", self.get())
        self.assertEqual(self.get("/page.html"), "a page\n")
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.get("/none")
        self.assertEqual(caught.exception.code, 404)
        caught.exception.close()

    def test_the_example_of_the_package_serves_and_keeps_its_port_while_it_is_killed(self):
        with open(os.path.join(ROOT, "examples/http-server/behind_the_door.toml")) as file:
            text = file.read()
        for what, instead in (("8000", str(self.port)), ("/srv/www", f"{self.home}/site"),
                              ("environment = { ", f'environment = {{ PYTHONPATH = "{ROOT}/python", '),
                              ("[worker.http-server.grants]", f'[worker.http-server.sandbox]\nbind_read_only = ["{ROOT}/python"]\n[worker.http-server.grants]')):
            self.assertIn(what, text)
            text = text.replace(what, instead)
        self.start(text)
        self.assertEqual(self.served("http-server"), "a page\n")
        before = self.worker("http-server")["pid"]
        os.kill(before, signal.SIGKILL)
        self.assertEqual(self.get(), "a page\n")   # it waits for the next run, and is not refused
        self.assertNotEqual(self.worker("http-server")["pid"], before)
        self.assertEqual(self.ctl("check", "--config", self.path("warder.toml"), check=False).stdout.count("warning"), 0)

    def asyncio_server(self):
        return self.program("server", f"""
            import asyncio

            async def serve(reader, writer):
                await reader.readuntil(b"\\r\\n\\r\\n")
                page = await asyncio.get_running_loop().run_in_executor(None, lambda: open("{self.home}/site/index.html", "rb"))
                with page:
                    writer.write(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + page.read())
                await writer.drain()
                writer.close()

            async def main():
                server = await asyncio.start_server(serve, "127.0.0.1", {self.port})
                async with server:
                    await server.serve_forever()

            asyncio.run(main(), debug=True)
            """)

    def test_an_asyncio_server(self):
        # asyncio takes a socket that is refused for a family that there is not, says so, and serves on none.
        self.both("web", [self.asyncio_server()], f'site = {{ read = "{self.home}/site/", rights = ["stat"] }}', plain_ends=False)
        wait_for(lambda: "PermissionError" in self.worker_log("plain"), "the unpatched one has no socket")
        self.assertEqual(self.served("web"), "a page\n")

    @unittest.skipUnless(GEVENT, "there is no gevent")
    def test_a_gevent_stream_server(self):
        path = self.program("server", f"""
            from gevent.server import StreamServer

            def serve(visitor, address):
                visitor.recv(65536)
                with open("{self.home}/site/index.html", "rb") as page:
                    visitor.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + page.read())
                visitor.close()

            StreamServer(("127.0.0.1", {self.port}), serve).serve_forever()
            """)
        self.both("web", [path], f'site = {{ read = "{self.home}/site/", rights = ["stat"] }}')
        self.assertEqual(self.served("web"), "a page\n")

    def application(self):
        return self.program("application", f"""
            import os
            import bottle

            application = bottle.Bottle()

            @application.route("/<name>")
            def page(name):
                return bottle.static_file(name, root="{self.home}/site")

            @application.route("/")
            def who():
                return str(os.getpid())
            """)

    def gunicorn(self, kind):
        self.application()
        options = ["-b", f"127.0.0.1:{self.port}", "--chdir", f"{self.home}/app", "--worker-class", kind, "--workers", "2", "--log-level", "debug"]
        self.both("web", ["/usr/bin/gunicorn", *options, "application:application"],
                  f'site = {{ read = "{self.home}/site/", rights = ["stat", "access"] }}', extra='request_access = "all"\n',
                  monkey=MONKEY[2:], sandbox='allow_calls = ["fchmod"]\n')   # bottle's own warnings are not ours
        self.assertEqual(self.served("web", "/index.html"), "a page\n")
        try:
            pids = {self.get() for _ in range(60)}
        except OSError as error:
            raise AssertionError(f"{error}: {self.worker_log('web')}") from error
        self.assertNotIn(str(self.worker("web")["pid"]), pids)
        for _ in range(20):
            self.assertEqual(self.get("/index.html"), "a page\n")

    @unittest.skipUnless(GUNICORN, "there is no gunicorn, or no bottle")
    def test_a_bottle_application_under_gunicorn(self):
        self.gunicorn("sync")

    @unittest.skipUnless(GUNICORN and GEVENT, "there is no gunicorn, no bottle or no gevent")
    def test_a_bottle_application_under_gunicorn_with_gevent_workers(self):
        self.gunicorn("gevent")

    def test_a_script_reads_a_secret_and_connects_to_a_database_by_a_unix_socket(self):
        self.make("key", "open sesame\n", mode=0o600)
        os.mkdir(self.path("db"), 0o755)
        database = socket.socket(socket.AF_UNIX)
        self.addCleanup(database.close)
        database.bind(self.path("db/.s.PGSQL.5432"))
        os.chmod(self.path("db/.s.PGSQL.5432"), 0o666)
        database.listen()

        def answer():
            for _ in range(1):
                visitor, _ = database.accept()
                with visitor:
                    visitor.sendall(b"welcome " + visitor.recv(100))

        threading.Thread(target=answer, daemon=True).start()
        text = f"""
            import json, socket
            with open("{self.home}/key") as key, socket.socket(socket.AF_UNIX) as database:
                database.connect("{self.home}/db/.s.PGSQL.5432")
                database.sendall(key.read().encode())
                print(json.dumps(database.recv(100).decode()))
            """
        said = self.run_program(text, f'key = {{ secret = "{self.home}/key" }}\ndb = {{ connect = "unix:{self.home}/db/.s.PGSQL.5432" }}')
        self.assertEqual(said, ["welcome open sesame\n"])


@unittest.skipUnless(GEVENT, "there is no gevent")
class WithGevent(MonkeyTest):
    """gevent's own patch, before ours and after."""

    ORDERS = {
        "before": "from gevent import monkey; monkey.patch_all()\nimport warder.monkey; warder.monkey.patch_all()\n",
        "after": "import warder.monkey; warder.monkey.patch_all()\nfrom gevent import monkey; monkey.patch_all()\n",
        "without": "import warder.monkey; warder.monkey.patch_all()\nimport gevent\nfrom gevent import socket as green\n",
    }

    def run_ordered(self, order, text, grants, **more):
        path = self.make("app/script.py", self.ORDERS[order] + textwrap.dedent(text))
        self.start(self.behind_the_door("script", ["-W", "error", path], grants, **more))

    def serve_green(self, order):
        self.make("site/index.html", "a page\n")
        port, peer = free_port(), free_port()
        # What the worker may connect to accepts, and says nothing for a while.
        with socket.create_server(("127.0.0.1", peer)) as other:
            other.settimeout(60)
            self.run_ordered(order, f"""
                import gevent, json, socket, time
                from gevent.pywsgi import WSGIServer
                from gevent.socket import create_connection, getaddrinfo

                def answer(environ, start):
                    start("200 OK", [("Content-Length", "7")])
                    with open("{self.home}/site/index.html", "rb") as page:
                        return [page.read()]

                server = WSGIServer(("127.0.0.1", {port}), answer, log=None)
                server.start()
                print(json.dumps(type(server.socket).__module__), flush=True)
                with create_connection(("127.0.0.1", {peer}), timeout=10) as peer:
                    peer.sendall(b"hello")
                    waits = gevent.spawn(peer.recv, 10)   # green: the server goes on
                    print(json.dumps(waits.get(timeout=20).decode()), flush=True)
                server.stop()
                """, f'site = {{ read = "{self.home}/site/" }}\nhttp = {{ listen = "tcp:127.0.0.1:{port}" }}\n'
                     f'peer = {{ connect = "tcp:127.0.0.1:{peer}" }}\n')
            visitor, _ = other.accept()
            with visitor:
                self.assertEqual(visitor.recv(10), b"hello")
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as page:
                    self.assertEqual(page.read(), b"a page\n")
                visitor.sendall(b"welcome")
                self.assertEqual(self.said("script"), ["gevent._socket3", "welcome"])

    def test_it_serves_when_gevent_patched_first(self):
        self.serve_green("before")

    def test_it_serves_when_gevent_patches_later(self):
        self.serve_green("after")

    def test_it_serves_when_gevent_does_not_patch(self):
        self.serve_green("without")

    def look_up_slowly(self, order, **more):
        """Greenlets look up a name while others open files; the resolver is stopped meanwhile, so that the answer is late."""
        self.make("site/a", "a")
        self.run_ordered(order, f"""
            import gevent, json, os, socket, time
            while not os.path.exists("{self.home}/site/go"):
                gevent.sleep(0.05)
            beats, begun = [], time.monotonic()

            def beat():
                while True:
                    with open("{self.home}/site/a") as file:
                        beats.append(file.read())
                    gevent.sleep(0.02)

            def look():
                try:
                    return socket.getaddrinfo("localhost", 80)[0][4][1]
                except OSError as error:
                    return type(error).__name__

            print(json.dumps("looks"), flush=True)
            heart = gevent.spawn(beat)
            looks = [gevent.spawn(look) for _ in range(3)]
            gevent.joinall(looks)
            took = time.monotonic() - begun
            heart.kill()
            print(json.dumps([[one.value for one in looks], took, len(beats)]))
            """, f'site = {{ read = "{self.home}/site/", rights = ["stat"] }}\nnames = {{ lookup = ["host"] }}\n', **more)
        self.wait_state("resolver", "ready")
        resolver = self.worker("resolver")["pid"]
        os.kill(resolver, signal.SIGSTOP)
        try:
            self.make("site/go")
            wait_for(lambda: "looks" in self.worker_log("script"), "it looks the name up")
            time.sleep(1.5)   # the answer is late, whatever the machine does
        finally:
            os.kill(resolver, signal.SIGCONT)
        found, took, beats = self.said("script")[1]
        self.assertEqual(found, [80] * 3)
        self.assertGreater(took, 1.0)
        self.assertGreater(beats, 10, f"in {took} s")

    def test_a_slow_answer_stops_no_other_greenlet(self):
        self.look_up_slowly("before")

    def test_a_slow_answer_stops_no_other_greenlet_where_processes_take_turns(self):
        self.look_up_slowly("before", extra='request_access = "all"\n')

    def test_a_slow_answer_stops_no_other_greenlet_when_gevent_patches_later(self):
        self.look_up_slowly("after")


class Others(MonkeyTest):
    def test_threads_and_processes_ask_at_once(self):
        for number in range(20):
            self.make(f"site/{number}", str(number) * 1000)
        said = self.run_program(f"""
            import json, multiprocessing, os, threading

            def read(number):
                with open(f"{self.home}/site/{{number % 20}}") as file:
                    return file.read() == str(number % 20) * 1000

            def read_many(first):
                return all([read(first + n) for n in range(100)])

            def in_threads():
                ends = []
                threads = [threading.Thread(target=lambda n=n: ends.append(read_many(n))) for n in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                return ends

            print(json.dumps(in_threads()))
            with multiprocessing.get_context("fork").Pool(4) as pool:
                print(json.dumps(pool.map(read_many, range(12))))
            child = os.fork()
            if child == 0:
                os._exit(0 if all(in_threads()) else 1)
            print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
            """, f'site = {{ read = "{self.home}/site/" }}', extra='request_access = "all"\n', sandbox='allow_calls = ["mknod"]')
        self.assertEqual(said, [[True] * 8, [True] * 12, 0])

    def test_a_child_that_may_not_ask_is_told_what_to_add(self):
        self.make("site/a", "a")
        said = self.run_program(f"""
            import json, os
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    open("{self.home}/site/a")
                except PermissionError as error:
                    os.write(writing, error.strerror.encode())
                os._exit(0)
            os.waitpid(child, 0)
            print(json.dumps(os.read(reading, 1000).decode()))
            """, f'site = {{ read = "{self.home}/site/" }}')
        self.assertIn('request_access = "all"', said[0])

    def test_a_signal_handler_opens_a_file_while_its_thread_waits_for_an_answer(self):
        self.open_in_handlers("")

    def test_a_signal_handler_opens_a_file_within_the_turn_that_it_interrupts(self):
        self.open_in_handlers('request_access = "all"\n')

    def open_in_handlers(self, extra):
        self.make("site/a", "a")
        said = self.run_program(f"""
            import json, signal
            seen = []

            def note(number, frame):
                with open("{self.home}/site/a") as file:
                    seen.append(file.read())
                if len(seen) < 100:   # on a busy machine the loop below would never have its turn
                    signal.setitimer(signal.ITIMER_REAL, 0.002)

            signal.signal(signal.SIGALRM, note)
            signal.setitimer(signal.ITIMER_REAL, 0.002)
            for _ in range(1000):
                with open("{self.home}/site/a") as file:
                    assert file.read() == "a"
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            print(json.dumps([len(seen) > 5, set(seen) == {{"a"}}]))
            """, f'site = {{ read = "{self.home}/site/" }}', extra=extra)
        self.assertEqual(said, [[True, True]])

    def test_users_and_groups_are_looked_up(self):
        said = self.run_program("""
            import grp, json, os, pwd
            print(json.dumps([pwd.getpwnam("daemon").pw_uid, pwd.getpwuid(1).pw_name, grp.getgrnam("adm").gr_gid, grp.getgrgid(4).gr_name]))
            print(json.dumps(os.path.expanduser("~daemon")))
            for look, key in ((pwd.getpwnam, "nobody-at-all"), (grp.getgrgid, 54321)):
                try:
                    look(key)
                except KeyError as error:
                    print(json.dumps(error.args[0]))
            """, 'names = { lookup = ["user", "group"] }')
        self.assertEqual(said, [[1, "daemon", 4, "adm"], "/usr/sbin", "getpwnam(): name not found: 'nobody-at-all'", "getgrgid(): gid not found: 54321"])

    def test_names_of_hosts_lead_where_grants_say(self):
        port = free_port()
        with socket.create_server(("127.0.0.1", port)) as server:
            def answer():
                for _ in range(5):
                    visitor, _ = server.accept()
                    with visitor:
                        visitor.sendall(b"hello")

            threading.Thread(target=answer, daemon=True).start()
            self.start(self.behind_the_door("looks", [*MONKEY, self.program("script", f"""
                import asyncio, json, socket
                print(json.dumps(socket.getaddrinfo("localhost", {port}, type=socket.SOCK_STREAM)[0][4][0]))
                with socket.create_connection(("localhost", {port})) as peer:
                    print(json.dumps(peer.recv(10).decode()))
                try:
                    socket.getaddrinfo("no-such-host.invalid", 80)
                except socket.gaierror as error:
                    print(json.dumps("gaierror"))
                """)], f'names = {{ lookup = ["host"] }}\npeer = {{ connect = "tcp:127.0.0.1:{port}" }}') +
                self.behind_the_door("named", [*MONKEY, self.program("named", f"""
                import asyncio, json, socket
                print(json.dumps(socket.gethostbyname("localhost")))
                with socket.create_connection(("localhost", {port}), timeout=20) as peer:
                    print(json.dumps([peer.recv(10).decode(), peer.gettimeout(), peer.getpeername()[1]]))
                with socket.socket() as peer:
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    peer.connect(("localhost", {port}))
                    print(json.dumps([peer.recv(10).decode(), peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)]))

                async def ask():
                    reader, writer = await asyncio.open_connection("localhost", {port})
                    said = await reader.read(10)
                    writer.close()
                    await writer.wait_closed()
                    return said.decode()

                print(json.dumps(asyncio.run(ask())))
                """)], f'peer = {{ connect = "tcp:localhost:{port}", private = true }}'))
            self.assertEqual(self.said("looks"), ["127.0.0.1", "hello", "gaierror"])
            self.assertEqual(self.said("named"), ["240.0.0.1", ["hello", 20.0, port], ["hello", 1], "hello"])

    def test_what_cannot_be_connected_to_fails_as_natively(self):
        refused, denied = free_port(), free_port()
        said = self.run_program(f"""
            import asyncio, errno, json, socket
            with socket.socket() as peer:
                try:
                    peer.connect(("127.0.0.1", {refused}))
                except OSError as error:
                    print(json.dumps([type(error).__name__, error.errno, error.strerror, error.filename]))
                print(json.dumps(peer.connect_ex(("127.0.0.1", {refused}))))
                peer.setblocking(False)
                print(json.dumps(peer.connect_ex(("127.0.0.1", {refused})) in (errno.EINPROGRESS, errno.ECONNREFUSED)))
            with socket.socket() as peer:
                try:
                    peer.connect(("127.0.0.1", {denied}))
                except PermissionError as error:
                    print(json.dumps(error.errno))

            async def ask():
                try:
                    await asyncio.open_connection("127.0.0.1", {refused})
                except ConnectionRefusedError:
                    return "refused"

            print(json.dumps(asyncio.run(ask())))
            """, f'peer = {{ connect = "tcp:127.0.0.1:{refused}" }}')
        self.assertEqual(said, [["ConnectionRefusedError", 111, "Connection refused", None], 111, True, 1, "refused"])

    def test_a_unix_listener_is_bound_unlinked_and_given_a_mode_as_servers_do(self):
        os.mkdir(self.path("run-of-app"))
        os.chmod(self.path("run-of-app"), 0o777)
        path = self.path("run-of-app/app.sock")
        self.start(self.behind_the_door("server", [*MONKEY, self.program("server", f"""
            import asyncio, os

            async def serve(reader, writer):
                writer.write(b"hello " + await reader.readline())
                await writer.drain()
                writer.close()

            async def main():
                server = await asyncio.start_unix_server(serve, "{path}")
                os.chmod("{path}", 0o660)
                os.chown("{path}", os.getuid(), os.getgid())
                async with server:
                    await server.serve_forever()

            asyncio.run(main())
            """)], f'app = {{ listen = "unix:{path}", mode = "0666" }}'))

        def visit():
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as visitor:
                visitor.settimeout(20)
                visitor.connect(path)
                visitor.sendall(b"you\n")
                return visitor.recv(100)

        self.assertEqual(wait_for(visit, "it answers\n" + self.worker_log("server"), 30), b"hello you\n")

    def test_commands_are_run_by_warderd_where_a_grants_words_match(self):
        script = self.make("bin/tool", "#!/bin/sh\ncase $1 in\necho) echo \"got $2\"; echo oops >&2; exit 3;;\ncopy) cat;;\nslow) sleep 0.3; echo done;;\nkill) kill -9 $$;;\nesac\n", mode=0o755)
        said = self.run_program(f"""
            import json, subprocess, sys
            PIPE = subprocess.PIPE

            def tell(*of):
                print(json.dumps(of), flush=True)

            end = subprocess.run(["{script}", "echo", "word"], stdout=PIPE, stderr=PIPE, text=True)
            tell(end.returncode, end.stdout, end.stderr)
            tell(subprocess.run(["{script}", "echo", "x"], stdout=PIPE, stderr=subprocess.STDOUT).returncode)
            tell(subprocess.run(["{script}", "copy", "in"], input=b"y" * 300000, stdout=PIPE).stdout == b"y" * 300000)
            with subprocess.Popen(["{script}", "slow", "it"], stdout=PIPE) as process:
                tell(process.poll(), isinstance(process, subprocess.Popen))
                try:
                    process.wait(0.01)
                except subprocess.TimeoutExpired:
                    tell("timeout")
                try:
                    process.kill()
                except PermissionError:
                    tell("not killed")
                tell(process.stdout.read().decode(), process.wait(), process.returncode)
            tell(subprocess.call(["{script}", "kill", "it"]))
            try:
                subprocess.check_output(["{script}", "echo", "x"], stderr=subprocess.DEVNULL, cwd="/")
            except PermissionError as error:
                tell("cwd" in error.sentence)
            try:
                subprocess.run(["{script}", "echo", "-not a word"])
            except PermissionError as error:
                tell("denied")
            except OSError as error:
                tell(error.errno)
            try:
                subprocess.run(["{script}", "other"])
            except OSError as error:
                tell(type(error).__name__)
            """, f'tool = {{ run = ["{script}", "{{what:choice:echo|copy|slow|kill}}", "{{with:word}}"], stdin = true }}')
        self.assertEqual(said[0], [3, "got word\n", "oops\n"])
        self.assertEqual(said[1:9], [[3], [True], [None, True], ["timeout"], ["not killed"], ["done\n", 0, 0], [-9], [True]])
        self.assertIn(said[9], (["denied"], [22]))
        self.assertIn(said[10][0], ("FileNotFoundError", "PermissionError"))

    def test_what_opens_in_c_is_told(self):
        self.make("site/a", "a")
        said = self.run_program(f"""
            import json, sqlite3, ssl, warnings
            from warder.monkey import MonkeyPatchWarning
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                for act in (lambda: sqlite3.connect("{self.home}/site/a"),
                            lambda: ssl.create_default_context().load_cert_chain("{self.home}/site/a")):
                    try:
                        act()
                    except Exception:
                        pass
            print(json.dumps([str(one.message)[:40] for one in told if one.category is MonkeyPatchWarning]))
            """, f'site = {{ read = "{self.home}/site/" }}')
        self.assertEqual(said, [["sqlite3.connect opens '" + self.home[:17], "ssl.SSLContext.load_cert_chain opens '" + self.home[:2]]])

    def test_unpatched_everything_is_the_same_object_as_before(self):
        self.make("site/a", "a")
        path = self.program("script", f"""
            import builtins, grp, io, json, os, pwd, socket, ssl, sqlite3, subprocess
            places = [builtins, io, os, pwd, grp, socket, subprocess, socket.socket, subprocess.Popen, ssl.SSLContext, sqlite3]
            before = [dict(vars(place)) for place in places]
            sets = [set(getattr(os, name)) for name in ("supports_dir_fd", "supports_fd", "supports_follow_symlinks")]
            import warder.monkey
            for _ in range(2):
                assert warder.monkey.patch_all()
                assert warder.monkey.is_module_patched("os") and os.open is not before[2]["open"]
                assert warder.monkey.get_original("os", "open") is before[2]["open"]
                with open("{self.home}/site/a") as file:
                    assert file.read() == "a"
                warder.monkey.unpatch_all()
                after = [dict(vars(place)) for place in places]
                changed = [(place, name) for place, old, new in zip(places, before, after) for name in old | new if old.get(name) is not new.get(name)]
                assert not changed, changed
                assert sets == [set(getattr(os, name)) for name in ("supports_dir_fd", "supports_fd", "supports_follow_symlinks")]
                assert not os.path.exists("{self.home}/site/a")
            print(json.dumps(warder.monkey.saved))
            """)
        self.start(self.behind_the_door("script", ["-W", "error", path], f'site = {{ read = "{self.home}/site/", rights = ["stat"] }}'))
        self.assertEqual(self.said("script"), [{}])

    def test_servers_are_made_by_what_the_socket_module_has_for_it(self):
        port = free_port()
        self.start(self.behind_the_door("server", [*MONKEY, self.program("server", f"""
            import json, socket
            with socket.create_server(("127.0.0.1", {port}), backlog=7, reuse_port=False) as server:
                print(json.dumps([server.getsockname(), server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), server.gettimeout()]))
                server.listen()
                server.settimeout(30)
                visitor, address = server.accept()
                with visitor:
                    visitor.sendall(b"hello")
            with socket.socket() as unbound:
                print(json.dumps([unbound.getsockname(), unbound.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN)]))
                try:
                    unbound.bind(("127.0.0.1", {port + 1 if port < 65535 else port - 1}))
                except PermissionError as error:
                    print(json.dumps(error.errno))
            """)], f'http = {{ listen = "tcp:127.0.0.1:{port}" }}'))

        def visit():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=20) as visitor:
                return visitor.recv(10)

        self.assertEqual(wait_for(visit, "it answers", 30), b"hello")
        self.assertEqual(self.said("server"), [[["127.0.0.1", port], 1, None], [["0.0.0.0", 0], int(socket.AF_INET)], 1])

    def test_only_what_is_named_is_patched_and_the_program_is_run_as_python_runs_it(self):
        self.make("site/a", "a")
        path = self.program("script", f"""
            import builtins, io, json, os, socket, sys
            import warder.monkey
            print(json.dumps([__name__, sys.argv[1:], sys.path[0] == "{self.home}/app", os.path.basename(__file__)]))
            print(json.dumps([builtins.open is warder.monkey.get_original("builtins", "open"), warder.monkey.is_module_patched("os"),
                              warder.monkey.is_module_patched("socket"), warder.monkey.is_module_patched("pwd")]))
            print(json.dumps(os.path.exists("{self.home}/site/a")))
            with os.fdopen(os.open("{self.home}/site/a", os.O_RDONLY)) as file:
                print(json.dumps(file.read()))
            """)
        self.start(self.behind_the_door("script", [*MONKEY, "--only", "socket,os", path, "--only", "x", "-m"],
                                        f'site = {{ read = "{self.home}/site/", rights = ["stat"] }}'))
        self.assertEqual(self.said("script"), [["__main__", ["--only", "x", "-m"], True, "script.py"], [True, True, True, False], True, "a"])

    def test_what_came_too_late_is_told(self):
        self.make("app/holder.py", "from os import mkdir\n")
        path = self.program("script", """
            import json, threading, warnings
            import holder
            go_on = threading.Event()
            threading.Thread(target=go_on.wait).start()
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                import warder.monkey
                warder.monkey.patch_all()
            go_on.set()
            print(json.dumps([str(one.message) for one in told]))
            """)
        self.start(self.behind_the_door("script", [path], 'site = { read = "/srv/www/", rights = ["stat"] }'))
        (told,) = self.said("script")
        self.assertEqual(len(told), 2)
        self.assertIn("other threads run", told[0])
        self.assertIn("holder (os.mkdir)", told[1])

    def test_a_worker_is_told_its_grants_anew_when_they_change(self):
        text = """
            import json, os, time
            print(json.dumps([one["name"] for one in json.loads(os.environ["WARDER_GRANTS"])]), flush=True)
            time.sleep(1000)
            """
        command = [*MONKEY, self.program("script", text)]
        self.start(self.behind_the_door("script", command, 'one = { read = "/srv/www/", rights = ["stat"] }'))
        wait_for(lambda: '["one"]' in self.worker_log("script"), "it is told")
        self.write_config(self.behind_the_door("script", command, 'one = { read = "/srv/www/", rights = ["stat"] }\ntwo = { read = "/srv/two/" }'))
        changes = self.report("reload")["changes"]
        self.assertEqual([(change["worker"], change["kind"]) for change in changes], [("script", "restart")])
        wait_for(lambda: '["one", "two"]' in self.worker_log("script"), "it is told again", 20)
