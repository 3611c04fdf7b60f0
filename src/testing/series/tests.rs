//! What people write, and what they write wrongly.

use proptest::prelude::*;

use super::*;

/// Items in short: `20 unready @26`, in seconds.
fn read(text: &str) -> Vec<String> {
    let items = parse(text, Start(0), 0).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    let short = |item: &Item| {
        let mut short = seconds(item.time_ns).to_string();
        for word in [
            item.again.then(|| "again".to_owned()),
            item.value.state.clone(),
            item.value.reading.map(|reading| reading.to_string()),
            (!item.labels.is_empty()).then(|| format!("{:?}", item.labels)),
            (item.arrival_ns != item.time_ns).then(|| format!("@{}", seconds(item.arrival_ns))),
        ]
        .into_iter()
        .flatten()
        {
            short = format!("{short} {word}");
        }
        short
    };
    items.iter().map(short).collect()
}

#[test]
fn what_people_write() {
    for (text, wanted) in [
        ("0s ready, 20s unready, 28s ready", "0 ready|20 unready|28 ready"),
        ("ready x3 unready x2 every 10s", "0 ready|10 ready|20 ready|30 unready|40 unready"),
        ("5s ready x2 every 10s, unready", "5 ready|15 ready|25 unready"),
        ("ready _ x2 ready every 1m", "0 ready|180 ready"),
        ("0s 75, 60s 85", "0 75|60 85"),
        ("75 85 -70.5 every 1m", "0 75|60 85|120 -70.5"),
        ("70+5x3 10-1x1 every 1s", "0 70|1 75|2 80|3 85|4 10|5 9"),
        ("0s hot=75", "0 hot 75"),
        ("20s unready @ 26s, 30s ready@31s", "20 unready @26|30 ready@31s"),
        ("20s unready @+6s, ready x2 every 5s @ +1s", "20 unready @26|25 ready @26|30 ready @31"),
        (
            "20s unready, again @ 22s, again ready x2",
            "20 unready|20 again @22|20 again ready @22|20 again ready @22",
        ),
        ("8s up @ 12s, again down", "8 up @12|8 again down @12"),
        (
            "0s ready {zone=a, tier=b} x2 every 1s",
            r#"0 ready [("zone", "a"), ("tier", "b")]|1 ready [("zone", "a"), ("tier", "b")]"#,
        ),
        ("1970-01-01T00:00:05Z ready", "5 ready"),
        ("1m30s up", "90 up"),
        ("0 5 every 10s", "0 0|10 5"),
        ("1e3", "0 1000"),
    ] {
        assert_eq!(read(text).join("|"), wanted, "{text}");
    }
    assert_eq!(parse("0s up, 5s up @ 5s", Start(0), 2).map(|i| i[0].arrival_ns), Ok(2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// Whatever is written, it is read or pointed at.
    #[test]
    fn nothing_is_too_odd(text in "([0-9]{0,3}[smhx]?|up|again|_|every|[@+=,{}ü]| |-|e|T|:){0,24}") {
        match parse(&text, Start(0), 0) {
            Ok(items) => prop_assert!(!items.is_empty() || text.contains('_')),
            Err(faults) => for fault in faults {
                prop_assert!(text.get(fault.place.clone()).is_some(), "{:?}", fault);
            },
        }
    }

    /// A series is what its segments are, each at its time.
    #[test]
    fn repetition_is_writing_it_out(
        first in 0i64..100, every in 1i64..60, counts in proptest::collection::vec(1usize..5, 1..6),
    ) {
        let states = ["up", "down", "_"];
        let words = counts.iter().enumerate().map(|(n, count)| format!("{} x{count}", states[n % 3]));
        let text = format!("{first}s {} every {every}s", words.collect::<Vec<_>>().join(" "));
        let mut at = first;
        let mut wanted = Vec::new();
        for (n, count) in counts.iter().enumerate() {
            for _ in 0..*count {
                wanted.extend((n % 3 < 2).then(|| format!("{at} {}", states[n % 3])));
                at += every;
            }
        }
        prop_assert_eq!(read(&text), wanted);
    }
}

#[test]
fn what_is_wrong_is_pointed_at() {
    for (text, at, about) in [
        ("0s ready, , 5s ready", "", "nothing stands between"),
        ("", "", "nothing stands between"),
        ("0s ready, unready", "unready", "nothing says when it is unready"),
        ("0s", "0s", "nothing observed"),
        ("x5 ready every 1s", "x5", "repeats nothing"),
        ("ready x0 every 1s", "x0", "no number of times"),
        ("ready x2 unready every 0s", "0s", "above zero"),
        ("ready every", "every", "nothing stands behind `every`"),
        ("0s ready x2 every 1s @ 9s", "0s ready x2 every 1s @ 9s", "several cannot all arrive"),
        ("0s ready @ soon", "soon", "`soon` is no time"),
        ("0s ready every 1s unready", "unready", "cannot stand here"),
        ("0s hot=warm", "hot=warm", "no reading"),
        ("7x up every 1s", "7x", "no reading"),
        ("0s ready {zone}", "{zone}", "no labels"),
        ("again @ 5s", "again", "no record before"),
        ("5q up", "5q", "`5q` is no time"),
        ("ready x100000 ready every 1s", "ready x100000 ready every 1s", "more than 100000"),
    ] {
        let faults = parse(text, Start(0), 0).expect_err(text);
        let fault = faults.first().expect("there is a fault");
        assert!(fault.message.contains(about), "{text}: {fault:?}");
        assert_eq!(text[fault.place.clone()].trim(), at, "{text}: {fault:?}");
    }
}
