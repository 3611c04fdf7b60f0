//! Blocks through the decoder and the sequencer of one partition, without threads.

use std::cmp::max;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use limbeck_operators::intake::intake;
use limbeck_operators::timeline::Timing;
use proptest::prelude::*;

use super::decoding::{DecodedBlock, Habits, Head, Raw};
use super::sequencer::{Sequenced, Sequencer};
use super::{Clockwork, Matcher, Partition, ReadTo, SavedIntake, Saver, Traced, read};
use crate::metrics::Metrics;
use crate::model::ledger::{Count, DeadLetter, Entry};
use crate::model::sighting::Sighting;
use crate::rules::Rules;
use crate::sources::Opened;
use crate::sources::blocks::{Block, Oversized};

const RULES: &str = r#"
version: 1
max_advance: 1h
signals: { health: { states: { up: data.up == true, down: data.up == false } } }
rules: [{ name: outage, signal: health, hold: { down: 1m } }]
"#;

/// So many conditions that what they said before is looked up; some look at more than slots.
const MANY: &str = r#"
version: 1
max_advance: 1h
signals:
  health:
    labels: { half: "data.m", of: subject }
    value: data.n
    states: { up: data.up == true, down: data.up == false || data.up == "ä" }
  load: { where: "has(data.n)", states: { low: data.n < 2, high: data.n >= 2 } }
  size: { where: "size(data) > 1", states: { two: size(data) == 2, more: "true" } }
rules:
  - { name: outage, signal: health, where: 'labels.of == "a"', hold: { down: 1m } }
  - { name: load, signal: load, dedup: { by: [data.n], within: 1m }, hold: { high: 1m } }
  - { name: size, signal: size }
"#;

/// A record of the first of January.
fn line(time: &str, subject: &str, data: &str) -> String {
    let time = format!("2026-01-01T{time}Z");
    format!(
        r#"{{"id":"{time}","source":"s","type":"t","subject":"{subject}","time":"{time}","data":{data}}}"#
    )
}

fn clockwork(block_bytes: Option<usize>) -> Clockwork {
    let timing = Timing { lateness: 0, tick: 1 };
    let max_advance_ns = 3_600_000_000_000;
    let (until_ns, traced) = (None, Traced::Nothing);
    Clockwork { timing, max_advance_ns, from_ns: None, until_ns, block_bytes, traced }
}

/// Judges lines, so many to a block.
fn judge(matcher: &Matcher, lines: &[String], to_a_block: usize) -> Vec<Sequenced> {
    let clockwork = clockwork(None);
    let mut sequencer = Sequencer::new(clockwork, matcher.rules(), 0);
    let mut habits = Habits::default();
    let blocks = lines.chunks(to_a_block).enumerate().map(|(number, lines)| {
        let bytes = (lines.join("\n") + "\n").into_bytes();
        let first_line = (number * to_a_block) as u64 + 1;
        let block = Block { bytes, first_line, ..Block::default() };
        let raw = Raw { partition: 0, number: number as u64, header: None, block };
        sequencer.judge(matcher.decode(0, raw, 1, &mut habits)).0
    });
    blocks.collect()
}

fn count(judged: &[Sequenced], what: Count) -> isize {
    let entries = judged.iter().flat_map(|sequenced| &sequenced.ledger);
    entries.filter(|(entry, ..)| *entry == Entry::Count(what)).map(|(.., diff)| diff).sum()
}

/// Who is watched changes what is handed on, not what records are.
#[test]
fn a_record_that_nobody_watches_is_not_unmatched() {
    let lines = [
        line("00:00:00", "a", r#"{"up":true}"#),
        line("00:00:01", "b", r#"{"up":true}"#),
        line("00:00:02", "b", r#"{"up":"?"}"#),
        line("09:00:00", "a", r#"{"up":true}"#),
        line("00:00:03", "a", r#"{"up":false}"#),
    ];
    let rules = Rules::parse("rules.yaml", RULES).unwrap_or_else(|errors| panic!("{errors}"));
    let matchers =
        [(Matcher::new(&rules), 3), (Matcher::new(&rules).watching(["a".into()].into()), 2)];
    for (matcher, rows) in matchers {
        for to_a_block in [1, 5] {
            let judged = judge(&matcher, &lines, to_a_block);
            let handed_on: usize = judged.iter().map(|block| block.rows[0].len()).sum();
            assert_eq!(handed_on, rows);
            assert_eq!([Count::Record, Count::Unmatched].map(|what| count(&judged, what)), [5, 1]);
        }
    }
}

/// What a decoder makes of a block: rows, dead letters, and of each head what does not depend on
/// where its block begins.
fn made(decoded: DecodedBlock) -> (Vec<String>, Vec<DeadLetter>, Vec<String>) {
    let heads = decoded.heads.iter().map(|head| {
        let text = decoded.text.of(head);
        let Head { line, arrival_ns, event_time_ns, sequence, matched, .. } = head;
        format!("{line} {arrival_ns} {event_time_ns} {sequence:?} {matched} {text:?}")
    });
    let heads = heads.collect();
    // The arrival of a row is the largest in its block so far.
    let rows = decoded.rows.into_iter().flatten().map(|((entity, sighting), ..)| {
        format!("{entity:?} {:?}", Sighting { arrival_ns: 0, ..sighting })
    });
    (rows.collect(), decoded.dead, heads)
}

fn a_text() -> impl Strategy<Value = String> {
    let data = prop_oneof![
        6 => Just(r#"{"up":true}"#.to_owned()),
        3 => Just(r#"{"up":false,"m":"\"\u0041\" \u00e4"}"#.to_owned()),
        1 => Just(r#"{"up":"ä"}"#.to_owned()),
        2 => (0..4).prop_map(|n| format!(r#"{{"up":true,"n":{n},"x":[1]}}"#)),
        1 => Just(r#"{"n":1.5,"up":null}"#.to_owned()),
        1 => Just(r#"{"n":{"up":true},"m":[]}"#.to_owned()),
        1 => Just(r#"{"up":true}}"#.to_owned()),
        1 => Just(r#"{"up":"true}"#.to_owned()),
    ];
    let line = (0..60, "[ab]{0,2}", data)
        .prop_map(|(second, subject, data)| line(&format!("00:00:{second:02}"), &subject, &data));
    prop_oneof![
        8 => line,
        1 => "[ \t]{0,2}",
        1 => Just("{}".to_owned()),
        1 => Just("{\"a\":1,\n\"b\":2}".to_owned()),
    ]
}

proptest! {
    /// However a line is found in its block, it is what it is alone.
    #[test]
    fn the_lines_of_a_block_are_what_each_is_alone(
        texts in prop::collection::vec(("[ \t]{0,1}", a_text(), "[ \t\r]{0,2}"), 1..24),
        is_oversized in prop::collection::vec(prop::bool::weighted(0.1), 24),
        ends in any::<bool>(),
        spoils in prop::bool::weighted(0.1),
        rules in prop::sample::select(vec![RULES, MANY]),
    ) {
        let matcher = Matcher::new(&Rules::parse("rules.yaml", rules).expect("they are right"));
        prop_assert_eq!(matcher.slots_remembered().is_some(), rules == MANY);
        let decode = |bytes: Vec<u8>, first_line, oversized, habits: &mut Habits| {
            let block = Block { bytes, first_line, oversized, ..Block::default() };
            let raw = Raw { partition: 3, number: 0, header: None, block };
            made(matcher.decode(0, raw, 1, habits))
        };
        let mut bytes = Vec::new();
        for (before, text, after) in &texts {
            bytes.extend_from_slice(format!("{before}{text}{after}\n").as_bytes());
        }
        if !ends {
            bytes.pop();
        }
        if spoils {
            bytes[0] = 0xff;
        }
        let lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        let (mut number, mut oversized) = (1, Vec::new());
        let (mut rows, mut dead, mut heads) = (Vec::new(), Vec::new(), Vec::new());
        for (at, line) in lines.into_iter().enumerate() {
            if is_oversized.get(at) == Some(&true) {
                oversized.push(Oversized { line: number, head: Vec::new(), bytes: 9 });
                number += 1;
            }
            let alone = decode(line, number, Vec::new(), &mut Habits::default());
            rows.extend(alone.0);
            dead.extend(alone.1);
            heads.extend(alone.2);
            number += 1;
        }
        let mut habits = Habits::default();
        for _ in 0..2 {
            let (all, buried, seen) =
                decode(bytes.clone(), 1, oversized.clone(), &mut habits);
            prop_assert_eq!(&all, &rows);
            prop_assert_eq!(&buried[oversized.len()..], &dead[..]);
            prop_assert_eq!(&seen, &heads);
        }
    }
}

/// Wants a cut once so much has been judged, and keeps what is saved.
#[derive(Default)]
struct CutsOnce {
    wanted_behind_ns: i64,
    /// A logical time behind all that has been judged, and the cut.
    state: Mutex<(i64, Option<i64>)>,
    saved: Mutex<Option<(i64, SavedIntake)>>,
}

impl Saver for CutsOnce {
    fn judging(&self) -> Option<i64> {
        let mut state = self.state.lock().expect("nobody panics");
        let (next, cut) = *state;
        let cut_now = cut.is_none() && next > self.wanted_behind_ns;
        cut_now.then(|| *state.1.insert(next))
    }

    fn judged(&self, clock: Option<(i64, i64)>) {
        let mut state = self.state.lock().expect("nobody panics");
        state.0 = max(state.0, clock.map_or(i64::MIN, |(_, next)| next));
    }

    fn has_failed(&self) -> bool {
        false
    }

    fn refuse(&self) {
        panic!("nothing is missing");
    }

    fn give_up(&self) -> bool {
        panic!("nothing ends early");
    }

    fn save(&self, at: i64, intake: SavedIntake) {
        *self.saved.lock().expect("nobody panics") = Some((at, intake));
    }

    fn ended(&self, _: SavedIntake) {}
}

/// A few records a day, in one block, beside many: a cut is not as far ahead as the last of them.
#[test]
fn a_log_of_few_records_does_not_put_off_a_cut() {
    let rules = Rules::parse("rules.yaml", RULES).unwrap_or_else(|errors| panic!("{errors}"));
    let time =
        |second: usize| format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
    let many = (0..7_200).map(|second| line(&time(second), "a", r#"{"up":true}"#));
    let many: Vec<_> = many.collect();
    let few: Vec<_> =
        (0..4).map(|part| line(&time(900 + 1_800 * part), "b", r#"{"up":false}"#)).collect();
    let open = |lines: &[String]| {
        let text = lines.join("\n") + "\n";
        Opened::from_reader("log".to_owned(), Box::new(std::io::Cursor::new(text)), None)
            .expect("it is text")
    };
    for swapped in [false, true] {
        let mut logs = [open(&many), open(&few)];
        if swapped {
            logs.reverse();
        }
        let partitions = logs.into_iter().enumerate().map(|(number, log)| {
            Partition::new(number, 0, log, &rules).unwrap_or_else(|error| panic!("{error}"))
        });
        let (feed, _intake) = intake(10_000, 1);
        let ten_minutes_ns = 600_000_000_000;
        let begin_ns = crate::model::time::parse_rfc3339("2026-01-01T00:00:00Z").expect("a time");
        let saver = CutsOnce { wanted_behind_ns: begin_ns + ten_minutes_ns, ..CutsOnce::default() };
        let to = ReadTo {
            feeds: &[feed],
            stop: &AtomicBool::new(false),
            progress: &|_| {},
            saver: Some(&saver),
            metrics: &Metrics::default(),
        };
        let (matcher, clockwork) = (Matcher::new(&rules), clockwork(Some(4_096)));
        let outcome = read(partitions.collect(), &matcher, clockwork, to);
        assert!(outcome.damaged.is_empty() && !outcome.stopped, "{outcome:?}");
        let (at, saved) = saver.saved.into_inner().expect("nobody panics").expect("it was saved");
        assert!(at < begin_ns + 2 * ten_minutes_ns, "{at}");
        let mut next: Vec<_> = saved.lanes.iter().map(|lane| lane.next.expect("more")).collect();
        if swapped {
            next.reverse();
        }
        // Of the few, the first is at a quarter of an hour.
        let few_before = u64::from(at > begin_ns + 900_000_000_000);
        let many_before = (at - begin_ns).cast_unsigned().div_ceil(1_000_000_000);
        assert_eq!([next[0].line, next[1].line], [many_before + 1, few_before + 1]);
    }
}
