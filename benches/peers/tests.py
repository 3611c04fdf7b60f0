"""Tests of what compares and reports: python3 benches/peers/tests.py"""

import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True

import logs  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402

START_MS = 1_767_225_600_000


def line(second, pod, state="ready", seq=1):
    ts = START_MS + round(second * 1000)
    return f'{{"ts":{ts},"entity":"{pod}","kind":"readiness","state":"{state}","seq":{seq}}}\n'.encode()


class InFiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


class Rows(InFiles):
    def test_rows_are_the_same_whoever_writes_them(self):
        limbeck = self.file("limbeck", (
            '{"subject":"a","time":"2026-01-01T00:00:01.005Z","data":{"rule":"r","state":"ready",'
            '"since":"2026-01-01T00:00:01.005Z","until":null,"decided":"2026-01-01T00:00:31.005Z"}}\n'))
        peer = self.file("peer", (
            f'{{"entity":"a","state":"ready","since":{START_MS + 1005},"until":null,'
            f'"decided":{START_MS + 31005}}}\n'))
        wanted = {("a", "ready", START_MS + 1005, None, START_MS + 31005)}
        self.assertEqual(rows.read(limbeck), wanted)
        self.assertEqual(rows.read(peer), wanted)

    def test_of_an_episode_told_again_the_last_counts(self):
        row = '{"entity":"a","state":"ready","since":1,"until":%s,"decided":31}\n'
        told = self.file("told", row % "null" + row % "50")
        self.assertEqual(rows.read(told), {("a", "ready", 1, 50, 31)})

    def test_a_difference_has_its_numbers_and_examples(self):
        one, other = ("a", "ready", 1, None, 31), ("a", "ready", 1, 50, 31)
        self.assertIsNone(rows.difference({one}, {one}))
        self.assertEqual(rows.difference({other}, {one}), {
            "missing": 1, "wrong": 1,
            "examples": [{"is": "missing", "row": list(one)}, {"is": "wrong", "row": list(other)}]})

    def test_a_digest_is_of_the_set(self):
        one, other = ("a", "ready", 1, 50, 31), ("a", "ready", 1, None, 31)
        self.assertEqual(rows.digest({one, other}), rows.digest({other, one}))
        self.assertNotEqual(rows.digest({one}), rows.digest({other}))


class Logs(InFiles):
    def test_late_lines_are_beyond_the_lateness_and_no_others(self):
        lines = [line(second / 10, f"pod-{second % 97}", seq=second) for second in range(20_000)]
        log = self.file("log", b"".join(lines))
        late = self.folder / "late"
        moved = logs.write_late(log, late)
        written = late.read_bytes().splitlines(keepends=True)
        self.assertEqual(sorted(written), sorted(lines))
        self.assertTrue(150 < moved < 250, moved)
        clock, found = 0, 0
        for one in written:
            time = logs.time_of(one)
            clock = max(clock, time)
            found += clock - time > logs.LATENESS_MS
        self.assertEqual(found, moved)

    def test_an_odd_line_is_about_a_pod_that_is_ready_and_silent(self):
        pods = ["down", "up"]
        lines = [line(second, pods[second % 2], ["unready", "ready"][second % 2], second)
                 for second in range(2_000)]
        log = self.file("log", b"".join(lines))
        odd = self.folder / "odd"
        logs.write_odd(log, odd, logs.ODD_LINES["a minute late"])
        written = odd.read_bytes().splitlines()
        [at] = [n for n, one in enumerate(written) if b'"seq":9001' in one]
        now = START_MS + 999_000
        self.assertEqual(logs.time_of(written[at]), now - 60_000)
        of_pod = [logs.time_of(one) for one in written if b'"up"' in one and b"9001" not in one]
        self.assertLess(max(of_pod), now - logs.SILENT_MS)
        self.assertGreater(len(of_pod), 400)
        self.assertIn(b'"down"', written[-1])


class Report(unittest.TestCase):
    def setUp(self):
        program = {"version": "1", "cpus": "all", "beside": "limbeck", "leaves_out": []}
        self.head = {
            "machine": {"cores": 2, "model": "m", "memory_bytes": 8 * 10**9, "system": "s",
                        "load_before": 0.0, "month": "2026-01"},
            "settings": {"entities": 10, "seed": 1, "late_events": 1000},
            "programs": {"limbeck": {**program, "title": "Limbeck"},
                         "peer": {**program, "title": "Peer", "leaves_out": ["half of it"]}},
            "missing": {"other": "no such package"},
        }

    @staticmethod
    def cost(seconds):
        return {"seconds": seconds, "cpu_seconds": 2 * seconds, "peak_bytes": 10**7}

    def pair(self, limbeck, peer, difference=None):
        rows = {"count": 3, "digest": "d", "difference": difference}
        return {"part": "speed", "log": 1000, "name": "peer", "cost": self.cost(peer),
                "beside": self.cost(limbeck), "rows": rows}

    def test_ratios_are_those_of_pairs(self):
        runs = [self.pair(1, 2), self.pair(2, 6), self.pair(4, 40)]
        [size] = report.result(self.head, runs)["speed"]
        [peer] = size["results"]
        self.assertEqual(peer["wall_by_beside"], {"median": 3, "least": 2, "most": 10})
        self.assertEqual(peer["events_per_second"]["median"], 1000 / 6)
        self.assertEqual(peer["runs_with_other_rows"], 0)

    def test_limbeck_has_its_runs_before_others_too(self):
        alone = {"part": "speed", "log": 1000, "name": "limbeck", "cost": self.cost(5),
                 "rows": {"count": 3, "digest": "d"}}
        [size] = report.result(self.head, [alone, self.pair(1, 2), self.pair(3, 6)])["speed"]
        self.assertEqual(size["results"][0]["runs"], 3)
        self.assertEqual(size["results"][0]["events_per_second"]["median"], 1000 / 3)

    def test_other_rows_failures_and_what_is_missing_are_said(self):
        difference = {"missing": 2, "wrong": 1, "examples": []}
        failed = {"part": "speed", "log": 2000, "name": "peer", "failure": "exit code 1: oh"}
        late = {"part": "late", "log": 1000, "name": "peer", "cost": self.cost(1)}
        odd = {"part": "odd", "log": "no time", "name": "peer"}
        result = report.result(self.head, [
            self.pair(1, 2, difference), self.pair(1, 2), failed,
            {**late, "rows": {"count": 3, "digest": "d", "difference": None}},
            {**late, "rows": {"count": 3, "digest": "e", "difference": difference}},
            {**odd, "rows": {"count": 3, "digest": "d", "difference": difference}},
        ])
        self.assertEqual(result["speed"][0]["results"][0]["runs_with_other_rows"], 1)
        self.assertEqual(result["late"][0]["results"], 2)
        text = report.table(result)
        for said in ("2 missing, 1 wrong", "failed: exit code 1: oh", "0 to 2", "half of it",
                     "other: no such package"):
            self.assertIn(said, text)
        self.assertRegex(text, r"no time +2\n")

    def test_the_chart_has_all_that_ended(self):
        result = report.result(self.head, [self.pair(1, 2), self.pair(1, 4)])
        drawn = report.chart(result)
        self.assertEqual(drawn.count("<circle"), 2)
        self.assertIn(">Peer</text>", drawn)


if __name__ == "__main__":
    unittest.main()
