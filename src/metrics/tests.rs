use expect_test::expect;
use timely::logging::{OperatesEvent, ScheduleEvent, TimelyEvent};

use super::profile::OfWorker;
use super::*;

#[test]
fn what_was_measured_is_told_in_quantiles() {
    let metrics = Metrics::new(["outage", "a\nb"], false);
    for micros in 1..=1000 {
        metrics.took(Stage::Decode, Duration::from_micros(micros));
    }
    metrics.took(Stage::Write, Duration::from_secs(12));
    let second_ns = 1_000_000_000;
    metrics.told((0..100).map(|n| (0, n % 4 < 3, (n % 4 == 0).then_some(second_ns))));
    expect![[r#"
        stage          times     median        p99       most   together
        read               0     0.0 us     0.0 us     0.0 us     0.0 us
        decode          1000     502 us     991 us     1.0 ms   500.5 ms
        judge              0     0.0 us     0.0 us     0.0 us     0.0 us
        wait               0     0.0 us     0.0 us     0.0 us     0.0 us
        flow               0     0.0 us     0.0 us     0.0 us     0.0 us
        write              1     12.0 s     12.0 s     12.0 s     12.0 s

        rule        told  withdrawn   told after it was decided: median, p99, most
        outage        75         25   1002.4 ms, 1002.4 ms, 1002.4 ms
        a\nb           0          0"#]]
    .assert_eq(&metrics.to_string());
}

#[test]
fn an_operator_takes_its_own_time() {
    let mut of_worker = OfWorker::default();
    let mut hear = |micros, event| of_worker.hear(Duration::from_micros(micros), event);
    for (id, name) in [(0, "outer"), (1, "inner"), (2, "idle")] {
        let (addr, name) = (vec![id], name.to_owned());
        hear(0, TimelyEvent::Operates(OperatesEvent { id, addr, name }));
    }
    let (start, stop) = (ScheduleEvent::start, ScheduleEvent::stop);
    for (micros, event) in [
        (10, start(0)),
        (20, start(1)),
        (50, stop(1)),
        (60, start(1)),
        (65, stop(1)),
        (100, stop(0)),
    ] {
        hear(micros, TimelyEvent::Schedule(event));
    }
    let spent = |id: usize| {
        let (name, spent) = &of_worker.operators[&id];
        (name.as_str(), spent.runs, spent.time.as_micros())
    };
    assert_eq!([0, 1, 2].map(spent), [("outer", 1, 55), ("inner", 2, 35), ("idle", 0, 0)]);
}
