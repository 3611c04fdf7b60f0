//! Blocks through the decoder and the sequencer of one partition, without threads.

use limbeck_operators::timeline::Timing;

use super::decoding::Raw;
use super::sequencer::{Sequenced, Sequencer};
use super::{Clockwork, Matcher, Traced};
use crate::model::ledger::{Count, Entry};
use crate::rules::Rules;
use crate::sources::Block;
use crate::sources::decode::Shapes;

const RULES: &str = r#"
version: 1
max_advance: 1h
signals: { health: { states: { up: data.up == true, down: data.up == false } } }
rules: [{ name: outage, signal: health, hold: { down: 1m } }]
"#;

/// A record of the first of January.
fn line(time: &str, subject: &str, data: &str) -> String {
    let time = format!("2026-01-01T{time}Z");
    format!(
        r#"{{"id":"{time}","source":"s","type":"t","subject":"{subject}","time":"{time}","data":{data}}}"#
    )
}

/// Judges lines, so many to a block.
fn judge(matcher: &Matcher, lines: &[String], to_a_block: usize) -> Vec<Sequenced> {
    let timing = Timing { lateness: 0, tick: 1 };
    let max_advance_ns = 3_600_000_000_000;
    let (until_ns, block_bytes, traced) = (None, None, Traced::Nothing);
    let clockwork = Clockwork { timing, max_advance_ns, until_ns, block_bytes, traced };
    let mut sequencer = Sequencer::new(clockwork, matcher.rules(), 0);
    let mut shapes = Shapes::default();
    let blocks = lines.chunks(to_a_block).enumerate().map(|(number, lines)| {
        let bytes = (lines.join("\n") + "\n").into_bytes();
        let first_line = (number * to_a_block) as u64 + 1;
        let block = Block { bytes, first_line, oversized: Vec::new() };
        let raw = Raw { partition: 0, number: number as u64, header: None, block };
        sequencer.judge(matcher.decode(0, raw, 1, &mut shapes)).0
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
    let matchers = [(Matcher::new(&rules), 3), (Matcher::new(&rules).watching("a"), 2)];
    for (matcher, rows) in matchers {
        for to_a_block in [1, 5] {
            let judged = judge(&matcher, &lines, to_a_block);
            let handed_on: usize = judged.iter().map(|block| block.rows[0].len()).sum();
            assert_eq!(handed_on, rows);
            assert_eq!([Count::Record, Count::Unmatched].map(|what| count(&judged, what)), [5, 1]);
        }
    }
}
