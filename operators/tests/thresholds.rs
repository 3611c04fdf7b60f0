//! Thresholds and smoothing before hold-down, against their definitions, through the harness on random
//! input: a reading, a level and a mean by the whole history of a key, from scratch.

mod naive;

use differential_dataflow::VecCollection;
use limbeck_operators::finite::Finite;
use limbeck_operators::harness::{Subject, TakeSnapshot};
use limbeck_operators::machines::hold_down::{Decision, HoldDown};
use limbeck_operators::machines::smoothing::Smoothing;
use limbeck_operators::machines::threshold::{
    Bound, Level, Measured, Measures, Threshold, Thresholds,
};
use limbeck_operators::snapshots::Snapshot;
use limbeck_operators::stage::{Then, Told};
use limbeck_operators::timeline::Timing;
use naive::{
    Item, Noted, PerState, Reading, accepted, build, histories, hold_down, holds, lives, rules,
    timings,
};
use proptest::prelude::*;

/// What is asked of the keys, all but the last, which passes whole.
#[derive(Clone, Copy, Debug)]
struct Setup {
    thresholds: Thresholds,
    tells: bool,
    rule: PerState,
    timing: Timing,
}

const WHOLE: u8 = 2;

/// A reading for each state and tie: equal ones, and some that are no whole numbers.
fn reading(state: u8, tie: u8) -> f64 {
    f64::from(state) * 10.0 - 7.0 + f64::from(tie) * 0.3
}

fn number(level: Level) -> u8 {
    match level {
        Level::Normal => 0,
        Level::Above => 1,
        Level::Below => 2,
    }
}

impl Measures<u8, Noted> for Setup {
    fn thresholds(&self, key: &u8) -> Option<&Thresholds> {
        (*key != WHOLE).then_some(&self.thresholds)
    }

    fn reading(&self, _: &u8, state: &Noted) -> Option<Finite> {
        Finite::new(reading(state.state, state.note))
    }

    fn at(&self, _: &u8, level: Level, state: &Noted) -> Noted {
        Noted { state: number(level), ..*state }
    }

    fn expire_after(&self, _: &u8) -> i64 {
        self.rule.expire_after
    }
}

/// What is said of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
enum Out {
    Measured(Measured<Reading>),
    Decided(Decision<Noted>),
}

impl Subject for Setup {
    type In = (u8, Reading);
    type Out = (u8, Out);
    type Saved = Snapshot<u8>;

    fn tick(&self) -> i64 {
        self.timing.tick
    }

    fn build<'scope>(
        &self,
        input: VecCollection<'scope, i64, Self::In, isize>,
        restored: Option<&[Self::Saved]>,
        save_at: Option<i64>,
    ) -> (VecCollection<'scope, i64, Self::Out, isize>, TakeSnapshot<Self::Saved>) {
        let machine = HoldDown::new(self.rule).telling_runs();
        let machine = Then::new(Threshold::new(*self).telling(self.tells), machine);
        let (told, take) = build(machine, self.timing, input, restored, save_at);
        let told = told.map(|(key, output)| match output.value {
            Told::Noted(measured) => (key, Out::Measured(measured)),
            Told::Passed(decision) => (key, Out::Decided(decision)),
        });
        (told, take)
    }

    fn expected(&self, known: &[(Self::In, i64, isize)], at: i64) -> Vec<Self::Out> {
        let mut told = Vec::new();
        for (key, events) in accepted(known, self.timing, at) {
            let mut out = Vec::new();
            let observed = events.iter().filter(|event| event.marks != (true, true));
            let mut items: Vec<Item> = observed.map(Item::of).collect();
            if key != WHOLE {
                items = self.judged(&items, &mut out);
            }
            let decided = hold_down(&items, self.rule, at, true);
            out.extend(decided.into_iter().map(Out::Decided));
            told.extend(out.into_iter().map(|out| (key, out)));
        }
        told
    }
}

impl Setup {
    fn judged(&self, items: &[Item], out: &mut Vec<Out>) -> Vec<Item> {
        let mut passed = Vec::new();
        for (life, _) in lives(items, self.rule.expire_after) {
            let readings: Vec<(i64, f64)> = life
                .iter()
                .map(|item| (item.time, reading(item.state.state, item.state.note)))
                .collect();
            let mut level = None;
            for (index, item) in life.iter().enumerate() {
                let number = self.smooth(&readings[..=index]);
                if self.tells || number.is_none() {
                    let finite = |of| Finite::new(of).expect("it is finite");
                    out.push(Out::Measured(Measured {
                        event: item.by.clone().expect("it was observed"),
                        reading: finite(readings[index].1),
                        number: number.map(finite),
                        before: index
                            .checked_sub(1)
                            .map(|before| readings[before].0)
                            .filter(|_| self.thresholds.smoothing.is_some()),
                    }));
                }
                if let Some(number) = number {
                    let now = self.level(number, level);
                    level = Some(now);
                    let state = Noted { state: self::number(now), ..item.state };
                    passed.push(Item { state, ..item.clone() });
                } else {
                    passed.push(Item { withheld: true, ..item.clone() });
                }
            }
        }
        passed
    }

    fn level(&self, number: f64, before: Option<Level>) -> Level {
        let Thresholds { above, below, .. } = self.thresholds;
        let (above, below) = (above.map(|b| (b.at, b.recover)), below.map(|b| (b.at, b.recover)));
        if let Some((at, recover)) = above {
            let falls = below.is_some_and(|(low, _)| number < low);
            if number > at || before == Some(Level::Above) && number > recover && !falls {
                return Level::Above;
            }
        }
        if let Some((at, recover)) = below
            && (number < at || before == Some(Level::Below) && number < recover)
        {
            return Level::Below;
        }
        Level::Normal
    }

    /// What comes of the last of readings.
    fn smooth(&self, readings: &[(i64, f64)]) -> Option<f64> {
        let (now, last) = readings[readings.len() - 1];
        let of_late = |over: i64| -> Vec<(i64, f64)> {
            readings.iter().copied().filter(|(time, _)| *time > now - over).collect()
        };
        match self.thresholds.smoothing {
            None => Some(last),
            Some(Smoothing::Mean { half_life }) => {
                let mut mean = readings[0].1;
                for pair in readings.windows(2) {
                    let passed = (pair[1].0 - pair[0].0) as f64 / half_life as f64;
                    let left = 1.0 - libm::exp2(-passed);
                    let half = left * (pair[1].1 / 2.0 - mean / 2.0);
                    mean = mean + half + half;
                }
                Some(mean)
            }
            Some(Smoothing::Median { over }) => {
                let mut sorted: Vec<f64> = of_late(over).into_iter().map(|(_, of)| of).collect();
                sorted.sort_by(f64::total_cmp);
                let middle = sorted.len() / 2;
                Some(match sorted.len() % 2 {
                    1 => sorted[middle],
                    _ if sorted[middle - 1] == sorted[middle] => sorted[middle],
                    _ => sorted[middle - 1] / 2.0 + sorted[middle] / 2.0,
                })
            }
            Some(Smoothing::Rate { over, per }) => {
                let readings = of_late(over);
                let mut grown = 0.0;
                for pair in readings.windows(2) {
                    let reset = pair[1].1 < pair[0].1;
                    grown += if reset { pair[1].1 } else { pair[1].1 - pair[0].1 };
                }
                let time = now - readings[0].0;
                (time > 0).then(|| grown / (time as f64 / per as f64))
            }
        }
    }
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    let over = || 1i64..30;
    let smoothing = prop_oneof![
        Just(None),
        over().prop_map(|half_life| Some(Smoothing::Mean { half_life })),
        over().prop_map(|over| Some(Smoothing::Median { over })),
        (over(), 1i64..100).prop_map(|(over, per)| Some(Smoothing::Rate { over, per })),
    ];
    let at = || prop_oneof![Just(3.3), Just(-0.5), 0.0..10.0, -5.0..1.0];
    let back = || prop_oneof![Just(0.0), Just(0.3), 0.0..10.0];
    let bound = (at(), back());
    let which = prop_oneof![Just((true, false)), Just((false, true)), Just((true, true))];
    (smoothing, bound, 0.0..5.0, back(), which).prop_map(
        |(smoothing, (at, back), under, forth, (upper, lower))| {
            let above = Bound { at, recover: at - back };
            let below = Bound { at: at - under - 0.1, recover: at - under + forth };
            let (above, below) = (upper.then_some(above), lower.then_some(below));
            Thresholds { smoothing, above, below }
        },
    )
}

fn setups() -> impl Strategy<Value = Setup> {
    (thresholds(), any::<bool>(), rules(), timings())
        .prop_map(|(thresholds, tells, rule, timing)| Setup { thresholds, tells, rule, timing })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn thresholds_are_their_definitions(
        (setup, history) in setups().prop_flat_map(|s| (Just(s), histories(s.timing.tick))),
        seed in any::<u64>(),
    ) {
        holds(&setup, &history, seed)?;
    }
}
